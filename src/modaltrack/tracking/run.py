# SPDX-License-Identifier: Apache-2.0
"""Whole clips: one frame at a time with ``Tracker``, one clip with ``track``, many in lock-step with ``track_many``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Clip, Frame, Modality, Result, State, Status
from modaltrack.tracking.inputs import FrameLike, as_frame
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.step import select, start, step


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """One target in one frame: box (4,) float64 xywh pixels, score 0..1, status."""

    box: NDArray[np.float64]
    score: float
    status: Status


class Tracker:
    """One target, frame by frame.

    >>> tracker = Tracker(model)                                # doctest: +SKIP
    >>> tracker.init({"rgb": rgb, "thermal": thermal}, box)     # doctest: +SKIP
    >>> tracker.update({"rgb": rgb, "thermal": None}).box       # doctest: +SKIP

    A frame is a ``Frame``, a uint8 RGB image (H, W, 3), or a mapping modality -> image (None: missing in this frame).
    """

    def __init__(self, model: Any, policy: Policy | None = None) -> None:
        self.model = model
        self.policy = policy or Policy.of(model)
        self.state: State | None = None

    def init(self, frame: FrameLike, box: ArrayLike) -> TrackedBox:
        """Begin with the target in the xywh box; ValueError for a bad frame or box."""
        if np.ndim(np.asarray(box, dtype=object)) != 1:
            raise ValueError(
                "A Tracker follows one target; give one box x, y, width, height (several: use start, step)."
            )
        self.state = start(self.model, frame, box)
        return self._answer(self.state)

    def update(self, frame: FrameLike) -> TrackedBox:
        """Find the target in the next frame; ValueError for a bad frame, or before ``init``."""
        if self.state is None:
            raise ValueError("The tracker has no target yet; call init(frame, box) before update(frame).")
        self.state = step(self.model, self.state, as_frame(frame, self.state.index + 1), self.policy)
        return self._answer(self.state)

    def _answer(self, state: State) -> TrackedBox:
        return TrackedBox(state.box[0].copy(), float(state.score[0]), Status(state.status[0]))


class _Rows:
    """Collects what a ``Result`` needs, a few numbers a frame; images and states are let go."""

    def __init__(self) -> None:
        self.boxes: list[NDArray[np.float64]] = []
        self.scores: list[float] = []
        self.status: list[int] = []
        self.times: list[float] = []
        self.sensors: list[frozenset[Modality]] = []
        self.known: set[Modality] = set()
        self.seconds = 0.0

    def add(self, frame: Frame, state: State, row: int, seconds: float) -> None:
        self.boxes.append(state.box[row].copy())
        self.scores.append(float(state.score[row]))
        self.status.append(int(state.status[row]))
        self.times.append(float(frame.time))
        self.sensors.append(frozenset(Modality(m) for m in frame.images))
        self.known |= self.sensors[-1] | {Modality(m) for m in frame.missing}
        self.seconds += seconds

    def result(self, model: Any, policy: Policy, **info: Any) -> Result:
        card = getattr(model, "card", None) or {}
        return Result(
            str(info.get("clip") or ""),
            boxes=np.array(self.boxes, np.float64).reshape(-1, 4),
            scores=np.array(self.scores, np.float64),
            status=np.array(self.status, np.int64),
            times=np.array(self.times, np.float64),
            present={m: np.array([m in s for s in self.sensors], np.bool_) for m in Modality if m in self.known},
            info={"model": card.get("name"), "policy": asdict(policy), "tracker_seconds": self.seconds, **info},
        )


def _steps(
    model: Any, frames: Iterable[FrameLike], box: ArrayLike, policy: Policy
) -> Iterator[tuple[Frame, State, float]]:
    """Frame, state and the seconds of the tracker alone; holds one frame and one state at a time."""
    state: State | None = None
    for index, given in enumerate(frames):
        frame = as_frame(given, index)
        began = time.perf_counter()
        state = start(model, frame, box) if state is None else step(model, state, frame, policy)
        yield frame, state, time.perf_counter() - began
    if state is None:
        raise ValueError("The clip has no frames; check that its source is not empty.")


def follow(
    model: Any, frames: Iterable[FrameLike], box: ArrayLike, policy: Policy | None = None
) -> Iterator[tuple[Frame, State]]:
    """Each frame with the state after it, as they come; the first state is the box that was given.

    box: (4,) xywh pixels, or (B, 4) for B targets in the same frames. ValueError for bad frames and boxes.
    """
    for frame, state, _ in _steps(model, frames, box, policy or Policy.of(model)):
        yield frame, state


def _first_box(clip: Clip) -> NDArray[np.float64]:
    if clip.boxes is None or not len(clip.boxes) or not np.isfinite(clip.boxes[0]).all():
        raise ValueError(f"The clip {clip.name!r} has no box for its first frame; give one: x, y, width and height.")
    return clip.boxes[0]


def track(
    model: Any,
    frames: Clip | Iterable[FrameLike],
    box: ArrayLike | None = None,
    progress: Callable[[int], None] | None = None,
    policy: Policy | None = None,
) -> Result:
    """Follow one target through a clip, or through any iterable of frames (a camera, a generator).

    box: xywh pixels in the first frame; may be left out for a ``Clip`` whose first frame has one. progress: called with
    the number of frames done. Memory does not grow with the clip, except for a few numbers a frame. Answers a
    ``Result`` whose row 0 is the given box; ``info`` has the seconds spent in the tracker, reading frames not counted.
    """
    name = frames.name if isinstance(frames, Clip) else None
    if isinstance(frames, Clip):
        box = _first_box(frames) if box is None else box
        frames = frames.frames
    if box is None:
        raise ValueError("There is no box to start from; give x, y, width and height in pixels of the first frame.")
    if np.ndim(np.asarray(box, dtype=object)) != 1:
        raise ValueError("track() follows one target; give one box x, y, width, height (several: use follow()).")
    policy, rows = policy or Policy.of(model), _Rows()
    for frame, state, seconds in _steps(model, frames, box, policy):
        rows.add(frame, state, 0, seconds)
        if progress:
            progress(len(rows.boxes))
    return rows.result(model, policy, clip=name)


def track_many(
    model: Any,
    clips: Sequence[Clip],
    boxes: Sequence[ArrayLike] | None = None,
    policy: Policy | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """``track`` for many clips in lock-step, one batch a frame; clips that have ended drop out of the batch.

    The same numbers as one clip at a time, up to rounding. boxes: one xywh box for each clip, default their own first.
    progress: called with the number of frames done, over all clips.
    """
    if boxes is not None and len(boxes) != len(clips):
        raise ValueError(f"There are {len(boxes)} boxes for {len(clips)} clips; give one box for each clip.")
    if empty := [clip.name for clip in clips if not len(clip.frames)]:
        raise ValueError(f"The clip {empty[0]!r} has no frames; leave it out.")
    if not clips:
        return []
    policy = policy or Policy.of(model)
    first = np.array([_first_box(c) for c in clips] if boxes is None else boxes, np.float64)
    rows = [_Rows() for _ in clips]
    active = list(range(len(clips)))
    state: State | None = None
    index = done = 0
    while active:
        frames = [as_frame(clips[i].frames[index], index) for i in active]
        began = time.perf_counter()
        state = start(model, frames, first) if state is None else step(model, state, frames, policy)
        seconds = (time.perf_counter() - began) / len(active)
        for row, i in enumerate(active):
            rows[i].add(frames[row], state, row, seconds)
        index, done = index + 1, done + len(active)
        if progress:
            progress(done)
        staying = [row for row, i in enumerate(active) if index < len(clips[i].frames)]
        if len(staying) < len(active):
            active, state = [active[row] for row in staying], select(state, staying)
    return [r.result(model, policy, clip=clip.name) for r, clip in zip(rows, clips)]
