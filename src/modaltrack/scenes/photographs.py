# SPDX-License-Identifier: Apache-2.0
"""A photograph with known objects, seen by simulated RGB, thermal, depth and event cameras; numpy and OpenCV only.

The pictures are encoded as ``modaltrack.sources.encodings`` encodes real files. Two ways to use it for training pairs:
simulate whole pictures and cut all sensors alike, or simulate template and search crops, objects in pixels of the
crop, with one ``World`` for both. Either way before colours are changed: temperatures hang on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.scenes.photo_fields import PhotoFields, fields_of
from modaltrack.scenes.photo_objects import Array, Cutout, PhotoObject, cutouts
from modaltrack.scenes.photo_world import World
from modaltrack.sources.encodings import (
    EVENT_BACKGROUND,
    EVENT_OFF_RGB,
    EVENT_ON_RGB,
    depth_jet_bgr,
    thermal_8bit,
)

Image = NDArray[np.uint8]

SIMULATED = (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT)
GAMMA = 2.2  # from stored values to light
VEIL = 0.65  # brightness of fog
RANGE_M = 10.0  # what a depth camera reaches
JUMP = 0.1  # relative step of inverse depth that is an edge of depth
SHADOWS = 5  # pixels of the widest shadow of a depth camera's second eye
DARK = 0.015  # light below which an event camera sees no steps
PURE = {"on": (255, 0, 0), "off": (0, 0, 255)}
GREY, SIGNED_STEP = 128, 110  # of signed event pictures: no event, and the largest deviation
TILE = 1024  # side in pixels of the noise that all sensors share
REFERENCE = 256.0  # width in pixels for which motions and shifts are given


def simulate(
    rgb: Image,
    objects: Sequence[PhotoObject],
    rng: np.random.Generator,
    modalities: Sequence[Modality | str] = SIMULATED,
    world: World | None = None,
    before: Image | None = None,
) -> dict[Modality, Image]:
    """See a photograph through other sensors.

    Args:
        rgb: (H, W, 3) uint8.
        objects: What is in it; ``number`` 0 is the target, which crossover and flatness hide.
        rng: Draws the world if none is given, noise and motion.
        modalities: Which sensors to give, of ``SIMULATED``.
        world: Conditions that several pictures share; None draws new ones.
        before: The same view a moment earlier, (H, W, 3) uint8, a real video's; None lets camera and objects move.

    Returns:
        Modality -> (H, W, 3) uint8, aligned to rgb but for ``world.misalignment``. RGB is changed by night and fog
        only, and is the given array where there is neither.

    Raises:
        ValueError: For a sensor that is not simulated.
    """
    world = world or World.draw(rng)
    wanted = [Modality(m) for m in modalities]
    if strange := [m for m in wanted if m not in SIMULATED]:
        raise ValueError(f"There is no simulated {strange[0]} camera; there are {', '.join(SIMULATED)}.")
    cuts = cutouts(rgb, objects)
    seen: dict[Modality, Image] = {}
    fields = _fields(rgb, cuts, world, [m for m in wanted if world.failures.get(m) not in ("blind", "frozen")])
    past = before
    for modality in wanted:
        failure = world.failures.get(modality, "")
        view = rgb, fields, past
        if failure == "frozen":
            earlier, moved = moved_picture(rgb, cuts, 3.0, _leaps(cuts, rng), rng)
            view = earlier, _fields(earlier, moved, world, [modality]), earlier if before is None else None
        if modality is Modality.EVENT and view[2] is None:
            view = view[0], view[1], moved_picture(view[0], cuts, world.camera, _steps(cuts, world, rng), rng)[0]
        picture = _blind(modality, rgb.shape[:2], world) if failure == "blind" else _see(modality, *view, world, rng)
        seen[modality] = _misaligned(picture, modality, failure, world, rng)
    return seen


def _fields(rgb: Image, cuts: Sequence[Cutout], world: World, modalities: Sequence[Modality]) -> PhotoFields | None:
    needed = {Modality.THERMAL, Modality.DEPTH} & set(modalities) or (world.fog > 0 and Modality.RGB in modalities)
    return fields_of(rgb, cuts, world) if needed else None


def _see(
    modality: Modality,
    rgb: Image,
    fields: PhotoFields | None,
    past: Image | None,
    world: World,
    rng: np.random.Generator,
) -> Image:
    if modality is Modality.RGB:
        return visible(rgb, None if fields is None else fields.inverse_depth, world, rng)
    if modality is Modality.EVENT:
        assert past is not None
        return draw_events(*event_counts(past, rgb, world, rng), world.event_style)
    assert fields is not None
    if modality is Modality.THERMAL:
        return thermal_8bit(thermal_grey(fields.heat, world, rng))
    assert modality is Modality.DEPTH, modality
    return depth_jet_bgr(depth_millimetres(fields.inverse_depth, world, rng))


# -- sensors -------------------------------------------------------------------------------------------------------


@cache
def _light_of() -> Array:
    """(256,) light of stored values."""
    return ((np.arange(256) / 255) ** GAMMA).astype(np.float32)


@cache
def _stored_of() -> Image:
    """(4096,) stored values of light 0..1."""
    return np.rint(255 * (np.arange(4096) / 4095) ** (1 / GAMMA)).astype(np.uint8)


@cache
def _tile() -> Array:
    """(TILE, TILE) normal noise."""
    tile: Array = np.random.default_rng(0).standard_normal((TILE, TILE), dtype=np.float32)
    return tile


def _noise(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Normal noise of a size (height, width): a random part of one large tile, which costs less than drawing it."""
    height, width = size
    if max(size) > TILE // 2:
        return rng.standard_normal(size, dtype=np.float32)
    top, left = (int(rng.integers(TILE - length)) for length in size)
    part: Array = _tile()[top : top + height, left : left + width]
    return part[:: 1 - 2 * int(rng.integers(2)), :: 1 - 2 * int(rng.integers(2))]


