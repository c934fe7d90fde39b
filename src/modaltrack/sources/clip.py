# SPDX-License-Identifier: Apache-2.0
"""Several sensors become one sequence of frames: paired in time, brought to one size, and loud about both.

The rules, in one place:

* RGB is the reference; without RGB the longest source is (of equals the first given). The clip has the reference's
  instants, its length and its pixels.
* Live sources alone: the newest instant, by ``live.LiveFrames``.
* Pairing: by time where both streams carry real time stamps (nearest, within half a frame interval of the reference),
  event recordings by cutting at the reference's stamps, by position otherwise. Clocks that do not overlap at all are
  both counted from their own first frame, with a warning.
* A sensor without an image in an instant (ended, not near enough, damaged file) is in that frame's ``missing``.
* Another size than the reference's is scaled to it, or warped where a homography is given.
"""

from __future__ import annotations

import copy
import math
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, Modality
from modaltrack.sources.align import Homographies, load_alignment, rescale, warp
from modaltrack.sources.events import EventReader
from modaltrack.sources.live import LiveFrames, LivePolicy
from modaltrack.sources.notices import Notices, without_login
from modaltrack.sources.recording import Recording
from modaltrack.sources.source import Place, Source
from modaltrack.sources.sync import ByIndex, BySlice, ByTime, Follower, Image
from modaltrack.sources.watch import FreezeWatch

FALLBACK_FPS = 30.0
ASPECT_TOLERANCE = 0.01
ENOUGH_FRAMES = 30  # to say that a sensor is hardly ever paired


