# SPDX-License-Identifier: Apache-2.0
"""Pictures and video put together: hand over frames and what is believed of them, get a film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, Modality, Row, Status
from modaltrack.sinks.phases import Phases
from modaltrack.sinks.picture import Canvas, DrawnTarget, draw
from modaltrack.sinks.video import VideoWriter


class AnnotatedVideo:
    """Write annotated frames to an mp4 file; a context like ``VideoWriter``. The first frame decides the size.

    Args:
        path: the file.
        modalities: the panels from left to right.
        fps: where frames have no times of their own.
        truth: (N, 4) xywh of the only target, drawn into the rows of a session.
        note: written into every picture of a session.
    """

    def __init__(
        self,
        path: Path,
        modalities: Sequence[Modality],
        fps: float = 30.0,
        truth: NDArray[np.float64] | None = None,
        note: str = "",
    ) -> None:
        self._video = VideoWriter(path, fps)
        self._modalities = tuple(modalities)
        self._canvas: Canvas | None = None
        self._truth = np.empty((0, 4)) if truth is None else truth
        self._note = note
        self._phases = Phases()

    def __repr__(self) -> str:
        return f"AnnotatedVideo({self._video!r}, {'+'.join(self._modalities)})"

    def row(self, row: Row) -> None:
        """Append a row of a session, as one of its observers."""
        true = self._truth[row.index] if row.index < len(self._truth) else None
        self.write(row.frame, marks_of(row, self._phases, true), self._note)

    def write(self, frame: Frame, marks: Sequence[DrawnTarget], note: str = "") -> None:
        """Draw the frame and append it at its own time; the first one must have an image."""
        if self._canvas is None:
            height, width = next(iter(frame.images.values())).shape[:2]
            self._canvas = Canvas(self._modalities, height, width)
        self._video.write(draw(self._canvas, frame, marks, note), frame.time)

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._video.__exit__(kind, error, trace)


def marks_of(row: Row, phases: Phases, truth: NDArray[np.float64] | None = None) -> list[DrawnTarget]:
    """What is to be drawn of a row, one mark per target; ``phases`` is asked once per row of a clip."""
    marks = []
    for number, (box, score, status) in enumerate(zip(row.boxes, row.scores, row.status, strict=True)):
        known = Status(int(status))
        marks.append(DrawnTarget(box, float(score), known, truth, phases.after(number, known)))
    return marks
