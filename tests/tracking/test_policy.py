# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from colour_world import ColourModel
from hypothesis import given
from hypothesis import strategies as st

from modaltrack.frame import Status
from modaltrack.tracking import Policy

POLICY = Policy(tracking_threshold=0.4, lost_threshold=0.2, lost_after=3)
SIZE = np.array([20.0, 10.0])


def judge(scores) -> list[Status]:
    unseen, answer = np.zeros(1, np.int64), []
    for score in scores:
        status, unseen = POLICY.judge(np.array([score]), unseen)
        answer.append(Status(status[0]))
    return answer


def test_status_follows_the_thresholds() -> None:
    tracking, uncertain, lost = Status
    assert judge([0.9, 0.4, 0.3, 0.1, 0.1, 0.1]) == [tracking, tracking, uncertain, uncertain, lost, lost]
    assert judge([0.1, 0.1, 0.1, 0.3, 0.5]) == [uncertain, uncertain, lost, uncertain, tracking]


@given(
    predicted=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
    score=st.floats(0, 1),
    previous=st.tuples(st.floats(0, 100), st.floats(0, 60), st.floats(3, 40), st.floats(3, 40)),
)
def test_guard_rails_hold_for_any_prediction(predicted, score, previous) -> None:
    before = np.array(previous)
    box = POLICY.next_box(before, np.array(predicted), score, SIZE, height=100, width=150)
    x, y, w, h = box
    assert x >= 0
    assert y >= 0
    assert x + w <= 150 + 1e-9
    assert y + h <= 100 + 1e-9
    assert min(w, h) >= POLICY.margin - 1e-9
    limit = np.maximum(before[2:], SIZE / 8) * 1.6
    assert (box[2:] <= np.maximum(limit, before[2:]) + 1e-9).all()
    assert (box[2:] <= np.maximum(SIZE * 8, before[2:]) + 1e-9).all()


@pytest.mark.parametrize(
    "policy",
    [POLICY, Policy.published(), Policy(size_rate=0.3, hold_size=False), Policy(hold_box=False, lost_threshold=0.4)],
)
def test_many_targets_get_the_boxes_that_each_gets_alone(policy) -> None:
    rng = np.random.default_rng(0)
    before, predicted = rng.uniform(2, 60, (2, 40, 4))
    score, first = rng.uniform(0, 1, 40), rng.uniform(4, 30, (40, 2))
    height, width = rng.integers(40, 100, (2, 40))
    together = policy.next_box(before, predicted, score, first, height, width)
    for row, box in enumerate(together):
        alone = policy.next_box(before[row], predicted[row], score[row], first[row], int(height[row]), int(width[row]))
        np.testing.assert_array_equal(box, alone)


def test_weak_peaks_move_the_box_and_keep_its_size() -> None:
    before, predicted = np.array([50.0, 40, 20, 10]), np.array([60.0, 45, 26, 12])
    smoothed = [60.9, 45.3, 24.2, 11.4]  # 0.3 of the old size and 0.7 of the new one around the new centre
    np.testing.assert_allclose(POLICY.next_box(before, predicted, 0.9, SIZE, 100, 150), smoothed)
    np.testing.assert_allclose(POLICY.next_box(before, predicted, 0.3, SIZE, 100, 150), [63, 46, 20, 10])
    np.testing.assert_allclose(POLICY.next_box(before, predicted, 0.1, SIZE, 100, 150), before)


def test_tiny_targets_are_inflated_by_the_published_policy_only() -> None:
    tiny = np.array([50.0, 40, 8, 8])
    np.testing.assert_array_equal(Policy().next_box(tiny, tiny, 0.9, tiny[2:], 100, 150), tiny)
    np.testing.assert_array_equal(Policy.published().next_box(tiny, tiny, 0.9, tiny[2:], 100, 150), [50, 40, 10, 10])


def test_search_grows_while_lost_only() -> None:
    status = np.array([Status.TRACKING, Status.UNCERTAIN, Status.LOST, Status.LOST, Status.LOST])
    growth = POLICY.search_growth(status, np.array([0, 2, 3, 4, 10**9]))
    np.testing.assert_allclose(growth, [1, 1, 1.5, 2, 2])


def test_thresholds_come_from_the_card() -> None:
    model = ColourModel()
    assert Policy.of(model) == Policy()
    model.card = {"thresholds": {"tracking": 0.6, "lost": 0.3}}
    assert Policy.of(model, margin=4) == Policy(0.6, 0.3, margin=4)


@pytest.mark.parametrize(
    "fields", [{"lost_threshold": 0.9}, {"margin": 0}, {"max_size_change": 0.5}, {"lost_window": 2}]
)
def test_impossible_policies_are_refused(fields) -> None:
    with pytest.raises(ValueError, match="breaks the rule"):
        Policy(**fields)
