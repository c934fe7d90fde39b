# SPDX-License-Identifier: Apache-2.0
"""What is labelled in one clip: a box per frame for each target, and what formats want to know of the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TargetLabels:
    """One target through a clip.

    Attributes:
        boxes: (N, 4) float64 xywh pixels, continuous, top-left origin; a nan row is a frame without the target.
        category: what it is.

    Raises:
        ValueError: another shape, or a box without extent.
    """

    boxes: NDArray[np.float64]
    category: str = "target"

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(
                f"The boxes have the shape {boxes.shape}; one row of x, y, width, height per frame is needed."
            )
        object.__setattr__(self, "boxes", boxes)
        empty = np.flatnonzero(self.present & ~(boxes[:, 2:] > 0).all(1))
        if len(empty):
            row = ", ".join(f"{v:g}" for v in boxes[empty[0]])
            raise ValueError(
                f"The box of frame {empty[0]} is ({row}) and has no extent; use nan where nothing is seen."
            )

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,) whether the target has a box."""
        return np.asarray(np.isfinite(self.boxes).all(1))

    def rows(self) -> Iterator[tuple[int, list[float]]]:
        """(frame from 0, its box) of the frames with the target."""
        for frame in np.flatnonzero(self.present):
            yield int(frame), [float(v) for v in self.boxes[frame]]


@dataclass(frozen=True, slots=True)
class VideoLabels:
    """The targets of one clip.

    Attributes:
        name: of the clip.
        size: width and height in pixels.
        targets: at least one, all of the same number of frames.
        fps: frames per second.
        files: the picture of each frame, relative to the folder of the labels; by default ``NAME/000000.jpg`` and on.

    Raises:
        ValueError: where these do not fit together.
    """

    name: str
    size: tuple[int, int]
    targets: Sequence[TargetLabels]
    fps: float = 30.0
    files: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError(f"The clip {self.name!r} has no target; label at least one.")
        lengths = {len(target.boxes) for target in self.targets}
        if len(lengths) > 1:
            raise ValueError(
                f"The targets of {self.name!r} have {sorted(lengths)} rows; each needs one row per frame of the clip."
            )
        if min(self.size) < 1:
            raise ValueError(f"The pictures of {self.name!r} are {self.size[0]}x{self.size[1]}; give their true size.")
        if self.files and len(self.files) != self.length:
            raise ValueError(
                f"{self.name!r} has {len(self.files)} picture names for {self.length} frames; give one each."
            )

    @property
    def length(self) -> int:
        """Frames of the clip."""
        return len(self.targets[0].boxes)

    @property
    def categories(self) -> list[str]:
        """The categories in the order of their first target."""
        return list(dict.fromkeys(target.category for target in self.targets))

    def file(self, frame: int) -> str:
        """The picture of a frame."""
        return self.files[frame] if self.files else f"{self.name}/{frame:06d}.jpg"
