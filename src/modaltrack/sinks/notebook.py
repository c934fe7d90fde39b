# SPDX-License-Identifier: Apache-2.0
"""What a notebook shows of plain data: a small picture or curve inside the page, and a line of facts."""

from __future__ import annotations

import base64
import html

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Clip, Frame, Result, Status
from modaltrack.sinks.picture import COLOURS, Canvas, DrawnTarget, draw

WIDTH = 960  # pixels, at most, of a picture in a page
CURVE = (720, 120)  # width, height of the curve of a result


def frame_html(frame: Frame) -> str:
    """A frame's images side by side."""
    if not frame.images:
        return _line(repr(frame))
    height, width = next(iter(frame.images.values())).shape[:2]
    return _picture(draw(Canvas(tuple(frame.images), height, width), frame, [])) + _line(repr(frame))


def clip_html(clip: Clip) -> str:
    """The first frame of a clip with its true box, and its attributes."""
    facts = _line(repr(clip)) + (_line(", ".join(sorted(clip.attributes))) if clip.attributes else "")
    if not len(clip.frames):
        return facts
    first = clip.frames[0]
    if not first.images:
        return facts
    height, width = next(iter(first.images.values())).shape[:2]
    known = clip.boxes is not None and len(clip.boxes)
    marks = [DrawnTarget(clip.boxes[0], float("nan"), Status.TRACKING)] if known and clip.boxes is not None else []
    return _picture(draw(Canvas(tuple(first.images), height, width), first, marks)) + facts


def result_html(result: Result) -> str:
    """The score over the frames, coloured by status, and the first boxes."""
    rows = "".join(
        f"<tr><td>{i}</td>{''.join(f'<td>{v:.1f}</td>' for v in result.boxes[i])}<td>{_score(result, i)}</td></tr>"
        for i in range(min(3, len(result.boxes)))
    )
    head = "<tr><th>frame</th><th>x</th><th>y</th><th>width</th><th>height</th><th>score</th></tr>"
    return f"{_curve(result)}{_line(repr(result))}<table>{head}{rows}</table>"


def _score(result: Result, row: int) -> str:
    return f"{result.scores[row]:.2f}" if row < len(result.scores) and np.isfinite(result.scores[row]) else ""


def _curve(result: Result) -> str:
    """Scores as an SVG of one bar a frame; "" where there are none."""
    if not len(result.scores) or not np.isfinite(result.scores).any():
        return ""
    width, height = CURVE
    step = max(1, len(result.scores) // width)
    parts = []
    for row in range(0, len(result.scores), step):
        score = float(np.nan_to_num(result.scores[row : row + step]).min())
        status = Status(int(result.status[row : row + step].max())) if row < len(result.status) else Status.TRACKING
        x, bar = width * row / len(result.scores), max(1.0, height * score)
        colour = "#{:02x}{:02x}{:02x}".format(*COLOURS[status])
        parts.append(
            f'<rect x="{x:.1f}" y="{height - bar:.1f}" width="{max(1.0, width * step / len(result.scores)):.1f}" '
            f'height="{bar:.1f}" fill="{colour}"/>'
        )
    title = "score of each frame, 0 to 1; colour: tracking, uncertain, lost"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def _picture(pixels: NDArray[np.uint8]) -> str:
    scale = min(1.0, WIDTH / pixels.shape[1])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    done, data = cv2.imencode(".png", small[:, :, ::-1])
    assert done, "PNG is always written"
    return f'<img src="data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}" width="{small.shape[1]}"/>'


def _line(text: str) -> str:
    return f"<div><code>{html.escape(text)}</code></div>"
