# SPDX-License-Identifier: Apache-2.0
"""Long-term tracking precision, recall and F of DepthTrack, CDTB, RGBD1K and ARKitTrack (docs/evaluation.md 9.2).

A tracker reports a box and a confidence in every frame. At a confidence threshold, the frames above it are the ones in
which it claims to see the target:

* Pr = mean overlap of the claimed frames (a sequence without a claim: 1), Re = their overlaps' sum / frames with a
  target, both averaged over sequences (``frames``: over all frames joined, DepthTrack's second variant);
* F = 2 Pr Re / (Pr + Re) of these means; the score is the largest F over 100 thresholds taken from the tracker's own
  confidences, with Pr and Re at that threshold. F is therefore never a mean of per-sequence values.

The overlap is the toolkit's, in whole pixels (``raster_overlap``). A row of the result that holds a code instead of a
box, as the first row of the VOT layout does, has no pixels; a blank confidence is 0, not "missing".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Result
from modaltrack.scoring.intervals import bootstrap
from modaltrack.scoring.raster_overlap import is_box, raster_overlap
from modaltrack.scoring.records import Array, Protocol, Report, Sample, Truth

RESOLUTION = 100
UNKNOWN_SIZE = (1 << 24, 1 << 24)  # an image that clips nothing; float32 keeps whole numbers up to here
_ABSENT_BOXES = {"arkittrack": (-1.0, -1.0, 1.0, 1.0)}  # ARKitTrack writes this where there is no target


def confidence_thresholds(confidences: ArrayLike, resolution: int = RESOLUTION) -> Array:
    """Thresholds at which a tracker is looked at: +inf, up to ``resolution`` - 2 of its confidences, falling, -inf.

    Args:
        confidences: of all frames of all sequences; ``nan`` is left out. With n > resolution - 2 of them, the entries
            at round(linspace(d, n - d, resolution - 2)) of the sorted list are taken, d = n // (resolution - 2), half
            to even.
    """
    c = np.asarray(confidences, np.float64).ravel()
    c = np.sort(c[np.logical_not(np.isnan(c))])[::-1]
    inner = resolution - 2
    if len(c) > inner:
        step = len(c) // inner
        c = c[np.round(np.linspace(step, len(c) - step, inner)).astype(np.int64)]
    return np.concatenate(([np.inf], c, [-np.inf]))


@dataclass(frozen=True)
class Claims:
    """One sequence at K thresholds: frames claimed (K,), their summed overlap (K,), and frames with a target."""

    claimed: Array
    overlap: Array
    targets: int

    def precision(self) -> Array:
        """(K,) mean overlap of the claimed frames, 1 where there is none."""
        return np.where(self.claimed > 0, self.overlap / np.maximum(self.claimed, 1), 1.0)

    def recall(self) -> Array:
        """(K,) summed overlap over the frames with a target; 0 for a sequence without any."""
        return self.overlap / self.targets if self.targets else np.zeros_like(self.overlap)


def claims(overlap: ArrayLike, confidence: ArrayLike, targets: int, thresholds: ArrayLike) -> Claims:
    """Count and sum of the frames with confidence >= each threshold; ``nan`` confidences claim nothing.

    Args:
        overlap, confidence: (N,).
        thresholds: (K,) falling. Sorting once makes 100 thresholds as cheap as one.
    """
    o, c = np.asarray(overlap, np.float64), np.asarray(confidence, np.float64)
    known = np.logical_not(np.isnan(c))
    o, c = o[known], c[known]
    order = np.argsort(-c, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(o[order])))
    count = np.searchsorted(-c[order], -np.asarray(thresholds, np.float64), side="right")
    return Claims(count.astype(np.float64), sums[count], targets)


def f_measure(precision: Array, recall: Array) -> Array:
    """Harmonic mean of two curves, 0 where both are 0."""
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)


def score_long_term(
    protocol: Protocol, truths: Sequence[Truth], results: Mapping[str, Result], attributes: bool = False
) -> Report:
    """``Protocol.compute`` of the long-term benchmarks; a protocol whose name ends in "-frames" joins all frames.

    Absent rows of the truth may be nan, or have a size <= 0, or be ARKitTrack's -1,-1,1,1. Attributes are per frame:
    each is scored on its frames alone, at the thresholds of the whole.

    Raises:
        ValueError: for a missing sequence, missing confidences, or a result that is shorter than the truth.
    """
    joined = protocol.name.lower().endswith("-frames")
    if not truths:
        raise ValueError(f"There is no sequence to score for {protocol.name}; give the benchmark's ground truth.")
    repairs: Counter[str] = Counter()
    rows = [_compared(t, _result_of(t, results), protocol, repairs) for t in truths]
    thresholds = confidence_thresholds(np.concatenate([r.confidence for r in rows]))
    per_sequence = [claims(r.overlap, r.confidence, int(r.target.sum()), thresholds) for r in rows]
    precision, recall = _averaged(per_sequence, joined)
    f = f_measure(precision, recall)
    best = int(np.argmax(f))
    each_p, each_r = np.array([c.precision() for c in per_sequence]), np.array([c.recall() for c in per_sequence])
    each_f = f_measure(each_p, each_r)
    lengths = np.array([len(r.overlap) for r in rows], np.float64)
    samples = _samples(per_sequence, joined)
    notes = [
        f"F is the largest over {len(thresholds)} confidence thresholds; Pr and Re belong to the threshold "
        f"{thresholds[best]:.6g}."
    ]
    if repairs["sequences of unknown image size"]:
        notes.append("Where the image size is unknown, boxes are not clipped to the image; the toolkit clips them.")
    return Report(
        protocol=protocol.name,
        version=protocol.version,
        switches=switches(joined),
        num_sequences=len(rows),
        scores={"Pr": float(precision[best]), "Re": float(recall[best]), "F": float(f[best])},
        per_sequence={
            t.name: {"Pr": float(p), "Re": float(r), "F": float(v), "frames": float(n)}
            for t, p, r, v, n in zip(truths, each_p[:, best], each_r[:, best], each_f[:, best], lengths)
        },
        attributes=_by_attribute(truths, rows, thresholds, joined) if attributes else {},
        repairs=dict(+repairs),
        curves={"Pr": (thresholds, precision), "Re": (thresholds, recall), "F": (thresholds, f)},
        intervals=bootstrap(samples),
        notes=notes,
        samples=samples,
        benchmark=protocol.benchmark,
    )


def switches(joined: bool) -> dict[str, Any]:
    """What is printed beside every number of this family."""
    return {
        "overlap": "whole pixels inside the image",
        "pooled": "frames" if joined else "sequences",
        "thresholds": f"{RESOLUTION} of the tracker's confidences",
        "no claim": "Pr = 1, Re = 0",
        "blank confidence": "0",
        "absent truth and absent box": "overlap 1",
    }


@dataclass(frozen=True)
class _Compared:
    overlap: Array
    confidence: Array
    target: NDArray[np.bool_]


def _result_of(truth: Truth, results: Mapping[str, Result]) -> Result:
    result = results.get(truth.name)
    if result is None:
        raise ValueError(f"There is no result for the sequence {truth.name!r}; Pr, Re and F are means over all.")
    if not len(result.scores) and np.isnan(result.boxes).all():  # a sequence that was never run and counts as lost
        return replace(result, scores=np.zeros(len(result.boxes)))
    if not len(result.scores):
        raise ValueError(
            f"The result of {truth.name!r} has no confidences; Pr, Re and F need one per frame "
            f"(for example {truth.name}_001_confidence.value beside {truth.name}_001.txt)."
        )
    if not len(result.boxes) == len(result.scores):
        raise ValueError(
            f"The result of {truth.name!r} has {len(result.boxes)} boxes and {len(result.scores)} confidences; "
            "give one confidence per box."
        )
    return result


def _compared(truth: Truth, result: Result, protocol: Protocol, repairs: Counter[str]) -> _Compared:
    boxes = truth_with_nan(truth, protocol.benchmark or protocol.name)
    repairs["absent rows of the truth turned into nan"] += int(
        np.sum(is_box(truth.written) & np.logical_not(is_box(boxes)))
    )
    if len(result.boxes) < len(boxes):
        raise ValueError(
            f"The result of {truth.name!r} has {len(result.boxes)} rows for {len(boxes)} annotated frames; "
            "it must hold one row per frame."
        )
    if (extra := len(result.boxes) - len(boxes)) > 0:  # toy07_indoor_320 lacks some of its boxes
        repairs["frames without annotation counted as absent"] += extra
        boxes = np.vstack([boxes, np.full((extra, 4), np.nan)])
    blank = np.isnan(result.scores)
    repairs["blank confidences read as 0"] += int(blank.sum())
    repairs["sequences of unknown image size"] += truth.image_size is None
    return _Compared(
        raster_overlap(result.boxes, boxes, truth.image_size or UNKNOWN_SIZE),
        np.where(blank, 0.0, result.scores),
        is_box(boxes),
    )


def truth_with_nan(truth: Truth, benchmark: str = "") -> Array:
    """(N, 4) boxes with nan rows where the target is absent, however the benchmark wrote absence down."""
    boxes = truth.boxes.astype(np.float64)
    absent = np.logical_not((boxes[:, 2:] > 0).all(axis=1))
    for name, row in _ABSENT_BOXES.items():
        if name in benchmark.lower():
            absent |= (boxes == np.array(row)).all(axis=1)
    if truth.absent is not None:
        absent |= truth.absent
    return np.where(absent[:, None], np.nan, boxes)


def _averaged(sequences: Sequence[Claims], joined: bool) -> tuple[Array, Array]:
    if joined:
        whole = Claims(
            np.sum([c.claimed for c in sequences], axis=0),
            np.sum([c.overlap for c in sequences], axis=0),
            sum(c.targets for c in sequences),
        )
        return whole.precision(), whole.recall()
    return np.mean([c.precision() for c in sequences], axis=0), np.mean([c.recall() for c in sequences], axis=0)


def _samples(sequences: Sequence[Claims], joined: bool) -> dict[str, Sample]:
    """Pr, Re and F of sums over sequences, each at the best threshold of those sums.

    Two trackers are exchanged at the same number of a threshold, that is at the same share of their frames: a
    confidence of one says nothing about the other's.
    """
    count = len(sequences[0].claimed)
    if joined:
        parts = np.array([[*c.claimed, *c.overlap, float(c.targets)] for c in sequences])
    else:
        parts = np.array([[*c.precision(), *c.recall(), 1.0] for c in sequences])

    def value(which: int, sums: Array) -> Array:
        first, second, whole = sums[:, :count], sums[:, count:-1], np.maximum(sums[:, -1:], 1)
        p = np.where(first > 0, second / np.maximum(first, 1), 1.0) if joined else first / whole
        r = second / whole
        f = f_measure(p, r)
        best = np.argmax(f, axis=1)
        return np.asarray((p, r, f)[which][np.arange(len(sums)), best])

    return {name: Sample(parts, partial(value, which)) for which, name in enumerate(("Pr", "Re", "F"))}


def _by_attribute(
    truths: Sequence[Truth], rows: Sequence[_Compared], thresholds: Array, joined: bool
) -> dict[str, dict[str, float]]:
    """Each attribute on its frames alone (its sequences, where they are per sequence); [ours], see docs/vot.md."""
    found: dict[str, dict[str, float]] = {}
    for name in sorted({a for t in truths for a in (*t.frame_attributes, *t.attributes)}):
        parts, frames = [], 0
        for truth, row in zip(truths, rows):
            chosen = np.full(len(row.overlap), name in truth.attributes)
            if name in truth.frame_attributes:
                label = truth.frame_attributes[name][: len(chosen)]
                chosen[: len(label)] |= label
            if chosen.any():
                parts.append(
                    claims(row.overlap[chosen], row.confidence[chosen], int(row.target[chosen].sum()), thresholds)
                )
                frames += int(chosen.sum())
        if parts:
            p, r = _averaged(parts, joined)
            f = f_measure(p, r)
            best = int(np.argmax(f))
            found[name] = {
                "Pr": float(p[best]),
                "Re": float(r[best]),
                "F": float(f[best]),
                "sequences": float(len(parts)),
                "frames": float(frames),
            }
    return found
