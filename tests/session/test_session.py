# SPDX-License-Identifier: Apache-2.0
"""What a session counts, tells and hands over, with an engine that takes a stated time on a clock of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modaltrack.frame import Frame, Modality, Result, Row, Status
from modaltrack.session import Clock, Job, Opened, Session, loop

IMAGE = np.full((64, 96, 3), 70, np.uint8)
RGB, THERMAL = Modality.RGB, Modality.THERMAL


class Hands:
    """The hands of a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    moved = Hands()
    monkeypatch.setattr(loop, "time", moved)
    return moved


class SlowEngine:
    """10 s for a template, 1 s for a step; a state is the frame's index and the number of targets."""

    batches = True

    def __init__(self, hands: Hands) -> None:
        self.hands = hands

    def start(self, frames: Any, boxes: Any) -> Any:
        self.hands.now += 10
        return [np.asarray(box, float) for box in boxes]

    def step(self, state: Any, frames: Any) -> Any:
        self.hands.now += 1
        assert len(state) == len(frames)
        return [box + np.eye(4)[0] for box in state]

    def select(self, state: Any, rows: Any) -> Any:
        return [state[row] for row in rows]

    def read(self, state: Any) -> Any:
        return np.array(state), np.full(len(state), 0.5), np.full(len(state), Status.UNCERTAIN, np.int64)


def frames(hands: Hands, length: int, wait: float = 0.25, captured: bool = False) -> Iterator[Frame]:
    for index in range(length):
        hands.now += wait
        arrived = {RGB: hands.now, THERMAL: hands.now - 3} if captured else {}
        yield Frame({RGB: IMAGE}, index / 10, index, frozenset({THERMAL}), arrived)


def job(hands: Hands, length: int, name: str = "clip", boxes: Any = (1, 2, 3, 4), **more: Any) -> Job:
    return Job(name, lambda: Opened(frames(hands, length, **more), boxes))


def test_every_second_is_counted_once_and_the_first_frame_apart(hands: Hands) -> None:
    """The first frame's 10 s would make the tracker's rate 5 / 14 instead of 1."""

    def draw(row: Row) -> None:
        hands.now += 0.5

    session = Session(SlowEngine(hands), [job(hands, 5)], [draw])
    ((result,),) = session.run()
    assert session.clock == Clock(
        frames=5, clips=1, total=5 * 0.25 + 10 + 4 + 5 * 0.5, waiting=5 * 0.25, tracker=4, first_frame=10, drawing=2.5
    )
    assert session.clock.rate == 1
    facts = session.clock.facts()
    assert facts["frames_per_second_tracker"] == 1
    assert facts["seconds"]["first_frame"] == 10
    assert result.seconds.tolist() == [10, 1, 1, 1, 1]
    assert Session(SlowEngine(hands), [job(hands, 1)]).clock.rate is None


def test_clips_in_a_batch_each_have_a_first_frame(hands: Hands) -> None:
    session = Session(SlowEngine(hands), [job(hands, 3, "a"), job(hands, 5, "b")])
    (first,), (second,) = session.run()
    assert (first.name, second.name) == ("a", "b")
    assert (session.clock.frames, session.clock.clips) == (8, 2)
    assert session.clock.rate == 6 / 4
    assert first.seconds.tolist() == [5, 0.5, 0.5]
    assert second.seconds.tolist() == [5, 0.5, 0.5, 1, 1]


def test_clocks_of_several_sessions_add_up(hands: Hands) -> None:
    whole = Clock()
    for length in (3, 4):
        session = Session(SlowEngine(hands), [job(hands, length)])
        session.run()
        whole.add(session.clock)
    assert (whole.frames, whole.clips, whole.tracker, whole.first_frame) == (7, 2, 5, 20)
    assert whole.rate == 1


