# SPDX-License-Identifier: Apache-2.0
"""Pr, Re, F and the overlap in whole pixels: by hand, and against the official toolkit on hard inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scoring import vot_toolkit

from modaltrack.frame import Result
from modaltrack.results.vot import read_vot_results
from modaltrack.scoring.engine import score
from modaltrack.scoring.long_term import claims, confidence_thresholds, f_measure
from modaltrack.scoring.raster_overlap import raster_overlap
from modaltrack.scoring.records import Truth

Boxes = NDArray[np.float64]
SIZE = (60, 50)
NAN = [np.nan] * 4


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.5, 1.5, 2.5, 3.5], [0, 2, 2, 4], 1.0),  # half to even, number by number
        ([10, 10, 10, 10], [15, 10, 10, 10], 1 / 3),
        ([-5, 10, 10, 10], [0, 10, 5, 10], 1.0),  # both cut at the border
        (NAN, NAN, 1.0),
        ([10, 10, 10, 10], NAN, 0.0),
        ([10, 10, 0, 10], [10, 10, 5, 5], 0.0),
        ([5, 5, 1, 1], [50, 5, 1, 1], 1.0),  # a canvas of one row: the toolkit's answer
        ([100, 100, 5, 5], [100, 100, 5, 5], 0.0),  # outside the image
    ],
)
def test_overlap_in_whole_pixels(first: list[float], second: list[float], expected: float) -> None:
    assert raster_overlap([first], [second], SIZE)[0] == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1, 97, 98])
def test_few_confidences_are_all_thresholds(count: int) -> None:
    found = confidence_thresholds(np.arange(count))
    np.testing.assert_array_equal(found, [np.inf, *range(count - 1, -1, -1), -np.inf])


def test_many_confidences_are_sampled_evenly() -> None:
    found = confidence_thresholds(np.r_[np.arange(1000.0), np.nan])
    assert len(found) == 100
    assert found[1] == 999 - 10  # d = 1000 // 98 = 10 from either end
    assert found[-2] == 999 - 990


def test_claims_by_hand() -> None:
    found = claims([0.5, 1.0, 0.0, 0.25], [0.9, 0.5, 0.5, np.nan], 3, [np.inf, 0.9, 0.5, -np.inf])
    np.testing.assert_array_equal(found.claimed, [0, 1, 3, 3])
    np.testing.assert_allclose(found.precision(), [1, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(found.recall(), [0, 0.5 / 3, 0.5, 0.5])


def test_f_of_nothing_is_zero() -> None:
    np.testing.assert_array_equal(f_measure(np.zeros(2), np.array([0.0, 1.0])), [0, 0])


def _sequence(name: str, share: float, length: int = 20) -> tuple[Truth, Result]:
    """A target that a tracker finds in the first share of the frames, with more confidence than in the others."""
    boxes = np.tile([10.0, 10, 10, 10], (length, 1))
    found = np.arange(length) < share * length
    guess = np.where(found[:, None], boxes, [40.0, 30, 10, 10])
    return Truth(name, boxes, image_size=SIZE), Result(name, guess, np.where(found, 0.9, 0.1))


def test_the_operating_point_is_shared_by_all_sequences() -> None:
    pairs = [_sequence("a", 0.5), _sequence("b", 1.0)]
    report = score("DepthTrack", [t for t, _ in pairs], {r.name: r for _, r in pairs})
    assert report.scores == pytest.approx({"Pr": 1.0, "Re": 0.75, "F": 1.5 / 1.75})
    assert report.per_sequence["a"]["Re"] == 0.5
    assert report.curves["F"][1].max() == report.scores["F"]
    low, high = report.intervals["F"]
    assert low <= report.scores["F"] <= high


def test_joined_frames_weigh_long_sequences_more() -> None:
    pairs = [_sequence("a", 0.5, 30), _sequence("b", 1.0, 10)]
    given = [t for t, _ in pairs], {r.name: r for _, r in pairs}
    assert score("DepthTrack", *given).scores["Re"] == pytest.approx(0.75)
    assert score("DepthTrack-frames", *given).scores["Re"] == pytest.approx(25 / 40)


def test_absent_rows_are_recognised_and_counted() -> None:
    truth, result = _sequence("a", 1.0)
    rows = truth.boxes.copy()
    rows[3], rows[4], rows[5] = [5, 5, -1, -1], [5, 5, 0, 0], [-1, -1, 1, 1]
    odd = Truth("a", rows, image_size=SIZE)
    report = score("DepthTrack", [odd], {"a": result})
    assert report.repairs["absent rows of the truth turned into nan"] == 2  # the third is ARKitTrack's way alone
    assert score("ARKitTrack", [odd], {"a": result}).repairs["absent rows of the truth turned into nan"] == 3
    assert report.scores["Pr"] == pytest.approx(17 / 20)


def test_frames_without_annotation_are_absent_and_counted() -> None:
    truth, result = _sequence("a", 1.0)
    cut = Truth("a", truth.boxes[:15], image_size=SIZE)
    report = score("DepthTrack", [cut], {"a": result})
    assert report.repairs["frames without annotation counted as absent"] == 5
    assert report.scores["Pr"] == pytest.approx(0.75)


def test_attributes_are_scored_on_their_frames() -> None:
    truth, result = _sequence("a", 0.5)
    label = np.arange(20) < 5
    marked = Truth("a", truth.boxes, image_size=SIZE, frame_attributes={"dark-scene": label})
    report = score("CDTB", [marked], {"a": result}, attributes=True)
    assert report.attributes["dark-scene"]["F"] == 1.0
    assert report.attributes["dark-scene"]["frames"] == 5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scores": np.empty(0)}, "has no confidences"),
        ({"scores": np.ones(3)}, "20 boxes and 3 confidences"),
        ({"boxes": np.ones((5, 4)), "scores": np.ones(5)}, "5 rows for 20 annotated frames"),
    ],
)
def test_what_cannot_be_scored_is_refused(change: dict[str, object], sentence: str) -> None:
    truth, result = _sequence("a", 1.0)
    fields = {"name": "a", "boxes": result.boxes, "scores": result.scores} | change
    with pytest.raises(ValueError, match=sentence):
        score("RGBD1K", [truth], {"a": Result(**fields)})  # type: ignore[arg-type]


OVERLAPS = """
import json, sys
import numpy as np
from vot.region import Special
from vot.region.raster import calculate_overlaps
from vot.region.shapes import Rectangle
asked = json.load(sys.stdin)
def regions(rows):
    return [Special(0) if None in row else Rectangle(*row) for row in rows]
