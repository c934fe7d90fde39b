# SPDX-License-Identifier: Apache-2.0
"""Four cameras looking at the same fields: from physics to the encoded 3-channel images that the trackers read.

All functions are batched over N, run on any device and return float32 (N, 3, H, W) in 0..1, encoded as
``modaltrack.sources.encodings`` encodes real files (thermal grey; depth clipped, min-max, JET in OpenCV's BGR order;
events ON/OFF coloured on white). The noise models are simple and not from a publication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modaltrack.frame import Modality

RENDERED = (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT)  # what this room has a camera for
RANGE_M = 10.0  # what a structured-light or time-of-flight camera reaches


@dataclass(slots=True)
class Weather:
    """How N instants are lit and what the air and the sensors do to them; every tensor has N rows.

    Attributes:
        light: overall factor.
        slope: (N, 2) illumination gradient.
        cast: (N, 3) colour of the light.
        fog: extinction 1/m.
        noise: standard deviation of RGB noise.
        blur: sigma in pixels.
        monochrome: 1 for a grey RGB camera, else 0.
        gamma: exponent of the RGB camera.
        thermal_noise, thermal_blur: as for RGB.
        thermal_invert: 1 for black = hot, else 0.
        thermal_gain: contrast of the automatic gain.
        depth_noise: at 1 m² scale.
        holes: share of edge pixels without reading.
        event_threshold: log-intensity step.
        event_noise: share of pixels that fire by themselves.
    """

    light: Tensor
    slope: Tensor
    cast: Tensor
    fog: Tensor
    noise: Tensor
    blur: Tensor
    monochrome: Tensor
    gamma: Tensor
    thermal_noise: Tensor
    thermal_blur: Tensor
    thermal_invert: Tensor
    thermal_gain: Tensor
    depth_noise: Tensor
    holes: Tensor
    event_threshold: Tensor
    event_noise: Tensor

    def repeat(self, times: int) -> Weather:
        """The same weather for `times` instants of every row, row-major."""
        return Weather(*(getattr(self, name).repeat_interleave(times, 0) for name in self.__slots__))


def rendered(modalities: Sequence[Modality | str]) -> tuple[Modality, ...]:
    """The sensors as ``Modality``, all of which this room can render.

    Raises:
        ValueError: for another.
    """
    wanted = tuple(Modality(m) for m in modalities)
    for modality in wanted:
        if modality not in RENDERED:
            raise ValueError(f"The rendered world has no {modality} camera; it has {', '.join(RENDERED)}.")
    return wanted


def _col(x: Tensor) -> Tensor:
    return x.view(-1, 1, 1, 1)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur (N, C, H, W) with a 5-tap separable Gaussian whose sigma (N,) in pixels differs per row."""
    n, c, h, w = images.shape
    taps = torch.arange(-2, 3, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.clamp(min=0.05).view(-1, 1)) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # (N, 5)
    weight = kernel.repeat_interleave(c, 0)  # (N · C, 5)
    flat = F.pad(images.reshape(1, n * c, h, w), (2, 2, 2, 2), mode="replicate")
    flat = F.conv2d(flat, weight.view(-1, 1, 1, 5), groups=n * c)
    return F.conv2d(flat, weight.view(-1, 1, 5, 1), groups=n * c).view(n, c, h, w)


def irradiance(albedo: Tensor, weather: Weather) -> Tensor:
    """Light that reaches the lens, (N, 3, H, W), before fog: albedo under a tilted light."""
    h, w = albedo.shape[-2:]
    y = torch.linspace(-1, 1, h, device=albedo.device).view(1, 1, h, 1)
    x = torch.linspace(-1, 1, w, device=albedo.device).view(1, 1, 1, w)
    slope = (1 + _col(weather.slope[:, 0]) * x + _col(weather.slope[:, 1]) * y).clamp(min=0.15)
    return albedo * slope * weather.cast.view(-1, 3, 1, 1)


def visible(light: Tensor, inverse_depth: Tensor, weather: Weather, generator: torch.Generator) -> Tensor:
    """The RGB camera: fog, exposure, blur, shot and read noise, gamma, monochrome sensors; clipped to 0..1."""
    distance = 1 / inverse_depth.clamp(min=0.02)
    through = torch.exp(-_col(weather.fog) * distance)
    veil = 0.65 * weather.cast.view(-1, 3, 1, 1)
    image = (light * through + veil * (1 - through)) * _col(weather.light)
    image = gaussian_blur(image, weather.blur)
    grey = image.mean(1, keepdim=True)
    image = torch.lerp(image, grey.expand_as(image), _col(weather.monochrome))
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    noise = torch.lerp(noise, noise[:, :1].expand_as(noise), _col(weather.monochrome))
    image = image + noise * _col(weather.noise) * (0.5 + image.clamp(0, 1).sqrt())
    return image.clamp(1e-4, 1) ** _col(weather.gamma)


