# SPDX-License-Identifier: Apache-2.0
"""A result drawn on what it was found in: a picture of one frame, a video of a clip."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Clip, Frame, Result, Status
from modaltrack.sinks.annotated import AnnotatedVideo
from modaltrack.sinks.picture import Canvas, DrawnTarget, draw


def draw_result(result: Result, frame: Frame, truth: NDArray[np.float64] | None = None) -> NDArray[np.uint8]:
    """One frame with a result's box in it: uint8 RGB (H, W, 3); the frame's index says which row.

    Raises:
        ValueError: for a frame without images or beyond the result's rows.
    """
    if not frame.images:
        raise ValueError(f"The frame {frame.index} has no image to draw on.")
    height, width = next(iter(frame.images.values())).shape[:2]
    return draw(Canvas(tuple(frame.images), height, width), frame, [mark_of(result, frame.index, truth)], result.name)


def film_result(result: Result, frames: Clip | Iterable[Frame], path: Path) -> Path:
    """A video of a clip with a result's boxes, and the true ones where the clip has them; returns its path."""
    truth = frames.boxes if isinstance(frames, Clip) else None
    fps = frames.fps if isinstance(frames, Clip) else 30.0
    video: AnnotatedVideo | None = None
    try:
        for frame in frames.frames if isinstance(frames, Clip) else frames:
            if video is None:
                video = AnnotatedVideo(path, tuple(frame.images), fps).__enter__()
            true = truth[frame.index] if truth is not None and frame.index < len(truth) else None
            video.write(frame, [mark_of(result, frame.index, true)], result.name)
    except BaseException as error:
        if video is not None:
            video.__exit__(type(error), error, error.__traceback__)
        raise
    if video is None:
        raise ValueError("There are no frames to draw.")
    video.__exit__(None, None, None)
    return path


def mark_of(result: Result, row: int, truth: NDArray[np.float64] | None = None) -> DrawnTarget:
    """What a result says of one frame, as a mark to draw."""
    if not 0 <= row < len(result.boxes):
        raise ValueError(f"The result has {len(result.boxes)} rows and frame {row} was to be drawn; give its own clip.")
    score = float(result.scores[row]) if row < len(result.scores) else float("nan")
    status = Status(int(result.status[row])) if row < len(result.status) else Status.TRACKING
    return DrawnTarget(result.boxes[row], score, status, truth)
