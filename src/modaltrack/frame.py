# SPDX-License-Identifier: Apache-2.0
"""The plain data that flows through the house: frozen, slotted, without torch.

What it offers for convenience (a picture in a notebook, ``Result.save``) is done elsewhere and imported when asked for.

Boxes are float ``xywh`` in pixels of the RGB image (continuous, top-left origin); time is seconds as float64.
Absent (a ``nan`` box), missing (a modality without an image) and lost (a status) are three different things.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from modaltrack.modality import Modality as Modality

if TYPE_CHECKING:
    import torch


class Status(IntEnum):
    """What the tracker believes of the target in a frame."""

    TRACKING = 0
    UNCERTAIN = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant seen by one or more sensors.

    Attributes:
        images: modality -> uint8 (H, W, 3), already encoded (see ``modaltrack.sources.encodings``) and all of one size.
            A modality without an image in this instant simply has no key here.
        time: seconds since the start of the clip, ``nan`` where nothing is known of it.
        index: position in the clip, from 0.
        missing: modalities that the source was opened with and that have no image in this instant.
        captured: modality -> seconds on this machine's monotonic clock at which its image came in; empty for
            recordings.
    """

    images: Mapping[Modality, NDArray[np.uint8]]
    time: float = float("nan")
    index: int = 0
    missing: frozenset[Modality] = frozenset()
    captured: Mapping[Modality, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        time = f", {self.time:.3f} s" if np.isfinite(self.time) else ""
        missing = f", missing {'+'.join(sorted(self.missing))}" if self.missing else ""
        return f"Frame({self.index}{time}, {_sensors(self)}{missing})"

    def _repr_html_(self) -> str:
        from modaltrack.sinks.notebook import frame_html

        return frame_html(self)


@dataclass(frozen=True, slots=True)
class Clip:
    """A finite sequence of frames with what is known of the target in it.

    Attributes:
        boxes: (N, 4) float64 xywh, ``nan`` rows where the target is absent; None where nothing is annotated.
        visible: (N,) float64 share of the target that can be seen, 0..1; None where unknown.
        attributes: names as LasHeR / VisEvent use them (for example ``"partial occlusion"``).
    """

    name: str
    frames: Sequence[Frame]
    boxes: NDArray[np.float64] | None = None
    visible: NDArray[np.float64] | None = None
    attributes: frozenset[str] = frozenset()
    fps: float = 30.0

    def __repr__(self) -> str:
        # frames that are made or read when asked for stay unasked
        shown = f", {_sensors(self.frames[0])}" if isinstance(self.frames, list | tuple) and self.frames else ""
        known = 0 if self.boxes is None else int(np.isfinite(self.boxes).all(axis=1).sum())
        boxes = ", no boxes" if self.boxes is None else f", boxes in {known}"
        return f"Clip({self.name!r}, {len(self.frames)} frames at {self.fps:g} per second{shown}{boxes})"

    def _repr_html_(self) -> str:
        from modaltrack.sinks.notebook import clip_html

        return clip_html(self)


@dataclass(frozen=True, slots=True)
class TemplateMemory:
    """The second template of B targets, for models that take two (``config.num_templates``), and what may replace it.

    Attributes:
        image: modality -> (B, 3, h, w), as ``State.template``, and for the same modalities.
        index: (B,) int64, the frame it was cut from, 0 where it is the first template.
        candidate: the same for the best frame since the last check.
        candidate_score: (B,) its score, -inf for none.
        candidate_index: (B,) its frame.
    """

    image: Mapping[Modality, torch.Tensor]
    index: NDArray[np.int64]
    candidate: Mapping[Modality, torch.Tensor]
    candidate_score: NDArray[np.float64]
    candidate_index: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"TemplateMemory(of {len(self.index)} targets, from frames {self.index.tolist()})"


@dataclass(frozen=True, slots=True)
class State:
    """All that a tracker remembers of B targets between two frames.

    ``step`` takes one and returns another.

    Attributes:
        box: (B, 4) float64 xywh pixels.
        score: (B,) float64, the windowed response at its peak, 0..1.
        status: (B,) int64, values of ``Status``.
        template: modality -> (B, 3, h, w) float32, normalised.
        template_present: modality -> (B,) bool: whether that target has a template in that modality yet.
        unseen: (B,) int64, frames since the target was last ``TRACKING``.
        initial_size: (B, 2) float64 width and height of the box the user gave, the anchor of the guard rails.
        image_size: (B, 2) int64 height and width of the images in whose pixels box and initial_size are.
        memory: the second templates; None for models that take one.
    """

    box: NDArray[np.float64]
    score: NDArray[np.float64]
    status: NDArray[np.int64]
    template: Mapping[Modality, torch.Tensor]
    template_present: Mapping[Modality, NDArray[np.bool_]]
    unseen: NDArray[np.int64]
    initial_size: NDArray[np.float64]
    image_size: NDArray[np.int64]
    index: int = 0
    memory: TemplateMemory | None = None

    def __repr__(self) -> str:
        targets = "; ".join(_target(*row) for row in zip(self.box, self.score, self.status))
        return f"State(frame {self.index}, {targets})"


@dataclass(frozen=True, slots=True)
class Row:
    """One instant of one clip with B targets, as a session hands it to its observers.

    Attributes:
        clip: its name.
        index: from 0, row of the result.
        boxes: (B, 4) float64 xywh.
        scores: (B,), nan where there is none.
        status: (B,) values of ``Status``, empty where the tracker gives none.
        seconds: of the tracker alone.
        finished: when the boxes were known, on the machine's monotonic clock.
        before, state: what the engine remembered before and after, of all targets in the batch; this clip's begin at
            ``place``.
    """

    clip: str
    index: int
    frame: Frame
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    status: NDArray[np.int64]
    seconds: float
    finished: float
    before: Any = None
    state: Any = None
    place: int = 0

    def __repr__(self) -> str:
        status = self.status if len(self.status) else [-1] * len(self.boxes)
        targets = "; ".join(_target(*row) for row in zip(self.boxes, self.scores, status))
        return f"Row({self.clip!r}, {self.index}, {targets})"

    @property
    def latency(self) -> float:
        """Seconds from the arrival of the newest image to the boxes; nan for recordings."""
        return self.finished - max(self.frame.captured.values(), default=float("nan"))


def _sensors(frame: Frame) -> str:
    """``rgb+thermal 320x240``."""
    height, width = next((image.shape[:2] for image in frame.images.values()), (0, 0))
    return f"{'+'.join(frame.images)} {width}x{height}" if frame.images else "no image"


def _target(box: NDArray[np.float64], score: float, status: int) -> str:
    numbers = ", ".join(f"{number:.1f}" for number in box)
    return f"[{numbers}] {score:.2f}{' ' + Status(int(status)).name if status >= 0 else ''}"


def _unknown() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class Result:
    """One target through one clip, as a tracker says it or as a result file holds it: the only record of a run.

    A session fills it, files are written from it and read into it, scoring takes it. What is unknown is empty.

    Attributes:
        name: of the clip.
        boxes: (N, 4) float64 xywh; a nan row is no box.
        scores: (N,) 0..1, nan where there is none.
        seconds: (N,) of the tracker alone.
        status: (N,) values of ``Status``.
        times: (N,) seconds since the clip's start.
        present: modality -> (N,) bool, which sensors had an image.
        first: the row of the box that was given; rows before it are nan.
        info: what else is known of the run.
        corners: the file had 8 corners per row, boxes are x1, y1, x2 - x1, y4 - y1 of them.
        runs: VOT multistart files, anchor -> (M, 4), row 0 being nan.
    """

    name: str
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64] = field(default_factory=_unknown)
    seconds: NDArray[np.float64] = field(default_factory=_unknown)
    corners: bool = False
    runs: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    status: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    times: NDArray[np.float64] = field(default_factory=_unknown)
    present: Mapping[Modality, NDArray[np.bool_]] = field(default_factory=dict)
    first: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        known = int(np.isfinite(self.boxes).all(axis=1).sum())
        counts = {one.name.lower(): int((self.status == one).sum()) for one in Status}
        status = "".join(f", {count} {name}" for name, count in counts.items() if count)
        return f"Result({self.name!r}, {known} boxes in {len(self.boxes)} frames{status})"

    def _repr_html_(self) -> str:
        from modaltrack.sinks.notebook import result_html

        return result_html(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file that ``load`` reads; it appears whole or not at all.

        Args:
            path: ``*.json`` holds all that is known (but multistart runs), any other name rows of x,y,w,h alone.
        """
        from modaltrack.sinks.result_file import save_result

        return save_result(self, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], target: int = 0) -> Result:
        """Read a file of ``save``, the ``result.json`` of a run, or one file of boxes in any form trackers write.

        Args:
            target: which of several in a ``result.json``, from 0.

        Raises:
            ValueError: in one sentence, where the file holds no such result.
        """
        file = Path(path)
        if file.suffix.lower() == ".json":
            from modaltrack.sinks.result_file import read_result

            return read_result(file, target)
        from modaltrack.results.reading import read_results

        found = read_results(file)
        for problem in found.problems:
            warnings.warn(problem, stacklevel=2)
        if len(found.sequences) != 1 or target:
            raise ValueError(
                f"{file} holds {len(found.sequences)} sequences of one target; Result.load reads one file of boxes "
                "(a whole folder: modaltrack.results.read_results)."
            )
        return next(iter(found.sequences.values()))

    @overload
    def draw(self, frames: Frame) -> NDArray[np.uint8]: ...

    @overload
    def draw(self, frames: Clip | Iterable[Frame], path: str | os.PathLike[str]) -> Path: ...

    def draw(
        self, frames: Frame | Clip | Iterable[Frame], path: str | os.PathLike[str] | None = None
    ) -> NDArray[np.uint8] | Path:
        """Draw the boxes: a picture of one frame, or a video of all.

        Args:
            frames: one frame, whose ``index`` says the row; or a clip, whose true boxes are drawn too, or its frames.
            path: the video to write, ``*.mp4``.

        Returns:
            Pixels, uint8 RGB (H, W, 3) with the sensors side by side; or the path of the video.
        """
        from modaltrack.sinks.drawn_result import draw_result, film_result

        if isinstance(frames, Frame):
            return draw_result(self, frames)
        if path is None:
            raise ValueError("Several frames make a video: give its path as well, result.draw(clip, 'out.mp4').")
        return film_result(self, frames, Path(path))
