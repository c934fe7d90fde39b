# SPDX-License-Identifier: Apache-2.0
"""Targets that are chosen while a session runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modaltrack.frame import Frame, Modality, Status
from modaltrack.session import Job, Opened, Session, SteeredEngine, Steering
from modaltrack.session.steering import NOTHING


class Drift:
    """An engine whose box goes one pixel to the right in every frame; it refuses boxes without extent."""

    batches = True

    def start(self, frames: Sequence[Frame], boxes: Sequence[Any]) -> Any:
        box = np.array(boxes[0], np.float64)
        if box[2] <= 0:
            raise ValueError("no extent")
        return box

    def step(self, state: Any, frames: Sequence[Frame]) -> Any:
        return np.asarray(state) + np.array([1, 0, 0, 0])

    def select(self, state: Any, rows: Sequence[int]) -> Any:
        return state

    def read(self, state: Any) -> Any:
        return state[None], np.ones(1), np.array([Status.TRACKING])


def frames(count: int, dark: Sequence[int] = ()) -> list[Frame]:
    image = np.zeros((40, 60, 3), np.uint8)
    return [Frame({} if i in dark else {Modality.RGB: image}, i / 10, i) for i in range(count)]


def lefts(box: Any, wishes: dict[int, Any], count: int = 6, dark: Sequence[int] = ()) -> list[float]:
    """The left edge in each frame; ``wishes``: frame -> what is done before it."""
    steering = Steering()
    found = []
    opened = Opened(frames(count, dark), box)
    session = Session(SteeredEngine(Drift(), steering), [Job("", lambda: opened)])
    for row in session:
        found.append(float(row.boxes[0, 0]))
        assert row.status[0] == (Status.TRACKING if np.isfinite(row.boxes).all() else Status.UNCERTAIN)
        if row.index + 1 in wishes:
            wishes[row.index + 1](steering)
    return found


def choose(x: float, width: float = 5) -> Any:
    return lambda steering: steering.choose(lambda height, w: [x * w, 0, width, height / 2])


def test_nothing_is_followed_until_a_target_is_chosen_and_after_it_is_let_go() -> None:
    found = lefts(NOTHING, {2: choose(0.5), 4: lambda steering: steering.stop()})
    np.testing.assert_array_equal(found, [np.nan, np.nan, 30, 31, np.nan, np.nan])


def test_another_target_can_be_chosen_and_the_newest_wish_counts() -> None:
    def twice(steering: Steering) -> None:
        choose(0.9)(steering)
        choose(0.1)(steering)

    assert lefts([3, 0, 5, 5], {3: twice}) == [3, 4, 5, 6, 7, 8]
    assert lefts([3, 0, 5, 5], {3: choose(0.5)}) == [3, 4, 5, 30, 31, 32]


def test_a_box_that_is_refused_changes_nothing() -> None:
    assert lefts([3, 0, 5, 5], {2: choose(0.5, width=0)}) == [3, 4, 5, 6, 7, 8]


def test_a_frame_without_an_image_leaves_the_wish_for_the_next() -> None:
    assert lefts([3, 0, 5, 5], {2: choose(0.5)}, dark=[2]) == [3, 4, 5, 30, 31, 32]
