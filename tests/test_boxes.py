# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modaltrack import boxes as bx

REFERENCE = Path(__file__).parent / "reference" / "crop.npz"
coordinate = st.floats(-500, 500)
extent = st.floats(0.1, 500)
box = st.tuples(coordinate, coordinate, extent, extent).map(lambda values: np.array(values, np.float64))
ROUND_TRIPS = [
    (bx.xywh_to_xyxy, bx.xyxy_to_xywh),
    (bx.xywh_to_cxcywh, bx.cxcywh_to_xywh),
    (bx.cxcywh_to_xyxy, bx.xyxy_to_cxcywh),
]


@pytest.mark.parametrize(("there", "back"), ROUND_TRIPS)
@given(a=box)
def test_conversions_round_trip(there, back, a) -> None:
    np.testing.assert_allclose(back(there(a)), a, atol=1e-9)


@settings(max_examples=50)
@given(a=box, b=box)
def test_overlaps(a, b) -> None:
    assert bx.iou(a, b) == bx.iou(b, a)
    assert 0 <= bx.iou(a, b) <= 1 + 1e-9
    assert -1 <= bx.giou(a, b) <= bx.iou(a, b) + 1e-9
    assert bx.iou(a, a) == pytest.approx(1)
    assert bx.giou(a, a) == pytest.approx(1)


def test_overlaps_known_values() -> None:
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 10, 10])
    assert bx.iou(a, b) == pytest.approx(1 / 3)
    assert bx.giou(a, np.array([10.0, 0, 10, 10])) == pytest.approx(0)
    assert bx.giou(a, np.array([20.0, 0, 10, 10])) == pytest.approx(-1 / 3)
    assert bx.iou(np.zeros(4), np.zeros(4)) == 0
    assert np.isnan(bx.iou(a, np.full(4, np.nan)))


@settings(max_examples=50)
@given(a=box, margin=st.sampled_from([0, 3, 10]), width=st.integers(1, 400), height=st.integers(1, 400))
def test_clip_stays_inside_and_is_idempotent(a, margin, width, height) -> None:
    clipped = bx.clip_box(a, height, width, margin)
    x1, y1, x2, y2 = bx.xywh_to_xyxy(clipped)
    assert 0 <= x1 <= x2 <= width + 1e-9
    assert 0 <= y1 <= y2 <= height + 1e-9
    assert clipped[2] >= min(margin, width) - 1e-9
    assert clipped[3] >= min(margin, height) - 1e-9
    np.testing.assert_allclose(bx.clip_box(clipped, height, width, margin), clipped, atol=1e-9)


def test_a_margin_larger_than_one_side_counts_as_that_side_alone() -> None:
    """A strip of an image: the margin is cut to 3 pixels along its short side and stays 10 along the other."""
    np.testing.assert_array_equal(bx.clip_box([40.0, 1, 2, 2], 3, 100, 10), [40, 0, 10, 3])
    np.testing.assert_array_equal(bx.clip_box([1.0, 40, 2, 2], 100, 3, 10), [0, 40, 3, 10])


def test_clip_equals_the_published_one() -> None:
    reference = np.load(REFERENCE)
    height, width = reference["image"].shape[:2]
    clipped = bx.clip_box(reference["boxes"], height, width, margin=10)
    np.testing.assert_array_equal(clipped, reference["boxes_clipped_margin10"])


@settings(max_examples=25)
@given(a=box, b=box)
def test_numpy_equals_torch(a, b) -> None:
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    for function in [f for pair in ROUND_TRIPS for f in pair]:
        np.testing.assert_allclose(function(ta).numpy(), function(a), atol=1e-12)
    for function in (bx.iou, bx.giou):
        np.testing.assert_allclose(function(ta, tb).numpy(), function(a, b), atol=1e-12)
    np.testing.assert_allclose(bx.clip_box(ta, 90, 120, 10).numpy(), bx.clip_box(a, 90, 120, 10), atol=1e-12)


def test_giou_of_empty_boxes_has_finite_gradients() -> None:
    a = torch.zeros(2, 4, requires_grad=True)
    bx.giou(a, torch.tensor([[0.0, 0, 0, 0], [0.1, 0.1, 0.2, 0.2]])).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([1, 2, 3], "four numbers"),
        ("left", "four numbers"),
        ([1, 2, float("nan"), 4], "NaN or infinite"),
        ([1, 2, float("inf"), 4], "NaN or infinite"),
        ([1, 2, 0, 4], "empty"),
        ([1, 2, 5, -4], "empty"),
        ([1, 2, 1e-300, 1e-300], "thousandth of a pixel"),
        ([1, 2, 5, 1e-9], "thousandth of a pixel"),
        ([120, 2, 5, 4], "entirely outside the image, which is 120 pixels wide and 90 high"),
        ([1, -4, 5, 4], "entirely outside"),
    ],
)
def test_check_box_says_what_is_wrong(bad, words) -> None:
    with pytest.raises(ValueError, match=words):
        bx.check_box(bad, height=90, width=120)


def test_check_box_accepts() -> None:
    for good in ([-5, -4, 22, 18], (119.5, 89, 3, 3), torch.tensor([1.0, 2, 3, 4]), np.array([1, 2, 3, 4])):
        checked = bx.check_box(good, height=90, width=120)
        assert checked.shape == (4,)
        assert checked.dtype == np.float64
