# SPDX-License-Identifier: Apache-2.0
"""How sure a score is: bootstrap intervals over sequences, and a paired test between two trackers.

Every score is sum(numerators) / sum(denominators) over sequences, so a resampled benchmark is one product of
matrices. Sequences, not frames, are resampled: the frames of one clip succeed and fail together. Both are ours; the
published programs print neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modaltrack.scoring.records import Array, Report

RESAMPLES = 1000
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Comparison:
    """Two trackers on the same sequences.

    difference: first minus second. interval: its 95 % bootstrap interval. p_value: two-sided sign-flip permutation
    test. wins, losses, ties: sequences in which the first is better, worse, equal.
    """

    metric: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    wins: int
    losses: int
    ties: int


def bootstrap(terms: Mapping[str, tuple[Array, Array]], seed: int = 0) -> dict[str, tuple[float, float]]:
    """Metric -> the 2.5 % and 97.5 % quantiles over resampled sequences; empty with fewer than two sequences."""
    if not terms or len(next(iter(terms.values()))[0]) < 2:
        return {}
    draws = _draws(len(next(iter(terms.values()))[0]), seed)
    result = {}
    for name, (num, den) in terms.items():
        total = draws @ den
        values = (draws @ num)[total > 0] / total[total > 0]
        if values.size:
            low, high = np.quantile(values, [0.025, 0.975])
            result[name] = (float(low), float(high))
    return result


def compare_trackers(first: Report, second: Report, metric: str, seed: int = 0) -> Comparison:
    """Paired comparison of two reports of one protocol on the same sequences.

    Raises ValueError where protocol, switches or sequences differ, or where neither report has the metric.
    """
    for what in ("protocol", "version", "switches"):
        if getattr(first, what) != getattr(second, what):
            raise ValueError(f"The two reports differ in {what}: their numbers cannot be compared; score both alike.")
    if list(first.per_sequence) != list(second.per_sequence):
        raise ValueError("The two reports are about different sequences; score both on the same ones.")
    if metric not in first.terms or metric not in second.terms:
        raise ValueError(f"There is no metric {metric!r} in both reports; there are {', '.join(first.terms)}.")
    (a, a_den), (b, b_den) = first.terms[metric], second.terms[metric]
    difference = first.scores[metric] - second.scores[metric]
    draws = _draws(len(a), seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = (draws @ a) / (draws @ a_den) - (draws @ b) / (draws @ b_den)
    gaps = gaps[np.isfinite(gaps)]
    low, high = np.quantile(gaps, [0.025, 0.975]) if gaps.size else (difference, difference)
    # exchange the two trackers in a random half of the sequences: under "no difference" that changes nothing
    swap = np.random.default_rng(seed + 1).random((PERMUTATIONS, len(a))) < 0.5
    stay = (~swap).astype(np.float64)
    go = swap.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        flipped = (stay @ a + go @ b) / (stay @ a_den + go @ b_den) - (stay @ b + go @ a) / (stay @ b_den + go @ a_den)
    extreme = int((np.abs(np.nan_to_num(flipped)) >= abs(difference) - 1e-12).sum())
    each = np.array([first.per_sequence[n][metric] - second.per_sequence[n][metric] for n in first.per_sequence])
    return Comparison(
        metric=metric,
        difference=difference,
        interval=(float(low), float(high)),
        p_value=(extreme + 1) / (PERMUTATIONS + 1),
        wins=int((each > 0).sum()),
        losses=int((each < 0).sum()),
        ties=int((each == 0).sum()),
    )


def _draws(sequences: int, seed: int) -> Array:
    """(RESAMPLES, S) how often each sequence is in each resampled benchmark."""
    picked = np.random.default_rng(seed).integers(0, sequences, (RESAMPLES, sequences))
    rows = np.repeat(np.arange(RESAMPLES), sequences)
    counts = np.bincount(rows * sequences + picked.ravel(), minlength=RESAMPLES * sequences)
    return counts.reshape(RESAMPLES, sequences).astype(np.float64)
