# SPDX-License-Identifier: Apache-2.0
"""Accuracy, robustness and EAO from anchor runs: VOT-RGBD2022, VOT-RGBT2020 and the like (docs/evaluation.md 9.3).

A tracker is started at every anchor of a sequence and runs to the end of the sequence, or backwards to its beginning;
it is never restarted. A run has failed at the first of 10 rows in a row with overlap <= 0.1 in which the target is
present; an absent target ends such a row of misses. The run's progress is the index of the first of the 10, or its
length.

* A = summed overlap of all rows before the failure / number of those rows, over everything; the row of the
  initialisation counts, with overlap 0.
* R = share of a sequence's run rows before the failure, averaged over sequences with their lengths as weights.
* EAO = mean, over lengths 115 .. 754, of the overlap a run of that length is expected to have. A failed run is 0 from
  its failure on and goes on for ever; a run that ended well says nothing about longer ones. Past its end, a failed
  run's sum is divided by length - 1, as in the toolkit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result
from modaltrack.scoring.intervals import bootstrap
from modaltrack.scoring.long_term import UNKNOWN_SIZE, truth_with_nan
from modaltrack.scoring.raster_overlap import is_box, raster_overlap
from modaltrack.scoring.records import Array, Protocol, Report, Sample, Truth, ratio_of_sums

GRACE = 10
FAILED_BELOW = 0.1
LOW, HIGH = 115, 755


@dataclass(frozen=True)
class AnchorRun:
    """One run: overlap (M,), the rows before the failure, and whether there was one."""

    overlap: Array
    progress: int
    failed: bool


def run_of(overlap: Array, target: NDArray[np.bool_]) -> AnchorRun:
    """Find the failure in the overlaps (M,) of one run.

    Args:
        target: (M,) where the truth has one.
    """
    missed = np.logical_and(overlap <= FAILED_BELOW, target)
    in_a_row = np.convolve(missed.astype(np.int64), np.ones(GRACE, np.int64))[GRACE - 1 : len(missed)]
    starts = np.flatnonzero(in_a_row == GRACE)
    return AnchorRun(overlap, int(starts[0]), True) if len(starts) else AnchorRun(overlap, len(overlap), False)


def expected_overlap(runs: Sequence[AnchorRun], high: int = HIGH) -> tuple[Array, Array]:
    """Sum over runs of what each says about the mean overlap of a run of length 0 .. high - 1, and how many say it."""
    total, count = np.zeros(high), np.zeros(high)
    lengths = np.arange(high)
    for run in runs:
        kept = np.where(np.arange(len(run.overlap)) < run.progress, run.overlap, 0.0)
        sums = np.concatenate(([0.0], np.cumsum(kept[1:])))[:high]
        inside = len(sums)
        total[1:inside] += sums[1:] / lengths[1:inside]
        count[1:inside] += 1
        if run.failed:  # it has at least 10 rows, so length - 1 is never 0
            total[inside:] += sums[-1] / (lengths[inside:] - 1)
            count[inside:] += 1
    return total, count


def eao(total: Array, count: Array, low: int = LOW) -> tuple[float, Array]:
    """EAO and its curve; lengths of which no run says anything count 0, as in the toolkit."""
    curve = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return float(curve[low:].mean()), curve


def score_anchors(
    protocol: Protocol, truths: Sequence[Truth], results: Mapping[str, Result], attributes: bool = False
) -> Report:
    """``Protocol.compute`` of the anchor-based benchmarks; scores EAO, A and R.

    Each truth needs ``anchors``; without them they are taken from the files that are there, which a note says.

    Raises:
        ValueError: for a missing sequence or run and for a run of the wrong length.
    """
    if not truths:
        raise ValueError(f"There is no sequence to score for {protocol.name}; give the benchmark's ground truth.")
    repairs: Counter[str] = Counter()
    runs = [_runs_of(t, results, protocol, repairs) for t in truths]
    parts = [expected_overlap(r) for r in runs]
    totals, counts = np.array([p[0] for p in parts]), np.array([p[1] for p in parts])  # (S, 755)
    score, curve = eao(totals.sum(axis=0), counts.sum(axis=0))
    summed = np.array([sum(float(r.overlap[: r.progress].sum()) for r in s) for s in runs])
    tracked = np.array([sum(r.progress for r in s) for s in runs], np.float64)
    rows = np.array([sum(len(r.overlap) for r in s) for s in runs], np.float64)
    length = np.array([len(t.boxes) for t in truths], np.float64)
    robust = tracked / rows
    accuracy = np.divide(summed, tracked, out=np.zeros(len(runs)), where=tracked > 0)
    notes = ["R weighs each sequence by its length; the row of each initialisation counts in A with overlap 0."]
    if repairs["sequences whose anchors were taken from the files"]:
        notes.append("Without anchor.value a run that is missing cannot be noticed; directions follow from lengths.")
    if repairs["sequences of unknown image size"]:
        notes.append("Where the image size is unknown, boxes are not clipped to the image; the toolkit clips them.")
    samples = {
        "EAO": Sample(np.concatenate([totals, counts], axis=1), _expected_overlap_of),
        "A": ratio_of_sums(summed, tracked),
        "R": ratio_of_sums(robust * length, length),
    }
    return Report(
        protocol=protocol.name,
        version=protocol.version,
        switches={
            "overlap": "whole pixels inside the image",
            "failure": f"{GRACE} rows in a row with overlap <= {FAILED_BELOW}",
            "EAO lengths": f"{LOW} to {HIGH - 1}",
            "A": "over all rows before the failure",
            "R": "over sequences, weighted by length",
        },
        num_sequences=len(runs),
        scores={
            "EAO": score,
            "A": float(summed.sum() / tracked.sum()) if tracked.sum() else 0.0,
            "R": float((robust * length).sum() / length.sum()),
        },
        per_sequence={
            t.name: {"A": float(a), "R": float(r), "EAO": eao(*p)[0], "runs": float(len(s)), "frames": float(n)}
            for t, a, r, p, s, n in zip(truths, accuracy, robust, parts, runs, length)
        },
        attributes=_by_attribute(truths, totals, counts, summed, tracked, robust) if attributes else {},
        repairs=dict(+repairs),
        curves={"EAO": (np.arange(HIGH, dtype=np.float64), curve)},
        intervals=bootstrap(samples),
        notes=notes,
        samples=samples,
        benchmark=protocol.benchmark,
    )


def _runs_of(truth: Truth, results: Mapping[str, Result], protocol: Protocol, repairs: Counter[str]) -> list[AnchorRun]:
    result = results.get(truth.name)
    if result is None or not result.runs:
        raise ValueError(
            f"There is no anchor run for the sequence {truth.name!r}; {protocol.name} needs one file per anchor, "
            f"for example {truth.name}_00000000.txt."
        )
    boxes = truth_with_nan(truth, protocol.benchmark or protocol.name)
    repairs["absent rows of the truth turned into nan"] += int(
        np.sum(is_box(truth.written) & np.logical_not(is_box(boxes)))
    )
    size = truth.image_size or UNKNOWN_SIZE
    repairs["sequences of unknown image size"] += truth.image_size is None
    if truth.anchors is None:
        repairs["sequences whose anchors were taken from the files"] += 1
        forward = {a: len(r) == len(boxes) - a for a, r in result.runs.items()}
    else:
        forward = {int(i): bool(truth.anchors[i] > 0) for i in np.flatnonzero(truth.anchors)}
    if absent := sorted(set(forward) - set(result.runs)):
        raise ValueError(
            f"The runs of {truth.name!r} from frame {', '.join(map(str, absent))} are missing; "
            "the scores are means over all anchors, so let the tracker finish first."
        )
    if more := set(result.runs) - set(forward):
        repairs["runs that belong to no anchor, left out"] += len(more)
    found = []
    for anchor, ahead in sorted(forward.items()):
        expected = boxes[anchor:] if ahead else boxes[: anchor + 1][::-1]
        rows = result.runs[anchor]
        if len(rows) != len(expected):
            raise ValueError(
                f"The run of {truth.name!r} from frame {anchor} has {len(rows)} rows, "
                f"but {'forward to the end' if ahead else 'back to the beginning'} there are {len(expected)} frames."
            )
        found.append(run_of(raster_overlap(rows, expected, size), is_box(expected)))
    return found


def _expected_overlap_of(sums: Array) -> Array:
    """EAO (n,) of sums over sequences (n, 2 * HIGH): what runs say about each length, and how many say it."""
    total, count = sums[:, :HIGH], sums[:, HIGH:]
    curves = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return np.asarray(curves[:, LOW:].mean(axis=1))


def _by_attribute(
    truths: Sequence[Truth], totals: Array, counts: Array, summed: Array, tracked: Array, robust: Array
) -> dict[str, dict[str, float]]:
    """Each attribute on the sequences that carry it."""
    found: dict[str, dict[str, float]] = {}
    length = np.array([len(t.boxes) for t in truths], np.float64)
    for name in sorted({a for t in truths for a in t.attributes}):
        chosen = np.array([name in t.attributes for t in truths])
        found[name] = {
            "EAO": eao(totals[chosen].sum(axis=0), counts[chosen].sum(axis=0))[0],
            "A": float(summed[chosen].sum() / max(tracked[chosen].sum(), 1)),
            "R": float((robust * length)[chosen].sum() / length[chosen].sum()),
            "sequences": float(chosen.sum()),
        }
    return found