def visible(rgb: Image, inverse_depth: Array | None, world: World, rng: np.random.Generator) -> Image:
    """RGB in the world's light and fog: (H, W, 3) uint8; the given picture itself where neither changes it."""
    if world.light == 1.0 and (world.fog == 0 or inverse_depth is None):
        return rgb
    light = _light_of()[rgb]  # (H, W, 3)
    if world.fog > 0 and inverse_depth is not None:
        through = np.exp(-world.fog / np.maximum(inverse_depth, 0.02))[..., None]
        light *= through
        light += np.float32(VEIL) * (1 - through)
    light *= np.float32(world.light * min(4.0, world.light**-0.5))  # the exposure makes up for half of it
    strength = np.float32(world.noise) * (0.3 + np.sqrt(light))
    light += strength * np.stack([_noise(rng, rgb.shape[:2]) for _ in range(3)], 2)
    return _stored_of()[np.clip(light * 4095, 0, 4095).astype(np.int32)]


def thermal_grey(heat: Array, world: World, rng: np.random.Generator) -> Image:
    """Thermal camera: blur, noise, column pattern, automatic gain; (H, W) uint8."""
    image = cv2.GaussianBlur(heat, (0, 0), max(0.3, world.thermal_blur))
    columns = rng.standard_normal((1, heat.shape[1]), dtype=np.float32)
    noise: Array = _noise(rng, heat.shape) + np.float32(0.4) * columns
    image += np.float32(world.thermal_noise) * noise
    low, high, _, _ = cv2.minMaxLoc(image)
    image -= np.float32(image.mean())
    image *= np.float32(world.thermal_gain / max(high - low, 0.15))
    image += np.float32(0.42)
    if world.thermal_invert:
        image = 1 - image
    return np.clip(255 * image, 0, 255).astype(np.uint8)


