# SPDX-License-Identifier: Apache-2.0
"""Whole clips of the synthetic world: one target on its way, seen by four cameras, with truth and attributes.

A clip is a function of its seed. Trajectories are drawn for the whole length at once; pictures are rendered a few
frames at a time when they are asked for, so a long clip needs no more memory than a short one. Shapes: T frames, K
actors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modaltrack.frame import Clip, Frame, Modality
from modaltrack.scenes import sensors
from modaltrack.scenes.actors import Troupe
from modaltrack.scenes.compose import Layer, backdrop, compose
from modaltrack.scenes.conditions import random_weather
from modaltrack.scenes.texture import canvases

VERSION = "scenes-1"
CHUNK = 8  # frames rendered together
CANVAS = 576  # side of a clip's background, pixels
REACH = {"small": 19.0, "medium": 32.0, "large": 56.0}  # largest half side of an actor in each window
FPS = 30.0

# What makes a clip hard, under the names of LasHeR and VisEvent where they have one.
CHALLENGES = (
    "low illumination",
    "fog",
    "high illumination",
    "abrupt illumination variation",
    "thermal crossover",
    "background clutter",  # camouflage: the target takes the colours of what is behind it
    "depth ambiguity",
    "similar appearance",
    "occlusion",
    "fast motion",
    "scale variation",
    "camera moving",
    "deformation",
    "rotation",
    "low resolution",
)


@dataclass(slots=True)
class _Script:
    """All that happens in a clip, frame by frame; tensors have T rows (or T, K)."""

    canvas: Tensor  # (1, 5, S, S)
    troupe: Troupe
    actor: list[int]
    order: list[str]  # window of each layer, far to near
    target: int  # layer of the target
    world: Tensor  # (T, K, 2) positions on the canvas
    size: Tensor  # (T, K) half sides on the canvas
    angle: Tensor  # (T, K)
    phase: Tensor  # (T, K)
    camera: Tensor  # (T, 4)
    mix: Tensor  # (T, K) camouflage in colour
    crossover: Tensor  # (T, K)
    nearer: Tensor  # (K,) inverse depth relative to the ground
    gain: Tensor  # (K, 3)
    heat: Tensor  # (K,)
    bend: Tensor  # (K,)
    there: Tensor  # (T, K) opacity
    weather: sensors.Weather  # of one row
    exposure: Tensor  # (T,)


def _smooth(rng: np.random.Generator, frames: int, width: int, memory: float) -> NDArray[np.float64]:
    """(frames, width) Ornstein-Uhlenbeck paths of unit variance; memory: correlation from frame to frame."""
    out = np.empty((frames, width))
    out[0] = rng.standard_normal(width)
    for t in range(1, frames):
        out[t] = memory * out[t - 1] + math.sqrt(1 - memory * memory) * rng.standard_normal(width)
    return out


def _draw_challenges(rng: np.random.Generator, hard: bool) -> set[str]:
    if not hard:
        mild = ("similar appearance", "scale variation", "camera moving", "deformation", "rotation", "fog")
        return set(rng.choice(mild, rng.integers(0, 2), replace=False).tolist())
    chosen = set(rng.choice(CHALLENGES, rng.integers(3, 6), replace=False).tolist())
    if "low illumination" in chosen:
        chosen.discard("high illumination")
    # A clip that hides its target from every sensor at once tests nothing: keep at most two of the blinding ones.
    blinding = [
        c
        for c in ("low illumination", "thermal crossover", "background clutter", "fog", "depth ambiguity")
        if c in chosen
    ]
    rng.shuffle(blinding)
    return chosen - set(blinding[2:])


def _write_script(seed: int, length: int, height: int, width: int, hard: bool) -> tuple[_Script, set[str]]:
    rng = np.random.default_rng([seed, int(hard), 0x5CE])
    generator = torch.Generator().manual_seed(seed * 2 + int(hard) + 1_000_003)
    what = _draw_challenges(rng, hard)
    canvas = canvases(1, generator, CANVAS)
    troupe = Troupe(24, seed * 31 + 7 + int(hard))
    order = ["small", "medium", "small", "medium", "medium", "large", "medium", "large"]
    if "low resolution" in what:
        target, window = 2, "small"
    else:
        target = int(rng.choice([3, 3, 4, 5]))
        window = order[target]
    k_count, frames = len(order), length
    actor = rng.integers(0, 24, k_count).tolist()
    if "similar appearance" in what or (hard and rng.random() < 0.4):
        for k in range(k_count):
            if k != target and rng.random() < 0.5:
                twin = rng.random() < 0.4
                actor[k] = actor[target] if twin else int(np.clip(actor[target] + rng.integers(-2, 3), 0, 23))
    # Positions: every actor walks; the camera follows the target loosely.
    speed = rng.uniform(0.3, 1.6, k_count) * (1.5 if hard else 1.0)
    if "fast motion" in what:
        speed[target] = rng.uniform(4.0, 7.0)
    velocity = _smooth(rng, frames, 2 * k_count, 0.95).reshape(frames, k_count, 2) * speed[:, None]
    velocity[..., 1] *= 0.5
    drift = rng.standard_normal((k_count, 2)) * speed[:, None] * 0.6
    start = rng.uniform(0.28, 0.72, (k_count, 2)) * CANVAS
    start[target] = rng.uniform(0.42, 0.58, 2) * CANVAS
    # Most actors begin near the target, so that they matter to it.
    for k in range(k_count):
        if k != target:
            start[k] = start[target] + rng.standard_normal(2) * [width * 0.3, height * 0.25]
    world = start + np.cumsum(velocity + drift, 0)
    low, high = 0.12 * CANVAS, 0.88 * CANVAS
    world = low + np.abs((world - low) % (2 * (high - low)) - (high - low))  # reflect at the border of the canvas
    world = high + low - world  # keeps the start where it was drawn
    there = np.ones((frames, k_count))
    scale = np.array([rng.uniform(0.45, 0.85) * REACH[w] for w in order])
    if window == "small":
        scale[target] = rng.uniform(0.5, 0.75) * REACH["small"]
    if "occlusion" in what:
        # A near actor crosses the target's path once in the middle third.
        meet = int(rng.uniform(0.35, 0.65) * frames)
        k = k_count - 1
        side = rng.choice([-1.0, 1.0])
        pace = rng.uniform(1.5, 3.0)
        time = np.arange(frames) - meet
        world[:, k] = world[meet, target] + np.stack([side * pace * time, 0.15 * pace * time], 1) * 1.2
        actor[k] = int(rng.integers(0, 24))
        scale[k] = max(scale[k], 1.1 * scale[target])
    else:
        near = np.arange(k_count) > target
        gap = np.linalg.norm(world - world[:, target : target + 1], axis=2)  # (T, K)
        hides = near & (gap.min(0) < 0.5 * (scale + scale[target]))
        there[:, hides] = 0.0  # nobody passes in front of the target in clips without occlusion
    grow = _smooth(rng, frames, k_count, 0.98) * 0.05
    if "scale variation" in what:
        ramp = rng.choice([-1, 1]) * rng.uniform(0.5, 0.9) * np.linspace(-0.5, 0.5, frames)
        grow[:, target] += ramp
    size = scale * np.exp(grow - grow[:1])
    size = np.minimum(size, [REACH[w] for w in order])
    turn = _smooth(rng, frames, k_count, 0.97) * 0.08
    if "rotation" in what:
        turn[:, target] += rng.choice([-1, 1]) * rng.uniform(0.6, 1.6) * np.linspace(0, 1, frames)
    pace_of_phase = rng.uniform(0.02, 0.07, k_count)
    phase = (np.arange(frames)[:, None] * pace_of_phase + rng.random(k_count)) % 1
    bend = np.where(rng.random(k_count) < 0.3, rng.uniform(0, 0.06, k_count), 0.0)
    if "deformation" in what:
        bend[target] = rng.uniform(0.1, 0.18)
    # The camera follows with delay and shakes.
    shake = (rng.uniform(1.5, 4.0) if "camera moving" in what else rng.uniform(0.0, 0.7)) * _smooth(rng, frames, 2, 0.8)
    follow = np.empty((frames, 2))
    follow[0] = world[0, target] + rng.standard_normal(2) * [width * 0.08, height * 0.08]
    for t in range(1, frames):
        follow[t] = follow[t - 1] + 0.06 * (world[t, target] - follow[t - 1])
    if "camera moving" not in what and rng.random() < 0.4:
        follow[:] = 0.5 * (world[:, target].max(0) + world[:, target].min(0))  # a fixed camera
    zoom = np.exp(_smooth(rng, frames, 1, 0.98) * 0.03) * rng.uniform(0.85, 1.1)
    roll = _smooth(rng, frames, 1, 0.97) * (0.06 if "camera moving" in what else 0.01)
    camera = np.concatenate([follow + shake, zoom, roll], 1)
    # What hides the target from one sensor.
    window_of_time = np.zeros(frames)
    begin = int(rng.uniform(0.1, 0.35) * frames)
    window_of_time[begin : begin + int(rng.uniform(0.4, 0.7) * frames)] = 1.0
    window_of_time = np.convolve(np.pad(window_of_time, 4, mode="edge"), np.ones(9) / 9, "valid")
    mix = np.tile(rng.uniform(0.0, 0.2, k_count), (frames, 1))
    crossover = np.tile(rng.uniform(0.0, 0.15, k_count), (frames, 1))
    if "background clutter" in what:
        mix[:, target] = rng.uniform(0.8, 1.0)
    if "thermal crossover" in what:
        crossover[:, target] = np.maximum(crossover[:, target], window_of_time * rng.uniform(0.85, 1.0))
    nearer = np.sort(np.exp(rng.uniform(0.08, 0.25, k_count) + 0.1 * np.arange(k_count)))
    if "depth ambiguity" in what:
        nearer[target] = 1.02
    weather = random_weather(1, generator, hard=0.0)
    weather.light[:] = float(rng.uniform(0.7, 1.3))
    weather.fog[:] = float(rng.uniform(0.25, 0.8)) if "fog" in what else 0.0
    weather.monochrome[:] = float(rng.random() < 0.1)
    exposure = np.exp(0.02 * _smooth(rng, frames, 1, 0.9)[:, 0])
    if "low illumination" in what:
        weather.light[:] = float(rng.uniform(0.03, 0.12))
        weather.noise[:] = float(rng.uniform(0.015, 0.05))
    if "high illumination" in what:
        exposure = exposure * (1 + window_of_time * rng.uniform(1.5, 3.0))
    if "abrupt illumination variation" in what:
        for _ in range(int(rng.integers(1, 3))):
            at = int(rng.uniform(0.15, 0.85) * frames)
            exposure[at:] = exposure[at:] * rng.choice([0.3, 0.45, 2.0, 2.8])
    gain = np.exp(0.2 * rng.standard_normal((k_count, 1)) + 0.15 * rng.standard_normal((k_count, 3)))

    def tensor(array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).float()

    script = _Script(
        canvas=canvas,
        troupe=troupe,
        actor=[int(a) for a in actor],
        order=[window if k == target else w for k, w in enumerate(order)],
        target=target,
        world=tensor(world),
        size=tensor(size),
        angle=tensor(turn),
        phase=tensor(phase),
        camera=tensor(camera),
        mix=tensor(mix),
        crossover=tensor(crossover),
        nearer=tensor(nearer),
        gain=tensor(gain),
        heat=tensor(0.15 * rng.standard_normal(k_count)),
        bend=tensor(bend),
        there=tensor(there),
        weather=weather,
        exposure=tensor(exposure),
    )
    return script, what


def _layers(script: _Script, rows: Tensor, height: int, width: int, background: Tensor | None) -> list[Layer]:
    """The layers of the instants `rows` (float frame numbers; fractions lie between two frames)."""
    low = rows.floor().long().clamp(0, len(script.camera) - 1)
    high = (low + 1).clamp(max=len(script.camera) - 1)
    part = (rows - low).view(-1, 1)

    def at(track: Tensor) -> Tensor:
        weight = part.view(-1, *([1] * (track.dim() - 1)))
        return torch.lerp(track[low], track[high], weight)

    camera = at(script.camera)
    relative = at(script.world) - camera[:, None, :2]  # (N, K, 2) on the canvas
    cos, sin = torch.cos(camera[:, 3:4]), torch.sin(camera[:, 3:4])
    x = (relative[..., 0] * cos + relative[..., 1] * sin) / camera[:, 2:3] + (width - 1) / 2
    y = (relative[..., 1] * cos - relative[..., 0] * sin) / camera[:, 2:3] + (height - 1) / 2
    size, angle = at(script.size) / camera[:, 2:3], at(script.angle) - camera[:, 3:4]
    mix, crossover, there = at(script.mix), at(script.crossover), at(script.there)
    layers = []
    n = len(rows)
    for k, window in enumerate(script.order):
        if background is None:
            inverse = torch.ones(n)
        else:
            column, row = x[:, k].long().clamp(0, width - 1), y[:, k].long().clamp(0, height - 1)
            inverse = background[torch.arange(n), 4, row, column]
        layers.append(
            Layer(
                actor=torch.full((n,), script.actor[k]),
                phase=script.phase[low, k],
                centre=torch.stack([x[:, k], y[:, k]], 1),
                scale=size[:, k].clamp(max=REACH[window]),
                angle=angle[:, k],
                bend=script.bend[k].expand(n),
                ripple=rows * 0.25 + k,
                gain=script.gain[k].expand(n, 3),
                mix=mix[:, k],
                heat=script.heat[k].expand(n),
                thermal_mix=crossover[:, k],
                inverse_depth=inverse * script.nearer[k],
                opacity=there[:, k],
                window=window,
            )
        )
    return layers


class _Frames(Sequence[Frame]):
    """The pictures of a clip, rendered CHUNK frames at a time; only the last chunk is kept."""

    def __init__(
        self, script: _Script, seed: int, length: int, size: tuple[int, int], modalities: tuple[Modality, ...]
    ) -> None:
        self._script, self._seed, self._length = script, seed, length
        (self._height, self._width), self._modalities = size, modalities
        self._chunk: tuple[int, list[Frame]] | None = None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(f"The clip has {self._length} frames and frame {index} was asked for.")
        number = index // CHUNK
        if self._chunk is None or self._chunk[0] != number:
            self._chunk = (number, self._render(number))
        return self._chunk[1][index % CHUNK]

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(self._length))

    @torch.no_grad()
    def _render(self, number: int) -> list[Frame]:
        script, height, width = self._script, self._height, self._width
        rows = torch.arange(number * CHUNK, min((number + 1) * CHUNK, self._length)).float()
        noise = torch.Generator().manual_seed(self._seed * 100_003 + number)
        n = len(rows)
        first = torch.zeros(n, dtype=torch.long)
        background = backdrop(script.canvas, first, script.camera[rows.long()], height, width)
        fields = compose(background, _layers(script, rows, height, width, background), script.troupe, masks=False)
        weather = script.weather.repeat(n)
        still = sensors.irradiance(fields.albedo, weather)
        weather.light = weather.light * script.exposure[rows.long()]
        made: dict[Modality, Tensor] = {}
        for modality in self._modalities:
            if modality is Modality.RGB:
                made[modality] = sensors.visible(still, fields.inverse_depth, weather, noise)
            elif modality is Modality.THERMAL:
                made[modality] = sensors.thermal(fields.heat, fields.inverse_depth, weather, noise)
            elif modality is Modality.DEPTH:
                millimetres = sensors.depth_millimetres(fields.inverse_depth, weather, noise)
                made[modality] = sensors.encode_depth(millimetres)
            else:
                earlier = rows - 0.75  # before the first frame the motion is continued backwards
                index = earlier.floor().long().clamp(min=0)
                following = (index + 1).clamp(max=self._length - 1)
                camera = torch.lerp(script.camera[index], script.camera[following], (earlier - index).unsqueeze(1))
                ground = backdrop(script.canvas[:, :3], first, camera, height, width)
                past = compose(ground, _layers(script, earlier, height, width, None), script.troupe, masks=False)
                # A lamp that goes on or off is seen by the event camera as well.
                before = sensors.irradiance(past.albedo, weather) * script.exposure[index].view(-1, 1, 1, 1)
                after = still * script.exposure[rows.long()].view(-1, 1, 1, 1)
                made[modality] = sensors.encode_events(sensors.event_counts(before, after, weather, noise))
        pictures = {
            m: image.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
            for m, image in made.items()
        }
        start = number * CHUNK
        return [
            Frame({m: picture[i] for m, picture in pictures.items()}, (start + i) / FPS, start + i) for i in range(n)
        ]


def clip(
    seed: int,
    length: int = 80,
    size: tuple[int, int] = (240, 320),
    hard: bool = False,
    modalities: Sequence[Modality | str] = tuple(Modality),
    name: str | None = None,
) -> Clip:
    """One clip of the synthetic world, the same for the same arguments.

    length: frames, at 30 per second. size: height and width in pixels (at least 128). hard: three to five challenges
    at once instead of at most one. Truth: boxes are the target's extent inside the image as if nothing hid it, ``nan``
    where less than 10 % of it is in the image or it is hidden altogether; visible is the share of it that can be seen.
    Raises ValueError for a size or length that is too small.
    """
    height, width = size
    if length < 1 or min(size) < 128:
        raise ValueError(
            f"A clip of {length} frames of {height}x{width} pixels was asked for; give at least 1 frame and 128 pixels."
        )
    script, what = _write_script(seed, length, height, width, hard)
    boxes, visible = _truth(script, length, height, width)
    # A target that starts hidden cannot be given as a box: take another seed, so that every clip can be tracked.
    if np.isnan(boxes[0]).any() or visible[0] < 0.7 or np.nanmin(boxes[:, 2:].min(1)) < 5:
        again = clip(seed + 7_777_777, length, size, hard, modalities, name or f"{'hard' if hard else 'easy'}-{seed}")
        return again
    wanted = tuple(Modality(m) for m in modalities)
    return Clip(
        name=name or f"{'hard' if hard else 'easy'}-{seed}",
        frames=_Frames(script, seed, length, size, wanted),
        boxes=boxes,
        visible=visible,
        attributes=frozenset(_attributes(what, boxes, visible, script)),
        fps=FPS,
    )


@torch.no_grad()
def _truth(script: _Script, length: int, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    boxes, shares = [], []
    for start in range(0, length, CHUNK):
        rows = torch.arange(start, min(start + CHUNK, length)).float()
        blank = torch.zeros(len(rows), 3, height, width)  # owners and boxes do not depend on the ground
        fields = compose(blank, _layers(script, rows, height, width, None), script.troupe)
        boxes.append(fields.boxes[:, script.target])
        shares.append(fields.seen[:, script.target] / fields.area[:, script.target].clamp(min=1))
    xyxy = torch.cat(boxes).double().numpy()
    visible = torch.cat(shares).clamp(0, 1).double().numpy()
    box = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], 1)
    box[(visible < 0.05) | (box[:, 2:].min(1) < 2)] = np.nan
    return box, visible


def _attributes(what: set[str], boxes: NDArray[np.float64], visible: NDArray[np.float64], script: _Script) -> set[str]:
    """Names as LasHeR and VisEvent use them; those about occlusion, motion and scale are read off the truth."""
    names = what - {"occlusion"}
    seen = visible[~np.isnan(boxes[:, 0])]
    if np.isnan(boxes[:, 0]).any() or seen.min() < 0.15:
        names.add("total occlusion")
    if ((seen > 0.15) & (seen < 0.8)).any():
        names.add("partial occlusion")
    if not names & {"total occlusion", "partial occlusion"}:
        names.add("no occlusion")
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    step = np.linalg.norm(np.diff(centre, axis=0), axis=1) / np.sqrt(np.prod(boxes[1:, 2:], 1))
    if np.nanmax(step, initial=0.0) > 0.4:
        names.add("fast motion")
    area = np.prod(boxes[:, 2:], 1)
    ratio = np.sqrt(area / area[0])
    if np.nanmax(ratio) > 1.5 or np.nanmin(ratio) < 0.67:
        names.add("scale variation")
    aspect = boxes[:, 2] / boxes[:, 3]
    if np.nanmax(aspect / aspect[0]) > 1.5 or np.nanmin(aspect / aspect[0]) < 0.67:
        names.add("aspect ratio change")
    if np.nanmedian(area) < 400:
        names.add("low resolution")
    return names


class Benchmark(Sequence[Clip]):
    """A fixed list of clips, made when asked for. ``version`` changes whenever one of its pixels would."""

    version = VERSION

    def __init__(self, seeds: Sequence[tuple[int, bool]], length: int, split: str) -> None:
        self._seeds, self._length, self.split = tuple(seeds), length, split

    def __len__(self) -> int:
        return len(self._seeds)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        seed, hard = self._seeds[index]
        return clip(seed, self._length, hard=hard)


def benchmark(seed: int = 0, split: str = "test", clips: int = 40, length: int = 60) -> Benchmark:
    """The synthetic benchmark: ``clips`` clips of 240x320, the first half easy, the second half hard.

    split: "test" (never to be trained or tuned on) or "validation". Training pairs come from other seeds than both.
    Raises ValueError for another split.
    """
    if split not in ("test", "validation"):
        raise ValueError(f"The benchmark has the splits 'test' and 'validation' and {split!r} was asked for.")
    base = 10_000_000 + seed * 100_000 + (50_000 if split == "validation" else 0)
    half = clips // 2
    return Benchmark([(base + i, i >= half) for i in range(clips)], length, split)