class ClipReader:
    """Iterate for ``Frame``; every iteration opens the inputs afresh. Made by ``opening.open_clip``.

    Args:
        sources: modality -> Source.

    Attributes:
        reference: whose instants and pixels count.
        fps: the reference's, 30 where it is unknown.
        size: (height, width) of all images.

    ``len`` works where the number of instants is known. Warnings are ``SourceWarning``, each said once.
    """

    _own_pixels = False  # images stay as their sensors have them, neither scaled nor warped

    def __init__(
        self,
        sources: Mapping[Modality, Source],
        homographies: Mapping[Modality, NDArray[np.float64]],
        notices: Notices,
        offsets: Mapping[Modality, float] | None = None,
        tolerance: float | None = None,
        policy: LivePolicy | None = None,
        record: Path | None = None,
        reference: Modality | None = None,
    ) -> None:
        self.sources = dict(sources)
        self.reference = reference or choose_reference(self.sources)
        self._homographies = homographies
        self._notices = notices
        self._offsets = dict(offsets or {})
        self._tolerance = tolerance
        self._policy = policy or LivePolicy(tolerance=tolerance)
        self._live: LiveFrames | None = None
        self._record = record
        if not any(source.live for source in self.sources.values()):
            self._remark()
        notices.speak()

    def __repr__(self) -> str:
        sources = ", ".join(f"{m} {without_login(source.name)!r}" for m, source in self.sources.items())
        return f"ClipReader({sources}, {self.size[1]}x{self.size[0]}, {self.length or 'live'} at {self.fps:g} fps)"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(self.sources)

    @property
    def fps(self) -> float:
        return self.sources[self.reference].fps or FALLBACK_FPS

    @property
    def size(self) -> tuple[int, int]:
        return self.sources[self.reference].size

    @property
    def length(self) -> int | None:
        return self.sources[self.reference].length

    def __len__(self) -> int:
        return len(self.sources[self.reference])

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, stop: threading.Event | None = None) -> Generator[Frame, None, None]:
        """Yield the frames one by one; closing the generator stops all decoding, and so does ``stop`` for live sources.

        Raises:
            ValueError: if nothing can be read in the first instant: no target could be shown there.
        """
        if all(source.live for source in self.sources.values()):
            self._live = LiveFrames(
                self.sources,
                self.reference,
                self._place_live,
                self._notices,
                self._policy,
                self._offsets,
                None if self._record is None else self._recording(self._record),
            )
            yield from self._live.frames(stop)
            return
        self._remark()
        reference = self.sources[self.reference].images()
        followers: dict[Modality, Follower] = {}
        try:
            for modality in self.sources:
                if modality != self.reference:
                    followers[modality] = self._follow(modality)
            start = math.nan
            watches: dict[Modality, FreezeWatch] = {
                m: FreezeWatch(s.fps) for m, s in self.sources.items() if m != Modality.EVENT
            }
            paired = Counter[Modality]()
            for index, (time, image) in enumerate(reference):
                start = time if index == 0 else start
                images = {self.reference: image}
                images |= {modality: follower.at(index, time) for modality, follower in followers.items()}
                present = self._without_frozen({m: i for m, i in images.items() if i is not None}, watches, time, index)
                if index == 0 and not present:
                    raise ValueError(
                        "The first frame cannot be read in any modality "
                        f"({', '.join(s.name for s in self.sources.values())}), so no target can be shown in it; "
                        "repair the files or start later."
                    )
                for modality, follower in followers.items():
                    if follower.ended:
                        self._note_ended(modality, index)
                self._notices.speak()
                paired.update(present.keys())
                if index + 1 == ENOUGH_FRAMES:
                    self._note_rarely_paired(paired, index + 1)
                missing = frozenset(m for m in self.sources if m not in present)
                yield Frame({m: present[m] for m in self.sources if m in present}, time - start, index, missing)
            for modality, follower in followers.items():
                if not self.sources[modality].live and follower.more():
                    self._note_left_over(modality)
            self._notices.speak()
        finally:
            reference.close()
            for follower in followers.values():
                follower.close()

    def _without_frozen(
        self, images: dict[Modality, Image], watches: Mapping[Modality, FreezeWatch], time: float, index: int
    ) -> dict[Modality, Image]:
        """Leave out sensors that stand still while another moves: a still picture misleads more than a missing one."""
        now = index / self.fps if math.isnan(time) else time
        frozen = {m for m, watch in watches.items() if watch.frozen(now, images.get(m))}
        for modality in frozen:
            done = "it is missing until it moves again" if frozen < images.keys() else "it is the only one left"
            self._notices.note(
                f"frozen {modality}",
                f"{modality} ({self.sources[modality].name}) sends the same image for longer than its rate explains "
                f"(frame {index}); {done}.",
            )
        return {m: i for m, i in images.items() if m not in frozen or not frozen < images.keys()}

    def _note_rarely_paired(self, paired: Mapping[Modality, int], count: int) -> None:
        for modality in self.sources:
            if self._timed(modality) and paired.get(modality, 0) < count / 2:
                self._notices.note(
                    f"pairs {modality}",
                    f"{modality} had an image in {paired.get(modality, 0)} of the first {count} frames; check its "
                    "clock (offsets) and the tolerance.",
                )

    def live_facts(self) -> dict[str, Any] | None:
        """Of a clip of live sources, what became of each sensor's images (see ``LiveFrames.facts``); else None."""
        return None if self._live is None else self._live.facts()

    @property
    def homographies(self) -> Mapping[Modality, NDArray[np.float64]]:
        """Those that bring sensors onto the reference now."""
        return self._homographies

    def align(self, homographies: Homographies) -> None:
        """Take other homographies: in a live clip from the next instant on, else from the next iteration on."""
        self._homographies = load_alignment(homographies, tuple(self.sources), self.reference)
        if self._live is not None:
            self._live.place_anew()

    def in_own_pixels(self) -> Self:
        """The same clip, each image as its sensor has it: neither scaled nor warped onto the reference."""
        twin = copy.copy(self)
        twin._own_pixels = True
        return twin

    def live_images(self) -> dict[Modality, NDArray[np.uint8]]:
        """Of a live clip that is being read, the newest images of one instant, each as its sensor has it."""
        return {} if self._live is None else self._live.own_images()

    def record(self, folder: Path) -> Recording:
        """Keep what a live clip that is being read sends from now on, until the recording or the clip is closed.

        Raises:
            ValueError: the clip is no live one or not being read, is recorded already, or the folder cannot be used.
        """
        if self._live is None:
            raise ValueError("Recording is for cameras and streams that are open; open one first.")
        return self._live.record(lambda: self._recording(folder))

    def _recording(self, folder: Path) -> Recording:
        names = {m: source.name for m, source in self.sources.items()}
        scale = max(source.depth_scale for source in self.sources.values())
        return Recording(folder, self.reference, names, self._offsets, self._homographies, scale, self._notices)

    def _place_live(self, modality: Modality, own: tuple[int, int], size: tuple[int, int]) -> Place | None:
        homography = self._homographies.get(modality)
        if homography is not None:
            return lambda image, nearest, border: warp(image, homography, size, nearest, border)
        self._remark_size(modality, own, size)
        return None if own == size else lambda image, nearest, border: rescale(image, size, nearest)

    def _follow(self, modality: Modality) -> Follower:
        source = self.sources[modality]
        place = self._place(modality)
        interval = 1.0 / self.fps
        if not self._timed(modality):
            return ByIndex(source.images(place))
        offset = self._offset(modality)
        if isinstance(source.reader, EventReader):
            end = source.reader.end
            assert end is not None
            return BySlice(source.reader.between, lambda events: source.encode(events, place), interval, end, offset)
        tolerance = interval / 2 if self._tolerance is None else self._tolerance
        return ByTime(source.images(place), tolerance, offset, patience=1.0 / (source.fps or FALLBACK_FPS))

    def _timed(self, modality: Modality) -> bool:
        """Whether both streams carry real stamps of clocks that can be compared: files with files, live with live."""
        source, reference = self.sources[modality], self.sources[self.reference]
        return source.has_time and reference.has_time and source.live == reference.live

    def _place(self, modality: Modality) -> Place | None:
        if self._own_pixels:
            return None
        size = self.size
        homography = self._homographies.get(modality)
        if homography is not None:
            return lambda image, nearest, border: warp(image, homography, size, nearest, border)
        if self.sources[modality].size == size:
            return None
        return lambda image, nearest, border: rescale(image, size, nearest)

    def _offset(self, modality: Modality) -> float:
        source, reference = self.sources[modality], self.sources[self.reference]
        if modality in self._offsets:
            return self._offsets[modality]
        if source.start is None or reference.start is None or source.end is None or reference.end is None:
            return 0.0
        if source.start <= reference.end and reference.start <= source.end:
            return 0.0
        self._notices.note(
            f"clock {modality}",
            f"The clocks of {modality} ({source.start:.3f} to {source.end:.3f} s) and {self.reference} "
            f"({reference.start:.3f} to {reference.end:.3f} s) do not overlap; both are counted from their "
            "first frame.",
        )
        return reference.start - source.start

    def _remark(self) -> None:
        """Note whatever about sizes, rates and lengths will change the images or the pairing."""
        reference = self.sources[self.reference]
        for modality, source in self.sources.items():
            if modality == self.reference:
                continue
            self._remark_size(modality, source.size, reference.size)
            timed = self._timed(modality)
            if source.live != reference.live:
                self._notices.note(
                    f"live {modality}",
                    f"{modality} and {self.reference} are a recording and a live source, which share no clock; "
                    "they are paired by position.",
                )
            if timed:
                self._offset(modality)
            sliced = timed and isinstance(source.reader, EventReader)
            rates = source.fps, reference.fps
            if not sliced and rates[0] and rates[1] and abs(rates[0] / rates[1] - 1) > 0.01:
                way = (
                    f"paired by time, so {modality} is missing where it has no frame within "
                    f"{1000 * (0.5 / rates[1] if self._tolerance is None else self._tolerance):.1f} ms"
                    if timed
                    else "paired by position, because not both carry real time stamps"
                )
                self._notices.note(
                    f"rate {modality}",
                    f"{modality} runs at {rates[0]:.4g} and {self.reference} at {rates[1]:.4g} frames per "
                    f"second; {way}.",
                )
            if not timed and source.length is not None and reference.length is not None:
                if source.length < reference.length:
                    self._note_ended(modality, source.length)
                elif source.length > reference.length:
                    self._note_left_over(modality)

    def _remark_size(self, modality: Modality, own: tuple[int, int], size: tuple[int, int]) -> None:
        (height, width), (to_height, to_width) = own, size
        if self._own_pixels or modality in self._homographies or own == size:
            return
        text = (
            f"{modality} is {width}x{height} and {self.reference} is {to_width}x{to_height}; {modality} is scaled to "
            f"{self.reference}"
        )
        if abs((width / height) / (to_width / to_height) - 1) > ASPECT_TOLERANCE:
            text += (
                ", which distorts it as the aspect ratios differ: a homography is recommended (--align homography.json)"
            )
        self._notices.note(f"size {modality}", text + ".")

    def _note_ended(self, modality: Modality, index: int) -> None:
        length = self.sources[self.reference].length
        of = "" if length is None else f" of {length}"
        self._notices.note(
            f"length {modality}", f"{modality} has ended by frame {index}{of}; it is missing from there on."
        )

    def _note_left_over(self, modality: Modality) -> None:
        self._notices.note(
            f"length {modality}", f"{modality} is longer than {self.reference}; the clip ends with {self.reference}."
        )


def choose_reference(sources: Mapping[Modality, Source]) -> Modality:
    """RGB if there is one, else a live source, else the longest with the first given winning ties."""
    if Modality.RGB in sources:
        return Modality.RGB
    return max(sources, key=lambda m: math.inf if sources[m].length is None else float(sources[m].length or 0))