def depth_millimetres(inverse_depth: Array, world: World, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Depth camera: range noise, edges, shadows and patches without reading; (H, W) uint16, 0 = none."""
    height, width = inverse_depth.shape
    distance = 1 / inverse_depth
    noise = _noise(rng, inverse_depth.shape)
    metres = distance + np.float32(world.depth_noise) * noise * distance * distance
    grown = cv2.dilate(inverse_depth, np.ones((3, 3), np.uint8))
    edge = cv2.dilate((grown > (1 + JUMP) * inverse_depth).astype(np.uint8), np.ones((3, 3), np.uint8))
    coarse = rng.random((-(-height // 2), -(-width // 2)), dtype=np.float32)
    lottery = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    gone = (edge > 0) & (lottery < world.holes)
    gone |= (distance > RANGE_M) | (lottery < 0.001)
    for step in range(1, SHADOWS + 1) if world.baseline > 0 else ():  # hidden from the second eye by what is beside it
        gone[:, :-step] |= world.baseline * (inverse_depth[:, step:] - inverse_depth[:, :-step]) > step
    if world.patches > 0:
        cells = cv2.resize(rng.random((6, 6), dtype=np.float32), (36, 36), interpolation=cv2.INTER_CUBIC)
        cells += 0.35 * (rng.random(cells.shape, dtype=np.float32) - 0.5)  # ragged
        gone |= cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR) < 0.8 * world.patches
        gone[:, : int(0.06 * width * (world.baseline > 0))] = True
    metres[gone] = 0
    return np.clip(metres * 1000, 0, 65535).astype(np.uint16)


def event_counts(
    before: Image, after: Image, world: World, rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Event camera between two instants: number of ON and of OFF events of every pixel, (H, W) each."""
    light = np.float32(world.light) * _light_of()
    logs = np.log(light + np.float32(DARK * min(1.0, 4 * world.light)))
    # Resampling blurs one of the instants; a little blur on both, and it does not fire
    then, now = (
        cv2.GaussianBlur(logs[cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)], (3, 3), 0.7) for picture in (before, after)
    )
    mismatch = 1 + np.float32(0.15) * _noise(rng, then.shape)
    steps = (now - then) / (np.float32(world.event_threshold) * np.maximum(mismatch, 0.4))
    counts = steps.astype(np.int16)  # towards 0: a step that is not whole has not fired
    if world.event_noise > 0:
        number = rng.poisson(world.event_noise * counts.size)
        at = rng.integers(0, counts.size, number)
        counts.reshape(-1)[at] += np.where(rng.random(number) < 0.5, 1, -1).astype(np.int16)
    return np.maximum(counts, 0), np.maximum(-counts, 0)


def draw_events(on: NDArray[np.int16], off: NDArray[np.int16], style: str = "accumulate") -> Image:
    """Event picture of counts (H, W): (H, W, 3) uint8 RGB.

    Args:
        on, off: Events of every pixel.
        style: "accumulate", as the encoding ``event-accumulate`` draws; "pure" red and blue on white; "signed": grey,
            brighter or darker by the number of events. The latter two are met as pictures rendered elsewhere.
    """
    if style == "signed":
        signed = np.clip(GREY + (SIGNED_STEP / 3) * (on - off), GREY - SIGNED_STEP, GREY + SIGNED_STEP)
        return np.repeat(signed.astype(np.uint8)[..., None], 3, 2)
    canvas = np.full((*on.shape, 3), EVENT_BACKGROUND, np.uint8)
    canvas[on > 0] = PURE["on"] if style == "pure" else EVENT_ON_RGB
    canvas[off > 0] = PURE["off"] if style == "pure" else EVENT_OFF_RGB
    return canvas


# -- motion and failures -------------------------------------------------------------------------------------------


