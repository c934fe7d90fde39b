# SPDX-License-Identifier: Apache-2.0
"""A group of clips, one batch a frame. A clip that breaks leaves the batch; the others never notice.

The engines' ``step`` is a pure function of a state, so that after an exception each clip can be tried alone, the
culprits taken out, and the same instant computed again for the rest.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame
from modaltrack.sources.prefetch import prefetch

AHEAD = 4  # frames decoded in advance for each clip


class Engine(Protocol):
    """What follows B targets, one in each clip. ``batches``: whether B may exceed 1, which needs a pure ``step``."""

    batches: bool

    def start(self, frames: Sequence[Frame], boxes: NDArray[np.float64]) -> Any: ...

    def step(self, state: Any, frames: Sequence[Frame]) -> Any: ...

    def select(self, state: Any, rows: Sequence[int]) -> Any: ...

    def read(self, state: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes (B, 4) xywh pixels and scores (B,), nan where the tracker gives none."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A sequence that can be run. box: (4,) xywh in its first frame. skipped: images before it, without a target."""

    frames: Iterator[Frame]
    box: NDArray[np.float64]
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One sequence to run. open: called in a worker. length: for the order of work and the progress bar, 0 unknown."""

    name: str
    open: Callable[[], Opened]
    length: int = 0


@dataclass
class Track:
    """What a tracker said about one sequence, row by row.

    seconds: of the tracker alone, its share of the batch's. skipped: images before the first row.
    """

    name: str
    skipped: int = 0
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """A sequence that broke. frame: the row at which it did, -1 before the first. trace: for whoever repairs it."""

    name: str
    frame: int
    error: str
    trace: str = ""


@dataclass
class Timing:
    """Seconds by the wall clock. tracker: steps alone; waiting: for frames that were not decoded yet."""

    frames: int = 0
    tracker: float = 0.0
    waiting: float = 0.0
    total: float = 0.0

    def add(self, other: Timing) -> None:
        """Add another's; overlapping runs (on many machines) thus sum up to more than the wall clock's time."""
        self.frames += other.frames
        self.tracker += other.tracker
        self.waiting += other.waiting
        self.total += other.total


def describe(name: str, frame: int, error: Exception) -> Failure:
    """The failure that an exception means for a sequence."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, (ValueError, OSError)):
        text = f"{type(error).__name__}: {text}"
    return Failure(name, frame, text, "".join(traceback.format_exception(error)))


def run_group(
    engine: Engine,
    jobs: Sequence[Job],
    done: Callable[[Track], None],
    failed: Callable[[Failure], None],
    progress: Callable[[int], None] | None = None,
    workers: int = 4,
) -> Timing:
    """Run the jobs in lock-step; each is handed to ``done`` when its frames end, or to ``failed`` when it breaks.

    workers: how many clips may be decoded at one time. progress: called with the number of frames just done.
    Raises ValueError where a batch breaks though each of its clips works alone.
    """
    assert len(jobs) <= 1 or engine.batches, "an engine without batches is given one job at a time"
    timing, began = Timing(), time.perf_counter()
    turns = threading.Semaphore(max(1, workers))
    readers = {job.name: prefetch(_in_turn(job, turns), AHEAD) for job in jobs}
    tracks = {job.name: Track(job.name) for job in jobs}
    active, state, index = [job.name for job in jobs], None, 0
    try:
        while active:
            asked = time.perf_counter()
            frames, boxes, rows = [], [], []
            for row, name in enumerate(active):
                try:
                    frame, opened = next(readers[name])
                except StopIteration:
                    _finish(tracks[name], done, failed)
                except Exception as error:  # noqa: BLE001 - whatever breaks one clip must not end the others
                    failed(describe(name, index, error))
                else:
                    frames.append(frame)
                    boxes.append(opened.box)
                    rows.append(row)
                    tracks[name].skipped = opened.skipped
            timing.waiting += time.perf_counter() - asked
            if len(rows) < len(active):
                active = [active[row] for row in rows]
                state = engine.select(state, rows) if state is not None and active else state
            if not active:
                break
            stepped = time.perf_counter()
            state, rows, errors = _advance(engine, state, frames, np.array(boxes, np.float64))
            seconds = time.perf_counter() - stepped
            timing.tracker += seconds
            for row, reason in errors.items():
                failed(describe(active[row], index, reason))
            active = [active[row] for row in rows]
            if active:
                _note(engine, state, tracks, active, seconds)
            timing.frames += len(active)
            index += 1
            if progress:
                progress(len(active))
    finally:
        for reader in readers.values():
            reader.close()
    timing.total = time.perf_counter() - began
    return timing


def _in_turn(job: Job, turns: threading.Semaphore) -> Iterator[tuple[Frame, Opened]]:
    """The frames of a job, with it; at most so many clips decode at once as ``turns`` allows."""
    with turns:
        opened = job.open()
    while True:
        with turns:
            frame = next(opened.frames, None)
        if frame is None:
            return
        yield frame, opened


def _advance(
    engine: Engine, state: Any, frames: Sequence[Frame], boxes: NDArray[np.float64]
) -> tuple[Any, list[int], dict[int, Exception]]:
    """The next state, the rows it has, and the errors of those it has lost."""

    def move(rows: list[int]) -> Any:
        chosen = [frames[row] for row in rows]
        if state is None:
            return engine.start(chosen, boxes[rows])
        return engine.step(state if len(rows) == len(frames) else engine.select(state, rows), chosen)

    everyone = list(range(len(frames)))
    try:
        return move(everyone), everyone, {}
    except Exception as error:  # noqa: BLE001 - a tracker may raise anything
        if len(everyone) == 1:
            return None, [], {0: error}
        together = error
    errors: dict[int, Exception] = {}
    for row in everyone:
        try:
            move([row])
        except Exception as alone:  # noqa: BLE001 - as above
            errors[row] = alone
    if not errors:
        raise ValueError(
            f"A batch of {len(everyone)} clips breaks ({type(together).__name__}: {together}) and each clip works "
            "alone; pass a smaller --batch."
        ) from together
    rest = [row for row in everyone if row not in errors]
    return (move(rest) if rest else None), rest, errors


def _note(engine: Engine, state: Any, tracks: dict[str, Track], active: Sequence[str], seconds: float) -> None:
    boxes, scores = engine.read(state)
    for row, name in enumerate(active):
        track = tracks[name]
        track.boxes.append(np.array(boxes[row], np.float64))
        track.seconds.append(seconds / len(active))
        track.confidence.append(float(scores[row]))


def _finish(track: Track, done: Callable[[Track], None], failed: Callable[[Failure], None]) -> None:
    if track.boxes:
        done(track)
    else:
        failed(Failure(track.name, -1, "The sequence has no frames; check its folder."))
