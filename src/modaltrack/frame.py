# SPDX-License-Identifier: Apache-2.0
"""The plain data that flows through the house: frozen, slotted, without logic and without torch.

Boxes are float ``xywh`` in pixels of the RGB image (continuous, top-left origin); time is seconds as float64.
Absent (a ``nan`` box), missing (a modality without an image) and lost (a status) are three different things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

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

    @property
    def latency(self) -> float:
        """Seconds from the arrival of the newest image to the boxes; nan for recordings."""
        return self.finished - max(self.frame.captured.values(), default=float("nan"))


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
