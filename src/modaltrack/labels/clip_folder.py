# SPDX-License-Identifier: Apache-2.0
"""This package's own clip folder, ``rgb/ thermal/ depth/ event/`` and boxes: for tracking, scoring and training."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.files import replacing
from modaltrack.frame import Frame, Modality
from modaltrack.labels.video_labels import VideoLabels
from modaltrack.sinks.box_file import write_boxes

PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]  # fast, and not much larger than the best


def write_clip(
    folder: str | os.PathLike[str], clip: VideoLabels, frames: Iterable[Frame | Mapping[Modality, NDArray[Any]]]
) -> Path:
    """Write pictures and boxes of a clip; -> the folder, which appears as one and replaces an earlier one.

    One target is ``boxes.txt``; several are ``boxes_1.txt`` and on, which training reads. Where a sensor lacks an image
    its file is empty, which every reader of this package takes for missing; so file i is frame i in every folder.

    Args:
        folder: its place; its parent must be there.
        clip: the labels.
        frames: as many as there are rows: ``Frame``, or modality -> RGB uint8 (H, W, 3) or grey uint8 or uint16 (H, W).

    Raises:
        ValueError: fewer or more frames than rows, or no image at all.
    """
    place = Path(folder)
    with replacing(place, folder=True) as partial:
        times, written = [], dict[Modality, set[int]]()
        for index, frame in enumerate(frames):
            if index == clip.length:
                raise ValueError(
                    f"{clip.name!r} has more frames than its {clip.length} rows of boxes; give one row each."
                )
            images = frame.images if isinstance(frame, Frame) else frame
            times.append(frame.time if isinstance(frame, Frame) else float("nan"))
            for modality, image in images.items():
                if modality not in written:
                    (partial / modality.value).mkdir()
                    _remark(modality, image)
                written.setdefault(modality, set()).add(index)
                stored = image[..., ::-1] if image.ndim == 3 else image
                if not cv2.imwrite(str(partial / modality.value / _name(index)), stored, PNG):
                    raise OSError(f"{place / modality.value / _name(index)} cannot be written; is the disk full?")
        if len(times) < clip.length:
            raise ValueError(
                f"{clip.name!r} has {len(times)} frames for {clip.length} rows of boxes; give one row each."
            )
        if not written:
            raise ValueError(f"{clip.name!r} has no image of any sensor; nothing was written.")
        stamps = _stamps(times)
        for modality, there in written.items():
            for index in set(range(clip.length)) - there:
                (partial / modality.value / _name(index)).touch()
            if stamps:
                (partial / modality.value / "timestamps.txt").write_text(stamps, encoding="utf-8", newline="\n")
        many = len(clip.targets) > 1
        for number, target in enumerate(clip.targets, start=1):
            write_boxes(partial / (f"boxes_{number}.txt" if many else "boxes.txt"), target.boxes)
    return place


def _name(index: int) -> str:
    return f"{index:06d}.png"


def _stamps(times: list[float]) -> str:
    """The clock of a clip as a file of seconds; empty where it has none."""
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        return ""
    return "".join(f"{float(time)!r}\n" for time in times)


def _remark(modality: Modality, image: NDArray[Any]) -> None:
    if modality == Modality.DEPTH and image.ndim == 3:
        warnings.warn(
            "The depth images of the labelled clip are coloured as the tracker sees them, not distances; read them "
            "back with --encoding depth=as-stored, or put the camera's own files into depth/.",
            stacklevel=3,
        )