def test_a_record_per_target_of_every_clip(hands: Hands) -> None:
    """Two clips in one batch, with two targets and one; the one with two ends first."""
    told: list[list[Result]] = []
    jobs = [job(hands, 2, "two", [(1, 2, 3, 4), (5, 6, 7, 8)]), job(hands, 3, "one", (9, 9, 9, 9))]
    session = Session(SlowEngine(hands), jobs, done=told.append, info={"model": "m"})
    two, one = session.run()
    assert [[r.name for r in results] for results in told] == [["two", "two"], ["one"]]
    np.testing.assert_array_equal(two[0].boxes, [[1, 2, 3, 4], [2, 2, 3, 4]])
    np.testing.assert_array_equal(two[1].boxes, [[5, 6, 7, 8], [6, 6, 7, 8]])
    np.testing.assert_array_equal(one[0].boxes[:, 0], [9, 10, 11])
    assert one[0].status.tolist() == [Status.UNCERTAIN] * 3
    assert one[0].times.tolist() == [0, 0.1, 0.2]
    assert one[0].present[RGB].all()
    assert not one[0].present[THERMAL].any()
    assert one[0].info == {"model": "m", "clip": "one", "tracker_seconds": 10 / 2 + 0.5 + 1}


def test_skipped_images_become_rows_without_a_box(hands: Hands) -> None:
    late = Job("late", lambda: Opened(frames(hands, 2), (1, 2, 3, 4), skipped=3))
    ((result,),) = Session(SlowEngine(hands), [late]).run()
    assert result.first == 3
    assert np.isnan(result.boxes[:3]).all()
    assert result.boxes[3:, 0].tolist() == [1, 2]
    assert result.seconds.tolist() == [0, 0, 0, 10, 1]
    assert [len(part) for part in (result.scores, result.status, result.times, result.present[RGB])] == [5] * 4


def test_a_stop_ends_it_after_the_row_and_keeps_what_is_done(hands: Hands) -> None:
    stop = threading.Event()
    session = Session(
        SlowEngine(hands), [job(hands, 9)], [lambda row: stop.set() if row.index == 2 else None], stop=stop
    )
    ((result,),) = session.run()
    assert len(result.boxes) == 3
    assert session.stopped


def test_max_frames_is_an_end_and_no_stop(hands: Hands) -> None:
    session = Session(SlowEngine(hands), [job(hands, 9)], max_frames=4)
    ((result,),) = session.run()
    assert len(result.boxes) == 4
    assert not session.stopped


def test_latency_is_counted_from_the_newest_image(hands: Hands) -> None:
    rows = list(Session(SlowEngine(hands), [job(hands, 3, captured=True)]))
    assert [row.latency for row in rows] == [10, 1, 1]
    assert np.isnan(next(iter(Session(SlowEngine(hands), [job(hands, 1)]))).latency)


def test_a_reader_is_closed_when_the_session_is_left(hands: Hands) -> None:
    closed = []

    class Reader:
        def __iter__(self) -> Iterator[Frame]:
            try:
                yield from frames(hands, 9)
            finally:
                closed.append(True)

    opened = Opened(Reader(), (1, 2, 3, 4))
    rows = iter(Session(SlowEngine(hands), [Job("a", lambda: opened)]))
    next(rows)
    assert not closed
    rows.close()
    assert closed == [True]


def test_an_iterator_of_the_caller_stays_open(hands: Hands) -> None:
    given = frames(hands, 5)
    rows = iter(Session(SlowEngine(hands), [Job("a", lambda: Opened(given, (1, 2, 3, 4)))]))
    next(rows)
    rows.close()
    assert next(given).index == 1


def test_without_anyone_to_tell_a_failure_is_raised(hands: Hands) -> None:
    def torn() -> Iterator[Frame]:
        yield Frame({RGB: IMAGE})
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Session(SlowEngine(hands), [Job("a", lambda: Opened(torn(), (1, 2, 3, 4)))]).run()
    with pytest.raises(ValueError, match="no frames"):
        Session(SlowEngine(hands), [job(hands, 0)]).run()
