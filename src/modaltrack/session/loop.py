# SPDX-License-Identifier: Apache-2.0
"""The one loop over frames: clips are opened, stepped in lock-step, and every row is handed to observers.

Tracking one clip, many clips in a batch, a benchmark, a camera: all are a ``Session`` with other options. An engine's
``step`` is a pure function of a state, so that after an exception each clip can be tried alone, the culprits taken out,
and the same instant computed again for the rest.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Frame, Result, Row
from modaltrack.session.clock import Clock
from modaltrack.session.inputs import FrameLike, as_frame, list_of_boxes
from modaltrack.session.record import Recorder
from modaltrack.sources.prefetch import prefetch

Answer = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Boxes (B, 4) xywh pixels, scores (B,) with nan where the tracker gives none, status (B,) or empty where unknown."""


S = TypeVar("S")


class Engine(Protocol[S]):
    """What follows B targets.

    Attributes:
        batches: whether several clips may share a state, which needs a pure ``step``.
    """

    batches: bool

    def start(self, frames: Sequence[Frame], boxes: Sequence[ArrayLike]) -> S: ...

    def step(self, state: S, frames: Sequence[Frame]) -> S: ...

    def select(self, state: S, rows: Sequence[int]) -> S: ...

    def read(self, state: S) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A clip that can be run.

    Attributes:
        boxes: (4,) or (B, 4) xywh in its first frame.
        skipped: images before it, not shown.
    """

    frames: Iterable[FrameLike]
    boxes: ArrayLike
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One clip to run.

    Attributes:
        open: called when its turn comes, in a worker.
        length: for the order of work, 0 if unknown.
    """

    name: str
    open: Callable[[], Opened]
    length: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip that broke.

    Attributes:
        frame: the row at which it did, -1 before the first.
        trace: the traceback.
    """

    name: str
    frame: int
    error: str
    trace: str = ""

    @classmethod
    def of(cls, name: str, frame: int, error: Exception) -> Failure:
        """The failure that an exception means for a clip."""
        text = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, (ValueError, OSError)):
            text = f"{type(error).__name__}: {text}"
        return cls(name, frame, text, "".join(traceback.format_exception(error)))


@dataclass
class _Run:
    """One clip of a session: where its frames come from, how many targets it has, what was said of them."""

    job: Job
    reader: Generator[tuple[Frame, list[Any], int], None, None]
    count: int = 1
    boxes: list[Any] = field(default_factory=list)
    recorder: Recorder | None = None
    results: list[Result] = field(default_factory=list)


class Session:
    """Steps an engine through clips; iterate for rows, or ``run`` to the end for the records.

    Args:
        engine: the tracker.
        jobs: clips, in one batch. A clip whose frames end leaves the batch.
        observers: called with every ``Row``, in this order: video, progress, a stream of boxes.
        done: called with a clip's records, one per target, when its frames end or the session is stopped.
        failed: called with the failure of a clip that broke, which leaves the batch; None: its exception is raised.
        ahead: frames decoded in advance for each clip by a thread of its own; 0 reads in this thread.
        workers: how many clips may be decoded at one time.
        stop: once set, the session ends after the current row as if all sources had ended.
        max_frames: rows per clip after which the session ends the same way.
        record: keep a few numbers of every row for the records.
        info: goes into every record.

    Attributes:
        clock: where the time went, up to date at every row.
        stopped: whether ``stop`` ended it before the sources did.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Sequence[Job],
        observers: Sequence[Callable[[Row], None]] = (),
        *,
        done: Callable[[list[Result]], None] | None = None,
        failed: Callable[[Failure], None] | None = None,
        ahead: int = 0,
        workers: int = 4,
        stop: threading.Event | None = None,
        max_frames: int | None = None,
        record: bool = True,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        assert len(jobs) <= 1 or engine.batches, "an engine without batches is given one job at a time"
        self.clock = Clock()
        self.stopped = False
        self._engine = engine
        self._jobs = jobs
        self._observers = observers
        self._done = done
        self._failed = failed
        self._ahead = ahead
        self._turns = threading.Semaphore(max(1, workers))
        self._stop = stop
        self._max_frames = max_frames
        self._record = record
        self._info = dict(info or {})
        self._runs: list[_Run] = []

    def __repr__(self) -> str:
        return f"Session({self._engine!r}, {len(self._jobs)} clips, {self.clock.frames} frames done)"

    def run(self) -> list[list[Result]]:
        """Run to the end; the records of the clips that did not break, one list of targets each, in their order."""
        for _ in self:
            pass
        return [run.results for run in self._runs if run.results]

    def __iter__(self) -> Generator[Row, None, None]:
        """Yield the rows of all clips, instant by instant."""
        clock, began, index = self.clock, time.perf_counter(), 0
        self._runs = [_Run(job, self._reader(job)) for job in self._jobs]
        runs, state = self._runs, None
        try:
            while runs and not self._over(index):
                asked = time.perf_counter()
                frames, kept = self._read(runs, index)
                clock.waiting += time.perf_counter() - asked
                if len(kept) < len(runs):
                    state = self._select(state, runs, kept) if kept else None
                    runs = [runs[i] for i in kept]
                if not runs:
                    break
                before, stepped = state, time.perf_counter()
                state, kept = self._advance(state, runs, frames, index)
                seconds = time.perf_counter() - stepped
                if index:
                    clock.tracker += seconds
                else:
                    clock.first_frame += seconds
                if len(kept) < len(runs):
                    before = self._select(before, runs, kept) if kept and before is not None else None
                    runs, frames = [runs[i] for i in kept], [frames[i] for i in kept]
                for row in self._rows(runs, frames, before, state, index, seconds):
                    clock.total = time.perf_counter() - began
                    yield row
                index += 1
            for run in runs:
                self._finish(run)
        finally:
            for run in self._runs:
                run.reader.close()
            clock.total = time.perf_counter() - began

    def _over(self, index: int) -> bool:
        self.stopped = self._stop is not None and self._stop.is_set()
        return self.stopped or (self._max_frames is not None and index >= self._max_frames)

    def _reader(self, job: Job) -> Generator[tuple[Frame, list[Any], int], None, None]:
        frames = self._frames(job)
        return prefetch(frames, self._ahead) if self._ahead else frames

    def _frames(self, job: Job) -> Generator[tuple[Frame, list[Any], int], None, None]:
        """The checked frames of a job, with its boxes and skipped images; so many clips decode at once as may."""
        with self._turns:
            opened = job.open()
            boxes = list_of_boxes(opened.boxes)
            frames = iter(opened.frames)
        index = 0
        try:
            while True:
                with self._turns:
                    given = next(frames, None)
                    if given is None:
                        return
                    frame = as_frame(given, index)
                del given
                yield frame, boxes, opened.skipped
                del frame
                index += 1
        finally:
            close = getattr(frames, "close", None)
            if close is not None and frames is not opened.frames:  # an iterator of the caller's is the caller's
                close()

    def _read(self, runs: Sequence[_Run], index: int) -> tuple[list[Frame], list[int]]:
        """The next frame of each clip that has one, and which clips these are."""
        frames, kept = [], []
        for i, run in enumerate(runs):
            try:
                frame, run.boxes, skipped = next(run.reader)
            except StopIteration:
                if not index:
                    self._say_empty(run)
                self._finish(run)
                continue
            except Exception as error:
                if self._failed is None:
                    raise
                self._failed(Failure.of(run.job.name, index, error))
                continue
            run.count = len(run.boxes)
            if self._record and run.recorder is None:
                run.recorder = Recorder(run.job.name, skipped)
            frames.append(frame)
            kept.append(i)
        return frames, kept

    def _advance(
        self, state: object, runs: Sequence[_Run], frames: Sequence[Frame], index: int
    ) -> tuple[Any, list[int]]:
        """The next state, and the clips that it has."""

        def move(chosen: list[int]) -> object:
            images = [frames[i] for i in chosen for _ in range(runs[i].count)]
            if state is None:
                return self._engine.start(images, [box for i in chosen for box in runs[i].boxes])
            return self._engine.step(self._select(state, runs, chosen), images)

        everyone = list(range(len(runs)))
        if self._failed is None:
            return move(everyone), everyone
        try:
            return move(everyone), everyone
        except Exception as error:  # noqa: BLE001 - a tracker may raise anything
            together = error
        errors = {0: together} if len(everyone) == 1 else _errors_alone(move, everyone)
        if not errors:
            raise ValueError(
                f"A batch of {len(everyone)} clips breaks ({type(together).__name__}: {together}) and each clip works "
                "alone; pass a smaller --batch."
            ) from together
        for i, reason in errors.items():
            self._failed(Failure.of(runs[i].job.name, index, reason))
        rest = [i for i in everyone if i not in errors]
        return (move(rest) if rest else None), rest

    def _select(self, state: object, runs: Sequence[_Run], kept: Sequence[int]) -> object:
        """The state of some of the clips only."""
        if state is None or len(kept) == len(runs):
            return state
        starts = np.cumsum([0, *(run.count for run in runs)])
        return self._engine.select(state, [int(row) for i in kept for row in range(starts[i], starts[i + 1])])

    def _rows(
        self, runs: Sequence[_Run], frames: Sequence[Frame], before: object, state: object, index: int, seconds: float
    ) -> Iterator[Row]:
        """A row of each clip, after the observers have seen it."""
        if not runs:
            return
        boxes, scores, status = self._engine.read(state)
        finished, place = time.monotonic(), 0
        for run, frame in zip(runs, frames):
            own = slice(place, place + run.count)
            row = Row(
                run.job.name,
                index,
                frame,
                np.array(boxes[own], np.float64),
                np.array(scores[own], np.float64),
                np.array(status[own], np.int64),
                seconds / len(runs),
                finished,
                before,
                state,
                place,
            )
            place = own.stop
            self.clock.frames += 1
            self.clock.clips += index == 0
            if run.recorder is not None:
                run.recorder.add(row)
            drawing = time.perf_counter()
            for observer in self._observers:
                observer(row)
            self.clock.drawing += time.perf_counter() - drawing
            yield row

    def _finish(self, run: _Run) -> None:
        """Hand over the records of a clip whose frames have ended."""
        if run.recorder is None:
            return
        run.results = run.recorder.results(self._info)
        if self._done is not None:
            self._done(run.results)

    def _say_empty(self, run: _Run) -> None:
        if self._failed is None:
            raise ValueError("The clip has no frames; check that its source is not empty.")
        self._failed(Failure(run.job.name, -1, "The sequence has no frames; check its folder."))


def _errors_alone(move: Callable[[list[int]], Any], everyone: Sequence[int]) -> dict[int, Exception]:
    """The clips that break in a batch of their own, and how."""
    errors: dict[int, Exception] = {}
    for i in everyone:
        try:
            move([i])
        except Exception as error:  # noqa: BLE001 - a tracker may raise anything
            errors[i] = error
    return errors
