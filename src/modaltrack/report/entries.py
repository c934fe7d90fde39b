# SPDX-License-Identifier: Apache-2.0
"""What a report is about: trackers with their scores, and pictures of where they fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result
from modaltrack.report.palette import colour, dash
from modaltrack.scoring.records import Report, Truth

PREFERRED = ("SR", "MSR", "RSR", "F", "AO", "EAO")  # the score that ranks, the first of them that a protocol has
# curve -> what of a protocol's metrics is read off it (records.Protocol.metrics)
CURVE_KINDS = {"success": "success", "precision": "precision", "normalised precision": "normalised"}
PRECISION_RECALL = "precision over recall"


@dataclass(frozen=True)
class Entry:
    """One tracker.

    Attributes:
        results: what it wrote, {} where boxes are not to be drawn.
        speed: frames per second in the tracker alone, None where no times were written.
        presence: how far its word that the target is there can be believed (``scoring.presence``), {} where unknown.
        style: its number among the trackers, which chooses its colour and dashes.
        chosen: its colour as ``#rrggbb`` where it was asked for.
        place: its row in tables where an order was asked for; the others follow by score.
    """

    name: str
    report: Report
    results: Mapping[str, Result] = field(default_factory=dict)
    speed: float | None = None
    style: int = 0
    chosen: str = ""
    place: int | None = None
    presence: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def ink(self) -> str:
        """Its colour, ``#rrggbb``."""
        return self.chosen or colour(self.style)

    @property
    def dashes(self) -> tuple[float, tuple[float, ...]] | str:
        """Its line style, in matplotlib's form."""
        return dash(self.style)


@dataclass(frozen=True)
class Picture:
    """One frame of a strip: uint8 RGB images (H, W, 3) by sensor, the true box and every tracker's box."""

    index: int
    images: Mapping[str, NDArray[np.uint8]]
    truth: NDArray[np.float64]
    boxes: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Strip:
    """One sequence on which a tracker fails.

    Attributes:
        overlaps: tracker -> (N,) IoU, nan where the target is absent.
    """

    sequence: str
    why: str
    overlaps: Mapping[str, NDArray[np.float64]]
    pictures: Sequence[Picture] = ()


def drawn_curves(report: Report) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Curve -> (x, y) as papers draw them: long-term precision over recall, not over thresholds."""
    curves = dict(report.curves)
    if "Pr" in curves and "Re" in curves:
        recall, precision = curves.pop("Re")[1], curves.pop("Pr")[1]
        curves.pop("F", None)
        return {PRECISION_RECALL: (recall, precision), **curves}
    return curves


def main_metric(report: Report) -> str:
    """The score that trackers are ranked by.

    Raises:
        ValueError: where there is none.
    """
    for name in (*PREFERRED, *report.scores):
        if name in report.scores:
            return name
    raise ValueError(f"The protocol {report.protocol} gave no score; there is nothing to report.")


def ranked(entries: Sequence[Entry], metric: str) -> list[Entry]:
    """Best first; equals in the order they were given."""
    return sorted(entries, key=lambda entry: -entry.report.scores.get(metric, float("-inf")))


def in_order(entries: Sequence[Entry], metric: str) -> list[Entry]:
    """As tables show them: those with a place first, then the others, best first."""
    return sorted(ranked(entries, metric), key=lambda entry: float("inf") if entry.place is None else entry.place)


def shared_attributes(entries: Sequence[Entry]) -> list[str]:
    """Attributes that every tracker has scores of, in the protocol's order."""
    first, *rest = (entry.report.attributes for entry in entries)
    return [name for name in first if all(name in other for other in rest)]


def curve_metric(metrics: Mapping[str, str], curve: str) -> str | None:
    """The score that is read off a curve in a protocol's metrics, for its legend; None where there is none."""
    if curve == PRECISION_RECALL:
        return "F" if "F" in metrics else None
    if curve in metrics:  # the expected overlap curve, whose mean over some lengths is EAO
        return curve
    kind = CURVE_KINDS.get(curve)
    return next((name for name, what in metrics.items() if what == kind), None)


def shown_overlaps(truth: Truth, result: Result) -> NDArray[np.float64]:
    """(N,) plain IoU of every annotated frame, for pictures only; nan where the target is absent. Scores are others."""
    from modaltrack.boxes import iou

    rows = np.arange(len(truth.boxes)) if truth.rows is None else truth.rows
    boxes = np.full((len(rows), 4), np.nan)
    there = rows < len(result.boxes)
    boxes[there] = result.boxes[rows[there]]
    usable = np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1)
    present = np.isfinite(truth.boxes).all(1) & (truth.boxes[:, 2:] > 0).all(1)
    if truth.absent is not None:
        present &= ~truth.absent
    overlap = np.zeros(len(rows))
    both = usable & present
    overlap[both] = iou(boxes[both], truth.boxes[both])
    return np.where(present, overlap, np.nan)


def worst_sequences(entries: Sequence[Entry], metric: str, count: int = 6) -> dict[str, str]:
    """Sequences to look at -> why: in turn each tracker's worst ones, those first in which others do better."""
    chosen: dict[str, str] = {}
    orders = []
    for entry in entries:
        rows = entry.report.per_sequence
        orders.append((entry, sorted(rows, key=lambda name, rows=rows: rows[name].get(metric, 0.0))))  # type: ignore[misc]
    for rank in range(max((len(order) for _, order in orders), default=0)):
        for entry, order in orders:
            if len(chosen) >= count:
                return chosen
            if rank < len(order) and order[rank] not in chosen:
                value = entry.report.per_sequence[order[rank]].get(metric, 0.0)
                nth = "worst" if rank == 0 else f"worst but {rank}"
                chosen[order[rank]] = f"{entry.name}'s {nth}: {metric} {value:.3f}"
    return chosen


def moments(overlaps: Mapping[str, NDArray[np.float64]], count: int = 6) -> list[int]:
    """Rows to show of a sequence: its first, those around the first loss, and some until its end.

    A loss is where the median tracker's overlap falls to 0 for the first time; without one they are evenly spread.
    """
    stacked = np.array(list(overlaps.values()))
    length = stacked.shape[1]
    known = np.isfinite(stacked).all(0)
    middle = np.where(known, np.median(np.nan_to_num(stacked), axis=0), 1.0)
    lost = np.flatnonzero(middle <= 0)
    if not len(lost) or length <= count:
        return sorted({round(float(v)) for v in np.linspace(0, length - 1, min(count, length))})
    first = int(lost[0])
    before = {0, first // 2, max(first - 2, 0), first}
    after = np.linspace(first, length - 1, count - len(before) + 1)[1:]
    rows = {*before, *(round(float(v)) for v in after)}
    spare = [round(float(v)) for v in np.linspace(0, length - 1, 2 * count)]  # a loss near an end leaves room
    rows |= set([row for row in spare if row not in rows][: count - len(rows)])
    return sorted(rows)
