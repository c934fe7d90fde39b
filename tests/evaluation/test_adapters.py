# SPDX-License-Identifier: Apache-2.0
"""What foreign trackers may be given, and what they may answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.evaluation import toy

from modaltrack.evaluation.adapters import ForeignEngine, arranged, find_factory, make_opencv, understood
from modaltrack.frame import Frame, Modality

IMAGE = np.full((64, 96, 3), 70, np.uint8)


def test_the_other_interface_and_images() -> None:
    images = {Modality.RGB: IMAGE, Modality.THERMAL: IMAGE + 1}
    engine = ForeignEngine(find_factory("tests.evaluation.toy:Dictionary"))
    frame = Frame(images)
    state = engine.step(engine.start([frame], np.array([[1.0, 2, 3, 4]])), [frame])
    boxes, scores, status = engine.read(state)
    assert boxes.tolist() == [[1, 2, 3, 4]]
    assert scores.tolist() == [0.25]
    assert not len(status)
    red = IMAGE.copy()
    red[..., 0] = 200
    assert arranged(Frame({Modality.RGB: red}), "bgr")[0, 0].tolist() == [70, 70, 200]
    assert arranged(frame, "stacked").shape == (64, 96, 6)
    assert arranged(Frame({Modality.RGB: red}), "stacked") is None
    assert arranged(Frame({}), "mapping") is None
    assert arranged(Frame({Modality.THERMAL: red}), "rgb") is red


def test_a_frame_without_its_image_holds_the_box_and_is_said() -> None:
    engine = ForeignEngine(toy.Steady)
    state = engine.start([Frame({Modality.RGB: IMAGE})], np.array([[1.0, 2, 3, 4]]))
    with pytest.warns(UserWarning, match="the box is held"):
        state = engine.step(state, [Frame({})])
    assert engine.read(state)[0].tolist() == [[1, 2, 3, 4]]
    assert engine.read(state)[1].tolist() == [0]


@pytest.mark.parametrize(
    ("answer", "box", "score"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], None),
        (np.array([[1, 2, 3, 4]]), [1, 2, 3, 4], None),
        (([1, 2, 3, 4], 0.5), [1, 2, 3, 4], 0.5),
        ((True, (1, 2, 3, 4)), [1, 2, 3, 4], None),
        ((False, (0, 0, 0, 0)), None, 0.0),
        ({"target_bbox": [1, 2, 3, 4]}, [1, 2, 3, 4], None),
        (None, None, 0.0),
    ],
)
def test_answers_that_are_understood(answer: Any, box: Any, score: Any) -> None:
    got, confidence = understood(answer)
    assert (got if got is None else got.tolist()) == box
    assert confidence == score


@pytest.mark.parametrize("answer", ["over there", [1, 2, 3], [1, 2, 3, float("nan")], {"bbox": 1, "box": "x"}])
def test_answers_that_are_not(answer: Any) -> None:
    with pytest.raises(ValueError, match="The tracker answered"):
        understood(answer)


def test_an_opencv_without_the_tracker_says_which_wheel_has_it() -> None:
    with pytest.raises(ValueError, match="has no tracker SORCERY; replace opencv-python-headless by opencv-contrib"):
        make_opencv("SORCERY")
