# SPDX-License-Identifier: Apache-2.0
"""Live sensors become frames: the newest instant, never later than the policy says, with or without the slow sensor.

Each source is opened once and read by a thread of its own, all at the same time. Images are stamped on arrival: clocks
of different senders share no zero, arrival times do.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, Modality
from modaltrack.sources.live_stream import LiveStream, Shot
from modaltrack.sources.notices import Notices
from modaltrack.sources.recording import Recording
from modaltrack.sources.source import Place, Source

_START_SECONDS = 2.0  # for the other sensors' first image, after the reference's
_HOPE_SECONDS = 20.0  # for the reference's first image: opening and reading time out before
_SKEWS = 1000  # of the newest instants, for the median


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """What a live clip does about images that are late, silent sensors and broken streams.

    Args:
        late: ``drop``: the newest image wins and older ones are dropped; ``wait``: every image is handed out, and a
            slow consumer holds the readers up.
        stall: seconds without a new image after which a sensor is missing and the others go on (longer where its own
            measured interval is: a sensor of 3 images per second has gaps of 0.33 s).
        tolerance: seconds by which a paired image may be older than the reference's; None: as long as it has not
            stalled.
        reconnect: seconds for which all sources may be down before the clip ends; 0: nothing is opened again.
    """

    late: Literal["drop", "wait"] = "drop"
    stall: float = 0.2
    tolerance: float | None = None
    reconnect: float = 60.0

    def __post_init__(self) -> None:
        if self.late not in ("drop", "wait"):
            raise ValueError(f"The policy for late images is {self.late!r}; use 'drop' or 'wait'.")
        for name in ("stall", "reconnect", "tolerance"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"The policy's {name} is {value} and seconds of 0 or more were expected; correct it.")


class LiveFrames:
    """The frames of a clip of live sources; ``frames`` runs once, ``facts`` tells what became of the images.

    Args:
        sources: modality -> a live ``Source``. reference: whose images make the instants while it brings any.
        place_of: (modality, that sensor's size, the reference's size) -> how its images are brought into place.
        offsets: modality -> seconds added to the arrival times of that sensor (negative: its way here is longer).
        recording: keeps all images and the instants; closed with the frames.
    """

    def __init__(
        self,
        sources: Mapping[Modality, Source],
        reference: Modality,
        place_of: Callable[[Modality, tuple[int, int], tuple[int, int]], Place | None],
        notices: Notices,
        policy: LivePolicy,
        offsets: Mapping[Modality, float],
        recording: Recording | None = None,
    ) -> None:
        self._sources, self._reference, self._place_of = sources, reference, place_of
        self._notices, self._policy = notices, policy
        self._news, self._recording = threading.Condition(), recording
        self._turn, self._over = threading.Lock(), False  # of recordings
        self._streams = {
            m: LiveStream(
                s, notices, self._news, offsets.get(m, 0.0), policy.reconnect > 0, policy.late == "wait", self._keep
            )
            for m, s in sources.items()
        }
        self._taken = dict.fromkeys(sources, 0)
        self._skews: dict[Modality, deque[float]] = {m: deque(maxlen=_SKEWS) for m in sources if m != reference}
        self._places: dict[Modality, Place | None] = {}
        self._instants = 0
        self._stop = threading.Event()

    def frames(self, stop: threading.Event | None = None) -> Generator[Frame, None, None]:
        """Yield instants until all sources have ended or ``stop`` is set; closing the generator lets the sources go.

        Raises:
            ValueError: where a source cannot be opened, or the reference sends no image.
        """
        self._stop = stop or self._stop
        for stream in self._streams.values():
            stream.start()
        try:
            self._await_first()
            begun = math.nan
            while (instant := self._next_instant()) is not None:
                moment, shots = instant
                frame = self._frame(moment, shots)
                if not frame.images:
                    continue
                begun = moment if math.isnan(begun) else begun
                self._instants += 1
                if self._recording is not None:
                    self._recording.instant(moment - begun, {m: shots[m] for m in frame.images})
                self._notices.speak()
                yield Frame(frame.images, moment - begun, self._instants - 1, frame.missing, frame.captured)
            self._notices.speak()
        finally:
            for stream in self._streams.values():
                stream.close()
            with self._turn:
                self._over = True
                recording = self._recording
            if recording is not None:
                recording.close()
                self._notices.speak()

    def record(self, begin: Callable[[], Recording]) -> Recording:
        """Begin to keep all images and instants; called by any thread.

        Args:
            begin: makes the recording; who closes it ends it, at the latest this clip.

        Raises:
            ValueError: the clip has ended or is recorded already, and what ``begin`` raises.
        """
        with self._turn:
            if self._over:
                raise ValueError("The live clip has ended; open its sources again to record them.")
            if self._recording is not None and not self._recording.closed:
                raise ValueError(f"The clip is recorded already, in {self._recording.folder}; stop that first.")
            self._recording = begin()
            return self._recording

    def _keep(self, modality: Modality, shot: Shot) -> None:
        recording = self._recording
        if recording is not None:
            recording.picture(modality, shot)

    def place_anew(self) -> None:
        """Ask once more how each sensor is brought onto the reference; called by any thread."""
        self._places = {}

    def own_images(self) -> dict[Modality, NDArray[np.uint8]]:
        """The newest image of the reference and the others' nearest to it in time, each as its sensor has it.

        Sensors that have sent none, or stand still, are left out. Called by any thread.
        """
        with self._news:
            own = self._streams[self._reference].shots()
            past = {m: s.shots() for m, s in self._streams.items() if own}
            chosen = {m: min(shots, key=lambda s: abs(s.time - own[-1].time)) for m, shots in past.items() if shots}
        return {m: self._sources[m].encode(shot.raw) for m, shot in chosen.items() if not shot.frozen}

    def facts(self) -> dict[str, Any]:
        """Per sensor: images received, used, repeated, dropped; instants missing and frozen; outages, rate, skew."""
        found: dict[str, Any] = {
            "instants": self._instants,
            "policy": {"late": self._policy.late, "stall": self._policy.stall},
        }
        for modality, stream in self._streams.items():
            counts, skews = stream.counts, self._skews.get(modality)
            interval = stream.interval
            found[modality.value] = {
                "received": counts.received,
                "used": counts.used,
                "repeated": counts.repeated,
                "dropped": counts.dropped,
                "missing": counts.missing,
                "frozen": counts.frozen,
                "outages": counts.outages,
                "images_per_second": _rounded(1 / interval if interval > 0 else math.nan),
                "jitter_seconds": _rounded(stream.jitter),
            }
            if skews:
                ordered = sorted(skews, key=abs)
                found[modality.value]["skew_seconds_median"] = _rounded(statistics.median(skews))
                found[modality.value]["skew_seconds_95"] = _rounded(abs(ordered[math.ceil(0.95 * len(ordered)) - 1]))
        return found

    def _await_first(self) -> None:
        """Wait for an image of the reference, and shortly for the others'; raise what kept a source from opening."""
        until = time.monotonic() + _HOPE_SECONDS
        reference = self._streams[self._reference]
        seen = False
        with self._news:
            while not self._stop.is_set():
                for stream in self._streams.values():
                    if stream.error is not None:
                        raise stream.error
                if reference.shots() and not seen:
                    seen, until = True, time.monotonic() + _START_SECONDS
                if seen and all(s.shots() or s.ended for s in self._streams.values()):
                    break
                left = until - time.monotonic()
                if (reference.ended and not seen) or (left <= 0 and not seen):
                    raise ValueError(
                        f"{reference.reader.name} was opened and gives no frame; check the camera or the sender."
                    )
                if left <= 0:
                    break
                self._news.wait(min(left, 0.2))
            assert reference.first_size is not None or self._stop.is_set()
        for modality, stream in self._streams.items():
            if stream.first_size is None:
                self._notices.note(
                    f"late {modality}",
                    f"{modality} ({stream.reader.name}) has sent no image yet; the clip begins without it.",
                )

    def _next_instant(self) -> tuple[float, dict[Modality, Shot]] | None:
        """The next (time, modality -> its image), or None where all sources have ended."""
        silent_since = time.monotonic()
        with self._news:
            while True:
                driver = self._driver()
                if driver is not None:
                    return self._choose(driver)
                now = time.monotonic()
                if self._stop.is_set() or all(s.ended for s in self._streams.values()):
                    return None
                heard = max(silent_since, *(s.last_arrival for s in self._streams.values()))
                if self._policy.reconnect > 0 and now - heard > self._policy.reconnect:
                    self._notices.note(
                        "gave up", f"No source has sent an image for {self._policy.reconnect:g} s; the clip ends."
                    )
                    return None
                self._news.wait(min(0.05, self._policy.stall) if len(self._streams) > 1 else 0.1)

    def _driver(self) -> Modality | None:
        """The sensor whose new image makes the next instant: the reference unless it is silent for too long."""
        reference = self._streams[self._reference]
        if _newest(reference) > self._taken[self._reference]:
            return self._reference
        if time.monotonic() - reference.last_arrival <= reference.patience(self._policy.stall) and not reference.ended:
            return None
        fresh = [m for m, s in self._streams.items() if _newest(s) > self._taken[m]]
        return max(fresh, key=lambda m: self._streams[m].last_arrival, default=None)

    def _choose(self, driver: Modality) -> tuple[float, dict[Modality, Shot]]:
        """The driver's newest image (its next one where every image counts), and the others' nearest to it in time."""
        own = [shot for shot in self._streams[driver].shots() if shot.number > self._taken[driver]]
        shot = own[0] if self._streams[driver].waits else own[-1]
        chosen = {driver: shot}
        for modality, stream in self._streams.items():
            past = stream.shots()
            if modality == driver or not past:
                continue
            nearest = min(past, key=lambda s: (abs(s.time - shot.time), -s.time))
            allowed = self._policy.tolerance
            if allowed is None:
                # a sensor whose pictures come late by a known offset is never as new as the driver's newest
                allowed = stream.patience(self._policy.stall) + abs(stream.offset)
            if abs(nearest.time - shot.time) <= allowed:
                chosen[modality] = nearest
            else:
                stream.let_go_before(shot.time - allowed)
        for modality, picked in chosen.items():
            counts = self._streams[modality].counts
            if picked.number > self._taken[modality]:
                counts.used += 1
                self._taken[modality] = picked.number
            else:
                counts.repeated += 1
            self._streams[modality].take(picked.number)
        return shot.time, chosen

    def _frame(self, moment: float, shots: Mapping[Modality, Shot]) -> Frame:
        """Encode the images; frozen sensors are left out while another moves."""
        frozen = {m for m, shot in shots.items() if shot.frozen}
        for modality in frozen:
            self._streams[modality].counts.frozen += 1
            done = "it is missing until it moves again" if frozen < shots.keys() else "no other sensor moves"
            self._notices.note(
                f"frozen {modality}",
                f"{modality} ({self._sources[modality].name}) sends the same image for longer than its rate "
                f"explains; {done}.",
            )
        used = {m: s for m, s in shots.items() if m not in frozen or not frozen < shots.keys()}
        images: dict[Modality, NDArray[np.uint8]] = {}
        for modality in self._sources:
            if modality not in used:
                self._streams[modality].counts.missing += 1
                continue
            shot = used[modality]
            images[modality] = self._sources[modality].encode(shot.raw, self._placed(modality))
            if modality in self._skews and self._reference in used:
                self._skews[modality].append(shot.time - used[self._reference].time)
        missing = frozenset(m for m in self._sources if m not in images)
        return Frame(images, moment, 0, missing, {m: s.arrived for m, s in used.items()})

    def _placed(self, modality: Modality) -> Place | None:
        """How this sensor is brought onto the reference; decided with its first image."""
        places = self._places  # another one where they are asked for anew meanwhile
        if modality not in places:
            own, size = self._streams[modality].first_size, self._streams[self._reference].first_size
            assert own is not None
            assert size is not None
            places[modality] = None if modality == self._reference else self._place_of(modality, own, size)
        return places[modality]


def _newest(stream: LiveStream) -> int:
    shots = stream.shots()
    return shots[-1].number if shots else 0


def _rounded(seconds: float) -> float | None:
    return round(seconds, 4) if math.isfinite(seconds) else None
