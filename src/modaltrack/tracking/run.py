# SPDX-License-Identifier: Apache-2.0
"""Whole clips: one frame at a time with ``Tracker``, one clip with ``track``, many in lock-step with ``track_many``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Clip, Frame, Modality, Result, Row, State, Status
from modaltrack.models.model import Model, declared
from modaltrack.models.weights_io import load_model
from modaltrack.session import Job, Opened, Session
from modaltrack.session.inputs import FrameLike, as_frame
from modaltrack.sources import open_clip
from modaltrack.sources.sensor_folders import Spec
from modaltrack.tracking.engine import ModelEngine
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.step import start, step


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """One target in one frame: box (4,) float64 xywh pixels, score 0..1, status."""

    box: NDArray[np.float64]
    score: float
    status: Status

    def __repr__(self) -> str:
        numbers = ", ".join(f"{number:.1f}" for number in self.box)
        return f"TrackedBox([{numbers}], score {self.score:.2f}, {self.status.name})"


class Tracker:
    """One target, frame by frame.

    >>> tracker = Tracker(model)                                # doctest: +SKIP
    >>> tracker.init({"rgb": rgb, "thermal": thermal}, box)     # doctest: +SKIP
    >>> tracker.update({"rgb": rgb, "thermal": None}).box       # doctest: +SKIP

    A frame is a ``Frame``, a uint8 RGB image (H, W, 3), or a mapping modality -> image (None: missing in this frame).
    """

    def __init__(self, model: Model | str | PathLike[str], policy: Policy | None = None) -> None:
        """Take a model, or the name or weight file of one, which is loaded to the GPU if there is one."""
        self.model = _model(model)
        self.policy = policy or Policy.of(self.model)
        self.state: State | None = None

    def __repr__(self) -> str:
        now = f"at {self.state!r}" if self.state is not None else "without a target yet"
        return f"Tracker({self.model.name or type(self.model).__name__}, {now})"

    def init(self, frame: FrameLike, box: ArrayLike) -> TrackedBox:
        """Begin with the target in the xywh box.

        Raises:
            ValueError: for a bad frame or box.
        """
        _one_box(box, "A Tracker follows one target; give one box x, y, width, height (several: use start, step).")
        self.state = start(self.model, frame, box)
        return self._answer(self.state)

    def update(self, frame: FrameLike) -> TrackedBox:
        """Find the target in the next frame.

        Raises:
            ValueError: for a bad frame, or before ``init``.
        """
        if self.state is None:
            raise ValueError("The tracker has no target yet; call init(frame, box) before update(frame).")
        self.state = step(self.model, self.state, as_frame(frame, self.state.index + 1), self.policy)
        return self._answer(self.state)

    def _answer(self, state: State) -> TrackedBox:
        return TrackedBox(state.box[0].copy(), float(state.score[0]), Status(state.status[0]))


def follow(
    model: Model, frames: Iterable[FrameLike], box: ArrayLike, policy: Policy | None = None
) -> Iterator[tuple[Frame, State]]:
    """Each frame with the state after it, as they come; the first state is the box that was given.

    Args:
        box: (4,) xywh pixels, or (B, 4) for B targets in the same frames.

    Raises:
        ValueError: for bad frames and boxes.
    """
    job = Job("", lambda: Opened(frames, box))
    for row in Session(ModelEngine(model, policy), [job], record=False):
        yield row.frame, row.state


def track(
    model: Model | str | PathLike[str],
    frames: Clip | Iterable[FrameLike] | Mapping[str, Spec] | Mapping[Modality, Spec] | str | PathLike[str],
    box: ArrayLike | None = None,
    progress: Callable[[int], None] | None = None,
    policy: Policy | None = None,
) -> Result:
    """Follow one target through a clip, or through any iterable of frames (a camera, a generator).

    Args:
        model: a model, or the name or weight file of one.
        frames: a clip, frames one after the other, or what ``open_clip`` opens: ``{"rgb": PATH}`` or a clip's folder.
        box: xywh pixels in the first frame; may be left out for a ``Clip`` whose first frame has one.
        progress: called with the number of frames done.

    Memory does not grow with the clip, except for a few numbers a frame.

    Returns:
        A ``Result`` whose row 0 is the given box; ``info`` has the seconds spent in the tracker, reading frames not
        counted.
    """
    engine = _model(model)
    name = frames.name if isinstance(frames, Clip) else ""
    if isinstance(frames, Clip):
        box = _first_box(frames) if box is None else box
        frames = frames.frames
    if box is None:
        raise ValueError("There is no box to start from; give x, y, width and height in pixels of the first frame.")
    _one_box(box, "track() follows one target; give one box x, y, width, height (several: use follow()).")
    if isinstance(frames, Mapping | str | PathLike):
        frames = open_clip(frames)
    opened = Opened(frames, box)
    ((result,),) = _session(engine, policy, [Job(name, lambda: opened)], progress).run()
    return result


def track_many(
    model: Model,
    clips: Sequence[Clip],
    boxes: Sequence[ArrayLike] | None = None,
    policy: Policy | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """``track`` for many clips in lock-step, one batch a frame; clips that have ended drop out of the batch.

    The same numbers as one clip at a time, up to rounding.

    Args:
        boxes: one xywh box for each clip, default their own first.
        progress: called with the number of frames done, over all clips.
    """
    if boxes is not None and len(boxes) != len(clips):
        raise ValueError(f"There are {len(boxes)} boxes for {len(clips)} clips; give one box for each clip.")
    if empty := [clip.name for clip in clips if not len(clip.frames)]:
        raise ValueError(f"The clip {empty[0]!r} has no frames; leave it out.")
    first = [_first_box(clip) for clip in clips] if boxes is None else boxes
    opened = [Opened(clip.frames, box) for clip, box in zip(clips, first)]
    jobs = [Job(clip.name, lambda one=one: one) for clip, one in zip(clips, opened)]  # type: ignore[misc]
    return [result for (result,) in _session(model, policy, jobs, progress).run()]


def _session(
    model: Model, policy: Policy | None, jobs: Sequence[Job], progress: Callable[[int], None] | None
) -> Session:
    engine = ModelEngine(model, policy)

    def report(row: Row) -> None:
        if progress is not None:
            progress(session.clock.frames)

    session = Session(engine, jobs, [report], info=engine.info)
    return session


def _model(model: Model | str | PathLike[str]) -> Model:
    """The model that was given or named.

    Raises:
        ValueError: for what is none, and for exported files, which run elsewhere.
    """
    if not isinstance(model, str | PathLike):
        return declared(model)
    if Path(model).suffix in (".onnx", ".xml"):
        raise ValueError(f"{model} is an exported graph; load it first: modaltrack.load_model({str(model)!r}).")
    return load_model(Path(model) if isinstance(model, PathLike) else model)


def _one_box(box: ArrayLike, otherwise: str) -> None:
    if np.ndim(np.asarray(box, dtype=object)) != 1:
        raise ValueError(otherwise)


def _first_box(clip: Clip) -> NDArray[np.float64]:
    if clip.boxes is None or not len(clip.boxes) or not np.isfinite(clip.boxes[0]).all():
        raise ValueError(f"The clip {clip.name!r} has no box for its first frame; give one: x, y, width and height.")
    return clip.boxes[0]
