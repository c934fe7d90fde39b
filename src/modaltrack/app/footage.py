# SPDX-License-Identifier: Apache-2.0
"""Frames that can be asked for by number: recordings are read again when they have to, live clips keep the newest."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Protocol

from modaltrack.frame import Frame, Modality

RECORDING_BYTES = 1_000_000_000  # of decoded images that a recording keeps
LIVE_BYTES = 400_000_000
CLOSING_SECONDS = 10.0  # for the sources, and what a recording has still to write


class FrameGoneError(ValueError):
    """A frame of a live clip that is no longer kept."""


class Footage(Protocol):
    """A clip whose frames have numbers from 0.

    Attributes:
        modalities: its sensors.
        fps: frames per second.
        live: whether it grows by itself.
    """

    modalities: tuple[Modality, ...]
    fps: float
    live: bool

    @property
    def length(self) -> int | None:
        """Number of frames; None while it is not known. Of a live clip, frames so far."""

    def frame(self, index: int) -> Frame | None:
        """A frame; None behind the last one.

        Raises:
            ValueError: in one sentence, for a frame that cannot be read or is no longer kept.
        """

    def close(self) -> None: ...


def size_of(frame: Frame) -> tuple[int, int]:
    """(height, width) of a frame's images."""
    return next(iter(frame.images.values())).shape[:2]


def _bytes_of(frame: Frame) -> int:
    return sum(image.nbytes for image in frame.images.values())


class StoredFootage:
    """A clip from files, or rendered. Thread-safe.

    Frames near the last one that was asked for stay in memory. One that is gone is read again from the clip's
    beginning: always right, for every kind of file, and slow only in clips that do not fit.

    Args:
        read: begins to read the clip.
        length: None where it is only known at the end.
        budget: bytes of images to keep.
    """

    live = False

    def __init__(
        self,
        read: Callable[[], Iterator[Frame]],
        modalities: tuple[Modality, ...],
        fps: float,
        length: int | None,
        budget: int = RECORDING_BYTES,
    ) -> None:
        self.modalities, self.fps = modalities, fps
        self._read, self._length, self._budget = read, length, budget
        self._lock = threading.Lock()
        self._kept: dict[int, Frame] = {}
        self._bytes = 0
        self._reading: Iterator[Frame] | None = None
        self._next = 0
        self._closed = False

    @property
    def length(self) -> int | None:
        return self._length

    def frame(self, index: int) -> Frame | None:
        if index < 0:
            raise ValueError(f"Frame {index} was asked for; frames are counted from 0.")
        with self._lock:
            if index in self._kept:
                return self._kept[index]
            if self._closed or (self._length is not None and index >= self._length):
                return None
            if self._reading is None or index < self._next:
                self._stop_reading()
                self._reading, self._next = iter(self._read()), 0
            while self._next <= index:
                frame = next(self._reading, None)
                if frame is None:
                    self._length = self._next  # the files end earlier than they say, or said nothing
                    return None
                self._keep(self._next, frame, index)
                self._next += 1
            return frame

    def forget(self) -> None:
        """Let all frames go, to be read anew: they are no longer what the files say."""
        with self._lock:
            self._stop_reading()
            self._kept.clear()
            self._bytes = 0

    def close(self) -> None:
        self._closed = True
        self.forget()

    def _keep(self, number: int, frame: Frame, wanted: int) -> None:
        """Remember a frame, and let those go that are farthest from the wanted one."""
        if number not in self._kept:
            self._kept[number] = frame
            self._bytes += _bytes_of(frame)
        while self._bytes > self._budget and len(self._kept) > 2:
            far = max(self._kept, key=lambda other: abs(other - wanted))
            self._bytes -= _bytes_of(self._kept.pop(far))

    def _stop_reading(self) -> None:
        close = getattr(self._reading, "close", None)
        self._reading = None
        if close is not None:
            close()


class LiveFootage:
    """A clip of live sources, read by a thread of its own; the newest images are kept. Thread-safe.

    Args:
        read: begins to read, and ends when the event is set.
        budget: bytes of images to keep.
    """

    live = True

    def __init__(
        self,
        read: Callable[[threading.Event], Generator[Frame, None, None]],
        modalities: tuple[Modality, ...],
        fps: float,
        budget: int = LIVE_BYTES,
    ) -> None:
        self.modalities, self.fps = modalities, fps
        self.error: Exception | None = None
        self.ended = False
        self._read, self._budget, self._bytes = read, budget, 0
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._newest = -1
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="modaltrack-app-live", daemon=True)
        self._thread.start()

    @property
    def length(self) -> int:
        return self._newest + 1

    def frame(self, index: int) -> Frame | None:
        with self._news:
            if index > self._newest:
                return None
            if index not in self._kept:
                oldest = next(iter(self._kept), 0)
                raise FrameGoneError(f"Frame {index} of the live clip is no longer kept; the oldest one is {oldest}.")
            return self._kept[index]

    @property
    def oldest(self) -> int:
        """The oldest frame that is kept."""
        with self._news:
            return next(iter(self._kept), 0)

    def wait(self, after: int, seconds: float) -> int:
        """The newest frame's number, as soon as it is larger than ``after``, the clip has ended or time is up."""
        with self._news:
            self._news.wait_for(lambda: self._newest > after or self.ended, seconds)
            return self._newest

    def close(self) -> None:
        """End reading; a recording is completed before this returns."""
        self._stop.set()
        with self._news:
            self._kept.clear()
        self._thread.join(CLOSING_SECONDS)

    def _work(self) -> None:
        try:
            frames = self._read(self._stop)
            for frame in frames:
                if self._stop.is_set():
                    break
                self._add(frame)
            with suppress(ValueError):  # a generator that is running elsewhere
                frames.close()
        except Exception as error:  # noqa: BLE001 - said in the page by whoever waits
            self.error = error
        with self._news:
            self.ended = True
            self._news.notify_all()

    def _add(self, frame: Frame) -> None:
        with self._news:
            self._newest += 1
            self._kept[self._newest] = frame
            self._bytes += _bytes_of(frame)
            while self._bytes > self._budget and len(self._kept) > 2:
                self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])
            self._news.notify_all()
