# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from modaltrack.frame import Frame, Modality, Status
from modaltrack.sinks import Canvas, DrawnTarget, draw
from modaltrack.sinks.picture import BACKGROUND, BAR, COLOURS, TRUTH_COLOUR

GREY = np.full((240, 320, 3), 90, dtype=np.uint8)
PAIR = (Modality.RGB, Modality.THERMAL)


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour, dtype=np.uint8)).all(axis=-1).any())


@pytest.mark.parametrize("status", list(Status))
def test_the_box_wears_the_colour_of_the_status_in_every_panel(status: Status) -> None:
    frame = Frame(dict.fromkeys(PAIR, GREY), time=1.0, index=7)
    canvas = Canvas(PAIR, 240, 320)
    picture = draw(canvas, frame, [DrawnTarget(np.array([100.0, 100.0, 50.0, 40.0]), 0.5, status)])
    assert picture.shape == (*canvas.size, 3)
    assert tuple(picture[BAR + 100, 100]) == COLOURS[status]
    assert tuple(picture[BAR + 140, 320 + 150]) == COLOURS[status]


def test_ground_truth_is_drawn_and_absence_draws_nothing() -> None:
    frame = Frame({Modality.RGB: GREY})
    canvas = Canvas((Modality.RGB,), 240, 320)
    nothing = np.full(4, np.nan)
    with_truth = draw(canvas, frame, [DrawnTarget(nothing, 0.0, Status.LOST, truth=np.array([50.0, 60.0, 30.0, 30.0]))])
    without = draw(canvas, frame, [DrawnTarget(nothing, 0.0, Status.LOST, truth=nothing)])
    assert has_colour(with_truth[BAR:-BAR], TRUTH_COLOUR)
    np.testing.assert_array_equal(without[BAR:-BAR], GREY)


def test_a_missing_modality_is_an_empty_panel_of_the_same_size() -> None:
    canvas = Canvas(PAIR, 240, 320)
    box = np.array([10.0, 10.0, 20.0, 20.0])
    picture = draw(canvas, Frame({Modality.RGB: GREY}), [DrawnTarget(box, 0.5, Status.TRACKING)])
    assert picture.shape == (*canvas.size, 3)
    assert tuple(picture[BAR + 200, 320 + 200]) == BACKGROUND


@pytest.mark.parametrize("box", [[-1e9, -1e9, 3e9, 3e9], [1e12, 0, 5, 5], [-40, -40, 60, 60], [319, 239, 500, 500]])
def test_boxes_beyond_the_image_do_not_break_the_drawing(box: list[float]) -> None:
    draw(Canvas((Modality.RGB,), 240, 320), Frame({Modality.RGB: GREY}), [DrawnTarget(np.array(box), 0.1, Status.LOST)])


def test_small_images_are_enlarged_and_several_targets_are_numbered() -> None:
    frame = Frame({Modality.RGB: GREY[:60, :80]})
    canvas = Canvas((Modality.RGB,), 60, 80)
    assert canvas.panel == (240, 320)
    box = np.array([20.0, 30.0, 10.0, 10.0])
    one = draw(canvas, frame, [DrawnTarget(box, 0.5, Status.TRACKING)])
    two = draw(canvas, frame, [DrawnTarget(box, 0.5, Status.TRACKING)] * 2)
    assert tuple(one[BAR + 120, 80]) == COLOURS[Status.TRACKING]
    assert (one[BAR:-BAR] != two[BAR:-BAR]).any()


def test_the_frame_is_not_drawn_into() -> None:
    image = GREY.copy()
    draw(
        Canvas((Modality.RGB,), 240, 320),
        Frame({Modality.RGB: image}),
        [DrawnTarget(np.array([9.0, 9, 9, 9]), 1, Status(0))],
    )
    np.testing.assert_array_equal(image, GREY)
