# SPDX-License-Identifier: Apache-2.0
"""Decoded pictures, kept in memory, and the objects in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.training.pictures.compose import Thing
from modaltrack.training.pictures.image_files import read_encoded
from modaltrack.training.pictures.masks import masks_of, read_labels
from modaltrack.training.pictures.records import LabelledClip, LabelledPicture

Image = NDArray[np.uint8]
SMALLEST = 10.0  # pixels: the square root of a box's area below which there is nothing to learn from
MOST_SLENDER = 8.0  # largest ratio of a box's sides


@dataclass
class Library:
    """A few thousand pictures of a few hundred pixels fit into memory.

    Attributes:
        limit: Bytes of decoded images that are kept; beyond it images are decoded anew each time.
    """

    limit: int = 3 << 30
    images: dict[tuple[Path, Modality], Image] = field(default_factory=dict)
    masks: dict[str, list[Image | None]] = field(default_factory=dict)
    used: int = 0

    def image(self, path: Path, modality: Modality = Modality.RGB, depth_scale: float = 1.0) -> Image:
        """One image as the trackers see it, uint8 (H, W, 3)."""
        found = self.images.get((path, modality))
        if found is None:
            found = read_encoded(path, modality, depth_scale)
            if self.used + found.nbytes <= self.limit:
                self.images[path, modality] = found
                self.used += found.nbytes
        return found

    def things(self, picture: LabelledPicture, modalities: Sequence[Modality]) -> list[Thing]:
        """The usable objects of a picture, as those of the sensors see them that it has."""
        images = {m: self.image(f, m, picture.depth_scale) for m, f in picture.files.items() if m in modalities}
        if picture.name not in self.masks:
            masks: list[Image | None] = [None] * len(picture.boxes)
            if picture.mask is not None:
                found = masks_of(read_labels(picture.mask), picture.boxes)
                masks = [None if m is None else m.astype(np.uint8) * 255 for m in found]
            self.masks[picture.name] = masks
        known = zip(picture.boxes, self.masks[picture.name], picture.classes)
        return [thing for thing in (Thing(images, *one) for one in known) if usable(thing)]


def usable(thing: Thing) -> bool:
    """Whether a thing is large and compact enough to be followed."""
    w, h = thing.box[2:]
    return bool(thing.size >= SMALLEST and max(w, h) <= MOST_SLENDER * min(w, h))


def usable_frames(clip: LabelledClip) -> NDArray[np.int64]:
    """Indices of the frames whose box is known and usable."""
    w, h = clip.boxes[:, 2], clip.boxes[:, 3]
    with np.errstate(invalid="ignore"):
        good = (np.sqrt(w * h) >= SMALLEST) & (np.maximum(w, h) <= MOST_SLENDER * np.minimum(w, h))
    return np.flatnonzero(good)
