# SPDX-License-Identifier: Apache-2.0
"""What happens in a clip, written down before a pixel is rendered: who walks where, what hides whom from which camera.

Shapes: T frames, K actors (one to a layer, far to near).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modaltrack.scenes.actors import Troupe
from modaltrack.scenes.compose import Layer
from modaltrack.scenes.conditions import random_weather
from modaltrack.scenes.sensors import Weather
from modaltrack.scenes.texture import canvases

CANVAS = 576  # side of a clip's background, pixels
REACH = {"small": 19.0, "medium": 32.0, "large": 56.0}  # largest half side of an actor in each window

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


Array = NDArray[np.float64]


@dataclass(slots=True)
class Script:
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
    weather: Weather  # of one row
    exposure: Tensor  # (T,)


def _smooth(rng: np.random.Generator, frames: int, width: int, memory: float) -> Array:
    """(frames, width) Ornstein-Uhlenbeck paths of unit variance.

    Args:
        memory: correlation from frame to frame.
    """
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


@dataclass(slots=True)
class _Plot:
    """What is settled before anything moves; every part of the script is drawn from ``rng`` in a fixed order."""

    rng: np.random.Generator
    what: set[str]
    hard: bool
    frames: int
    order: list[str]
    target: int
    actor: list[int]

    def paths(self, width: int, memory: float) -> Array:
        """See ``_smooth``."""
        return _smooth(self.rng, self.frames, width, memory)


def _plot(rng: np.random.Generator, frames: int, hard: bool) -> _Plot:
    what = _draw_challenges(rng, hard)
    order = ["small", "medium", "small", "medium", "medium", "large", "medium", "large"]
    target = 2 if "low resolution" in what else int(rng.choice([3, 3, 4, 5]))
    actor = rng.integers(0, 24, len(order)).tolist()
    if "similar appearance" in what or (hard and rng.random() < 0.4):
        for k in range(len(order)):
            if k != target and rng.random() < 0.5:
                twin = rng.random() < 0.4
                actor[k] = actor[target] if twin else int(np.clip(actor[target] + rng.integers(-2, 3), 0, 23))
    return _Plot(rng, what, hard, frames, order, target, actor)


def _walks(plot: _Plot, height: int, width: int) -> Array:
    """Positions (T, K, 2) on the canvas: every actor walks, most of them begin near the target."""
    rng, target, count = plot.rng, plot.target, len(plot.order)
    speed = rng.uniform(0.3, 1.6, count) * (1.5 if plot.hard else 1.0)
    if "fast motion" in plot.what:
        speed[target] = rng.uniform(4.0, 7.0)
    velocity = plot.paths(2 * count, 0.95).reshape(plot.frames, count, 2) * speed[:, None]
    velocity[..., 1] *= 0.5
    drift = rng.standard_normal((count, 2)) * speed[:, None] * 0.6
    start = rng.uniform(0.28, 0.72, (count, 2)) * CANVAS
    start[target] = rng.uniform(0.42, 0.58, 2) * CANVAS
    for k in range(count):
        if k != target:
            start[k] = start[target] + rng.standard_normal(2) * [width * 0.3, height * 0.25]
    world = start + np.cumsum(velocity + drift, 0)
    low, high = 0.12 * CANVAS, 0.88 * CANVAS
    world = low + np.abs((world - low) % (2 * (high - low)) - (high - low))  # reflect at the border of the canvas
    mirrored: Array = high + low - world  # keeps the start where it was drawn
    return mirrored


def _occlude(plot: _Plot, world: Array, scale: Array) -> Array:
    """Who is there (T, K): with occlusion a near actor crosses the target's path, without it none passes in front.

    ``world``, ``scale`` and ``plot.actor`` of the one that crosses are changed.
    """
    rng, target, frames, last = plot.rng, plot.target, plot.frames, len(plot.order) - 1
    there = np.ones((frames, len(plot.order)))
    if "occlusion" in plot.what:
        meet = int(rng.uniform(0.35, 0.65) * frames)
        side = rng.choice([-1.0, 1.0])
        pace = rng.uniform(1.5, 3.0)
        time = np.arange(frames) - meet
        world[:, last] = world[meet, target] + np.stack([side * pace * time, 0.15 * pace * time], 1) * 1.2
        plot.actor[last] = int(rng.integers(0, 24))
        scale[last] = max(scale[last], 1.1 * scale[target])
    else:
        near = np.arange(len(plot.order)) > target
        gap = np.linalg.norm(world - world[:, target : target + 1], axis=2)  # (T, K)
        hides = near & (gap.min(0) < 0.5 * (scale + scale[target]))
        there[:, hides] = 0.0
    return there


def _shapes(plot: _Plot, scale: Array) -> tuple[Array, Array, Array, Array]:
    """size, angle and phase (T, K) and bend (K,) of the actors."""
    rng, target, frames, count = plot.rng, plot.target, plot.frames, len(plot.order)
    grow = plot.paths(count, 0.98) * 0.05
    if "scale variation" in plot.what:
        ramp = rng.choice([-1, 1]) * rng.uniform(0.5, 0.9) * np.linspace(-0.5, 0.5, frames)
        grow[:, target] += ramp
    size = np.minimum(scale * np.exp(grow - grow[:1]), [REACH[w] for w in plot.order])
    turn = plot.paths(count, 0.97) * 0.08
    if "rotation" in plot.what:
        turn[:, target] += rng.choice([-1, 1]) * rng.uniform(0.6, 1.6) * np.linspace(0, 1, frames)
    pace = rng.uniform(0.02, 0.07, count)
    phase = (np.arange(frames)[:, None] * pace + rng.random(count)) % 1
    bend = np.where(rng.random(count) < 0.3, rng.uniform(0, 0.06, count), 0.0)
    if "deformation" in plot.what:
        bend[target] = rng.uniform(0.1, 0.18)
    return size, turn, phase, bend


def _camera(plot: _Plot, path: Array, height: int, width: int) -> Array:
    """(T, 4) centre x, y, zoom and roll: the camera follows the target's path (T, 2) with delay, and shakes."""
    rng, moving = plot.rng, "camera moving" in plot.what
    shake = (rng.uniform(1.5, 4.0) if moving else rng.uniform(0.0, 0.7)) * plot.paths(2, 0.8)
    follow = np.empty((plot.frames, 2))
    follow[0] = path[0] + rng.standard_normal(2) * [width * 0.08, height * 0.08]
    for t in range(1, plot.frames):
        follow[t] = follow[t - 1] + 0.06 * (path[t] - follow[t - 1])
    if not moving and rng.random() < 0.4:
        follow[:] = 0.5 * (path.max(0) + path.min(0))  # a fixed camera
    zoom = np.exp(plot.paths(1, 0.98) * 0.03) * rng.uniform(0.85, 1.1)
    roll = plot.paths(1, 0.97) * (0.06 if moving else 0.01)
    return np.concatenate([follow + shake, zoom, roll], 1)


