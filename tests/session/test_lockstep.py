# SPDX-License-Identifier: Apache-2.0
"""Batches of clips of which some break, with an engine that counts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from modaltrack.frame import Frame, Modality, Result
from modaltrack.session import Failure, Job, Opened, Session

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
        count = len(state.value)
        return np.array([[v, 0, 1, 1] for v in state.value], float), np.full(count, 0.5), np.empty(0, np.int64)


def job(name: str, length: int, bad: int = -1, tear: int = -1) -> Job:
    def frames() -> Any:
        for index in range(length):
            if index == tear:
                raise OSError("the disk is gone")
            yield Frame({Modality.RGB: IMAGE}, -1.0 if index == bad else index / 30, index)

    return Job(name, lambda: Opened(frames(), np.array([1.0, 2, 3, 4])), length)


def run(engine: Any, jobs: list[Job], ahead: int = 4) -> tuple[dict[str, Result], dict[str, Failure], Any]:
    done: dict[str, Result] = {}
    failed: dict[str, Failure] = {}
    session = Session(
        engine,
        jobs,
        done=lambda results: done.update({r.name: r for r in results}),
        failed=lambda failure: failed.update({failure.name: failure}),
        ahead=ahead,
        workers=2,
    )
    session.run()
    return done, failed, session.clock


@pytest.mark.parametrize("ahead", [0, 4])
def test_clips_that_break_leave_the_batch_and_the_rest_is_what_it_would_be_alone(ahead: int) -> None:
    engine = CountingEngine()
    jobs = [
        job("whole", 6),
        job("short", 3),
        job("bad in the middle", 6, bad=2),
        job("bad at once", 6, bad=0),
        job("torn", 6, tear=4),
        job("empty", 0),
    ]
    done, failed, clock = run(engine, jobs, ahead)
    assert set(done) == {"whole", "short"}
    for name, length in (("whole", 6), ("short", 3)):
        assert [box[0] for box in done[name].boxes] == list(range(length))
        assert len(done[name].seconds) == len(done[name].scores) == length
    assert {name: f.frame for name, f in failed.items()} == {
        "bad in the middle": 2,
        "bad at once": 0,
        "torn": 4,
        "empty": -1,
    }
    assert "a frame from before the beginning" in failed["bad at once"].trace
    assert clock.total >= clock.tracker > 0
    assert (clock.clips, clock.frames) == (4, 6 + 3 + 2 + 4)


def test_a_batch_that_is_too_large_is_said_and_nobody_is_blamed() -> None:
    with pytest.raises(ValueError, match=r"breaks .MemoryError: too many. and each clip works alone; pass a smaller"):
        run(CountingEngine(most=2), [job("a", 3), job("b", 3), job("c", 3)])


def test_a_job_that_cannot_be_opened_is_a_failure_too() -> None:
    def closed() -> Any:
        raise ValueError("The folder is locked; unlock it.")

    done, failed, _ = run(CountingEngine(), [replace(job("a", 2), open=closed), job("b", 2)])
    assert set(done) == {"b"}
    assert failed["a"].error == "The folder is locked; unlock it."
