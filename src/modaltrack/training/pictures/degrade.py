# SPDX-License-Identifier: Apache-2.0
"""What cameras and files do to a picture: light, colour, resolution, motion, noise, compression.

Images are uint8 (h, w, 3) in RGB order; every function returns a new one. Source: [ours], values chosen by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Degradation:
    """Chances (0..1) and strengths of what happens to a crop.

    Attributes:
        low_resolution: chance of being shrunk by 1.3 to 4 and enlarged again.
        motion: of motion blur of 3 to 13 pixels.
        jpeg: of compression at quality 15 to 70.
        noise: of Gaussian noise of 2 to 14 grey levels.
        grey: of no colour.
        light: largest change of contrast and brightness as a share.
        colour: the same of each channel.
    """

    low_resolution: float = 0.25
    motion: float = 0.1
    jpeg: float = 0.15
    noise: float = 0.15
    grey: float = 0.08
    light: float = 0.25
    colour: float = 0.1


@dataclass(frozen=True, slots=True)
class Light:
    """One draw of light and colour: gains (3,), offset in grey levels, gamma, saturation (0: grey)."""

    gains: NDArray[np.float64]
    offset: float
    gamma: float
    saturation: float

    def near(self, random: np.random.Generator, how: Degradation) -> Light:
        """Almost the same light a moment later."""
        return Light(
            self.gains * random.uniform(1 - how.colour / 3, 1 + how.colour / 3, 3),
            self.offset + random.normal(0, 8 * how.light),
            self.gamma * float(np.exp(random.normal(0, 0.4 * how.light))),
            self.saturation,
        )


def draw_light(random: np.random.Generator, how: Degradation) -> Light:
    """The light of a pair."""
    if random.random() < 0.3:
        return Light(np.ones(3), 0.0, 1.0, 0.0 if random.random() < how.grey else 1.0)
    saturation = 0.0 if random.random() < how.grey else float(random.uniform(0.5, 1.4))
    gains = random.uniform(1 - how.light, 1 + how.light) * random.uniform(1 - how.colour, 1 + how.colour, 3)
    return Light(gains, float(random.normal(0, 40 * how.light)), float(np.exp(random.normal(0, how.light))), saturation)


def relight(image: Image, light: Light) -> Image:
    """The image under that light."""
    levels = np.arange(256, dtype=np.float64)
    curve = 255 * (levels / 255) ** light.gamma
    table = np.clip(curve[:, None] * light.gains + light.offset, 0, 255).astype(np.uint8)  # (256, 3)
    out = cv2.LUT(image, table[None])
    if light.saturation == 1.0:
        return np.asarray(out, np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(out, light.saturation, grey, 1 - light.saturation, 0), np.uint8)


def degrade(image: Image, random: np.random.Generator, how: Degradation) -> Image:
    """The image through a worse lens, a worse sensor and a worse file."""
    if random.random() < how.motion:
        image = motion_blur(image, int(random.integers(3, 14)), float(random.uniform(0, np.pi)))
    if random.random() < how.low_resolution:
        image = low_resolution(image, float(np.exp(random.uniform(np.log(1.3), np.log(4.0)))))
    if random.random() < how.noise:
        grain = random.standard_normal(image.shape, np.float32) * np.float32(random.uniform(2, 14))
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    if random.random() < how.jpeg:
        quality = int(random.integers(15, 71))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image


def low_resolution(image: Image, factor: float) -> Image:
    """Shrunk by ``factor`` and enlarged again, as a far target's crop is."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(4, int(width / factor)), max(4, int(height / factor))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def motion_blur(image: Image, length: int, angle: float) -> Image:
    """Smeared over ``length`` pixels along ``angle`` (radians)."""
    kernel = np.zeros((length, length), np.float32)
    reach = (length - 1) / 2
    dx, dy = reach * np.cos(angle), reach * np.sin(angle)
    ends = [tuple(round(v) for v in (reach + s * dx, reach + s * dy)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
