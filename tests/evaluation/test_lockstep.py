# SPDX-License-Identifier: Apache-2.0
"""Batches of clips of which some break, with an engine that counts; and what foreign trackers may answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from tests.evaluation import toy

from modaltrack.evaluation.adapters import ForeignEngine, arranged, find_factory, make_opencv, understood
from modaltrack.evaluation.lockstep import Failure, Job, Opened, Track, run_group
from modaltrack.frame import Frame, Modality

IMAGE = np.full((64, 96, 3), 70, np.uint8)


@dataclass(frozen=True)
class Counters:
    value: tuple[int, ...]


@dataclass
class CountingEngine:
    """Counts each clip's frames in the box's x; breaks on frames whose time is negative, or when B is 3."""

    batches: bool = True
    most: int = 99
    sizes: list[int] = field(default_factory=list)

    def start(self, frames: Any, boxes: Any) -> Counters:
        return self.step(Counters((-1,) * len(frames)), frames)

    def step(self, state: Counters, frames: Any) -> Counters:
        if any(frame.time < 0 for frame in frames):
            raise RuntimeError("a frame from before the beginning")
        if len(frames) > self.most:
            raise MemoryError("too many")
        self.sizes.append(len(frames))
        assert len(state.value) == len(frames)
        return Counters(tuple(v + 1 for v in state.value))

    def select(self, state: Counters, rows: Any) -> Counters:
        return Counters(tuple(state.value[r] for r in rows))

    def read(self, state: Counters) -> Any:
        return np.array([[v, 0, 1, 1] for v in state.value], float), np.full(len(state.value), 0.5)


def job(name: str, length: int, bad: int = -1, tear: int = -1) -> Job:
    def frames() -> Any:
        for index in range(length):
            if index == tear:
                raise OSError("the disk is gone")
            yield Frame({Modality.RGB: IMAGE}, -1.0 if index == bad else index / 30, index)

    return Job(name, lambda: Opened(frames(), np.array([1.0, 2, 3, 4])), length)


def run(engine: Any, jobs: list[Job]) -> tuple[dict[str, Track], dict[str, Failure], Any]:
    done: dict[str, Track] = {}
    failed: dict[str, Failure] = {}
    timing = run_group(
        engine, jobs, lambda t: done.update({t.name: t}), lambda f: failed.update({f.name: f}), workers=2
    )
    return done, failed, timing


def test_clips_that_break_leave_the_batch_and_the_rest_is_what_it_would_be_alone() -> None:
    engine = CountingEngine()
    jobs = [
        job("whole", 6),
        job("short", 3),
        job("bad in the middle", 6, bad=2),
        job("bad at once", 6, bad=0),
        job("torn", 6, tear=4),
        job("empty", 0),
    ]
    done, failed, timing = run(engine, jobs)
    assert set(done) == {"whole", "short"}
    for name, length in (("whole", 6), ("short", 3)):
        assert [box[0] for box in done[name].boxes] == list(range(length))
        assert len(done[name].seconds) == len(done[name].confidence) == length
    assert {name: f.frame for name, f in failed.items()} == {
        "bad in the middle": 2,
        "bad at once": 0,
        "torn": 4,
        "empty": -1,
    }
    assert "a frame from before the beginning" in failed["bad at once"].trace
    assert timing.total >= timing.tracker > 0


def test_a_batch_that_is_too_large_is_said_and_nobody_is_blamed() -> None:
    with pytest.raises(ValueError, match=r"breaks .MemoryError: too many. and each clip works alone; pass a smaller"):
        run(CountingEngine(most=2), [job("a", 3), job("b", 3), job("c", 3)])


def test_a_job_that_cannot_be_opened_is_a_failure_too() -> None:
    def closed() -> Any:
        raise ValueError("The folder is locked; unlock it.")

    done, failed, _ = run(CountingEngine(), [replace(job("a", 2), open=closed), job("b", 2)])
    assert set(done) == {"b"}
    assert failed["a"].error == "The folder is locked; unlock it."


def test_the_other_interface_and_images() -> None:
    images = {Modality.RGB: IMAGE, Modality.THERMAL: IMAGE + 1}
    engine = ForeignEngine(find_factory("tests.evaluation.toy:Dictionary"))
    frame = Frame(images)
    state = engine.step(engine.start([frame], np.array([[1.0, 2, 3, 4]])), [frame])
    boxes, scores = engine.read(state)
    assert boxes.tolist() == [[1, 2, 3, 4]]
    assert scores.tolist() == [0.25]
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
