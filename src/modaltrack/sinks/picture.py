# SPDX-License-Identifier: Apache-2.0
"""One annotated picture per frame: the modalities side by side, each with its title, the boxes and a line of facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, Modality, Status

Image = NDArray[np.uint8]

TITLES = {
    Modality.RGB: "visible",
    Modality.THERMAL: "thermal",
    Modality.DEPTH: "depth",
    Modality.EVENT: "events",
}
COLOURS = {  # RGB; readable on grey, on jet depth and on white event images alike, and apart for the colour-blind
    Status.TRACKING: (40, 220, 90),
    Status.UNCERTAIN: (255, 170, 0),
    Status.LOST: (235, 50, 60),
}
TRUTH_COLOUR = (255, 255, 255)
BACKGROUND = (24, 26, 30)
BAR = 26  # pixels of a title or facts bar
MIN_PANEL_HEIGHT = 240  # smaller images are enlarged to it: text would not fit otherwise
MAX_WIDTH = 1920  # wider pictures are shrunk to it: players and encoders have limits


@dataclass(frozen=True, slots=True)
class DrawnTarget:
    """One target in one frame.

    Attributes:
        box: (4,) xywh pixels.
        score: 0..1, nan = nothing to show.
        truth: the true box if known.
        phase: the word to show (see ``phases``), the status where empty.
    """

    box: NDArray[np.float64]
    score: float
    status: Status
    truth: NDArray[np.float64] | None = None
    phase: str = ""

    @property
    def word(self) -> str:
        """What is written of the target."""
        return self.phase or self.status.name.lower()


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where everything goes: fixed for a clip, so that every picture of it has one size.

    Attributes:
        modalities: the panels from left to right.
        height, width: pixels of the clip's images.
    """

    modalities: tuple[Modality, ...]
    height: int
    width: int

    @property
    def scale(self) -> float:
        """Panel pixels per image pixel."""
        grow = max(1.0, MIN_PANEL_HEIGHT / self.height)
        return min(grow, MAX_WIDTH / (self.width * len(self.modalities)))

    @property
    def panel(self) -> tuple[int, int]:
        """(height, width) of one panel, even numbers as the video's chroma planes need them."""
        return max(2, round(self.height * self.scale / 2) * 2), max(2, round(self.width * self.scale / 2) * 2)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the whole picture."""
        return self.panel[0] + 2 * BAR, self.panel[1] * len(self.modalities)


def draw(canvas: Canvas, frame: Frame, marks: Sequence[DrawnTarget], note: str = "") -> Image:
    """Draw one frame: uint8 RGB (H, W, 3) of ``canvas.size``.

    A modality without an image in this frame gets an empty panel that says so. Ground truth is the thin white box.
    """
    height, width = canvas.panel
    picture = np.full((*canvas.size, 3), BACKGROUND, dtype=np.uint8)
    for column, modality in enumerate(canvas.modalities):
        left = column * width
        image = frame.images.get(modality)
        title = TITLES.get(modality, modality.value)
        if image is None:
            title += " - no image"
            panel = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
        else:
            how = cv2.INTER_AREA if canvas.scale < 1 else cv2.INTER_LINEAR
            panel = np.ascontiguousarray(cv2.resize(image, (width, height), interpolation=how))
            for number, mark in enumerate(marks, start=1):
                _draw_mark(panel, mark, canvas.scale, str(number) if len(marks) > 1 else "")
        picture[BAR : BAR + height, left : left + width] = panel
        _write(picture, title, (left + 8, BAR - 8), (230, 230, 230))
        if column:
            picture[:, left] = BACKGROUND
    _write(picture, _facts(frame, marks, note), (8, canvas.size[0] - 8), _worst_colour(marks))
    return picture


def _draw_mark(panel: Image, mark: DrawnTarget, scale: float, label: str) -> None:
    if mark.truth is not None and np.isfinite(mark.truth).all():
        rectangle(panel, mark.truth * scale, TRUTH_COLOUR, 1)
    if not np.isfinite(mark.box).all():
        return
    colour = COLOURS[mark.status]
    rectangle(panel, mark.box * scale, colour, thickness(panel.shape[0]))
    if label:
        x, y = (int(v) for v in mark.box[:2] * scale)
        _write(panel, label, (max(2, x), max(12, y - 4)), colour)


def thickness(height: int) -> int:
    """Pixels of a box's line in a panel of this height: still seen when the picture is a thumbnail."""
    return max(2, round(height / 80))


def rectangle(panel: Image, box: NDArray[np.float64], colour: tuple[int, int, int], thickness: int) -> None:
    """Draw an xywh box (4,) in pixels of ``panel`` (H, W, 3) RGB, in place."""
    limit = np.array([panel.shape[1], panel.shape[0]] * 2) * 2  # far outside is as good as outside, and fits an int32
    x1, y1, x2, y2 = np.clip(np.round([*box[:2], *(box[:2] + box[2:])]), -limit, limit).astype(int)
    if thickness == 1:  # a dark line under the thin one keeps white visible on white
        cv2.rectangle(panel, (x1 + 1, y1 + 1), (x2 + 1, y2 + 1), (0, 0, 0), 1)
    cv2.rectangle(panel, (x1, y1), (x2, y2), colour, thickness)


def _facts(frame: Frame, marks: Sequence[DrawnTarget], note: str) -> str:
    time = f"  {frame.time:.2f} s" if np.isfinite(frame.time) else ""
    marks = [m for m in marks if np.isfinite(m.score)]
    if len(marks) == 1:
        state = f"  score {marks[0].score:.2f}  {marks[0].word}"
    else:
        state = "".join(f"  {i}: {m.score:.2f} {m.word}" for i, m in enumerate(marks, start=1))
    return f"frame {frame.index}{time}{state}{'  ' + note if note else ''}"


def _worst_colour(marks: Sequence[DrawnTarget]) -> tuple[int, int, int]:
    return COLOURS[max((m.status for m in marks), default=Status.TRACKING)]


def _write(picture: Image, text: str, origin: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
