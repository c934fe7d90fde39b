# SPDX-License-Identifier: Apache-2.0
"""From the rows of a clip to its records: a few numbers a frame; images and states are let go."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality, Result, Row


class Recorder:
    """Collects the rows of one clip with B targets.

    Args:
        name: of the clip.
        skipped: images before the first row; they become rows of nan.
    """

    def __init__(self, name: str, skipped: int = 0) -> None:
        self._name = name
        self._skipped = skipped
        self._targets = 0
        self._judged = 0
        self._boxes, self._scores, self._status = array("d"), array("d"), array("b")
        self._seconds, self._times = array("d"), array("d")
        self._sets: dict[frozenset[Modality], int] = {}
        self._sensors = array("H")
        self._known: set[Modality] = set()

    def add(self, row: Row) -> None:
        """Append one row."""
        self._targets, self._judged = len(row.boxes), len(row.status)
        self._boxes.extend(row.boxes.ravel())
        self._scores.extend(row.scores)
        self._status.extend(row.status.tolist())
        self._seconds.append(row.seconds)
        self._times.append(row.frame.time)
        sensors = frozenset(Modality(m) for m in row.frame.images)
        self._sensors.append(self._sets.setdefault(sensors, len(self._sets)))
        self._known |= sensors | {Modality(m) for m in row.frame.missing}

    def results(self, info: Mapping[str, Any]) -> list[Result]:
        """One record per target; ``info`` gets the tracker's seconds."""
        before, targets = self._skipped, self._targets

        def padded(
            values: array[Any], kind: type[np.number[Any]], fill: float, shape: tuple[int, ...] = ()
        ) -> NDArray[Any]:
            rows = np.array(values, kind).reshape(-1, *shape)
            return np.concatenate([np.full((before, *shape), fill, kind), rows])

        boxes = padded(self._boxes, np.float64, np.nan, (targets, 4))
        scores = padded(self._scores, np.float64, np.nan, (targets,))
        status = padded(self._status, np.int64, 0, (targets,)) if self._judged else np.empty((0, targets), np.int64)
        sets = list(self._sets)
        present = {
            m: np.array([False] * before + [m in sets[i] for i in self._sensors], np.bool_)
            for m in Modality
            if m in self._known
        }
        return [
            Result(
                self._name,
                boxes[:, target].copy(),
                scores[:, target].copy(),
                padded(self._seconds, np.float64, 0.0),
                status=status[:, target].copy(),
                times=padded(self._times, np.float64, np.nan),
                present=present,
                first=before,
                info={**info, "clip": self._name or None, "tracker_seconds": float(np.sum(self._seconds))},
            )
            for target in range(targets)
        ]
