# SPDX-License-Identifier: Apache-2.0
"""One way to open anything: a path, a camera number or an address becomes a stream of encoded images with times."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.plugins import Table, expected
from modaltrack.sources.camera import LiveReader, is_live
from modaltrack.sources.encodings import (
    DEFAULT_ENCODING,
    Events,
    check_encoding,
    encode,
    has_reading,
    is_grey,
    mostly_without_reading,
)
from modaltrack.sources.events import DEFAULT_WINDOW, EVENT_SUFFIXES, UNREAD_SUFFIXES, EventReader, npz_files
from modaltrack.sources.folder import FolderReader, files_of_pattern, is_pattern
from modaltrack.sources.images import IMAGE_SUFFIXES, frames_in
from modaltrack.sources.notices import Notices, shown, without_login
from modaltrack.sources.prefetch import prefetch
from modaltrack.sources.video import VideoReader
from modaltrack.sources.watch import SensorWatch

AHEAD = 3
VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv")

# place(image, nearest, border): how an image is brought to the reference's size and pixels
Raw = NDArray[Any] | Events
Place = Callable[[NDArray[Any], bool, float], NDArray[Any]]


class Reader(Protocol):
    """What every kind of input offers: raw images (or events) with times, and what is known of them in advance."""

    name: str
    live: bool
    has_time: bool
    length: int | None
    start: float | None
    end: float | None

    @property
    def fps(self) -> float | None: ...

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def first(self) -> Raw | None: ...

    def frames(self) -> Iterator[tuple[float, Any]]: ...


class Source:
    """One sensor's stream: iterate for (time in seconds or nan, uint8 (H, W, 3), or None where a frame is damaged).

    Args:
        modality, encoding: what it is and how it is shown to the model.

    Attributes:
        name: the path or camera.
        size: (height, width).
        fps: None where it is not known.
        has_time: whether times are real stamps rather than counted from fps.
        length: None where unknown.
        start, end: its clock's first and last second, None where unknown.
        live: a camera or a stream.

    Can be iterated several times; each time opens the input afresh and decodes ahead in a thread of its own.
    """

    def __init__(
        self, reader: Reader, modality: Modality, encoding: str, options: dict[str, Any], notices: Notices
    ) -> None:
        self.reader = reader
        self.modality = modality
        self.encoding = encoding
        self._options = options
        self._notices = notices
        self._watch = SensorWatch(reader.name, modality, encoding, float(options.get("depth_scale", 1.0)), notices)
        if reader.first is not None:
            self.encode(reader.first)  # an unfit image is said when the source is opened
        if not reader.live:
            self._watch.open(reader.size, None if isinstance(reader, EventReader) else reader.fps)

    def __repr__(self) -> str:
        length = "live" if self.live else "of unknown length" if self.length is None else f"{self.length} frames"
        height, width = self.size
        return f"Source({self.modality} {without_login(self.name)!r} as {self.encoding}, {width}x{height}, {length})"

    @property
    def name(self) -> str:
        return self.reader.name

    @property
    def live(self) -> bool:
        return self.reader.live

    @property
    def has_time(self) -> bool:
        return self.reader.has_time

    @property
    def fps(self) -> float | None:
        return self.reader.fps

    @property
    def size(self) -> tuple[int, int]:
        return self.reader.size

    @property
    def depth_scale(self) -> float:
        """Value * depth_scale = millimetres."""
        return float(self._options.get("depth_scale", 1.0))

    @property
    def length(self) -> int | None:
        return self.reader.length

    @property
    def start(self) -> float | None:
        return self.reader.start

    @property
    def end(self) -> float | None:
        return self.reader.end

    def __len__(self) -> int:
        if self.reader.length is None:
            raise TypeError(f"The number of frames of {self.name} is not known in advance.")
        return self.reader.length

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8] | None]]:
        return self.images()

    def images(self, place: Place | None = None) -> Generator[tuple[float, NDArray[np.uint8] | None], None, None]:
        """Like iterating, with every image brought into place (see ``encode``)."""
        ahead = prefetch(self._encoded(place), AHEAD, latest=self.live)
        try:
            for item in ahead:
                self._notices.speak()
                yield item
            self._notices.speak()
        finally:
            ahead.close()

    def _encoded(self, place: Place | None) -> Iterator[tuple[float, NDArray[np.uint8] | None]]:
        for time, raw in self.reader.frames():
            if isinstance(raw, np.ndarray) and not has_reading(raw, self.modality):
                self._notices.note(
                    f"empty {self.name}",
                    f"{self.name} has images without a single reading; {self.modality} is missing there.",
                )
                raw = None
            yield time, None if raw is None else self.encode(raw, place)

    def encode(self, raw: Raw, place: Place | None = None) -> NDArray[np.uint8]:
        """Encode one raw image or bunch of events, and bring it into place.

        Raw depth is moved before it is encoded and to the nearest pixel: between two distances lies no third one, and
        between two colours of a map no distance at all. Everything else is encoded first and moved bilinearly.
        """
        if self.encoding == "depth-jet-bgr" and isinstance(raw, np.ndarray) and is_grey(raw):
            raw = raw[:, :, 0]
        self._remark(raw)
        raw_depth = self.encoding == "depth-jet-bgr"
        try:
            if place is not None and raw_depth and isinstance(raw, np.ndarray):
                raw = place(raw, True, 0.0)
            image = encode(self.encoding, raw, **self._options)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        self._watch.see(raw, image)
        if place is None or raw_depth:
            return image
        moved: NDArray[np.uint8] = place(
            image, self.encoding == "as-stored", 255.0 if self.modality == "event" else 0.0
        )
        return moved

    def _remark(self, raw: object) -> None:
        if not isinstance(raw, np.ndarray):
            return
        name = self.name
        if self.encoding == "rgb" and raw.dtype == np.uint16:
            self._notices.note(f"wide {name}", f"{name} is 16-bit colour; it is scaled by 1/257 to 8 bits.")
        elif self.encoding == "thermal" and raw.dtype != np.uint8:
            self._notices.note(
                f"wide {name}",
                f"{name} is {raw.dtype} thermal; each frame is stretched by its own minimum and maximum "
                "(encoding 'thermal-16bit-minmax' [ours]; name it to say that you know).",
            )
        elif self.encoding == "depth-jet-bgr" and raw.ndim == 2:
            if raw.dtype == np.uint8:
                self._notices.note(
                    f"narrow {name}",
                    f"{name} is 8-bit depth where 16-bit millimetres were expected; value * depth_scale "
                    f"({self._options.get('depth_scale', 1.0):g}) is taken as millimetres.",
                )
            if mostly_without_reading(raw):
                self._notices.note(
                    f"holes {name}",
                    f"{name} has frames without a reading in more than half of their pixels; there the clipping "
                    "distance comes from the median of the readings (the published rule would blank the frame).",
                )


def open_source(
    spec: str | int | os.PathLike[str] | None,
    modality: Modality | str,
    encoding: str | None = None,
    depth_scale: float = 1.0,
    fps: float | None = None,
    window: float = DEFAULT_WINDOW,
    event_size: tuple[int, int] | None = None,
    event_unit: str | None = None,
    notices: Notices | None = None,
    single: bool = False,
) -> Source:
    """Open an image folder, a video file, a camera, a network stream or an event recording.

    Args:
        spec: a path; a camera number ("0"); an address ("rtsp://...").
        encoding: a name of ``encodings.ENCODINGS`` that suits the modality; the default is the one the published
            trackers use.
        depth_scale: value * depth_scale = millimetres.
        fps: the rate of an image folder without time stamps.
        window: seconds per image of an event recording on its own.
        event_size: (height, width) of an event sensor whose file does not say.
        notices: shared by the sources of a clip.
        event_unit: of the stamps in event tables (s, ms, us, ns), guessed where None.
        single: whether one picture is a clip, of one frame.

    Raises:
        ValueError: in one sentence, for whatever cannot be opened.
    """
    kind = check_modality(modality)
    own = notices is None
    heard = Notices() if notices is None else notices
    if encoding is not None:
        check_encoding(encoding, kind)
    for name, value in (("fps", fps), ("depth_scale", depth_scale)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"The {name} of {kind.value} is {value} and a positive number was expected; correct it.")
    options: dict[str, Any] = {}
    reader = _open_reader(spec, kind, heard, fps, window, event_size, event_unit, kind == Modality.DEPTH, single)
    chosen = encoding or DEFAULT_ENCODING[kind]
    if isinstance(reader, EventReader):
        if encoding == "event-image":
            raise ValueError(
                f"{reader.name} is an event recording and 'event-image' expects images; use 'event-accumulate'."
            )
        chosen = "event-accumulate"
        options = {"height": reader.size[0], "width": reader.size[1]}
    elif chosen == "event-accumulate":
        raise ValueError(f"{reader.name} holds images and 'event-accumulate' expects raw events; use 'event-image'.")
    if chosen == "depth-jet-bgr":
        options = {"depth_scale": depth_scale}
    source = Source(reader, kind, chosen, options, heard)
    if own:
        heard.speak()
    return source


def check_modality(modality: Modality | str) -> Modality:
    """A ``Modality`` from its name, or ValueError with the names there are."""
    try:
        return Modality(modality)
    except ValueError:
        raise ValueError(f"There is no modality {modality!r}; use one of {', '.join(Modality)}.") from None


ReaderPlugin = Callable[[str, Modality], Reader | None]


def _reader(name: str, found: object) -> ReaderPlugin:
    if not callable(found):
        raise expected("a function (spec, modality) -> Reader or None", found)
    return cast(ReaderPlugin, found)


READERS: Table[ReaderPlugin] = Table("modaltrack.readers", {}, _reader)  # of plug-ins, asked before this package's


def _open_reader(
    spec: str | int | os.PathLike[str] | None,
    modality: Modality,
    notices: Notices,
    fps: float | None,
    window: float,
    event_size: tuple[int, int] | None,
    event_unit: str | None,
    nearest: bool,
    single: bool,
) -> Reader:
    if spec is None or str(spec) == "":
        raise ValueError(
            f"No source was given for {modality.value}; a folder, a video, a camera or an address is expected."
        )
    text = without_file_scheme(str(spec))
    for read in READERS.values():
        if (added := read(text, modality)) is not None:
            return added
    path = Path(text)
    suffix = path.suffix.lower()
    name, thermal = shown(text), modality == Modality.THERMAL
    if text.startswith(("http://", "https://")) and suffix in VIDEO_SUFFIXES:
        return VideoReader(text, notices, fps)
    if is_live(text) and not path.is_dir():
        return LiveReader(text, notices, fps)
    if modality == Modality.EVENT and path.is_dir() and npz_files(path):
        return EventReader(path, notices, window, event_size, event_unit)
    if path.is_dir():
        return FolderReader(path, notices, fps, nearest, radiometric=thermal)
    if suffix in EVENT_SUFFIXES + UNREAD_SUFFIXES and not _holds_pictures(path, modality):
        if modality != Modality.EVENT:
            raise ValueError(f"{name} is an event recording and was given as {modality.value}; give it as event.")
        return EventReader(path, notices, window, event_size, event_unit)
    if not path.exists() and is_pattern(text):
        return FolderReader(path.parent, notices, fps, nearest, files=files_of_pattern(text), radiometric=thermal)
    if not path.exists():
        raise ValueError(f"The {modality.value} source {name} does not exist; check the path.")
    if suffix in IMAGE_SUFFIXES:
        if frames_in(path) == 1 and not single:
            raise ValueError(
                f"{name} is a single image and a clip was expected; give the folder that holds the frames."
            )
        return FolderReader(path, notices, fps, nearest, files=[path], radiometric=thermal)
    return VideoReader(text, notices, fps)


def _holds_pictures(path: Path, modality: Modality) -> bool:
    """Whether an array file is a stack of images rather than a table of events."""
    if path.suffix.lower() != ".npy" or not path.exists():
        return False
    return modality != Modality.EVENT or frames_in(path) > 1


def without_file_scheme(text: str) -> str:
    """The path of a ``file://`` address, other specs as they are; ``%20`` is decoded where no such file exists."""
    if not text.lower().startswith("file:"):
        return text
    path = re.sub(r"^file:(//(localhost)?(?=/))?(//)?", "", text, flags=re.IGNORECASE)
    if os.name == "nt":
        path = re.sub(r"^/(?=[A-Za-z]:)", "", path)
    return path if Path(path).exists() else unquote(path)
