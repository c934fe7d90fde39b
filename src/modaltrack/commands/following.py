# SPDX-License-Identifier: Apache-2.0
"""The loop of ``track`` and ``demo``: frames in, boxes and an annotated video out, every second accounted for."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, Modality, Result, State, Status

if TYPE_CHECKING:
    from modaltrack.commands.fused_view import FusedVideo
    from modaltrack.sinks import Mark


@dataclass
class Speed:
    """Seconds of a run. waiting: for the source (it decodes ahead, in a thread); tracker: crop, model and box."""

    frames: int = 0
    total: float = 0.0
    waiting: float = 0.0
    tracker: float = 0.0
    drawing: float = 0.0
    first_frame: float = 0.0

    def facts(self) -> dict[str, Any]:
        """For ``result.json``. The first frame only cuts the template and is left out of the tracker's rate."""
        steps = self.frames - 1
        return {
            "frames_per_second_tracker": steps / self.tracker if steps > 0 and self.tracker > 0 else None,
            "frames_per_second_end_to_end": self.frames / self.total if self.total > 0 else None,
            "seconds": {
                "total": self.total,
                "waiting_for_source": self.waiting,
                "tracker": self.tracker,
                "first_frame": self.first_frame,
                "drawing_and_encoding": self.drawing,
            },
            "note": "tracker = crop, model and box, without decoding, drawing and encoding",
        }


class Follower:
    """Runs B targets through frames that come one at a time and keeps a few numbers of each."""

    def __init__(self, model: Any, boxes: NDArray[np.float64]) -> None:
        self.model = model
        self.boxes = boxes
        self.speed = Speed()
        self.times: list[float] = []
        self._state: State | None = None
        self._rows: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]] = []
        self._present: list[frozenset[Modality]] = []
        self._opened: set[Modality] = set()

    def step(self, frame: Frame) -> State:
        """Find the targets in the next frame; the first one takes the boxes that were given."""
        from modaltrack.tracking import start, step

        began = time.perf_counter()
        first = self._state is None
        self._state = (
            start(self.model, frame, self.boxes) if self._state is None else step(self.model, self._state, frame)
        )
        seconds = time.perf_counter() - began
        if first:
            self.speed.first_frame = seconds
        else:
            self.speed.tracker += seconds
        state = self._state
        self._rows.append((state.box.copy(), state.score.copy(), state.status.copy()))
        self._present.append(frozenset(frame.images))
        self._opened |= set(frame.images) | frame.missing
        self.times.append(frame.time)
        self.speed.frames += 1
        return state

    @property
    def state(self) -> State | None:
        """The state after the last frame."""
        return self._state

    def results(self) -> list[Result]:
        """One ``Result`` per target."""
        boxes, scores, status = (np.stack(rows, axis=1) for rows in zip(*self._rows, strict=True))  # (B, N, ...)
        present = {m: np.array([m in p for p in self._present]) for m in Modality if m in self._opened}
        times = np.array(self.times, dtype=np.float64)
        return [
            Result("", boxes[b], scores[b], status=status[b], times=times, present=present)
            for b in range(len(self.boxes))
        ]


def follow_frames(
    follower: Follower,
    frames: Iterable[Frame],
    *,
    modalities: tuple[Modality, ...],
    video: Path | None = None,
    fused: Path | None = None,
    fps: float = 30.0,
    truth: NDArray[np.float64] | None = None,
    note: str = "",
    live: bool = False,
    max_frames: int | None = None,
    report: Callable[[Speed], None] | None = None,
) -> list[Result]:
    """Run the frames through the follower, drawing each into ``video``; -> one ``Result`` per target.

    live: the first Ctrl-C (or SIGTERM) ends the loop as the end of a file would; otherwise it is a KeyboardInterrupt.
    fused: a second video, of the fused search crops of a model that fuses images.
    truth: (N, 4) xywh of the only target, drawn where given. report: called after every frame.
    """
    from modaltrack.sinks import AnnotatedVideo

    speed = follower.speed
    began = time.perf_counter()
    with (
        AnnotatedVideo(video, modalities, fps) if video else nullcontext() as writer,
        _fused_video(fused, follower.model, fps) as second,
        stop_signal(live) as stopped,
    ):
        iterator: Iterator[Frame] = iter(frames)
        while not stopped.is_set() and (max_frames is None or speed.frames < max_frames):
            asked = time.perf_counter()
            frame = next(iterator, None)
            speed.waiting += time.perf_counter() - asked
            if frame is None:
                break
            before, state = follower.state, follower.step(frame)
            drawing = time.perf_counter()
            if writer is not None:
                true = truth[speed.frames - 1] if truth is not None and speed.frames <= len(truth) else None
                writer.write(frame, _marks(state, true), note)
            if second is not None:
                second.write(frame, before or state, state)
            speed.drawing += time.perf_counter() - drawing
            speed.total = time.perf_counter() - began
            if report:
                report(speed)
        close = getattr(iterator, "close", None)  # generators: lets decoding threads and cameras go now
        if close is not None:
            close()
    speed.total = time.perf_counter() - began
    if not speed.frames:
        raise ValueError("The source has no frames; check the path, or that the camera sends a picture.")
    return follower.results()


def _fused_video(path: Path | None, model: Any, fps: float) -> AbstractContextManager[FusedVideo | None]:
    if path is None:
        return nullcontext()
    from modaltrack.commands.fused_view import FusedVideo

    return FusedVideo(path, model, fps)


def _marks(state: State, truth: NDArray[np.float64] | None) -> list[Mark]:
    from modaltrack.sinks import Mark

    return [
        Mark(box, float(score), Status(int(status)), truth)
        for box, score, status in zip(state.box, state.score, state.status, strict=True)
    ]


@contextmanager
def stop_signal(live: bool) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets while a live source runs; the second one interrupts as usual."""
    stopped = threading.Event()
    if not live or threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def ask(number: int, stack: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, ask) for kind in kinds]
    try:
        yield stopped
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def versions() -> dict[str, str]:
    """What produced a file, for ``result.json``."""
    import platform
    from importlib.metadata import version

    import modaltrack

    names = ("torch", "numpy", "opencv-python-headless", "av")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except ImportError:  # PackageNotFoundError: another wheel of the same library
            found[name] = "unknown"
    return {"modaltrack": modaltrack.__version__, "python": platform.python_version(), **found}


def write_outputs(folder: Path, results: Sequence[Result], facts: dict[str, Any]) -> list[Path]:
    """Write the box files and ``result.json``; -> the files."""
    from modaltrack.sinks import result_document, write_boxes, write_json

    names = ["boxes.txt"] if len(results) == 1 else [f"boxes-{i}.txt" for i in range(1, len(results) + 1)]
    for name, result in zip(names, results, strict=True):
        write_boxes(folder / name, result.boxes)
    write_json(folder / "result.json", result_document(results, facts))
    return [folder / name for name in names] + [folder / "result.json"]
