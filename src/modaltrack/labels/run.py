# SPDX-License-Identifier: Apache-2.0
"""The boxes of a finished run of ``track`` as labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modaltrack.files import read_json
from modaltrack.labels.video_labels import TargetLabels, VideoLabels


def read_run(
    folder: str | os.PathLike[str],
    name: str = "",
    size: tuple[int, int] | None = None,
    category: str = "target",
    lost: bool = False,
) -> VideoLabels:
    """The labels that ``result.json`` of a run holds.

    Args:
        folder: where ``track`` wrote, or the file itself.
        name: of the clip, default the folder's.
        size: width and height in pixels where the file does not say them.
        category: of all targets.
        lost: keep the boxes of frames in which a target was lost; they stand where it was last seen.

    Raises:
        ValueError: there is no such file, or it is none of ``track``.
    """
    place = Path(folder)
    file = place if place.is_file() else place / "result.json"
    wanted = "a result.json of modaltrack track was expected; give the folder that track wrote"
    try:
        document = read_json(file, wanted)
    except FileNotFoundError:
        raise ValueError(f"There is no {file}; {wanted}.") from None
    frames, known = document.get("frames"), document.get("size") or size
    if (
        not str(document.get("format", "")).startswith("modaltrack-result/")
        or not isinstance(frames, list)
        or not frames
    ):
        raise ValueError(f"{file} holds no frames of a run; {wanted}.")
    if not known:
        raise ValueError(f"{file} does not say how large the images are; pass --size WIDTHxHEIGHT.")
    try:
        count = len(frames[0]["targets"])
        boxes = [[_box(frame["targets"][number], lost) for frame in frames] for number in range(count)]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"{file} has a frame without its targets; {wanted}.") from None
    targets = [TargetLabels(np.array(rows, np.float64), category) for rows in boxes]
    width, height = known
    return VideoLabels(name or file.resolve().parent.name, (int(width), int(height)), targets, _rate(frames))


def _box(target: Mapping[str, Any], lost: bool) -> list[float]:
    box = target["box"]
    kept = box is not None and (lost or target["status"] != "lost")
    return [float(v) for v in box] if kept else [float("nan")] * 4


def _rate(frames: list[Any]) -> float:
    """Frames per second by the times of the frames, 30 where they have none."""
    times = np.array([frame.get("time") for frame in frames], np.float64)
    steps = np.diff(times[np.isfinite(times)])
    return float(round(1 / np.median(steps), 3)) if len(steps) and np.median(steps) > 0 else 30.0
