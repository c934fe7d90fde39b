# SPDX-License-Identifier: Apache-2.0
"""Frames of another size than the frame before: the state goes with them, or the frame counts as missing. [ours]"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, State

SMALLEST_SHARE = 0.25  # of a side: streams switch down to this in one step; less is a broken image


def size_of(frame: Frame) -> tuple[int, int]:
    """(height, width) of a frame's images, which are all of one size; (0, 0) where it has none."""
    return next((image.shape[:2] for image in frame.images.values()), (0, 0))


def fitted(state: State, frames: Sequence[Frame], margin: float) -> tuple[State, list[Frame]]:
    """The state in the pixels of these frames, and the frames that can be used.

    Boxes are scaled with the images. Where the images shrink to less than a quarter and the target to less than
    ``margin`` pixels, nothing could be found and the size would be lost: the frame is taken as one without images. Both
    are said in a warning.
    """
    sizes = np.array([size_of(frame) for frame in frames], np.int64)
    other = (sizes != state.image_size).any(1) & (sizes > 0).all(1)
    if not other.any():
        return state, list(frames)
    scale = np.where(other[:, None], sizes / state.image_size, 1.0)[:, ::-1]  # x, y
    broken = other & (scale.min(1) < SMALLEST_SHARE) & ((state.box[:, 2:] * scale).min(1) < margin)
    for row in np.flatnonzero(other):
        _say(state.image_size[row], sizes[row], bool(broken[row]))
    scale[broken] = 1.0
    moved = replace(
        state,
        box=state.box * np.tile(scale, 2),
        initial_size=state.initial_size * scale,
        image_size=np.where((other & ~broken)[:, None], sizes, state.image_size),
    )
    kept = [
        Frame({}, f.time, f.index, f.missing | frozenset(f.images)) if lost else f for f, lost in zip(frames, broken)
    ]
    return moved, kept


def _say(before: NDArray[np.int64], now: NDArray[np.int64], broken: bool) -> None:
    change = f"The images change from {before[1]}x{before[0]} to {now[1]}x{now[0]} pixels"
    what = "the target would vanish in them, so they count as missing" if broken else "the box is scaled with them"
    warnings.warn(f"{change}; {what}.", stacklevel=4)
