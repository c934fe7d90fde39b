# SPDX-License-Identifier: Apache-2.0
"""A target that is chosen, changed and let go while a session runs, by another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Frame, Status
from modaltrack.session.loop import Answer, Engine

NOTHING = np.full((1, 4), np.nan)
"""The box of a session that begins without a target."""


class Steering:
    """What is to be followed from the next frame on; the newest wish counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wish: Callable[[int, int], ArrayLike] | None = None
        self._stop = False

    def choose(self, box: Callable[[int, int], ArrayLike]) -> None:
        """Follow another target.

        Args:
            box: height and width of the image -> (4,) xywh pixels.
        """
        with self._lock:
            self._wish, self._stop = box, False

    def stop(self) -> None:
        """Follow nothing."""
        with self._lock:
            self._wish, self._stop = None, True

    def take(self, frame: Frame) -> NDArray[np.float64] | None:
        """The box wished for in this frame, ``NOTHING`` where tracking shall stop, None where all stays as it is.

        A frame without an image leaves the wish for the next one.
        """
        with self._lock:
            if self._stop:
                self._stop = False
                return NOTHING[0]
            image = next(iter(frame.images.values()), None)
            if self._wish is None or image is None:
                return None
            wish, self._wish = self._wish, None
        return np.asarray(wish(int(image.shape[0]), int(image.shape[1])), np.float64)


@dataclass(frozen=True, slots=True)
class _Steered:
    """What the inner engine remembers; None while nothing is followed."""

    inner: Any


class SteeredEngine:
    """An engine of one target that can be given another one in every frame.

    While nothing is followed the box is nan and the status UNCERTAIN. A box that the engine refuses changes nothing.

    Args:
        engine: follows the target.
        steering: what is wished for.
    """

    batches = False

    def __init__(self, engine: Engine, steering: Steering) -> None:
        self._engine, self._steering = engine, steering

    def start(self, frames: Sequence[Frame], boxes: Sequence[ArrayLike]) -> _Steered:
        """Begin with one target, or with none where its box is nan."""
        box = np.asarray(boxes[0], np.float64)
        return _Steered(self._engine.start(frames, [box]) if np.isfinite(box).all() else None)

    def step(self, state: _Steered, frames: Sequence[Frame]) -> _Steered:
        """Follow what was followed, or begin with what is wished for."""
        wish = self._steering.take(frames[0])
        if wish is not None:
            try:
                return self.start(frames, [wish])
            except ValueError:  # no such place in this image
                pass
        return state if state.inner is None else _Steered(self._engine.step(state.inner, frames))

    def select(self, state: _Steered, rows: Sequence[int]) -> _Steered:
        """The only target there is."""
        return state

    def read(self, state: _Steered) -> Answer:
        """Box, score and status of the target."""
        if state.inner is None:
            return NOTHING.copy(), np.full(1, np.nan), np.array([Status.UNCERTAIN], np.int64)
        return self._engine.read(state.inner)