def thermal(heat: Tensor, inverse_depth: Tensor, weather: Weather, generator: torch.Generator) -> Tensor:
    """The thermal camera: low resolution, column pattern, noise, automatic gain to 8 bit, black-hot on some devices."""
    n, _, h, w = heat.shape
    image = gaussian_blur(heat, weather.thermal_blur)
    noise = torch.randn(n, 1, h, w, generator=generator, device=heat.device)
    columns = torch.randn(n, 1, 1, w, generator=generator, device=heat.device)
    image = image + _col(weather.thermal_noise) * (noise + 0.4 * columns)
    flat = image.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    mean = flat.mean(1)
    span = torch.maximum(high - low, torch.full_like(low, 0.15))
    image = (image - _col(mean)) / _col(span) * _col(weather.thermal_gain) + 0.45
    image = torch.lerp(image, 1 - image, _col(weather.thermal_invert)).clamp(0, 1)
    return image.expand(-1, 3, -1, -1)


@cache
def _jet() -> Tensor:
    """(256, 3) OpenCV's JET colour map, in BGR order as the published trackers use it, 0..1."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return torch.from_numpy(cv2.applyColorMap(ramp, cv2.COLORMAP_JET)[0].astype(np.float32) / 255)


def depth_millimetres(inverse_depth: Tensor, weather: Weather, generator: torch.Generator) -> Tensor:
    """The depth camera, (N, 1, H, W) millimetres: noise grows with the squared range, edges and far points are 0."""
    n, _, h, w = inverse_depth.shape
    distance = 1 / inverse_depth.clamp(min=0.02)
    noise = torch.randn(n, 1, h, w, generator=generator, device=distance.device)
    metres = distance + noise * _col(weather.depth_noise) * distance * distance
    edge_x = (distance[..., 1:] - distance[..., :-1]).abs() > 0.1 * distance[..., 1:]
    edge_y = (distance[..., 1:, :] - distance[..., :-1, :]).abs() > 0.1 * distance[..., 1:, :]
    edge = F.pad(edge_x, (1, 0)) | F.pad(edge_y, (0, 0, 1, 0))
    wide = F.max_pool2d(edge.float(), 3, 1, 1) > 0
    lottery = torch.rand(n, 1, h, w, generator=generator, device=distance.device)
    hole = (wide & (lottery < _col(weather.holes))) | (distance > RANGE_M) | (lottery < 0.002)
    return torch.where(hole, torch.zeros_like(metres), metres.clamp(min=0.05) * 1000)


def encode_depth(millimetres: Tensor) -> Tensor:
    """``depth-jet-bgr``: clip at min(3 · median, 10000), min-max to 8 bit, JET left in BGR order (datasets.md, B)."""
    flat = millimetres.flatten(1)
    median = flat.median(1).values
    with_reading = torch.where(flat > 0, flat, torch.full_like(flat, float("nan"))).nanmedian(1).values
    median = torch.where(median > 0, median, with_reading.nan_to_num(0.0))  # more holes than readings
    top = torch.where(median > 0, (3 * median).clamp(max=10000), torch.full_like(median, 10000))
    flat = torch.minimum(flat, top.unsqueeze(1))
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    level = ((flat - low) / (high - low).clamp(min=1e-6) * 255).long()
    colours = _jet().to(millimetres.device)[level]  # (N, H·W, 3)
    return colours.transpose(1, 2).reshape(-1, 3, *millimetres.shape[-2:])


def event_counts(before: Tensor, after: Tensor, weather: Weather, generator: torch.Generator) -> Tensor:
    """The event camera between two instants: (N, 2, H, W) bool, ON and OFF, from (N, 3, H, W) irradiance."""
    n, _, h, w = after.shape
    step = torch.log(after.mean(1) + 0.02) - torch.log(before.mean(1) + 0.02)  # (N, H, W)
    mismatch = 1 + 0.15 * torch.randn(n, h, w, generator=generator, device=after.device)
    threshold = weather.event_threshold.view(-1, 1, 1) * mismatch.clamp(min=0.4)
    lottery = torch.rand(n, h, w, generator=generator, device=after.device)
    half = weather.event_noise.view(-1, 1, 1) / 2
    on = (step > threshold) | (lottery < half)
    off = (step < -threshold) | (lottery > 1 - half)
    return torch.stack([on, off], 1)


def encode_events(fired: Tensor) -> Tensor:
    """``event-accumulate``: white ground, ON (220, 30, 30) and OFF (30, 30, 200) in RGB order, OFF drawn after ON."""
    on = torch.tensor([220, 30, 30], device=fired.device).view(1, 3, 1, 1) / 255
    off = torch.tensor([30, 30, 200], device=fired.device).view(1, 3, 1, 1) / 255
    image = torch.where(fired[:, :1], on, torch.ones_like(on))
    return torch.where(fired[:, 1:], off, image)
