# SPDX-License-Identifier: Apache-2.0
"""Clips whose sensors fail: frames dropped at random or in bursts, blocks of black, a sensor that is out of place.

What is tried follows SDSTrack's robustness tests (docs/methods/sdstrack.md 6.2), which leave shares and sizes open:
those are chosen here, and so are bursts and misalignment. Everything is a function of the clip's name and the frame's
number, so every model sees the same failures. The first frame is whole, but for a misalignment, which is there from the
start.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modaltrack.computed import ComputedSequence
from modaltrack.frame import Frame, Modality

DROPPED = 0.5  # share of frames without an image, for one sensor (published)
BURST = 10  # frames of a burst, and between two bursts
BLOCK, BLACK = 32, 0.3  # side in pixels and share of the blocks that are black, in each sensor by itself

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Failing(ComputedSequence[Frame]):
    """The frames of a clip under one of the corruptions of ``plan.CORRUPTIONS``; changed when they are read."""

    frames: Sequence[Frame]
    clip: str
    what: str

    def __len__(self) -> int:
        return len(self.frames)

    def item(self, index: int) -> Frame:
        frame = self.frames[index]
        who, _, how = self.what.partition(" ")
        if how.startswith("moved"):
            pixels = int(how.split()[1])
            dx, dy = direction(self.clip, pixels)
            moved = {m: i if m == Modality.RGB else shifted(i, dx, dy) for m, i in frame.images.items()}
            return replace(frame, images=moved)
        if index == 0:
            return frame
        if self.what == "blocks black":
            return replace(frame, images={m: blackened(i, self.clip, m, index) for m, i in frame.images.items()})
        gone = {m for m in frame.images if (m == Modality.RGB) == (who == "rgb")}
        if not is_missing(self.clip, index, who, how):
            return frame
        kept = {m: image for m, image in frame.images.items() if m not in gone}
        return replace(frame, images=kept, missing=frame.missing | gone)


def _random(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(" ".join(map(str, key)).encode()))


def is_missing(clip: str, number: int, who: str, how: str) -> bool:
    """Whether a sensor ("rgb" or "x") has no image in this frame.

    Args:
        how: "dropped" or "in bursts".
    """
    if how == "dropped":
        return bool(_random(clip, number, who, how).random() < DROPPED)
    if how == "in bursts":
        phase = int(_random(clip, who, how).integers(2 * BURST))
        return (number + phase) % (2 * BURST) < BURST
    raise ValueError(
        f"There is no corruption {who!r} {how!r}; choose among those of modaltrack.study.plan.CORRUPTIONS."
    )


def direction(clip: str, pixels: int) -> tuple[int, int]:
    """Where a clip's X is moved to, so many pixels away, rounded to whole ones; the same direction for every length."""
    angle = _random(clip, "moved").random() * 2 * np.pi
    return round(float(pixels * np.cos(angle))), round(float(pixels * np.sin(angle)))


def shifted(image: Image, dx: int, dy: int) -> Image:
    """The image moved right and down by whole pixels; its border is repeated into what is uncovered."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    return np.ascontiguousarray(image[rows][:, columns])


def blackened(image: Image, clip: str, sensor: str, number: int) -> Image:
    """The image with a share of its blocks black, drawn anew in every frame and sensor."""
    height, width = image.shape[:2]
    grid = (-(-height // BLOCK), -(-width // BLOCK))
    black = _random(clip, str(sensor), number, "black").random(grid) < BLACK
    mask = black.repeat(BLOCK, 0).repeat(BLOCK, 1)[:height, :width]
    return np.where(mask[:, :, None], np.uint8(0), image)
