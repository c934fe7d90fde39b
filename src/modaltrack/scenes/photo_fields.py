# SPDX-License-Identifier: Apache-2.0
"""What thermal and depth cameras would read off a photograph: temperature and inverse depth of every pixel.

Temperature: 0..1, 0.35 = the air. Surfaces differ by a random smooth function of their colour, drawn anew in every
world: edges stay edges, and no colour means warm. Objects get a body by their kind, with parts.
Inverse depth, 1/m: a ground plane below the horizon, a wall behind it, relief; objects stand on the ground at the lower
edge of their box, bulge towards the camera, and hide what is behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.scenes.photo_objects import Array, Cutout
from modaltrack.scenes.photo_world import World

AIR = 0.35
HIDDEN_UNITS = 6  # of the random functions of colour
DETAIL = 40  # longest side in pixels at which a body is computed
DETAIL_HEAT = 0.35  # most that fine structure of brightness changes temperatures, per unit of brightness
FAR = 1 / 60  # inverse depth of the sky


@dataclass(slots=True)
class PhotoFields:
    """heat, inverse_depth: (H, W) float32 of one picture."""

    heat: Array
    inverse_depth: Array


def fields_of(rgb: NDArray[np.uint8], cuts: Sequence[Cutout], world: World) -> PhotoFields:
    """Temperature and inverse depth of a picture (H, W, 3) with these objects, far to near."""
    fields = _ground(rgb, world)
    under = fields.heat.copy(), fields.inverse_depth.copy()
    for cut in cuts:
        _put(rgb, cut, world, fields, *under)
    return fields


def _functions_of_colour(rgb: NDArray[np.uint8], rng: np.random.Generator, count: int, sharp: float = 5.0) -> Array:
    """``count`` random smooth functions of colour, (h, w, count), about -1..1."""
    colours = rgb.reshape(-1, 3).astype(np.float32) * np.float32(1 / 255) - np.float32(0.45)
    into = (sharp * rng.standard_normal((3, HIDDEN_UNITS))).astype(np.float32)
    hidden = np.tanh(colours @ into + rng.uniform(-1, 1, HIDDEN_UNITS).astype(np.float32))
    out = (rng.standard_normal((HIDDEN_UNITS, count)) / np.sqrt(HIDDEN_UNITS)).astype(np.float32)
    functions: Array = (hidden @ out).reshape(*rgb.shape[:2], count)
    return functions


def _smooth(rng: np.random.Generator, size: tuple[int, int], cells: int = 4) -> Array:
    """Random low frequencies, (height, width), about -1..1."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    smooth: Array = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return smooth


