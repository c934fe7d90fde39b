# SPDX-License-Identifier: Apache-2.0
"""Actors: what can be followed or gets in the way, as small animated pictures with their own heat and relief.

An actor is a set of rounded boxes ("parts") whose pose depends on a phase 0..1: a walker swings legs and arms, a bird
beats its wings, a car turns its wheels. Every part has a colour, a temperature and a height above the actor's plane, so
all four sensors see the same body. Kinds and numbers are not from a publication.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SPRITE_SIZE = 64
NUM_PHASES = 6
NUM_PARTS = 8
# cx, cy, half width, half height, angle, roundness 0..1, r, g, b, temperature, relief, stripes, stripe frequency
NUM_TRAITS = 13
Parts = NDArray[np.float32]  # (n, phases, NUM_PARTS, NUM_TRAITS)
Rng = np.random.Generator


def _colour(rng: Rng, n: int) -> NDArray[np.float64]:
    """(n, 3) albedo: mostly muted, sometimes vivid, sometimes near black or white."""
    value = rng.uniform(0.05, 0.95, (n, 1))
    vivid = np.where(rng.random((n, 1)) < 0.35, rng.uniform(0.2, 0.6, (n, 1)), rng.uniform(0.0, 0.12, (n, 1)))
    return np.clip(value + vivid * rng.standard_normal((n, 3)), 0.02, 0.98)


def _blank(n: int) -> Parts:
    parts = np.zeros((n, NUM_PHASES, NUM_PARTS, NUM_TRAITS), np.float32)
    parts[..., 2:4] = -1.0  # a negative size draws nothing
    return parts


def _put(parts: Parts, k: int, centre: tuple, half: tuple, angle: object, roundness: object, colour: NDArray,
         heat: object, relief: object, stripes: object = 0.0, frequency: object = 6.0) -> None:  # fmt: skip
    """Fill part `k`; every value is a number, (n,) or (n, phases)."""

    def spread(value: object) -> NDArray[np.float32]:
        array = np.asarray(value, np.float32)
        return np.broadcast_to(array[:, None] if array.ndim == 1 else array, parts.shape[:2])

    for index, value in enumerate((*centre, *half, angle, roundness)):
        parts[:, :, k, index] = spread(value)
    parts[:, :, k, 6:9] = colour[:, None]
    for index, value in enumerate((heat, relief, stripes, frequency)):
        parts[:, :, k, 9 + index] = spread(value)


def _phase(n: int) -> NDArray[np.float64]:
    return np.broadcast_to(2 * math.pi * np.arange(NUM_PHASES) / NUM_PHASES, (n, NUM_PHASES))


def _walker(rng: Rng, n: int) -> Parts:
    parts, t = _blank(n), _phase(n)
    width = rng.uniform(0.16, 0.3, n)
    swing = rng.uniform(0.1, 0.6, n)[:, None] * np.sin(t)
    coat, legs, skin = _colour(rng, n), _colour(rng, n), np.clip(rng.uniform(0.2, 0.9, (n, 1)) * [1.0, 0.8, 0.65], 0, 1)
    warm = rng.uniform(0.55, 1.0, n)
    long_coat = rng.uniform(0.3, 0.55, n)
    for k, (sign, side) in enumerate(((1, "back"), (-1, "front"))):
        angle = sign * swing
        shade = 0.75 if side == "back" else 1.0
        _put(parts, 3 * k, (np.sin(angle) * 0.42, 0.2 + np.cos(angle) * 0.4), (width * 0.45, 0.4), -angle, 1.0,
             legs * shade, warm * 0.75, 0.3 + 0.2 * k)  # fmt: skip
    for k, sign in ((1, -1), (4, 1)):
        angle = sign * swing * 1.1
        _put(parts, k, (np.sin(angle) * 0.28 + sign * 0.04, -0.36 + np.cos(angle) * 0.27), (width * 0.33, 0.3), -angle,
             1.0, coat * (0.8 if k == 1 else 0.95), warm * 0.8, 0.2 + 0.5 * (k == 4))  # fmt: skip
    _put(parts, 2, (0.0, -0.32), (width, long_coat), 0.0, 0.6, coat, warm * 0.85, 0.5,
         (rng.random(n) < 0.3) * rng.uniform(-0.4, 0.4, n), rng.uniform(4, 14, n))  # fmt: skip
    _put(parts, 5, (0.0, -0.8), (0.13, 0.16), 0.0, 1.0, skin, warm, 0.5)
    _put(parts, 6, (0.0, -0.89), (0.13, 0.08), 0.0, 1.0, _colour(rng, n), warm * 0.9, 0.5)
    bag = rng.random(n) < 0.35
    _put(parts, 7, (-0.2, -0.3), (np.where(bag, 0.13, -1), 0.22), 0.0, 0.5, _colour(rng, n), 0.45, 0.4)
    return parts


def _vehicle(rng: Rng, n: int) -> Parts:
    parts = _blank(n)
    paint, glass = _colour(rng, n), _colour(rng, n) * 0.35
    length, height = rng.uniform(0.75, 0.98, n), rng.uniform(0.16, 0.3, n)
    cabin, top = rng.uniform(0.3, 0.7, n), rng.uniform(0.15, 0.4, n)
    shift = rng.uniform(-0.25, 0.25, n)
    engine = rng.uniform(0.45, 1.0, n)
    _put(parts, 0, (shift, -height * 0.4 - top * 0.5), (cabin, top), 0.0, 0.5, paint * 0.95, 0.45, 0.8)
    _put(parts, 1, (shift, -height * 0.4 - top * 0.6), (cabin * 0.86, top * 0.6), 0.0, 0.4, glass, 0.3, 0.8,
         0.8 * (rng.random(n) < 0.6), rng.uniform(3, 8, n))  # fmt: skip
    _put(parts, 2, (0.0, 0.1), (length, height), 0.0, 0.35, paint, 0.5, 1.0)
    _put(parts, 3, (length * 0.7, 0.08), (length * 0.26, height * 0.85), 0.0, 0.4, paint * 0.97, engine, 1.0)
    wheel = rng.uniform(0.12, 0.2, n)
    for k, side in ((4, -1), (5, 1)):
        _put(parts, k, (side * length * 0.62, 0.1 + height), (wheel, wheel), _phase(n) / 3, 1.0,
             np.full((n, 3), 0.07), 0.35 + 0.5 * engine, 1.0, 0.5, 5.0)  # fmt: skip
    _put(parts, 6, (length * 0.93, 0.05), (0.05, 0.06), 0.0, 0.8, np.full((n, 3), 0.95), 0.7, 1.0)
    _put(parts, 7, (0.0, 0.18), (length * 0.95, 0.02), 0.0, 0.0, paint * 0.5, 0.5, 1.0)
    return parts


def _flyer(rng: Rng, n: int) -> Parts:
    parts, t = _blank(n), _phase(n)
    body, wing = _colour(rng, n), _colour(rng, n)
    stiff = rng.random(n) < 0.5  # aeroplanes and gliders
    beat = np.where(stiff, 0.04, 0.7)[:, None] * np.sin(t)
    span, thin = rng.uniform(0.4, 0.5, n), rng.uniform(0.05, 0.16, n)
    sweep = rng.uniform(-0.5, 0.5, n)[:, None]
    warm = rng.uniform(0.4, 1.0, n)
    for k, side in ((0, -1), (2, 1)):
        angle = side * (beat + 0.3 * sweep)
        _put(parts, k, (side * np.cos(beat) * span[:, None], -0.45 * np.sin(beat) - 0.1 + 0.0 * t),
             (span, thin), angle, 0.7, wing, warm * 0.6, 0.4, (rng.random(n) < 0.4) * 0.4, 6.0)  # fmt: skip
    long_body = rng.uniform(0.3, 0.8, n)
    _put(parts, 1, (0.0, 0.1), (rng.uniform(0.07, 0.15, n), long_body), 0.0, 1.0, body, warm * 0.9, 0.6)
    _put(parts, 3, (0.0, 0.1 + long_body), (rng.uniform(0.12, 0.3, n), 0.06), 0.0, 0.5, wing, 0.45, 0.5)
    _put(parts, 4, (0.0, 0.1 - long_body), (0.09, 0.1), 0.0, 1.0, _colour(rng, n), warm, 0.6)
    rotors = rng.random(n) < 0.4
    for k, x in ((5, -0.8), (6, 0.8)):
        _put(parts, k, (x, -0.12), (np.where(rotors, 0.18, -1), 0.16), 0.0, 1.0, body * 0.6, warm, 0.5)
    return parts


def _animal(rng: Rng, n: int) -> Parts:
    parts, t = _blank(n), _phase(n)
    coat = _colour(rng, n)
    warm = rng.uniform(0.55, 1.0, n)
    thick, leg = rng.uniform(0.2, 0.36, n), rng.uniform(0.2, 0.42, n)
    swing = rng.uniform(0.1, 0.6, n)[:, None] * np.sin(t)
    for k, (x, sign) in enumerate(((-0.5, 1), (-0.4, -1), (0.4, 1), (0.5, -1))):
        angle = sign * swing
        _put(parts, k, (x + np.sin(angle) * leg[:, None], 0.2 + np.cos(angle) * leg[:, None]), (0.08, leg), -angle, 1.0,
             coat * (0.75 if k % 2 else 0.95), warm * 0.8, 0.3)  # fmt: skip
    _put(parts, 4, (0.0, 0.0), (rng.uniform(0.55, 0.7, n), thick), 0.0, 1.0, coat, warm * 0.9, 0.6,
         (rng.random(n) < 0.4) * rng.uniform(-0.6, 0.6, n), rng.uniform(4, 12, n))  # fmt: skip
    _put(parts, 5, (0.68, -0.3), (0.2, rng.uniform(0.14, 0.22, n)), 0.3, 1.0, coat * 1.05, warm, 0.7)
    _put(parts, 6, (-0.75, -0.05), (0.06, 0.26), 0.6 + 0.5 * swing, 1.0, coat * 0.9, warm * 0.8, 0.4)
    _put(parts, 7, (0.68, -0.5), (0.06, 0.12), -0.3, 1.0, coat * 0.8, warm, 0.7)
    return parts


def _thing(rng: Rng, n: int) -> Parts:
    """Screens, boxes, books, signs: a frame, a face of another colour, print on it, a foot."""
    parts = _blank(n)
    frame, face = _colour(rng, n), _colour(rng, n)
    dark = rng.random((n, 1)) < 0.4
    face = np.where(dark, face * 0.15, face)
    w, h = rng.uniform(0.5, 0.95, n), rng.uniform(0.4, 0.8, n)
    border = rng.uniform(0.04, 0.2, n)
    corner = rng.uniform(0.0, 0.5, n)
    heat = rng.uniform(0.2, 0.9, n)
    foot = rng.random(n) < 0.4
    _put(parts, 0, (0.0, h * 0.9), (np.where(foot, 0.1, -1), 0.18), 0.0, 0.2, frame * 0.9, 0.45, 0.5)
    _put(parts, 1, (0.0, h * 0.9 + 0.16), (np.where(foot, w * 0.45, -1), 0.06), 0.0, 1.0, frame * 0.8, 0.45, 0.7)
    _put(parts, 2, (0.0, -0.1), (w, h), 0.0, corner, frame, heat * 0.9, 0.6)
    _put(parts, 3, (0.0, -0.1), (w - border, h - border), 0.0, corner * 0.6, face, heat, 0.6,
         (rng.random(n) < 0.3) * rng.uniform(-0.5, 0.5, n), rng.uniform(4, 16, n))  # fmt: skip
    for k in range(4, 8):
        there = rng.random(n) < 0.5
        _put(parts, k, (rng.uniform(-0.4, 0.4, n) * w, rng.uniform(-0.6, 0.4, n) * h),
             (np.where(there, rng.uniform(0.05, 0.35, n), -1), rng.uniform(0.03, 0.2, n)), 0.0, rng.uniform(0, 1, n),
             _colour(rng, n), heat * rng.uniform(0.7, 1.2, n), 0.65)  # fmt: skip
    return parts


def _vessel(rng: Rng, n: int) -> Parts:
    """Balls, bottles, cups, faces: one or two round bodies with rings and a cap."""
    parts = _blank(n)
    body, label = _colour(rng, n), _colour(rng, n)
    slim = rng.uniform(0.25, 0.9, n)
    heat = rng.uniform(0.1, 1.0, n)
    bottle = rng.random(n) < 0.45
    tall = np.where(bottle, rng.uniform(0.5, 0.75, n), slim)
    _put(parts, 0, (0.0, -0.62), (np.where(bottle, slim * 0.35, -1), 0.3), 0.0, 0.6, body * 0.9, heat, 0.7)
    _put(parts, 1, (0.0, 0.1), (slim, tall), 0.0, np.where(bottle, 0.6, 1.0), body, heat, 0.9,
         (rng.random(n) < 0.4) * rng.uniform(-0.6, 0.6, n), rng.uniform(3, 10, n))  # fmt: skip
    _put(parts, 2, (0.0, 0.1), (slim * 0.95, tall * rng.uniform(0.1, 0.5, n)), 0.0, 0.3, label, heat * 0.9, 0.92)
    _put(
        parts, 3, (slim * -0.3, -0.15), (slim * 0.16, tall * 0.2), 0.3, 1.0, np.clip(body * 1.6 + 0.1, 0, 1), heat, 0.9
    )
    for k in (4, 5):
        there = rng.random(n) < 0.5
        _put(parts, k, (rng.uniform(-0.5, 0.5, n) * slim, rng.uniform(-0.4, 0.5, n) * tall),
             (np.where(there, rng.uniform(0.06, 0.2, n), -1), rng.uniform(0.05, 0.2, n)), 0.0, 1.0, _colour(rng, n),
             heat * rng.uniform(0.6, 1.3, n), 0.95)  # fmt: skip
    return parts


def _cluster(rng: Rng, n: int) -> Parts:
    """Anything else: a handful of parts at random, wobbling with the phase."""
    parts, t = _blank(n), _phase(n)
    base, heat = _colour(rng, n), rng.uniform(0.1, 1.0, n)
    tall = np.exp(rng.uniform(-0.5, 0.5, n))
    for k in range(NUM_PARTS):
        there = rng.random(n) < (1.0 if k < 2 else 0.6)
        wobble = rng.uniform(0, 0.12, n)[:, None] * np.sin(t + rng.uniform(0, 6.3, n)[:, None])
        reach = 0.1 if k == 0 else 0.55
        half = rng.uniform(0.1, 0.35, n) * (1.5 if k == 0 else 1.0)
        own = rng.random((n, 1)) < 0.5
        _put(parts, k, (rng.uniform(-reach, reach, n)[:, None] / np.sqrt(tall)[:, None] + wobble,
                        rng.uniform(-reach, reach, n) * np.sqrt(tall)),
             (np.where(there, half, -1), half * rng.uniform(0.4, 2.0, n)), rng.uniform(0, 3.1, n)[:, None] + wobble,
             rng.uniform(0, 1, n), np.where(own, _colour(rng, n), base * rng.uniform(0.6, 1.4, (n, 1))),
             heat * rng.uniform(0.6, 1.2, n), rng.uniform(0.2, 1.0, n),
             (rng.random(n) < 0.3) * rng.uniform(-0.6, 0.6, n), rng.uniform(3, 14, n))  # fmt: skip
    return parts


KINDS: dict[str, tuple[Callable[[Rng, int], Parts], float]] = {
    "walker": (_walker, 0.28),
    "vehicle": (_vehicle, 0.14),
    "flyer": (_flyer, 0.12),
    "animal": (_animal, 0.1),
    "thing": (_thing, 0.13),
    "vessel": (_vessel, 0.1),
    "cluster": (_cluster, 0.13),
}


def _rasterise(parts: Tensor, light: Tensor, grain: Tensor, size: int) -> Tensor:
    """Paint (M, P, traits) parts to (M, 6, size, size): premultiplied R, G, B, temperature, relief, and alpha."""
    line = (torch.arange(size) + 0.5) / size * 2.2 - 1.1
    y0, x0 = line.view(1, size, 1), line.view(1, 1, size)
    out = torch.zeros(parts.shape[0], 6, size, size)
    for k in range(parts.shape[1]):
        cx, cy, hx, hy, angle, roundness, *rest = (parts[:, k, i].view(-1, 1, 1) for i in range(NUM_TRAITS))
        x, y = x0 - cx, y0 - cy
        cos, sin = torch.cos(angle), torch.sin(angle)
        u, v = cos * x + sin * y, cos * y - sin * x
        radius = roundness * torch.minimum(hx, hy)
        qx, qy = u.abs() - hx + radius, v.abs() - hy + radius
        outside = torch.sqrt(qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2 + 1e-12)
        distance = outside + torch.maximum(qx, qy).clamp(max=0) - radius
        alpha = (0.5 - distance * size / 2.2).clamp(0, 1) * ((hx > 0) & (hy > 0))
        r, g, b, heat, relief, stripes, frequency = rest
        bulge = (u / hx.clamp(min=0.02)) * torch.cos(light) + (v / hy.clamp(min=0.02)) * torch.sin(light)
        shade = 1 + 0.22 * bulge.clamp(-1.2, 1.2) + stripes * torch.sign(torch.sin(frequency * 3 * v)) + grain
        shade = shade.clamp(0.1, 1.9)
        heat = (heat + 0.3 * grain - 0.06 * (v / hy.clamp(min=0.02)).clamp(-1, 1)).clamp(0, 1)
        layer = torch.stack([r * shade, g * shade, b * shade, heat, relief.expand_as(shade)], 1).clamp(0, 1)
        a = alpha.unsqueeze(1)
        out = torch.cat([layer * a + out[:, :5] * (1 - a), a + out[:, 5:] * (1 - a)], 1)
    return out


class Troupe:
    """A bank of `n` actors drawn at NUM_PHASES poses in two resolutions.

    Attributes:
        sprites: list of (n · phases, 6, s, s) float16 for s = 64 and 32, premultiplied R, G, B, temperature, relief,
            alpha.
        extent: (n, phases, 4) content box x0, y0, x1, y1 in sprite coordinates -1..1 of the 64-pixel picture.
        solid: (n · phases,) area of the actor in units of its squared scale.
        kind: (n,) index into KINDS.
    """

    def __init__(self, n: int, seed: int, device: torch.device | str = "cpu") -> None:
        rng = np.random.default_rng([seed, 0xAC7])
        generator = torch.Generator().manual_seed(seed * 7919 + 17)
        weights = np.array([w for _, w in KINDS.values()])
        self.kind = torch.from_numpy(np.sort(rng.choice(len(KINDS), n, p=weights / weights.sum())))
        counts = np.bincount(self.kind.numpy(), minlength=len(KINDS))
        parts = np.concatenate([make(rng, int(c)) for (make, _), c in zip(KINDS.values(), counts) if c])
        parts[..., 6:10] = np.clip(parts[..., 6:10], 0.01, 1.0)
        mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0).astype(np.float32)
        parts[..., 0] *= mirror[:, None, None]
        parts[..., 4] *= mirror[:, None, None]
        light = torch.from_numpy(rng.uniform(0, 2 * math.pi, n)).float()
        rough = torch.from_numpy(rng.uniform(0, 0.25, n)).float().view(n, 1, 1, 1)
        flat = torch.from_numpy(parts).flatten(0, 1)  # (n · phases, P, traits)
        pictures = []
        for start in range(0, n, 32):
            stop = min(n, start + 32)
            grain = torch.randn(stop - start, 1, 16, 16, generator=generator) * rough[start:stop]
            grain = torch.nn.functional.interpolate(grain, size=SPRITE_SIZE, mode="bilinear")[:, 0]
            pictures.append(
                _rasterise(
                    flat[start * NUM_PHASES : stop * NUM_PHASES],
                    light[start:stop].repeat_interleave(NUM_PHASES).view(-1, 1, 1),
                    grain.repeat_interleave(NUM_PHASES, 0),
                    SPRITE_SIZE,
                ).half()
            )
        large = torch.cat(pictures)
        small = torch.nn.functional.avg_pool2d(large.float(), 2).half()
        solid = large[:, 5] > 0.5
        self.solid = (solid.float().mean((1, 2)) * 4).to(device)
        self.extent = _extent(solid).view(n, NUM_PHASES, 4).to(device)
        self.sprites = [large.to(device), small.to(device)]
        self.kind = self.kind.to(device)


def _extent(mask: Tensor) -> Tensor:
    """(M, 4) x0, y0, x1, y1 of the true pixels of (M, s, s) masks, in coordinates -1..1 of the picture."""
    size = mask.shape[-1]
    out = []
    for axis in (1, 2):  # columns first, then rows
        line = mask.any(axis).float()  # (M, s)
        first = line.argmax(1)
        last = size - line.flip(1).argmax(1)
        out.append(torch.stack([first, last], 1))
    x, y = out
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1).float() / size * 2 - 1
