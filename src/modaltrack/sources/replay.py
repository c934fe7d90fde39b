# SPDX-License-Identifier: Apache-2.0
"""Recordings of live clips as clips: the same images in the same instants as the tracker saw when it was live."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.files import parse_json, read_json
from modaltrack.frame import Frame, Modality
from modaltrack.sources.align import Homographies, load_alignment
from modaltrack.sources.clip import ClipReader
from modaltrack.sources.notices import Notices
from modaltrack.sources.prefetch import prefetch
from modaltrack.sources.recording import ABOUT, FORMAT, INSTANTS
from modaltrack.sources.source import AHEAD, Place, Source, open_source

KEPT = 16  # pictures of a sensor behind the newest that an instant may still name; live, its ring is 8 long


def recorded_sensors(folder: str | os.PathLike[str]) -> dict[Modality, str]:
    """Modality -> its video, of the sensors that a recording holds.

    Raises:
        ValueError: it is no recording.
    """
    top = Path(folder)
    sensors = {Modality(name): str(top / f"{name}.mkv") for name in _about(top)["sensors"]}
    return {m: file for m, file in sensors.items() if Path(file).is_file()}


def open_recording(
    folder: str | os.PathLike[str],
    align: Homographies | str | os.PathLike[str] | None = None,
    encodings: Mapping[Any, str] | None = None,
    depth_scale: float | None = None,
) -> RecordedClip:
    """Open what ``open_clip(..., record=FOLDER)`` or ``track --record FOLDER`` wrote.

    Args:
        folder: the recording.
        align: other homographies than those of the live run.
        encodings: modality -> name, as in ``open_clip``.
        depth_scale: another one than that of the live run; value * depth_scale = millimetres.

    Raises:
        ValueError: it is no recording, or its videos cannot be read.
    """
    top = Path(folder)
    about, files = _about(top), recorded_sensors(top)
    reference = Modality(about["reference"])
    if reference not in files:
        raise ValueError(f"{top} lacks {reference.value}.mkv, the sensor whose pixels count; copy it there.")
    notices = Notices()
    names = {Modality(m): name for m, name in (encodings or {}).items()}
    scale = float(about.get("depth_scale", 1.0)) if depth_scale is None else depth_scale
    sources = {
        m: open_source(file, m, names.get(m), depth_scale=scale if m == Modality.DEPTH else 1.0, notices=notices)
        for m, file in files.items()
    }
    given = about.get("homographies") if align is None else align
    path = str(given) if isinstance(given, os.PathLike) else given
    if isinstance(path, Mapping):
        path = {m: rows for m, rows in path.items() if m in sources}
    homographies = load_alignment(path, tuple(sources), reference)
    sensors = frozenset(Modality(name) for name in about["sensors"])
    return RecordedClip(sources, homographies, notices, reference, sensors, _instants(top, notices))


class RecordedClip(ClipReader):
    """Iterate for the instants of a live run, as its tracker got them; made by ``open_recording``.

    Args:
        sources: modality -> the video of that sensor.
        homographies: as in ``ClipReader``.
        notices: shared with the sources.
        reference: whose pixels count.
        sensors: of the live run, also those that never sent an image.
        instants: time and modality -> number of the picture in its video, None where it was left out.
    """

    def __init__(
        self,
        sources: Mapping[Modality, Source],
        homographies: Mapping[Modality, NDArray[np.float64]],
        notices: Notices,
        reference: Modality,
        sensors: frozenset[Modality],
        instants: list[tuple[float, dict[Modality, int | None]]],
    ) -> None:
        self._sensors, self._list = sensors, instants
        super().__init__(sources, homographies, notices, reference=reference)

    @property
    def length(self) -> int | None:
        return len(self._list)

    def __len__(self) -> int:
        return len(self._list)

    def frames(self, stop: threading.Event | None = None) -> Generator[Frame, None, None]:
        """Yield the instants one by one; where a picture is gone its sensor is missing, with a warning."""
        ahead = prefetch(self._frames(), AHEAD)
        try:
            for frame in ahead:
                self._notices.speak()
                yield frame
            self._notices.speak()
        finally:
            ahead.close()

    def _frames(self) -> Iterator[Frame]:
        places = {m: None if m == self.reference else self._place(m) for m in self.sources}
        shelves = {m: _Shelf(source.reader.frames()) for m, source in self.sources.items()}
        try:
            for index, (moment, numbers) in enumerate(self._list):
                images: dict[Modality, NDArray[np.uint8]] = {}
                for modality, place in places.items():
                    if modality in numbers:
                        image = self._picture(modality, shelves[modality], numbers[modality], place, index)
                        images |= {} if image is None else {modality: image}
                yield Frame(images, moment, index, frozenset(self._sensors - images.keys()))
        finally:
            for shelf in shelves.values():
                shelf.close()

    def _picture(
        self, modality: Modality, shelf: _Shelf, number: int | None, place: Place | None, index: int
    ) -> NDArray[np.uint8] | None:
        raw = None if number is None else shelf.picture(number)
        if raw is None:
            why = "was left out of the recording" if number is None else "is not in its video, which may be cut"
            self._notices.note(
                f"gone {modality}",
                f"The image of {modality} in instant {index} {why}; it is missing there, and boxes can differ from the "
                "live run's.",
            )
            return None
        return self.sources[modality].encode(raw, place)

    def _remark(self) -> None:
        """Pairing is settled by the instants: only what changes images is said."""
        for modality, source in self.sources.items():
            if modality != self.reference:
                self._remark_size(modality, source.size, self.size)


class _Shelf:
    """The pictures of a video by their numbers, which grow but for a few steps back."""

    def __init__(self, pictures: Iterator[tuple[float, Any]]) -> None:
        self._pictures = pictures
        self._kept: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        self._next = 0

    def picture(self, number: int) -> NDArray[Any] | None:
        """The raw picture, or None where the video lacks it."""
        while self._next <= number:
            item = next(self._pictures, None)
            if item is None:
                return None
            self._kept.append((self._next, item[1]))
            self._next += 1
        return next((raw for place, raw in self._kept if place == number), None)

    def close(self) -> None:
        """Let the video go."""
        close = getattr(self._pictures, "close", None)
        if close is not None:
            close()


def _about(folder: Path) -> dict[str, Any]:
    wanted = "a recording of modaltrack track --record was expected; give its folder"
    try:
        about = read_json(folder / ABOUT, wanted)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} holds no {ABOUT}; {wanted}.") from None
    sensors = about.get("sensors")
    known = isinstance(sensors, dict) and set(sensors) <= {m.value for m in Modality}
    scale, moved = about.get("depth_scale", 1.0), about.get("homographies")
    known = known and type(scale) in (int, float) and 0 < scale < math.inf and isinstance(moved, dict | None)
    if about.get("format") != FORMAT or not known or about.get("reference") not in list(sensors or ()):
        raise ValueError(f"{folder / ABOUT} does not describe a recording ({FORMAT}); {wanted}.")
    return about


def _instants(folder: Path, notices: Notices) -> list[tuple[float, dict[Modality, int | None]]]:
    """The instants; a last line that a killed run has cut is left out."""
    file, found = folder / INSTANTS, []
    if not file.is_file():
        raise ValueError(f"{folder} lacks {INSTANTS}, which says what was tracked together; copy it there.")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line)
            images = {Modality(m): None if k is None else int(k) for m, k in row["images"].items()}
            moment = float(row["time"])
            if not math.isfinite(moment):
                raise ValueError("no time")
            found.append((moment, images))
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
            if number < len(lines):
                raise ValueError(
                    f"{file}, line {number}: it is no instant of a recording; copy the file again."
                ) from None
            notices.note(
                "cut instants", f"{file} ends within a line (a run that was killed); that instant is left out."
            )
    if not found:
        raise ValueError(f"{file} holds no instant; the recording ended before its first frame.")
    return found
