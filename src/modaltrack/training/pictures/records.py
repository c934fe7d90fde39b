# SPDX-License-Identifier: Apache-2.0
"""What is known of a labelled picture and of a labelled clip: plain data, no torch, nothing decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One instant with K boxed objects, seen by one or more aligned sensors.

    Attributes:
        name: Path of the picture inside its folder, without suffix.
        files: Modality -> image file.
        boxes: (K, 4) float64 xywh in pixels of the stored picture, 0-based, continuous.
        classes: (K,) class names; "" where the annotation names none.
        mask: Label image of the objects, or None; see ``masks.read_labels``.
        identities: (K,) what tells one object from another across the pictures of a sequence; "" where unknown.
        depth_scale: Value of the depth image times this = millimetres.
    """

    name: str
    files: Mapping[Modality, Path]
    boxes: NDArray[np.float64]
    classes: tuple[str, ...]
    mask: Path | None = None
    identities: tuple[str, ...] = ()
    depth_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class LabelledClip:
    """One target through T frames, seen by one or more aligned sensors.

    Attributes:
        name: Folder of the clip.
        target: Which of the clip's targets this is; "" where there is one only.
        files: Modality -> T image files.
        boxes: (T, 4) float64 xywh, rows of nan where the target is absent or not annotated.
        depth_scale: Value of the depth images times this = millimetres.
    """

    name: str
    target: str
    files: Mapping[Modality, tuple[Path, ...]]
    boxes: NDArray[np.float64]
    depth_scale: float = 1.0


class Problem(NamedTuple):
    """One thing that is wrong with a folder: where, and one sentence."""

    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}"


@dataclass(slots=True)
class Contents:
    """All that a folder holds for training.

    Attributes:
        folder: The folder that was read.
        pictures: Pictures with at least one box.
        clips: Clips, one entry for each target.
        formats: Subfolder -> how its annotation was read.
        problems: What could not be used.
    """

    folder: Path
    pictures: list[LabelledPicture] = field(default_factory=list)
    clips: list[LabelledClip] = field(default_factory=list)
    formats: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The sensors that any record has, RGB first."""
        found = {m for picture in self.pictures for m in picture.files} | {m for clip in self.clips for m in clip.files}
        return tuple(m for m in Modality if m in found)

    def add(self, other: Contents) -> None:
        """Take in what another folder holds."""
        self.pictures += other.pictures
        self.clips += other.clips
        self.formats |= other.formats
        self.problems += other.problems


def box_array(boxes: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """(K, 4) float64, also for K = 0."""
    return np.asarray(boxes, np.float64).reshape(-1, 4)
