# SPDX-License-Identifier: Apache-2.0
"""How sure a score is: bootstrap intervals over sequences, and a paired test between two trackers.

Every score is a function of sums over sequences, so a resampled benchmark is one product of matrices. Sequences, not
frames, are resampled: the frames of one clip succeed and fail together. Both are [ours]; the published programs print
neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modaltrack.scoring.records import Array, Report, Sample

RESAMPLES = 1000
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Comparison:
    """Two trackers on the same sequences.

    Attributes:
        difference: first minus second.
        interval: its 95 % bootstrap interval.
        p_value: two-sided sign-flip permutation test.
        wins, losses, ties: sequences in which the first is better, worse, equal.
    """

    metric: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    wins: int
    losses: int
    ties: int


def bootstrap(samples: Mapping[str, Sample], seed: int = 0) -> dict[str, tuple[float, float]]:
    """Metric -> the 2.5 % and 97.5 % quantiles over resampled sequences; empty with fewer than two sequences."""
    sequences = max((len(s.parts) for s in samples.values()), default=0)
    if sequences < 2:
        return {}
    draws = _draws(sequences, seed)
    result = {}
    for name, sample in samples.items():
        values = sample.value(draws @ sample.parts)
        values = values[np.isfinite(values)]
        if values.size:
            result[name] = middle(values)
    return result


def middle(values: Array) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % quantile, linear between two values as numpy's, which loads masked arrays to say it."""
    ordered = np.sort(values)
    at = np.array([0.025, 0.975]) * (len(ordered) - 1)
    low, high = np.interp(at, np.arange(len(ordered)), ordered)
    return float(low), float(high)


def compare_trackers(first: Report, second: Report, metric: str, seed: int = 0) -> Comparison:
    """Paired comparison of two reports of one protocol on the same sequences.

    Raises:
        ValueError: where protocol, switches or sequences differ, or where neither report has the metric.
    """
    for what in ("protocol", "version", "switches"):
        if getattr(first, what) != getattr(second, what):
            raise ValueError(f"The two reports differ in {what}: their numbers cannot be compared; score both alike.")
    if list(first.per_sequence) != list(second.per_sequence):
        raise ValueError("The two reports are about different sequences; score both on the same ones.")
    if metric not in first.samples or metric not in second.samples:
        raise ValueError(f"There is no metric {metric!r} in both reports; there are {', '.join(first.samples)}.")
    a, b, value = first.samples[metric].parts, second.samples[metric].parts, first.samples[metric].value
    if a.shape != b.shape:
        raise ValueError(
            f"The {metric} of the two trackers cannot be exchanged sequence by sequence: one has fewer confidences "
            "than there are thresholds; evaluate both on more frames."
        )
    difference = first.scores[metric] - second.scores[metric]
    draws = _draws(len(a), seed)
    gaps = value(draws @ a) - value(draws @ b)
    gaps = gaps[np.isfinite(gaps)]
    interval = middle(gaps) if gaps.size else (difference, difference)
    # exchange the two trackers in a random half of the sequences: under "no difference" that changes nothing
    rng = np.random.default_rng(seed + 1)
    extreme = 0
    for _ in range(PERMUTATIONS // RESAMPLES):  # in parts: EAO's sums are long
        swap = (rng.random((RESAMPLES, len(a))) < 0.5).astype(np.float64)
        stay = 1 - swap
        flipped = value(stay @ a + swap @ b) - value(stay @ b + swap @ a)
        extreme += int((np.abs(np.nan_to_num(flipped)) >= abs(difference) - 1e-12).sum())
    each = np.array([first.per_sequence[n][metric] - second.per_sequence[n][metric] for n in first.per_sequence])
    return Comparison(
        metric=metric,
        difference=difference,
        interval=interval,
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
