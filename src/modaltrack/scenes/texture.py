# SPDX-License-Identifier: Apache-2.0
"""Textured backgrounds: many small worlds painted as dead leaves over fractal noise.

A *canvas* is a wide picture of a place without its actors. It holds five fields that all sensors read:
albedo (3, 0..1), temperature (1, 0..1) and inverse depth (1, in 1/m). Leaves (rectangles, ellipses, their shading,
stripes and window grids) are drawn in every size from half the canvas down to a few pixels, which gives the edges,
occlusions and 1/f spectrum of photographs (the dead-leaves model); the palettes, horizons and densities are chosen
here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CANVAS_SIZE = 384
LEAF_CELLS = (192, 96, 48, 24, 12)


def fractal_noise(n: int, size: int, generator: torch.Generator, coarsest: int = 3, decay: float = 0.55) -> Tensor:
    """(n, 1, size, size) noise of about zero mean and unit variance; `decay` is the gain from octave to octave."""
    out = torch.zeros(n, 1, size, size)
    gain, cells, power = 1.0, coarsest, 0.0
    while cells <= size // 2:
        grid = torch.randn(n, 1, cells + 1, cells + 1, generator=generator)
        out += gain * F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=True)
        power += gain * gain
        gain, cells = gain * decay, cells * 2
    return out / (0.67 * power**0.5)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Uniform float32 numbers of `shape` in low..high."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def chance(shape: tuple[int, ...], probability: float | Tensor, generator: torch.Generator) -> Tensor:
    """0/1 float32 numbers of `shape`, one with the given probability."""
    return (torch.rand(shape, generator=generator) < probability).float()


def _paint_leaves(
    fields: Tensor, cell: int, traits: dict[str, Tensor], warp: Tensor, generator: torch.Generator
) -> None:
    """Draw at most one leaf per grid cell onto `fields` (N, 5, S, S), in place; right and lower cells lie on top.

    Args:
        warp: (N, 2, S, S) smooth displacement in units of the cell, which turns ellipses into bushes and stones.
    """
    n, _, size, _ = fields.shape
    g = size // cell + 2
    shape = (n, g, g)
    attributes = {
        "cy": uniform(shape, 0.3, 0.7, generator),
        "cx": uniform(shape, 0.3, 0.7, generator),
        "hy": uniform(shape, 0.12, 0.48, generator) * cell,
        "hx": uniform(shape, 0.12, 0.48, generator) * cell,
        "angle": torch.randn(shape, generator=generator) * traits["tilt"].view(n, 1, 1),
        "boxy": chance(shape, traits["boxy"].view(n, 1, 1), generator),
        "there": chance(shape, traits["density"].view(n, 1, 1), generator),
        "slope": uniform(shape, -0.35, 0.35, generator),
        "fx": torch.exp(uniform(shape, 0.6, 2.6, generator)),
        "fy": torch.exp(uniform(shape, 0.6, 2.6, generator)),
        "stripes": chance(shape, 0.25, generator) * uniform(shape, -0.5, 0.5, generator),
        "windows": chance(shape, traits["windows"].view(n, 1, 1), generator) * uniform(shape, -0.6, 0.6, generator),
        "heat": torch.randn(shape, generator=generator) * traits["heat"].view(n, 1, 1),
        "opaque": uniform(shape, 0.0, 1.0, generator) ** traits["discretion"].view(n, 1, 1),
        "nearer": 1 + uniform(shape, 0.0, 0.7, generator) * traits["relief"].view(n, 1, 1),
    }
    colour_index = torch.randint(0, 6, shape, generator=generator)
    colour = torch.gather(
        traits["palette"].unsqueeze(1).unsqueeze(1).expand(n, g, g, 6, 3),
        3,
        colour_index[..., None, None].expand(n, g, g, 1, 3),
    ).squeeze(3)
    colour = (colour * uniform((n, g, g, 1), 0.7, 1.3, generator)).clamp(0.02, 0.98)  # (N, g, g, 3)
    pixel = torch.arange(size)
    first = (pixel + cell // 2) // cell  # the upper-left of the two nearest cells, shifted by one cell of margin
    for dy in (0, 1):
        for dx in (0, 1):
            iy, ix = first + dy, first + dx
            at = {k: v[:, iy][:, :, ix] for k, v in attributes.items()}  # (N, S, S)
            y = pixel.view(1, -1, 1) - (iy.view(1, -1, 1) - 1 + at["cy"] + warp[:, 0]) * cell
            x = pixel.view(1, 1, -1) - (ix.view(1, 1, -1) - 1 + at["cx"] + warp[:, 1]) * cell
            cos, sin = torch.cos(at["angle"]), torch.sin(at["angle"])
            u, v = (cos * x + sin * y) / at["hx"], (cos * y - sin * x) / at["hy"]  # inside: |u|, |v| < 1
            square = torch.maximum(u.abs(), v.abs())
            round_ = torch.sqrt(u * u + v * v + 1e-6)
            distance = torch.where(at["boxy"] > 0, square, round_)
            cover = ((1 - distance) * torch.minimum(at["hx"], at["hy"]) + 0.5).clamp(0, 1) * at["there"]
            shade = 1 + at["slope"] * v + at["stripes"] * torch.sign(torch.sin(at["fx"] * 3 * u))
            panes = (torch.sin(at["fx"] * 3 * u) > 0.2) & (torch.sin(at["fy"] * 3 * v) > 0.2)
            shade = (shade + at["windows"] * panes).clamp(0.15, 1.8)
            rgb = colour[:, iy][:, :, ix].permute(0, 3, 1, 2) * shade.unsqueeze(1)
            rgb = torch.lerp(fields[:, :3], rgb, at["opaque"].unsqueeze(1))
            heat = fields[:, 3] * 0.6 + 0.2 + at["heat"] * (1 + 0.3 * v)
            new = torch.cat([rgb, heat.unsqueeze(1), (fields[:, 4] * at["nearer"]).unsqueeze(1)], 1)
            fields.lerp_(new, cover.unsqueeze(1))


def _paint_bands(fields: Tensor, palette: Tensor, generator: torch.Generator) -> None:
    """Draw one long curved band per canvas, in place: a road, a track, a cable, an edge of a wall."""
    n, _, size, _ = fields.shape
    line = torch.linspace(-1, 1, size)
    there = chance((n, 1, 1), 0.5, generator)
    angle = uniform((n, 1, 1), 0, 6.3, generator)
    x, y = line.view(1, 1, size), line.view(1, size, 1)
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle) - uniform((n, 1, 1), -0.7, 0.7, generator)
    across = across - 0.2 * torch.randn(n, 1, 1, generator=generator) * torch.sin(2.2 * along + angle)
    half = torch.exp(uniform((n, 1, 1), -4.5, -1.4, generator)) * (1 + 0.5 * along)
    cover = ((half - across.abs()) * size * 0.5 + 0.5).clamp(0, 1) * there * uniform((n, 1, 1), 0.3, 1, generator)
    ruts = 1 + 0.25 * there * torch.sin(across / half.clamp(min=0.01) * 5)
    rgb = palette[:, 2].view(n, 3, 1, 1) * ruts.unsqueeze(1)
    heat = fields[:, 3] + 0.15 * torch.randn(n, 1, 1, generator=generator)
    fields.lerp_(torch.cat([rgb, heat.unsqueeze(1), fields[:, 4:]], 1), cover.unsqueeze(1))


def canvases(n: int, generator: torch.Generator, size: int = CANVAS_SIZE) -> Tensor:
    """Paint `n` backgrounds.

    Returns:
        (n, 5, size, size) float32: albedo R, G, B in 0..1, temperature in 0..1, inverse depth in 1/m (0.02..2).
    """
    saturation = uniform((n, 1, 1), 0.0, 1.0, generator) ** 2 * 0.5
    tone = (uniform((n, 1, 1), 0.08, 0.6, generator) + 0.22 * torch.randn(n, 6, 1, generator=generator)).clamp(
        0.03, 0.9
    )
    tint = uniform((n, 1, 3), 0.86, 1.14, generator)
    palette = (tone * tint + saturation * (torch.randn(n, 6, 3, generator=generator) * 0.3)).clamp(0.03, 0.95)
    outdoor = chance((n,), 0.55, generator)
    traits = {
        "palette": palette,
        "boxy": chance((n,), 0.5, generator) * 0.75 + 0.12,
        "windows": chance((n,), 0.4, generator) * 0.35,
        "tilt": torch.where(outdoor > 0, 0.5, 0.12) * uniform((n,), 0.0, 2.0, generator),
        "heat": uniform((n,), 0.02, 0.16, generator),
        "relief": uniform((n,), 0.05, 1.0, generator),
        "discretion": torch.exp(uniform((n,), -0.7, 1.4, generator)),
    }
    row = torch.linspace(-1, 1, size).view(1, size, 1)
    column = torch.linspace(-1, 1, size).view(1, 1, size)
    # An inverse-depth plane is what a flat ground or wall looks like; outdoors it fades to the horizon.
    base = torch.exp(uniform((n, 1, 1), -2.2, -0.2, generator))
    tilt_y = torch.where(outdoor.view(n, 1, 1) > 0, 0.95, 0.3) * uniform((n, 1, 1), 0.2, 1.0, generator)
    inverse = base * (1 + tilt_y * row + 0.25 * torch.randn(n, 1, 1, generator=generator) * column)
    inverse = inverse.clamp(min=0.02).expand(n, size, size)
    horizon = uniform((n, 1, 1), -1.8, -0.3, generator)
    sky = ((row < horizon) & (outdoor.view(n, 1, 1) > 0)).float().expand(n, size, size)
    inverse = torch.where(sky > 0, torch.full_like(inverse, 0.02), inverse)
    noise = torch.cat([fractal_noise(n, size, generator, decay=d) for d in (0.5, 0.75, 0.6)], 1)  # (N, 3, S, S)
    amount = uniform((n, 1, 1), 0.03, 0.25, generator)
    ground = palette[:, 0].view(n, 3, 1, 1) * (1 - sky.unsqueeze(1)) + (
        0.6 * sky.unsqueeze(1) * (1 + 0.3 * palette[:, 1].view(n, 3, 1, 1))
    )
    grain = (amount * (0.6 * noise[:, 0] + 0.4 * noise[:, 1]) * (1 - 0.7 * sky)).unsqueeze(1)
    albedo = (ground * (1 + 1.6 * grain) + 0.5 * grain).clamp(0.02, 0.98)
    heat = 0.5 + 0.12 * noise[:, 2] - 0.3 * sky
    fields = torch.cat([albedo, heat.unsqueeze(1), inverse.unsqueeze(1)], 1).contiguous()
    wild = (chance((n,), 0.6, generator) * uniform((n,), 0.05, 0.3, generator)).view(n, 1, 1, 1)
    for cell in LEAF_CELLS:
        if cell > size // 2:
            continue
        common = 0.8 if cell > 40 else 0.55
        traits["density"] = chance((n,), common, generator) * uniform((n,), 0.1, 0.9, generator)
        warp = torch.cat([fractal_noise(n, size, generator, max(3, size // cell), 0.6) for _ in range(2)], 1)
        _paint_leaves(fields, cell, traits, warp * wild, generator)
        if cell in (96, 24):
            _paint_bands(fields, palette, generator)
    # Grass, gravel and cloth lie on everything; part of the temperature follows the surfaces that one can see.
    fine = fractal_noise(n, size, generator, coarsest=size // 12, decay=0.8)
    fields[:, :3] *= 1 + uniform((n, 1, 1, 1), 0.0, 0.22, generator) * fine
    luminance = fields[:, :3].mean(1)
    follows = uniform((n, 1, 1), -0.25, 0.45, generator)
    fields[:, 3] += follows * (luminance - luminance.mean((1, 2), keepdim=True))
    fields[:, 3] += uniform((n, 1, 1), 0.0, 0.05, generator) * fine[:, 0]
    low = torch.tensor([0.01, 0.01, 0.01, 0.0, 0.02]).view(1, 5, 1, 1)
    high = torch.tensor([0.99, 0.99, 0.99, 1.0, 2.0]).view(1, 5, 1, 1)
    return torch.minimum(torch.maximum(fields, low), high)
