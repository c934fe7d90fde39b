# SPDX-License-Identifier: Apache-2.0
"""Whether result files are what they are taken for: their first rows and lengths laid beside the truth.

Row 1 of a result is the box that the tracker was given. Where it is not the truth's first box in nearly all sequences,
either the rows are in another form (corners, centres, shares of the image, pixels of a resized image), or they are
shifted. Such files score between .01 and .10 and look like those of a bad tracker; so this is said before any number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from modaltrack.boxes import iou
from modaltrack.frame import Result
from modaltrack.scoring.records import Array, Truth

NEARLY_ALL, FEW = 0.8, 0.5  # shares of the sequences
SLACK, SLACK_SHARE = 2.01, 0.02  # pixels and share of the box: trackers round, and some count pixels from 1
LAGS = (-2, -1, 1, 2)
LAG_GAIN = 0.03  # mean overlap that another offset in time must bring to be believed

# form of a row -> x y w h of it. The first two can be read with --rows
FORMS: dict[str, Callable[[Array], Array]] = {
    "x1y1x2y2": lambda b: np.stack([b[:, 0], b[:, 1], b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]], 1),
    "cxcywh": lambda b: np.stack([b[:, 0] - b[:, 2] / 2, b[:, 1] - b[:, 3] / 2, b[:, 2], b[:, 3]], 1),
    "y x h w": lambda b: b[:, [1, 0, 3, 2]],
    "x y h w": lambda b: b[:, [0, 1, 3, 2]],
    "w h x y": lambda b: b[:, [2, 3, 0, 1]],
    "y1 x1 y2 x2": lambda b: np.stack([b[:, 1], b[:, 0], b[:, 3] - b[:, 1], b[:, 2] - b[:, 0]], 1),
    "x1 x2 y1 y2": lambda b: np.stack([b[:, 0], b[:, 2], b[:, 1] - b[:, 0], b[:, 3] - b[:, 2]], 1),
    "half widths and heights": lambda b: np.concatenate([b[:, :2] - b[:, 2:], 2 * b[:, 2:]], 1),
}
READABLE = ("x1y1x2y2", "cxcywh")


@dataclass
class Plausibility:
    """What was found.

    Attributes:
        misread: one sentence where the files are of another form than they are read in; else empty.
        notes: what is odd and may be as it should.
    """

    misread: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Pair:
    """The rows of one sequence and those of its truth, one (N, 4) per annotated sensor."""

    name: str
    rows: Array
    truths: tuple[Array, ...]
    corners: bool


def check_rows(truths: Sequence[Truth], results: Mapping[str, Result]) -> Plausibility:
    """Compare first rows, lengths and sizes of all sequences that have both.

    Args:
        truths: of the benchmark.
        results: sequence -> what was read.
    """
    pairs = [pair for truth in truths if (pair := _pair(truth, results.get(truth.name))) is not None]
    if not pairs:
        return Plausibility()
    found = Plausibility(_lengths(truths, results))
    first = [p for p in pairs if np.isfinite(p.rows[0]).all()]
    if first:
        given = np.stack([p.rows[0] for p in first])
        same = np.array([any(_near(p.rows[:1], t[:1])[0] for t in p.truths) for p in first])
        found.misread = found.misread or _form(first, given, same) or _later_rows(first)
        if not found.misread:
            found.notes += _shifted(first, given, same)
    found.notes += _sizes(pairs)
    return found


def _pair(truth: Truth, result: Result | None) -> _Pair | None:
    """Both sides of a sequence; None where the first true box is none, or annotation is sparse in time."""
    if result is None or result.runs or not len(result.boxes):
        return None
    both = tuple(b for b in truth.boxes_by_modality.values() if len(b)) or (truth.written,)
    usable = tuple(b for b in both if np.isfinite(b[0]).all() and (b[0, 2:] > 0).all())
    sparse = truth.rows is not None and len(result.boxes) != len(truth.written)
    if not usable or (sparse and truth.rows is not None and truth.rows[0] != 0):
        return None
    return _Pair(truth.name, result.boxes, tuple(b[:1] for b in usable) if sparse else usable, result.corners)


def _near(boxes: Array, true: Array) -> NDArray[np.bool_]:
    """(N,) whether boxes are the true ones but for rounding, a pixel counted from 1, or an overlap of 0.8."""
    slack = SLACK + SLACK_SHARE * true[:, 2:].max(axis=1)
    near: NDArray[np.bool_] = np.abs(boxes - true).max(axis=1) <= slack
    return near | (np.nan_to_num(iou(np.maximum(boxes, [-np.inf, -np.inf, 0, 0]), true)) >= 0.8)


def _form(pairs: Sequence[_Pair], given: Array, same: NDArray[np.bool_]) -> str:
    """The form in which the first rows are the true ones, as a sentence; empty where they are so as x y w h."""
    if same.mean() >= FEW:
        return ""
    count = len(pairs)
    true = np.stack([p.truths[0][0] for p in pairs])
    shares = (np.abs(given).max(axis=1) <= 1.5) & (given != np.round(given)).any(axis=1)
    if shares.mean() >= NEARLY_ALL and (true[:, 2:].max(axis=1) > 4).mean() >= NEARLY_ALL:
        return _sentence("shares of the image's width and height (0..1)", count, "multiply them by it")
    for form, convert in FORMS.items():
        fits = np.array([any(_near(convert(p.rows[:1]), t[:1])[0] for t in p.truths) for p in pairs])
        if (fits & ~same).mean() >= NEARLY_ALL and not all(p.corners for p in pairs):
            how = f"read them so with --rows {form}" if form in READABLE else "convert them to x y w h"
            return _sentence(form, int(fits.sum()), how, count, int(same.sum()))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = true[:, 2:] / given[:, 2:]
        scaled = np.concatenate([given[:, :2] * scale, true[:, 2:]], 1)
    off = (np.abs(scale - 1) > 0.04).any(axis=1)
    fits = off & np.isfinite(scale).all(axis=1) & (np.abs(scaled[:, :2] - true[:, :2]).max(axis=1) <= 2 * SLACK)
    if fits.mean() >= NEARLY_ALL and (np.abs(true[:, :2]).max(axis=1) > 10).mean() >= FEW:
        factors = f"{np.median(given[fits, 2] / true[fits, 2]):.3g} x {np.median(given[fits, 3] / true[fits, 3]):.3g}"
        return _sentence(f"pixels of resized images ({factors} of the original)", int(fits.sum()), "scale them", count)
    return ""


def _sentence(form: str, fits: int, how: str, count: int | None = None, same: int = 0) -> str:
    count = fits if count is None else count
    return (
        f"Row 1, the box that the tracker was given, is the true first box in {same} of {count} sequences as x y w h; "
        f"in {fits} the files look like {form}: {how}, or score them as they are with --rows xywh."
    )


def _later_rows(pairs: Sequence[_Pair]) -> str:
    """Files whose first row is x y w h, as the benchmark gave it, and whose other rows are not."""
    held = [(p, n) for p in pairs if (n := min(6, len(p.rows), len(p.truths[0]))) > 1 and not p.corners]
    if not held:
        return ""

    def overlap(convert: Callable[[Array], Array]) -> Array:
        return np.array([max(_mean_iou(convert(p.rows[1:n]), t[1:n]) for t in p.truths) for p, n in held])

    low = overlap(lambda rows: rows) < 0.2
    if low.mean() < NEARLY_ALL:
        return ""
    for form in READABLE:
        fits = low & (overlap(FORMS[form]) > 0.5)
        if fits.mean() >= NEARLY_ALL:
            return (
                f"From row 2 on, the files of {int(fits.sum())} of {len(held)} sequences look like {form}, while row 1 "
                "is x y w h: convert them to one form, or score them as they are with --rows xywh."
            )
    return ""


def _mean_iou(boxes: Array, true: Array) -> float:
    known = np.isfinite(boxes).all(axis=1) & np.isfinite(true).all(axis=1)
    if not known.any():
        return 0.0
    return float(np.nan_to_num(iou(np.maximum(boxes[known], [-np.inf, -np.inf, 0, 0]), true[known])).mean())


def _shifted(pairs: Sequence[_Pair], given: Array, same: NDArray[np.bool_]) -> list[str]:
    """Notes on first rows that are not the true ones, on a constant shift in space, and on one in time."""
    notes, count = [], len(pairs)
    true = np.stack([p.truths[0][0] for p in pairs])
    offsets = given - true
    constant = np.median(offsets[:, :2], axis=0)
    alike = (np.abs(offsets[:, :2] - constant).max(axis=1) < 0.26) & (np.abs(offsets[:, 2:]).max(axis=1) < 1.01)
    if np.abs(constant).max() >= 0.99 and alike.mean() >= NEARLY_ALL:
        notes.append(
            f"x and y of row 1 differ from the truth by {constant[0]:+.4g} and {constant[1]:+.4g} in "
            f"{int(alike.sum())} of {count} sequences (pixels counted from 1, or a cut image?); nothing is corrected."
        )
    elif same.mean() < NEARLY_ALL:
        notes.append(
            f"Row 1, the box that a tracker was given, is not the true first box in {int((~same).sum())} of {count} "
            f"sequences, for example {pairs[int(same.argmin())].name}: other form, other benchmark or other start?"
        )
    uneven = any(len(p.rows) != len(p.truths[0]) for p in pairs)
    if same.mean() < NEARLY_ALL or uneven:
        notes += _lag([p for p, s in zip(pairs, same, strict=True) if not s or len(p.rows) != len(p.truths[0])])
    return notes


def _lag(pairs: Sequence[_Pair]) -> list[str]:
    """A note where row i belongs to frame i + k in most sequences in which that can be seen."""
    best = []
    for pair in pairs:
        rows, true = pair.rows, pair.truths[0]
        if len(rows) < 10 or len(true) < 10:
            continue
        here = _at_lag(rows, true, 0)
        gains = {lag: _at_lag(rows, true, lag) - here for lag in LAGS}
        lag = max(gains, key=lambda k: gains[k])
        if gains[lag] > LAG_GAIN:
            best.append(lag)
    if not best:
        return []
    lag = max(set(best), key=best.count)
    if best.count(lag) < NEARLY_ALL * len(best) or 2 * best.count(lag) < len(pairs):
        return []
    what = f"the first {lag} lack" if lag > 0 else f"{-lag} too many stand in front"
    return [f"In {best.count(lag)} sequences the rows fit the truth better {abs(lag)} frame{'s' * (abs(lag) > 1)} "
            f"{'later' if lag > 0 else 'earlier'}: {what}? Nothing is corrected."]  # fmt: skip


def _at_lag(rows: Array, true: Array, lag: int) -> float:
    """Mean overlap of row i with the truth of frame i + lag."""
    rows, true = rows[max(0, -lag) :], true[max(0, lag) :]
    n = min(len(rows), len(true))
    return _mean_iou(rows[:n], true[:n])


def _lengths(truths: Sequence[Truth], results: Mapping[str, Result]) -> str:
    """A sentence where files have several rows a frame, a row for several frames, or blank rows too many."""
    several: dict[int, int] = {}
    held = [(t, results[t.name]) for t in truths if t.name in results and not results[t.name].runs]
    for truth, result in held:
        rows, frames = len(result.boxes), truth.result_rows
        if truth.rows is not None and rows == len(truth.written):
            continue
        empty = int(np.isnan(result.boxes).any(axis=1).sum())
        if empty and rows > frames and rows - empty == frames:
            return (
                f"{truth.name} has {rows} rows for {frames} frames, and {empty} of them are empty: blank lines? Remove "
                "these, or score the rows as they are with --rows xywh."
            )
        if rows >= 2 * frames > 2 and rows % frames == 0:
            several[rows // frames] = several.get(rows // frames, 0) + 1
        elif frames >= 2 * rows > 2 and frames % rows == 0:
            several[-(frames // rows)] = several.get(-(frames // rows), 0) + 1
    for times, count in several.items():
        if count >= NEARLY_ALL * len(held):
            what = f"{times} rows for a frame" if times > 0 else f"one row for {-times} frames"
            return (
                f"{count} of {len(held)} results have {what}; one row per frame is expected. Write them so, or score "
                "them as they are with --rows xywh."
            )
    return ""


def _sizes(pairs: Sequence[_Pair]) -> list[str]:
    """Notes on sizes that no box has, from every tenth row."""
    notes: list[str] = []
    rows = [p.rows[::10] for p in pairs]
    largest = np.concatenate([np.tile(np.nanmax(p.truths[0][:, 2:], axis=0), (len(r), 1)) for p, r in zip(pairs, rows)])
    sizes = np.concatenate(rows)[:, 2:]
    known = np.isfinite(sizes).all(axis=1)
    if not known.any():
        return notes
    flat = float((sizes[known] <= 0).any(axis=1).mean())
    if flat > 0.2:
        notes.append(f"{flat:.0%} of the rows have a width or height of 0 or less.")
    huge = float((sizes[known] > 5 * largest[known]).all(axis=1).mean())
    if huge > 0.2:
        notes.append(f"{huge:.0%} of the boxes are more than five times as wide and high as any true box.")
    return notes
