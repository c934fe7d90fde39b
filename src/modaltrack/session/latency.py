# SPDX-License-Identifier: Apache-2.0
"""How old boxes are when they are known: from the arrival of an image on this machine to its boxes."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from modaltrack.frame import Modality, Row


class Latency:
    """An observer that collects the latency of live rows; recordings have none.

    The first row only cuts the template, and may have waited for the user to draw a box: it is left out.

    Attributes:
        last: latency of the last row in seconds; nan before the first.
    """

    def __init__(self) -> None:
        self.last = float("nan")
        self._all = array("d")
        self._ages: dict[Modality, array[float]] = {}

    def __repr__(self) -> str:
        return f"Latency({self.facts() or 'no live frames'})"

    def row(self, row: Row) -> None:
        """Note one row."""
        if not row.index or not row.frame.captured:
            return
        self.last = row.latency
        self._all.append(row.latency)
        for modality, arrived in row.frame.captured.items():
            self._ages.setdefault(modality, array("d")).append(row.finished - arrived)

    def facts(self) -> dict[str, Any] | None:
        """Seconds from the newest image to the boxes, and the age of each sensor's image then; None for recordings."""
        if not self._all:
            return None
        ages = {str(m): round(float(np.median(ages)), 6) for m, ages in self._ages.items()}
        return {**_summary(self._all), "frames": len(self._all), "median_age_of_image": ages}


def _summary(seconds: array[float]) -> dict[str, float]:
    """Median, 95th percentile (the smallest value that 95 % do not exceed) and worst."""
    values = np.array(seconds)
    median, high = np.median(values), np.quantile(values, 0.95, method="inverted_cdf")
    return {"median": round(float(median), 6), "95%": round(float(high), 6), "worst": round(float(values.max()), 6)}