pairs = regions(asked["first"]), regions(asked["second"])
print(json.dumps([[float(v) for v in calculate_overlaps(*pairs, tuple(size))] for size in asked["sizes"]]))
"""


def _adversarial(rng: np.random.Generator, count: int) -> Boxes:
    """Whole, half and quarter pixels, sides that round to nothing or are negative, outside, absent."""
    rows = rng.integers(-12, 30, (count, 4)) / np.where(rng.random((count, 1)) < 0.5, 1, 4)
    free = rng.random(count) < 0.3
    rows[free] = rng.uniform(-5, 40, (int(free.sum()), 4))
    positive = rng.random(count) < 0.85
    rows[positive, 2:] = np.abs(rows[positive, 2:])
    tiny = rng.random(count) < 0.2
    rows[tiny, 2:] = np.clip(rows[tiny, 2:], 0, 1.6)
    rows[rng.random(count) < 0.1] = np.nan
    return rows


@vot_toolkit.needs_toolkit
def test_overlaps_against_the_toolkit() -> None:
    rng = np.random.default_rng(0)
    first, second = _adversarial(rng, 4000), _adversarial(rng, 4000)
    same = rng.random(4000) < 0.2
    second[same] = first[same]
    sizes = [(20, 15), (1, 1), (5, 1)]
    asked = {k: [[None if np.isnan(v) else v for v in row] for row in rows] for k, rows in
             (("first", first.tolist()), ("second", second.tolist()))}  # fmt: skip
    answers = json.loads(vot_toolkit.run("-c", OVERLAPS, text=json.dumps(asked | {"sizes": sizes})))
    for size, expected in zip(sizes, answers):
        np.testing.assert_allclose(raster_overlap(first, second, size), expected, atol=1e-12)


@vot_toolkit.needs_toolkit
def test_against_the_toolkit_on_hard_inputs(tmp_path: Path) -> None:
    """Absent targets, one-frame clips, equal and negative confidences, a tracker that is never right."""
    rng = np.random.default_rng(1)

    def boxes(n: int) -> Boxes:
        low, high = [-5, -5, 1, 1], [45, 40, 20, 20]
        return rng.integers(low, high, (n, 4)).astype(float)

    truths = {}
    for name, length in {"a": 90, "b": 7, "c": 60, "gone": 12, "one": 1}.items():
        truths[name] = boxes(length)
        truths[name][1:][rng.random(length - 1) < (1 if name == "gone" else 0.3)] = np.nan
    vot_toolkit.make_workspace(tmp_path, "vot2021/rgbd", truths, SIZE)
    trackers = [f"t{i}" for i in range(6)]
    for k, tracker in enumerate(trackers):
        for name, truth in truths.items():
            near = truth + rng.integers(-2, 3, truth.shape)
            guess = np.where(rng.random(len(truth))[:, None] < 0.6, near, boxes(len(truth)))
            confidence = rng.random(len(truth)).round(1 if k % 2 else 6) - (0.5 if k == 3 else 0)
            if k == 4:
                confidence[:] = 0.5
            if k == 5:
                guess[:] = [200, 200, 3, 3]
            file = tmp_path / "results" / tracker / "rgbd-unsupervised" / name / f"{name}_001.txt"
            vot_toolkit.write_run(file, guess, confidence)
    official = vot_toolkit.analyse(tmp_path, trackers)["PrecisionRecall"]
    given = [Truth(n, rows, image_size=SIZE) for n, rows in truths.items()]
    for expected, tracker in zip(official, trackers):
        results = read_vot_results(tmp_path / "results" / tracker)
        assert list(score("CDTB", given, results.sequences).scores.values()) == pytest.approx(expected, abs=1e-9)
