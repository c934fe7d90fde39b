# SPDX-License-Identifier: Apache-2.0
"""One live sensor read by a thread of its own into a small ring; opened again when it breaks."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.sources.camera import LiveReader
from modaltrack.sources.encodings import has_reading
from modaltrack.sources.notices import Notices
from modaltrack.sources.source import Source
from modaltrack.sources.watch import FreezeWatch

RING = 8  # images kept; more would only be older
FIRST_PAUSE, PAUSE_GROWTH = 0.2, 1.5
LONGEST_PAUSE, LATER_PAUSE, LATER = 0.7, 5.0, 600.0  # seconds between attempts, and from which outage on they are rarer
_RATE_INTERVALS = 30
_JOIN_SECONDS = 1.0  # a read may be blocked for longer; the thread is a daemon and ends with it


class Shot(NamedTuple):
    """One picture of a sensor.

    Attributes:
        time: arrival on this machine's monotonic clock plus the sensor's offset, seconds.
    """

    number: int
    time: float
    arrived: float
    raw: NDArray[Any]
    frozen: bool


@dataclass
class Counts:
    """What became of a sensor's images.

    Attributes:
        received: decoded.
        used: in an instant.
        missing: instants without one.
    """

    received: int = 0
    used: int = 0
    repeated: int = 0
    missing: int = 0
    frozen: int = 0
    outages: int = 0

    @property
    def dropped(self) -> int:
        """Images that no instant used: newer ones came before the tracker asked."""
        return self.received - self.used


class LiveStream:
    """Reads one live source into a ring; all streams of a clip share the condition that tells of news.

    Args:
        reopen: whether it is opened again after it ends or breaks, with growing pauses.
        offset: seconds added to its times.
        wait: the ring is never overwritten, the reader waits for the session instead.
        record: given every image before it can be used.
    """

    def __init__(
        self,
        source: Source,
        notices: Notices,
        news: threading.Condition,
        offset: float,
        reopen: bool,
        wait: bool,
        record: Callable[[Modality, Shot], None] | None = None,
    ) -> None:
        assert isinstance(source.reader, LiveReader)
        self.source = source
        self.reader: LiveReader = source.reader
        self.counts = Counts()
        self.error: ValueError | None = None  # it could not be opened, and never had been
        self.ended = False
        self.first_size: tuple[int, int] | None = None
        self.last_arrival = -math.inf
        self._notices, self._news, self._record = notices, news, record
        # A pipe cannot be opened again, and what stands behind it waits by itself: no image of it is dropped.
        self.offset, self._reopen = offset, reopen and not self.reader.is_pipe
        self.waits = wait or self.reader.is_pipe
        self._ring: deque[Shot] = deque(maxlen=RING)
        self._intervals: deque[float] = deque(maxlen=_RATE_INTERVALS)
        self._freeze = FreezeWatch(None)
        self._stop = threading.Event()
        self._down_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"modaltrack-live-{source.modality}", daemon=True)

    def start(self) -> None:
        """Begin to open and to read."""
        self._thread.start()

    def close(self) -> None:
        """Let the source go; a read in progress ends by itself."""
        self._stop.set()
        with self._news:
            self._news.notify_all()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    @property
    def interval(self) -> float:
        """Seconds between images as measured (median), as stated before that, nan where nothing is known."""
        if len(self._intervals) >= 3:
            return statistics.median(self._intervals)
        return 1.0 / self.reader.fps if self.reader.fps else math.nan

    @property
    def jitter(self) -> float:
        """Spread of the intervals, their 95th percentile over the median, in seconds."""
        if len(self._intervals) < 3:
            return math.nan
        ordered = sorted(self._intervals)
        return ordered[math.ceil(0.95 * len(ordered)) - 1] - statistics.median(ordered)

    def shots(self) -> list[Shot]:
        """The images in the ring, oldest first. Call with the condition held."""
        return list(self._ring)

    def take(self, number: int) -> None:
        """The images up to ``number`` are done with; a reader that waits goes on. Call with the condition held."""
        if self.waits:
            while self._ring and self._ring[0].number < number:
                self._ring.popleft()
            self._news.notify_all()

    def let_go_before(self, moment: float) -> None:
        """No instant will want images older than this; a reader that waits goes on. Call with the condition held."""
        if self.waits:
            while self._ring and self._ring[0].time < moment:
                self._ring.popleft()
            self._news.notify_all()

    def patience(self, stall: float) -> float:
        """Seconds of silence that its own rate explains, at least ``stall``."""
        return max(stall, 1.5 * self.interval) if self.interval > 0 else stall

    def _work(self) -> None:
        pause = FIRST_PAUSE
        opened = False
        while not self._stop.is_set():
            before = self.counts.received
            try:
                self.reader.broken = ""
                for arrived, raw in self.reader.frames():
                    opened = True
                    self._arrive(arrived, raw)
                    if self._stop.is_set():
                        return
                reason = self.reader.broken or "it ended"
            except ValueError as error:
                if not opened:
                    self._end(error)
                    return
                reason = str(error)
            if self.counts.received > before:
                pause = FIRST_PAUSE
            if not self._reopen:
                self._note_outage(reason, "what follows is lost")
                self._end(None)
                return
            self._note_outage(reason, "it is opened again until it answers")
            self._stop.wait(pause)
            down = time.monotonic() - (self._down_since or time.monotonic())
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE if down < LATER else LATER_PAUSE)

    def _end(self, error: ValueError | None) -> None:
        with self._news:
            self.error, self.ended = error, True
            self._news.notify_all()

    def _note_outage(self, reason: str, then: str) -> None:
        """Once per outage, not once per attempt."""
        if self._down_since is None and not self._stop.is_set():
            self._down_since = time.monotonic()
            self.counts.outages += 1
            self._notices.note(
                f"outage {self.source.modality} {self.counts.outages}",
                f"{self.source.modality} ({self.reader.name}) breaks off ({reason.rstrip('.')}); {then}.",
            )

    def _arrive(self, arrived: float, raw: NDArray[Any] | None) -> None:
        if self._down_since is not None:
            self._notices.note(
                f"back {self.source.modality} {self.counts.outages}",
                f"{self.source.modality} is back after {arrived - self._down_since:.1f} s.",
            )
            self._down_since, self.last_arrival = None, -math.inf
            self._intervals.clear()  # it may come back at another rate; until then the last one is known
        if raw is None or not has_reading(raw, self.source.modality):
            return
        raw = self._in_size(raw)
        frozen = self._freeze.frozen(arrived, raw)
        shot = Shot(self.counts.received + 1, arrived + self.offset, arrived, raw, frozen)
        if self._record is not None:
            self._record(self.source.modality, shot)
        with self._news:
            while self.waits and len(self._ring) == RING and not self._stop.is_set():
                self._news.wait(0.1)
            if math.isfinite(self.last_arrival):
                self._intervals.append(arrived - self.last_arrival)
            self.last_arrival = arrived
            self.counts.received += 1
            self._ring.append(shot)
            self._news.notify_all()

    def _in_size(self, raw: NDArray[Any]) -> NDArray[Any]:
        size = (int(raw.shape[0]), int(raw.shape[1]))
        if self.first_size is None:
            self.first_size = size
        if size == self.first_size:
            return raw
        first = self.first_size
        self._notices.note(
            f"mixed {self.reader.name}",
            f"{self.reader.name} changes from {first[1]}x{first[0]} to {size[1]}x{size[0]}; all images are scaled "
            "to the first.",
        )
        nearest = self.source.modality == Modality.DEPTH
        return np.asarray(
            cv2.resize(raw, first[::-1], interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
        )