def _steps(cuts: Sequence[Cutout], world: World, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """(2,) pixels that each object moves between the instants of an event picture, at the reference width."""
    return [world.motion * rng.standard_normal(2) for _ in cuts]


def _leaps(cuts: Sequence[Cutout], rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """(2,) pixels that each object has moved since a sensor froze: 0.3 to 1 of its size."""
    sizes = [float(np.sqrt(cut.alpha.size)) for cut in cuts]
    angles = rng.uniform(0, 2 * np.pi, len(cuts))
    return [rng.uniform(0.3, 1.0) * size * np.array([np.cos(a), np.sin(a)]) for size, a in zip(sizes, angles)]


def moved_picture(
    rgb: Image, cuts: Sequence[Cutout], camera: float, steps: Sequence[NDArray[np.float64]], rng: np.random.Generator
) -> tuple[Image, list[Cutout]]:
    """The picture a moment earlier: camera and objects stood elsewhere.

    Args:
        rgb: (H, W, 3) uint8.
        cuts: The objects, far to near.
        camera: Standard deviation of its motion in pixels at the reference width.
        steps: (2,) pixels for each object, on top of the camera's.
        rng: Draws the camera's motion.

    Returns:
        The picture and the objects where they stood, to whole pixels. What an object uncovers is filled from around it.
    """
    height, width = rgb.shape[:2]
    pan = camera * (width / REFERENCE) * rng.standard_normal(2)
    turn, zoom = 0.004 * camera * rng.standard_normal(), 1 + 0.004 * camera * rng.standard_normal()
    middle = np.array([width / 2, height / 2])
    matrix = cv2.getRotationMatrix2D((middle[0], middle[1]), float(np.degrees(turn)), float(zoom))
    matrix[:, 2] += pan
    cuts = [
        replace(cut, alpha=np.clip(6 * cut.alpha - 2.5, 0, 1)) for cut in cuts
    ]  # soft edges would fire by themselves
    scene = _without_objects(rgb, cuts) if cuts else rgb
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    earlier = cv2.warpAffine(scene, matrix, (width, height), flags=flags, borderMode=border)
    moved = []
    for cut, step in zip(cuts, steps):
        centre = np.array([cut.left + cut.alpha.shape[1] / 2, cut.top + cut.alpha.shape[0] / 2, 1.0])
        shift = matrix @ centre - centre[:2] + step
        place = replace(cut, top=cut.top + round(shift[1]), left=cut.left + round(shift[0]), foot=cut.foot + shift[1])
        moved += _paste(earlier, rgb, cut, place, shift)
    return earlier, moved


def _without_objects(rgb: Image, cuts: Sequence[Cutout]) -> Image:
    """The picture with the objects filled by what is around them, blurred."""
    height, width = rgb.shape[:2]
    cover = np.zeros((height, width), np.float32)
    for cut in cuts:
        np.maximum(cover[cut.window], cut.alpha, out=cover[cut.window])
    size = max(2, width // 8), max(2, height // 8)
    free = cv2.resize(1 - cv2.dilate(cover, np.ones((5, 5), np.uint8)), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    wide = max(size) / 6
    weight = cv2.GaussianBlur(free, (0, 0), wide) + np.float32(1e-4)
    fill = cv2.GaussianBlur(small * free[..., None], (0, 0), wide) / weight[..., None]
    fill = cv2.resize(fill, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.blendLinear(rgb, fill.astype(np.uint8), 1 - cover, cover)


def _paste(into: Image, rgb: Image, cut: Cutout, place: Cutout, shift: NDArray[np.float64]) -> list[Cutout]:
    """Draw a cut-out shifted by ``shift`` (2,) pixels; -> the visible part of ``place``, or nothing."""
    height, width = into.shape[:2]
    top, left = max(0, place.top), max(0, place.left)
    bottom = min(height, place.top + cut.alpha.shape[0])
    right = min(width, place.left + cut.alpha.shape[1])
    if bottom - top < 2 or right - left < 2:
        return []
    part = slice(top - place.top, bottom - place.top), slice(left - place.left, right - place.left)
    rest = shift - np.round(shift)  # whole pixels by slicing, what is left by resampling
    matrix = np.array([[1, 0, rest[0]], [0, 1, rest[1]]])
    size = cut.alpha.shape[::-1]
    pixels = cv2.warpAffine(rgb[cut.window], matrix, size, borderMode=cv2.BORDER_REPLICATE)[part]
    alpha = cv2.warpAffine(cut.alpha, matrix, size, borderMode=cv2.BORDER_CONSTANT)[part]
    under = np.ascontiguousarray(into[top:bottom, left:right])
    into[top:bottom, left:right] = cv2.blendLinear(
        under, np.ascontiguousarray(pixels), 1 - alpha, np.ascontiguousarray(alpha)
    )
    visible_part = replace(place, top=top, left=left, alpha=cut.alpha[part], u=cut.u[part[1]], v=cut.v[part[0]])
    return [visible_part] if (visible_part.alpha > 0.5).any() else []


def _blind(modality: Modality, size: tuple[int, ...], world: World) -> Image:
    """What a sensor that sees nothing gives: black, no reading anywhere, no event."""
    nothing = np.zeros(size, np.int16)
    if modality is Modality.EVENT:
        return draw_events(nothing, nothing, world.event_style)
    if modality is Modality.DEPTH:
        return depth_jet_bgr(nothing.astype(np.uint16))
    return np.zeros((*size, 3), np.uint8)


def _misaligned(picture: Image, modality: Modality, failure: str, world: World, rng: np.random.Generator) -> Image:
    """A second sensor looks a little past RGB; one that was knocked out of place a lot."""
    spread = 0.0 if modality is Modality.RGB else world.misalignment
    if failure == "shifted":
        spread = 0.12 * REFERENCE
    if not spread:
        return picture
    height, width = picture.shape[:2]
    dx, dy = np.rint(spread * (width / REFERENCE) * rng.standard_normal(2)).astype(int).tolist()
    if dx == 0 and dy == 0:
        return picture
    margins = max(0, dy), max(0, -dy), max(0, dx), max(0, -dx)
    over: Image = cv2.copyMakeBorder(picture, *margins, cv2.BORDER_REPLICATE)
    top, left = max(0, -dy), max(0, -dx)
    return np.ascontiguousarray(over[top : top + height, left : left + width])
