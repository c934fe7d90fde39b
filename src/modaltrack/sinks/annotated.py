# SPDX-License-Identifier: Apache-2.0
"""Pictures and video put together: hand over frames and what is believed of them, get a film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from modaltrack.frame import Frame, Modality
from modaltrack.sinks.picture import Layout, Mark, draw
from modaltrack.sinks.video import VideoWriter


class AnnotatedVideo:
    """Write annotated frames to an mp4 file; a context like ``VideoWriter``. The first frame decides the size."""

    def __init__(self, path: Path, modalities: Sequence[Modality], fps: float = 30.0) -> None:
        self._video = VideoWriter(path, fps)
        self._modalities = tuple(modalities)
        self._layout: Layout | None = None

    def write(self, frame: Frame, marks: Sequence[Mark], note: str = "") -> None:
        """Draw the frame and append it at its own time; the first one must have an image."""
        if self._layout is None:
            height, width = next(iter(frame.images.values())).shape[:2]
            self._layout = Layout(self._modalities, height, width)
        self._video.write(draw(self._layout, frame, marks, note), frame.time)

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._video.__exit__(kind, error, trace)