def _disguise(plot: _Plot) -> tuple[Array, Array, Array, Array]:
    """What hides the target from one sensor: when (T,), in colour (T, K), in heat (T, K), and nearness (K,)."""
    rng, target, frames, count = plot.rng, plot.target, plot.frames, len(plot.order)
    when = np.zeros(frames)
    begin = int(rng.uniform(0.1, 0.35) * frames)
    when[begin : begin + int(rng.uniform(0.4, 0.7) * frames)] = 1.0
    when = np.convolve(np.pad(when, 4, mode="edge"), np.ones(9) / 9, "valid")
    mix = np.tile(rng.uniform(0.0, 0.2, count), (frames, 1))
    crossover = np.tile(rng.uniform(0.0, 0.15, count), (frames, 1))
    if "background clutter" in plot.what:
        mix[:, target] = rng.uniform(0.8, 1.0)
    if "thermal crossover" in plot.what:
        crossover[:, target] = np.maximum(crossover[:, target], when * rng.uniform(0.85, 1.0))
    nearer = np.sort(np.exp(rng.uniform(0.08, 0.25, count) + 0.1 * np.arange(count)))
    if "depth ambiguity" in plot.what:
        nearer[target] = 1.02
    return when, mix, crossover, nearer


def _light(plot: _Plot, generator: torch.Generator, when: Array) -> tuple[Weather, Array]:
    """The weather of the clip, and the exposure (T,)."""
    rng, what = plot.rng, plot.what
    weather = random_weather(1, generator, hard=0.0)
    weather.light[:] = float(rng.uniform(0.7, 1.3))
    weather.fog[:] = float(rng.uniform(0.25, 0.8)) if "fog" in what else 0.0
    weather.monochrome[:] = float(rng.random() < 0.1)
    exposure = np.exp(0.02 * plot.paths(1, 0.9)[:, 0])
    if "low illumination" in what:
        weather.light[:] = float(rng.uniform(0.03, 0.12))
        weather.noise[:] = float(rng.uniform(0.015, 0.05))
    if "high illumination" in what:
        exposure = exposure * (1 + when * rng.uniform(1.5, 3.0))
    if "abrupt illumination variation" in what:
        for _ in range(int(rng.integers(1, 3))):
            at = int(rng.uniform(0.15, 0.85) * plot.frames)
            exposure[at:] = exposure[at:] * rng.choice([0.3, 0.45, 2.0, 2.8])
    return weather, exposure


def write_script(seed: int, length: int, height: int, width: int, hard: bool) -> tuple[Script, set[str]]:
    """What happens in the clip of a seed, and what makes it hard."""
    rng = np.random.default_rng([seed, int(hard), 0x5CE])
    generator = torch.Generator().manual_seed(seed * 2 + int(hard) + 1_000_003)
    plot = _plot(rng, length, hard)
    canvas, troupe = canvases(1, generator, CANVAS), Troupe(24, seed * 31 + 7 + int(hard))
    world = _walks(plot, height, width)
    scale = np.array([rng.uniform(0.45, 0.85) * REACH[w] for w in plot.order])
    if plot.order[plot.target] == "small":
        scale[plot.target] = rng.uniform(0.5, 0.75) * REACH["small"]
    there = _occlude(plot, world, scale)
    size, angle, phase, bend = _shapes(plot, scale)
    camera = _camera(plot, world[:, plot.target], height, width)
    when, mix, crossover, nearer = _disguise(plot)
    weather, exposure = _light(plot, generator, when)
    count = len(plot.order)
    gain = np.exp(0.2 * rng.standard_normal((count, 1)) + 0.15 * rng.standard_normal((count, 3)))
    heat = 0.15 * rng.standard_normal(count)
    script = Script(
        canvas, troupe, plot.actor, plot.order, plot.target, weather=weather, exposure=_tensor(exposure),
        world=_tensor(world), size=_tensor(size), angle=_tensor(angle), phase=_tensor(phase), camera=_tensor(camera),
        mix=_tensor(mix), crossover=_tensor(crossover), nearer=_tensor(nearer), gain=_tensor(gain), heat=_tensor(heat),
        bend=_tensor(bend), there=_tensor(there),
    )  # fmt: skip
    return script, plot.what


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def layers_at(script: Script, rows: Tensor, height: int, width: int, background: Tensor | None) -> list[Layer]:
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