def _ground(rgb: NDArray[np.uint8], world: World) -> PhotoFields:
    """Both fields without objects."""
    height, width = rgb.shape[:2]
    half = max(2, height // 2), max(2, width // 2)
    small = cv2.resize(rgb, half[::-1], interpolation=cv2.INTER_AREA)
    rng = world.of(0)
    functions = _functions_of_colour(small, rng, 3)
    heat = AIR + 0.13 * functions[..., 0] + 0.07 * _smooth(rng, half)
    share = np.linspace(0, 1, half[0], dtype=np.float32)[:, None]
    along = (share - world.horizon) / (1 - world.horizon)
    floor = np.clip(along, 0, None) / world.near
    wall = (1 / world.wall) * (1 + 0.3 * np.clip(functions[..., 1], 0, None) + 0.1 * _smooth(rng, half))
    inverse = np.maximum(floor * (1 + 0.06 * functions[..., 2]), wall)
    if world.wall > 6:  # nothing closes an open scene: bright, blue or empty above the horizon is sky
        sky = _sky(small, along)
        heat += (0.12 - AIR) * sky * np.float32(rng.uniform(0.5, 1.0))
        inverse = np.where(sky > 0.5, FAR, inverse)
    heat = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    detail = cv2.subtract(grey, cv2.blur(grey, (9, 9)), dtype=cv2.CV_32F)  # paint and dirt shine a little, or less
    heat += np.float32(rng.uniform(-1, 1) * DETAIL_HEAT / 255) * detail
    inverse = cv2.resize(inverse.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    return PhotoFields(heat, inverse)


def _sky(small: NDArray[np.uint8], along: Array) -> Array:
    """How much each pixel looks like sky, 0..1."""
    colours = small.astype(np.float32) / 255
    bright, blue = colours.min(2), colours[..., 2] - colours[..., 0]
    looks = np.clip(np.maximum(4 * (bright - 0.6), 5 * (blue - 0.05)), 0, 1)
    sky: Array = looks * np.clip(-6 * along + 0.5, 0, 1)
    return sky


def _put(
    rgb: NDArray[np.uint8], cut: Cutout, world: World, fields: PhotoFields, heat_under: Array, inverse_under: Array
) -> None:
    """One object into both fields. *_under: the fields without objects."""
    window, alpha = cut.window, cut.alpha
    rng = world.of(1, cut.number)
    height, width = alpha.shape
    scale = min(1.0, DETAIL / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))  # of OpenCV: width, height
    body, relief = _body(cut, cv2.resize(rgb[window], size, interpolation=cv2.INTER_AREA), size, world, rng)
    heat = cv2.resize(body, (width, height), interpolation=cv2.INTER_LINEAR)
    bulge = cv2.resize(relief, (width, height), interpolation=cv2.INTER_LINEAR)
    if cut.number == 0 and world.crossover > 0:
        weight = float(alpha.sum()) + 1e-6
        behind, own = float((heat_under[window] * alpha).sum()) / weight, float((heat * alpha).sum()) / weight
        alike = behind + 0.3 * (heat - own)
        heat += world.crossover * (alike - heat)
    fields.heat[window] += alpha * (heat - fields.heat[window])
    foot = (min(cut.foot, 1.2 * rgb.shape[0]) / rgb.shape[0] - world.horizon) / (1 - world.horizon)
    behind = float((inverse_under[window] * alpha).sum() / (alpha.sum() + 1e-6))
    stands = max(foot / world.near, behind * float(rng.uniform(1.03, 1.35)), 1 / world.wall)
    inverse = stands * (1 + bulge)
    if cut.number == 0 and world.flatness > 0:
        inverse += world.flatness * (inverse_under[window] * (1 + 0.3 * bulge) - inverse)
    solid = alpha > 0.5
    fields.inverse_depth[window][solid] = inverse[solid]


def _body(
    cut: Cutout, small: NDArray[np.uint8], size: tuple[int, int], world: World, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Temperature and relief (a factor of inverse depth above 1) of an object, (h, w) of its small picture."""
    functions = _functions_of_colour(small, rng, 2, 4.0)
    u = cv2.resize(cut.u[None], (size[0], 1), interpolation=cv2.INTER_LINEAR)  # (1, w)
    v = cv2.resize(cut.v[:, None], (1, size[1]), interpolation=cv2.INTER_LINEAR)  # (h, 1)
    alpha = cv2.resize(cut.alpha, size, interpolation=cv2.INTER_AREA)
    inner = cv2.distanceTransform(np.pad((alpha > 0.4).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    core = np.sqrt(inner / max(float(inner.max()), 1e-6))  # 0 at the edge, 1 in the middle

    def spot(x: float, y: float, wide: float, tall: float) -> Array:
        return np.exp(-0.5 * ((u - np.float32(x)) / wide) ** 2) * np.exp(-0.5 * ((v - np.float32(y)) / tall) ** 2)

    contrast, upright = world.thermal_contrast, cut.alpha.shape[0] > 1.3 * cut.alpha.shape[1]
    texture = functions[..., 0]
    some = spot(*rng.uniform(0.15, 0.85, 2), *rng.uniform(0.12, 0.3, 2))
    other = spot(*rng.uniform(0.15, 0.85, 2), *rng.uniform(0.08, 0.2, 2))
    draws = rng.uniform(0, 1, 6)
    if cut.kind == "warm":
        head = spot(0.5, 0.09, 0.22, 0.08) if upright else some
        rise = 0.2 + 0.35 * draws[0] + 0.1 * (core - 0.7) + 0.09 * texture + 0.12 * head - 0.1 * draws[1] * other
    elif cut.kind == "vehicle":
        end = 0.12 if draws[0] < 0.5 else 0.88
        wheels = spot(0.2, 0.9, 0.09, 0.1) + spot(0.8, 0.9, 0.09, 0.1)
        glass = spot(0.5, 0.25, 0.28, 0.1)
        driven = draws[1] ** 0.5
        rise = -0.1 + 0.25 * draws[2] + 0.06 * texture + driven * (0.3 * wheels + 0.3 * spot(end, 0.55, 0.15, 0.2))
        rise = rise - 0.2 * draws[3] * glass
    elif cut.kind == "device":
        rise = 0.3 * draws[0] + 0.25 * some + 0.05 * texture
    elif cut.kind == "plant":
        rise = -0.12 * draws[0] + 0.07 * texture
    else:
        rise = 0.3 * (draws[0] - 0.5) + 0.06 * texture + 0.2 * (draws[1] - 0.5) * some
    tilt = 0.08 * (draws[4] - 0.5) * (u - 0.5) + 0.06 * (draws[5] - 0.5) * (v - 0.5)
    relief = 0.1 * draws[5] * core + 0.015 * functions[..., 1] + tilt
    return (AIR + contrast * rise).astype(np.float32), relief.astype(np.float32)
