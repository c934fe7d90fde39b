# SPDX-License-Identifier: Apache-2.0
"""Draw the conditions of a scene: light and weather, and how well an actor hides from each sensor."""

from __future__ import annotations

import torch
from torch import Tensor

from modaltrack.scenes.sensors import Weather
from modaltrack.scenes.texture import chance, uniform


def random_weather(n: int, generator: torch.Generator, hard: float = 0.5) -> Weather:
    """Weather of `n` scenes.

    Args:
        hard: 0 (clear days, good sensors) to 1 (night, fog, noise, blur much more often).
    """
    night = chance((n,), 0.06 + 0.3 * hard, generator)
    foggy = chance((n,), 0.04 + 0.22 * hard, generator)
    glare = chance((n,), 0.03 + 0.12 * hard, generator)
    day = torch.exp(0.25 * torch.randn(n, generator=generator))
    light = torch.where(night > 0, uniform((n,), 0.02, 0.25, generator), day)
    light = torch.where(glare * (1 - night) > 0, uniform((n,), 1.6, 3.5, generator), light)
    soft = chance((n,), 0.5, generator)
    return Weather(
        light=light,
        slope=uniform((n, 2), -0.35, 0.35, generator),
        cast=uniform((n, 3), 0.88, 1.12, generator),
        fog=foggy * torch.exp(uniform((n,), -2.8, -0.3, generator)),
        noise=uniform((n,), 0.002, 0.02, generator) + night * uniform((n,), 0.005, 0.05, generator),
        blur=0.15 + soft * uniform((n,), 0.0, 0.5 + 0.9 * hard, generator),
        monochrome=chance((n,), 0.15, generator),
        gamma=uniform((n,), 0.45, 1.0, generator),
        thermal_noise=torch.exp(uniform((n,), -5.5, -3.2 + 0.4 * hard, generator)),
        thermal_blur=uniform((n,), 0.3, 1.5, generator),
        thermal_invert=chance((n,), 0.08, generator),
        thermal_gain=uniform((n,), 0.6, 1.2, generator),
        depth_noise=torch.exp(uniform((n,), -6.5, -3.7, generator)),
        holes=uniform((n,), 0.0, 0.9, generator),
        event_threshold=uniform((n,), 0.1, 0.35, generator),
        event_noise=torch.exp(uniform((n,), -8.0, -4.0 + hard, generator)),
    )


def change_light(weather: Weather, amount: Tensor | float) -> Weather:
    """The same weather under another exposure: `light` times `amount`."""
    fields = {name: getattr(weather, name) for name in weather.__slots__}
    fields["light"] = fields["light"] * amount
    return Weather(**fields)


def camouflage(shape: tuple[int, ...], generator: torch.Generator, hard: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """How far actors hide, each 0..1 of `shape`: in colour, in heat, in depth; rarely from two sensors at once."""
    blind = torch.rand(shape, generator=generator)
    step = 0.1 + 0.12 * hard
    strong = uniform(shape, 0.7, 1.0, generator)
    weak = [uniform(shape, 0.0, 1.0, generator) ** 4 * 0.5 for _ in range(3)]
    colour = torch.where(blind < step, strong, weak[0])
    heat = torch.where((blind >= step) & (blind < 2 * step), strong, weak[1])
    depth = torch.where((blind >= 1.7 * step) & (blind < 2.7 * step), strong, weak[2])
    return colour, heat, depth
