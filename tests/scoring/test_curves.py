# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modaltrack.scoring import (
    SUCCESS_THRESHOLDS,
    centre_errors,
    mean_iou,
    normalised_precision_at,
    overlaps,
    precision_at,
    precision_curve,
    success_auc,
    success_curve,
)

TRUTH = np.array([[10.0, 20.0, 30.0, 40.0], [0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 20.0, 10.0]])
NAN_ROW = np.full((1, 4), np.nan)


def box_arrays(rows: int = 6) -> st.SearchStrategy[np.ndarray]:
    place = st.floats(-50, 500, allow_nan=False)
    size = st.floats(0.5, 200, allow_nan=False)
    row = st.tuples(place, place, size, size)
    return st.lists(row, min_size=rows, max_size=rows).map(lambda r: np.array(r, dtype=np.float64))


def test_a_perfect_tracker_gets_twenty_of_twenty_one_and_one_when_inclusive() -> None:
    assert success_auc(TRUTH, TRUTH) == pytest.approx(20 / 21)
    assert success_auc(TRUTH, TRUTH, inclusive=True) == 1.0
    assert precision_at(TRUTH, TRUTH, 20) == 1.0
    assert normalised_precision_at(TRUTH, TRUTH) == 1.0
    assert mean_iou(TRUTH, TRUTH) == 1.0


def test_overlap_of_a_half_shifted_box_is_one_third() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    pred = np.array([[5.0, 0.0, 10.0, 10.0]])
    assert overlaps(pred, truth)[0] == pytest.approx(1 / 3)
    # above 0, 0.05 .. 0.30: seven thresholds
    assert success_auc(pred, truth) == pytest.approx(7 / 21)


def test_the_success_switch_decides_a_tie() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    pred = np.array([[0.0, 0.0, 5.0, 10.0]])  # overlap exactly 0.5
    assert success_curve(pred, truth)[10] == 0
    assert success_curve(pred, truth, inclusive=True)[10] == 1


def test_the_precision_switch_decides_a_tie() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    pred = np.array([[20.0, 0.0, 10.0, 10.0]])  # exactly 20 px away
    assert precision_at(pred, truth, 20) == 1
    assert precision_at(pred, truth, 20, inclusive=False) == 0


def test_normalised_error_is_in_units_of_the_true_box() -> None:
    truth = np.array([[0.0, 0.0, 100.0, 10.0]])
    pred = np.array([[10.0, 1.0, 100.0, 10.0]])
    assert centre_errors(pred, truth, normalised=True)[0] == pytest.approx(np.hypot(0.1, 0.1))
    assert normalised_precision_at(pred, truth) == 1
    assert normalised_precision_at(pred + np.array([20, 0, 0, 0]), truth) == 0


def test_absent_frames_are_left_out_of_both_counts() -> None:
    truth = np.concatenate([TRUTH, NAN_ROW, [[3.0, 3.0, 0.0, 5.0]]])
    pred = np.concatenate([TRUTH, [[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, 4.0]]])
    assert len(overlaps(pred, truth)) == 3
    assert success_auc(pred, truth) == success_auc(TRUTH, TRUTH)
    assert precision_at(pred, truth) == 1


@pytest.mark.parametrize("bad", [[np.nan] * 4, [1.0, 2.0, -3.0, 4.0], [1.0, 2.0, 0.0, 4.0], [np.inf, 0.0, 1.0, 1.0]])
def test_an_unusable_prediction_is_a_miss_and_not_skipped(bad: list[float]) -> None:
    pred = TRUTH.copy()
    pred[1] = bad
    assert mean_iou(pred, TRUTH) == pytest.approx(2 / 3)
    assert precision_at(pred, TRUTH, 1e9) == pytest.approx(2 / 3)
    assert normalised_precision_at(pred, TRUTH, 1e9) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("pred", "truth", "words"),
    [
        (TRUTH[:2], TRUTH, "2 predicted boxes but 3 true ones"),
        (TRUTH[:, :3], TRUTH, "shape"),
        (TRUTH[0], TRUTH, "shape"),
        (TRUTH[:1], NAN_ROW, "present in none"),
    ],
)
def test_what_does_not_fit_is_said(pred: np.ndarray, truth: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        success_auc(pred, truth)


@settings(deadline=None)
@given(box_arrays(), box_arrays())
def test_curves_are_monotonic_and_scores_stay_in_range(pred: np.ndarray, truth: np.ndarray) -> None:
    success, precision = success_curve(pred, truth), precision_curve(pred, truth)
    assert len(success) == 21
    assert len(precision) == 51
    assert (np.diff(success) <= 0).all()
    assert (np.diff(precision) >= 0).all()
    assert 0 <= mean_iou(pred, truth) <= 1 + 1e-12
    # the mean over a grid of step 0.05 can differ from the average overlap by one step at most
    assert abs(success_auc(pred, truth) * 21 / 20 - mean_iou(pred, truth)) <= 0.05 + 1e-9


@settings(deadline=None)
@given(box_arrays(), box_arrays())
def test_overlap_is_symmetric(pred: np.ndarray, truth: np.ndarray) -> None:
    np.testing.assert_allclose(overlaps(pred, truth), overlaps(truth, pred))


def test_thresholds_are_the_exact_floats_of_the_grid() -> None:
    assert list(SUCCESS_THRESHOLDS) == [k / 20 for k in range(21)]


def test_scoring_needs_no_torch() -> None:
    code = "import sys, modaltrack.scoring; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
