# SPDX-License-Identifier: Apache-2.0
"""Intervals and the paired test where a score is no mean of its sequences: F at its best threshold, and EAO."""

from dataclasses import replace

import numpy as np
import pytest

from modaltrack.frame import Result
from modaltrack.scoring.engine import Report, score
from modaltrack.scoring.intervals import compare_trackers, middle
from modaltrack.scoring.records import Truth

SEQUENCES, ROWS, SIZE = 14, 160, (400, 300)


def reports(protocol: str, noises: list[float]) -> list[Report]:
    """A tracker per noise: sizes of the boxes are wrong by so many pixels, by another amount in each sequence."""
    rng = np.random.default_rng(4)
    truths, results = [], [{} for _ in noises]  # type: ignore[var-annotated]
    for number in range(SEQUENCES):
        boxes = np.column_stack([rng.integers(20, 200, (ROWS, 2)), rng.integers(30, 60, (ROWS, 2))]).astype(float)
        anchors = np.zeros(ROWS)
        anchors[[0, 20]] = 1
        name = f"s{number}"
        truths.append(Truth(name, boxes, image_size=SIZE, anchors=anchors))
        for noise, found in zip(noises, results):
            made = boxes + np.abs(rng.normal(0, noise, boxes.shape)) * [0, 0, 1, 1]
            runs = {0: made.copy(), 20: made[20:].copy()}
            for run in runs.values():
                run[0] = np.nan
            found[name] = Result(name, made, rng.random(ROWS), runs=runs)
    return [score(protocol, truths, found) for found in results]


@pytest.mark.parametrize(("protocol", "metrics"), [
    ("DepthTrack", ("Pr", "Re", "F")), ("DepthTrack-frames", ("Pr", "Re", "F")), ("VOT-RGBT2020", ("EAO", "A", "R")),
])  # fmt: skip
def test_a_better_tracker_is_told_from_an_equal_one(protocol: str, metrics: tuple[str, ...]) -> None:
    good, like, bad = reports(protocol, [8, 8.2, 16])
    assert tuple(good.samples) == metrics
    for metric, sample in good.samples.items():
        assert sample.value(sample.parts.sum(0, keepdims=True))[0] == pytest.approx(good.scores[metric], abs=1e-12)
        low, high = good.intervals[metric]
        assert low <= good.scores[metric] <= high
    main = metrics[-1] if protocol.startswith("Depth") else metrics[0]
    clear, equal = compare_trackers(good, bad, main), compare_trackers(good, like, main)
    assert clear.difference > 0 and clear.interval[0] > 0  # noqa: PT018
    assert clear.p_value < 0.01 < equal.p_value
    assert compare_trackers(bad, good, main).difference == -clear.difference
    assert compare_trackers(good, good, main).p_value == 1


def test_too_few_confidences_for_an_exchange_are_named() -> None:
    (good,) = reports("DepthTrack", [8])
    sample = good.samples["F"]
    other = replace(good, samples={**good.samples, "F": replace(sample, parts=sample.parts[:, :-2])})
    with pytest.raises(ValueError, match="fewer confidences than there are thresholds"):
        compare_trackers(good, other, "F")


def test_the_middle_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=997)
    np.testing.assert_allclose(middle(values), np.quantile(values, [0.025, 0.975]), atol=1e-12)
    assert middle(np.array([3.0])) == (3.0, 3.0)
