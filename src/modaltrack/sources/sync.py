# SPDX-License-Identifier: Apache-2.0
"""Alignment in time: which image of one sensor belongs to an instant of the reference sensor.

Three ways, chosen once per stream: by time stamp where both have real ones, by cutting events at the reference's times,
and by position in all other cases. Each ``at(index, time)`` is called with growing instants and gives an image or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Stream = Generator[tuple[float, Image | None], None, None]


class Follower(Protocol):
    """A stream that is asked instant by instant.

    Attributes:
        ended: it has no image for this or any later instant.
    """

    ended: bool

    def at(self, index: int, time: float) -> Image | None: ...

    def more(self) -> bool: ...

    def close(self) -> None: ...


class ByIndex:
    """Image i belongs to instant i."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.ended = False

    def at(self, index: int, time: float) -> Image | None:
        """The next image; None where it is damaged or the stream has ended."""
        if self.ended:
            return None
        item = next(self._stream, None)
        self.ended = item is None
        return None if item is None else item[1]

    def more(self) -> bool:
        """Whether images are left over that belong to no instant."""
        return not self.ended and next(self._stream, None) is not None

    def close(self) -> None:
        """Stop decoding."""
        self._stream.close()


class ByTime:
    """The image nearest in time, if it lies within ``tolerance`` seconds; of two equally near the later one.

    Args:
        offset: seconds added to the stream's own stamps to come to the reference's clock.
        patience: seconds after its last image from which on the stream counts as ended; a slow stream has gaps of its
            own.
    """

    def __init__(self, stream: Stream, tolerance: float, offset: float = 0.0, patience: float = 0.0) -> None:
        self._stream = stream
        self._patience = max(patience, tolerance) * (1 + 1e-6)
        self._tolerance = tolerance * (1 + 1e-6)  # stamps are rounded to the container's clock
        self._offset = offset
        self._now: tuple[float, Image | None] | None = None
        self._next: tuple[float, Image | None] | None = None
        self._started = False
        self._last = math.nan
        self.ended = False

    def _pull(self) -> tuple[float, Image | None] | None:
        item = next(self._stream, None)
        return None if item is None else (item[0] + self._offset, item[1])

    def at(self, index: int, time: float) -> Image | None:
        """The image nearest to ``time``, or None where none is near enough or it is damaged."""
        self._last = time
        if not self._started:
            self._started = True
            self._now, self._next = self._pull(), self._pull()
        while self._now is not None and self._next is not None:
            if abs(self._next[0] - time) > abs(self._now[0] - time):
                break
            self._now, self._next = self._next, self._pull()
        if self._now is None or abs(self._now[0] - time) > self._tolerance:
            self.ended = self._next is None and (self._now is None or time - self._now[0] > self._patience)
            return None
        return self._now[1]

    def more(self) -> bool:
        """Whether an image is left over that lies more than a frame after the last instant."""
        return self._next is not None and self._next[0] - self._last > 2 * self._tolerance

    def close(self) -> None:
        """Stop decoding."""
        self._stream.close()


class BySlice:
    """The events since the previous instant: those in (previous time, this time], drawn by ``draw``.

    between(after, until): events or None outside the recording.

    Args:
        interval: length of the first slice in seconds.
    """

    def __init__(
        self,
        between: Callable[[float, float], Any],
        draw: Callable[[Any], Image],
        interval: float,
        end: float,
        offset: float = 0.0,
    ) -> None:
        self._between = between
        self._draw = draw
        self._interval = interval
        self._offset = offset
        self._end = end + offset
        self._previous = math.nan
        self.ended = False

    def at(self, index: int, time: float) -> Image | None:
        """The picture of the events up to ``time``; None before the recording begins and after it has ended."""
        after = time - self._interval if math.isnan(self._previous) else self._previous
        self._previous = time
        events = self._between(after - self._offset, time - self._offset)
        self.ended = events is None and after >= self._end
        return None if events is None else self._draw(events)

    def more(self) -> bool:
        """Whether events are left over more than a frame after the last instant."""
        return self._end - self._previous > self._interval

    def close(self) -> None:
        """Nothing to stop: the recording is in memory."""
