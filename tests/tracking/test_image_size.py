# SPDX-License-Identifier: Apache-2.0
"""Streams that switch their resolution, single broken images, and first boxes that are far out of the image."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from colour_world import ColourModel, block, frame, path

from modaltrack.boxes import iou
from modaltrack.frame import Frame, Modality, Status
from modaltrack.tracking import Tracker, start, step

RGB, THERMAL = Modality.RGB, Modality.THERMAL


@pytest.fixture
def model() -> ColourModel:
    return ColourModel()


def scaled(box, x: float, y: float) -> np.ndarray:
    return np.array(box, float) * [x, y, x, y]


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_the_box_goes_with_images_of_another_size(model, factor: float) -> None:
    boxes = path(6)
    tracker = Tracker(model)
    tracker.init(block(boxes[0]), boxes[0])
    tracker.update(block(boxes[1]))
    height, width = round(120 * factor), round(160 * factor)
    with pytest.warns(UserWarning, match=rf"from 160x120 to {width}x{height} pixels; the box is scaled with them"):
        found = tracker.update(block(scaled(boxes[2], factor, factor), height=height, width=width))
    assert iou(found.box, scaled(boxes[2], factor, factor)) > 0.7
    assert found.status is Status.TRACKING
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said at the change and not again
        found = tracker.update(block(scaled(boxes[3], factor, factor), height=height, width=width))
    assert iou(found.box, scaled(boxes[3], factor, factor)) > 0.7
    with pytest.warns(UserWarning, match="to 160x120"):
        found = tracker.update(block(boxes[4]))
    assert iou(found.box, boxes[4]) > 0.7


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 300), (12, 16)])
@pytest.mark.parametrize("times", [1, 6])
def test_a_broken_image_counts_as_missing_and_the_size_is_remembered(model, size, times: int) -> None:
    boxes = path(8, speed=(1, 1))
    tracker = Tracker(model)
    tracker.init(block(boxes[0]), boxes[0])
    before = tracker.update(block(boxes[1])).box
    for _ in range(times):
        with pytest.warns(UserWarning, match="count as missing"):
            odd = tracker.update(np.full((*size, 3), 110, np.uint8))
        np.testing.assert_array_equal(odd.box, before)
        assert odd.score == 0
        assert odd.status is not Status.TRACKING
    found = tracker.update(block(boxes[2]))
    assert found.status is Status.TRACKING
    assert iou(found.box, boxes[2]) > 0.75
    np.testing.assert_allclose(found.box[2:], before[2:], rtol=0.1)


def test_in_a_batch_each_clip_has_its_own_size(model) -> None:
    boxes = path(3)
    firsts = [frame(0, boxes[0], RGB, THERMAL), frame(0, boxes[0], RGB)]
    state = start(model, firsts, [boxes[0]] * 2)
    half = scaled(boxes[1], 0.5, 0.5)
    with pytest.warns(UserWarning, match="to 80x60"):
        after = step(model, state, [frame(1, half, RGB, THERMAL, height=60, width=80), frame(1, boxes[1], RGB)])
    assert iou(after.box[0], half) > 0.7
    assert iou(after.box[1], boxes[1]) > 0.7
    assert after.image_size.tolist() == [[60, 80], [120, 160]]
    np.testing.assert_array_equal(after.initial_size, [[10, 8], [20, 16]])
    none = step(model, after, [Frame({}, index=2), frame(2, boxes[2], RGB)])
    assert none.image_size.tolist() == [[60, 80], [120, 160]]


@pytest.mark.parametrize("box", [(-60, -60, 100, 80), (-10, -10, 200, 150), (0, 0, 161, 10)])
def test_a_first_box_far_out_of_the_image_is_clipped_and_said(model, box) -> None:
    with pytest.warns(UserWarning, match="it is clipped to the image"):
        state = start(model, block(None), box)
    x, y, w, h = state.box[0]
    assert min(x, y) >= 0
    assert x + w <= 160
    assert y + h <= 120
    np.testing.assert_array_equal(state.initial_size[0], [w, h])


def test_a_first_box_that_reaches_out_a_little_stays_as_it_was_given(model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = start(model, block(None), (-10, 100, 40, 38))
    np.testing.assert_array_equal(state.box[0], [-10, 100, 40, 38])


@pytest.mark.parametrize("box", [(0, 0, 639, 479), (-9000, 0, 18000, 10), (0, 0, 10, 241)])
def test_a_first_box_much_larger_than_the_image_is_refused(model, box) -> None:
    with pytest.raises(ValueError, match="in pixels of this image"):
        start(model, block(None), box)


def test_a_box_in_shares_of_the_image_is_said(model) -> None:
    with pytest.warns(UserWarning, match="not in shares of it"):
        start(model, block(None), (0.6, 0.6, 0.1, 0.1))
