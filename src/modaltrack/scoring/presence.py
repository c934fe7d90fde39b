# SPDX-License-Identifier: Apache-2.0
"""How far a tracker's word that its target is there, or lost, can be believed: against labels of absence.

Times are in frames; a clip's first row, the box that was given, does not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result, Status
from modaltrack.scoring.records import Truth

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
BINS = 10
Evidence = tuple[Numbers, Flags | None, Flags]
"""Score (N,), lost (N,) or None where the tracker has no status, and absent (N,), row by row of one clip."""


def auroc(score: Numbers, label: Flags) -> float:
    """Chance that a score with the label lies above one without it, ties counted half; nan without one of each."""
    order = np.argsort(score, kind="stable")
    _, inverse, counts = np.unique(score[order], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    yes, no = int(label.sum()), int((~label).sum())
    return float((ranks[label[order]].sum() - yes * (yes + 1) / 2) / (yes * no)) if yes and no else float("nan")


def calibration_error(score: Numbers, label: Flags, bins: int = BINS) -> float:
    """Mean distance between score and share of the label in bins of equal width, weighed by what is in them."""
    place = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    parts = [place == b for b in range(bins)]
    return float(sum(p.mean() * abs(score[p].mean() - label[p].mean()) for p in parts if p.any()))


def times_to_lost(lost: Flags, absent: Flags) -> Numbers:
    """For each stretch of absence, frames until the tracker says lost; inf where it does not before the target is back.

    A tracker that says so already when the stretch begins has 0.
    """
    starts = np.flatnonzero(absent & ~np.concatenate([[False], absent[:-1]]))
    found = []
    for start in starts:
        back = np.flatnonzero(~absent[start:])
        stretch = lost[start : start + int(back[0])] if len(back) else lost[start:]
        said = np.flatnonzero(stretch)
        found.append(float(said[0]) if len(said) else np.inf)
    return np.array(found, np.float64)


def presence_evidence(truth: Truth, result: Result) -> Evidence | None:
    """What a tracker said of absence in a clip, from its first box on; None where that cannot be held to the truth.

    It can not where annotation is sparse, the rows differ in number, or the tracker gave neither scores nor status.
    """
    if truth.rows is not None or len(truth.boxes) != len(result.boxes):
        return None
    count = len(result.boxes)
    scores = result.scores if len(result.scores) == count else np.full(count, np.nan)
    lost = result.status == Status.LOST if len(result.status) == count else None
    if lost is None and not np.isfinite(scores).any():
        return None
    absent = np.asarray(~np.isfinite(truth.boxes).all(1) if truth.absent is None else truth.absent, bool)
    after = slice(result.first, None)
    return scores[after], None if lost is None else lost[after], absent[after]


def any_absent(clips: list[Evidence]) -> bool:
    """Whether a target is absent anywhere behind the first row."""
    return any(bool(absent[1:].any()) for _, _, absent in clips)


def presence_report(clips: list[Evidence]) -> dict[str, float | None]:
    """One table over clips.

    Returns:
        ``frames``, ``absent`` (share); ``auroc`` and ``calibration_error`` of the score for "the target is there";
        ``stretches`` of absence, ``lost_in_time`` (share of them in which the tracker says lost),
        ``median_frames_to_lost``; ``false_lost`` and ``missed_lost`` (shares of the present and of the absent frames).
        None where nothing is known.
    """
    kept = [(s[1:], None if lost is None else lost[1:], absent[1:]) for s, lost, absent in clips if len(s) > 1]
    finite = [np.isfinite(s) for s, _, _ in kept]
    score = np.concatenate([s[f] for (s, _, _), f in zip(kept, finite, strict=True)] or [np.empty(0)])
    present = np.concatenate([~a[f] for (_, _, a), f in zip(kept, finite, strict=True)] or [np.empty(0, bool)])
    gone = np.concatenate([a for _, _, a in kept] or [np.empty(0, bool)])
    report: dict[str, float | None] = {
        "frames": float(len(gone)),
        "absent": _known(gone.mean() if len(gone) else np.nan),
        "auroc": _known(auroc(score, present)),
        "calibration_error": _known(calibration_error(score, present) if len(score) else np.nan),
    }
    told = [(lost, absent) for _, lost, absent in kept if lost is not None]
    if told:
        waits = np.concatenate([times_to_lost(lost, absent) for lost, absent in told])
        lost, absent = (np.concatenate([pair[i] for pair in told]) for i in (0, 1))
        report |= {
            "stretches": float(len(waits)),
            "lost_in_time": _known(np.isfinite(waits).mean() if len(waits) else np.nan),
            "median_frames_to_lost": _known(np.median(waits) if len(waits) else np.nan),
            "false_lost": _known(lost[~absent].mean() if (~absent).any() else np.nan),
            "missed_lost": _known((~lost)[absent].mean() if absent.any() else np.nan),
        }
    return report


def _known(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
