# SPDX-License-Identifier: Apache-2.0
"""A row as a message for other programs: one JSON object, described field by field in docs/messages.md."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Row, Status
from modaltrack.sinks.phases import Phases

FORMAT = "modaltrack-row/1"  # raised when a reader of the old messages would misread the new ones


class RowMessage:
    """Makes the messages of a clip, from its first row on.

    It remembers the image size, for rows without an image, and which targets are lost.

    Args:
        dead_band: offsets up to this share (0..1) of the half image count as centred.
    """

    def __init__(self, dead_band: float = 0.0) -> None:
        if not 0 <= dead_band < 1:
            raise ValueError(f"The dead band is {dead_band:g}; give a share of the half image, from 0 to below 1.")
        self._dead_band = dead_band
        self._size: tuple[int, int] | None = None
        self._phases = Phases()

    def __repr__(self) -> str:
        return f"RowMessage({FORMAT}, dead band {self._dead_band:g})"

    def text(self, row: Row) -> str:
        """The message of a row, in one line without its end."""
        return json.dumps(self.document(row), allow_nan=False, separators=(",", ":"))

    def document(self, row: Row) -> dict[str, Any]:
        """The message of a row, in the types of JSON."""
        frame = row.frame
        image = next(iter(frame.images.values()), None)
        if image is not None:
            self._size = (int(image.shape[1]), int(image.shape[0]))
        return {
            "format": FORMAT,
            "clip": row.clip,
            "frame": row.index,
            "time": _number(frame.time),
            "present": sorted(str(m) for m in frame.images),
            "missing": sorted(str(m) for m in frame.missing),
            "size": self._size,
            "latency": _number(row.latency),
            "age": {str(m): _number(row.finished - arrived) for m, arrived in frame.captured.items()},
            "targets": [self._target(row, number) for number in range(len(row.boxes))],
        }

    def _target(self, row: Row, number: int) -> dict[str, Any]:
        box = row.boxes[number]
        known = bool(np.isfinite(box).all())
        status = Status(int(row.status[number])) if len(row.status) else None
        phase = None if status is None else self._phases.after(number, status)
        followed = known and self._size is not None and status is not Status.LOST
        return {
            "box": [_number(v) for v in box] if known else None,
            "score": _number(float(row.scores[number])),
            "status": None if status is None else status.name.lower(),
            "phase": phase,
            "event": phase if phase in ("lost", "found") else None,
            "offset": offset_from_centre(box, self._size, self._dead_band) if followed and self._size else None,
        }


def offset_from_centre(box: NDArray[np.float64], size: tuple[int, int], dead_band: float = 0.0) -> list[float]:
    """How far a box's centre is from the image's, for gimbals and pan-tilt heads.

    Args:
        box: (4,) xywh pixels.
        size: width and height of the image in pixels.
        dead_band: share of the half image within which the offset is 0; it grows from 0 at the band's edge to 1 at the
            image's, so that a controller sees no jump.

    Returns:
        x to the right and y downwards, -1 at the left (upper) border of the image, 1 at the right (lower) one.

    >>> offset_from_centre(np.array([70.0, 20, 20, 20]), (160, 120), 0.1)
    [0.0, -0.444444]
    """
    centre = (box[:2] + box[2:] / 2) / (np.array(size) / 2) - 1
    outside = np.maximum(np.abs(centre) - dead_band, 0) / (1 - dead_band)
    return [round(float(v), 6) + 0.0 for v in np.sign(centre) * np.minimum(outside, 1)]


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
