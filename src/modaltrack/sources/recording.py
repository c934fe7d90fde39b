# SPDX-License-Identifier: Apache-2.0
"""A live clip kept on disk: every image of every sensor as it came, and which of them made each instant.

    FOLDER/recording.json     what was recorded, and from where
    FOLDER/rgb.mkv ...        one video per sensor, FFV1, lossless, colour or grey (8 or 16 bit), with arrival times
    FOLDER/instants.jsonl     one line per instant: its time, and for each sensor the number of its image in the video

The videos are ordinary files and can be opened as such; ``replay.open_recording`` reads them by the instants. Nothing
here holds the tracker up: images are encoded by a thread per sensor; what it cannot keep up with is left out, and that
first of all where no instant uses it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from queue import Queue
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from modaltrack.files import prepare_folder, write_file
from modaltrack.frame import Modality
from modaltrack.sources.notices import Notices

FORMAT = "modaltrack-recording/1"
ABOUT, INSTANTS = "recording.json", "instants.jsonl"
WAITING = 16  # images of a sensor that may wait for the encoder
USED_WAITING = 48  # the same for images that an instant uses
RECENT = 256  # images whose place in the file is remembered: far more than the live ring holds
TICK = Fraction(1, 1000)  # Matroska's
CODEC = "ffv1", {"level": "3", "slices": "4", "slicecrc": "1"}


class Picture(Protocol):
    """What is recorded of an image: see ``live_stream.Shot``."""

    @property
    def number(self) -> int: ...

    @property
    def arrived(self) -> float: ...

    @property
    def raw(self) -> NDArray[Any]: ...


class Recording:
    """Writes a recording while a live clip runs; ``close`` completes it. May begin and end while the clip goes on.

    Args:
        folder: an empty or a new folder.
        reference: the sensor whose pixels count.
        names: modality -> camera or address, as it may be shown.
        offsets, homographies, depth_scale: of the clip.

    Attributes:
        closed: nothing is taken any more.
        failed: the list of instants could not be written on.
        instants: kept so far.

    Raises:
        ValueError: the folder holds something or cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        reference: Modality,
        names: Mapping[Modality, str],
        offsets: Mapping[Modality, float],
        homographies: Mapping[Modality, NDArray[np.float64]],
        depth_scale: float,
        notices: Notices,
    ) -> None:
        self.folder = check_recording_folder(folder)
        self._facts = {
            "format": FORMAT,
            "reference": reference.value,
            "sensors": {m.value: name for m, name in names.items()},
            "offsets": {m.value: seconds for m, seconds in offsets.items()},
            "homographies": {m.value: matrix.tolist() for m, matrix in homographies.items()},
            "depth_scale": depth_scale,
        }
        self.closed, self.failed, self.instants = False, False, 0
        self._notices, self._turn, self._closing = notices, threading.Lock(), threading.Lock()
        self._zero = time.monotonic()
        self._files: dict[Modality, _SensorFile] = {}
        self._begun: float | None = None  # of the clip, when the first instant was kept
        self._incomplete = 0
        self._describe(complete=False)
        self._list = (folder / INSTANTS).open("w", encoding="utf-8", newline="\n")

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"Recording({str(self.folder)!r}, {self.instants} instants, {state})"

    def picture(self, modality: Modality, shot: Picture) -> None:
        """Keep an image; called by the sensor's own thread, before the image can be used."""
        with self._turn:
            if self.closed:  # a read that was blocked while the clip ended
                return
            file = self._file(modality)
            file.seen, file.first = file.seen + 1, min(file.first, shot.number)
            file.put(shot.number, shot.arrived - self._zero, shot.raw)

    def _file(self, modality: Modality) -> _SensorFile:
        if modality not in self._files:
            self._files[modality] = _SensorFile(self.folder / f"{modality.value}.mkv", modality, self._notices)
        return self._files[modality]

    def instant(self, moment: float, used: Mapping[Modality, Picture]) -> None:
        """Keep which image each sensor has in an instant; sensors without one are missing.

        Args:
            moment: seconds since the clip began; the recording counts from its own first instant.
            used: modality -> its image.
        """
        with self._turn:
            if self.closed or self.failed:
                return
            for modality, shot in used.items():  # images that came before the recording began are put behind
                file = self._file(modality)
                file.seen += shot.number < file.first
                file.first = min(file.first, shot.number)
                if file.place(shot.number) is None:
                    file.put(shot.number, shot.arrived - self._zero, shot.raw, USED_WAITING)
            places = {m.value: self._files[m].place(shot.number) for m, shot in used.items()}
            self._incomplete += any(place is None for place in places.values())
            self._begun = moment if self._begun is None else self._begun
            try:
                self._list.write(json.dumps({"time": moment - self._begun, "images": places}) + "\n")
                self._list.flush()
            except OSError as error:  # a full disk ends the recording and not the run
                self._fail(error)
                return
            self.instants += 1

    def close(self) -> None:
        """Finish the videos; without a single instant nothing is left behind.

        A second time it does nothing; while another thread closes, it waits until the files are whole.
        """
        with self._closing:
            with self._turn:
                closed, self.closed = self.closed, True
            if not closed:
                self._finish()

    def _finish(self) -> None:
        for file in list(self._files.values()):
            file.close()
        with suppress(OSError):  # what could not be written was said
            self._list.close()
        if not self.instants:
            for name in (ABOUT, INSTANTS, *(f"{m.value}.mkv" for m in self._files)):
                (self.folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else was put there meanwhile
                self.folder.rmdir()
            return
        try:
            self._describe(complete=not self.failed)
        except OSError as error:
            self._fail(error)
        if self._incomplete:
            self._notices.note(
                f"incomplete recording {self.folder}",
                f"{self._incomplete} of {self.instants} recorded instants lack an image that was tracked, because the "
                "encoder could not keep up; their replay can differ.",
            )

    def _fail(self, error: OSError) -> None:
        self.failed = True
        self._notices.note(
            f"recording failed {self.folder}",
            f"The recording in {self.folder} ends ({error.strerror or error}); tracking goes on.",
        )

    def _describe(self, complete: bool) -> None:
        counts = {m.value: {"pictures": f.written, "left_out": f.seen - f.written} for m, f in self._files.items()}
        document = {**self._facts, "complete": complete, "instants": self.instants, "videos": counts}
        write_file(self.folder / ABOUT, json.dumps(document, indent=1) + "\n")


def check_recording_folder(folder: Path) -> Path:
    """The folder, made where it is not there.

    Raises:
        ValueError: it holds something, is a file or cannot be written to.
    """
    if folder.is_dir() and (there := sorted(f.name for f in folder.iterdir())):
        raise ValueError(f"The folder {folder} for the recording holds {there[0]} already; give a new or an empty one.")
    try:
        return prepare_folder(folder)
    except ValueError as error:
        raise ValueError(str(error).replace("--out", "--record").replace("output folder", "folder")) from None


class _SensorFile:
    """One sensor's video, written by a thread of its own."""

    def __init__(self, path: Path, modality: Modality, notices: Notices) -> None:
        self.seen, self.written, self.first = 0, 0, math.inf  # first: the lowest number of a shot
        self._path, self._modality, self._notices = path, modality, notices
        self._queue: Queue[tuple[float, NDArray[Any]] | None] = Queue()
        self._lock = threading.Lock()
        self._places: dict[int, int] = {}  # number of a shot -> of its picture in the file
        self._queued = 0
        self._form: tuple[Any, ...] | None = None
        self._failed = ""
        self._thread = threading.Thread(target=self._work, name=f"modaltrack-record-{modality}", daemon=True)
        self._thread.start()

    def put(self, number: int, seconds: float, raw: NDArray[Any], most: int | None = None) -> None:
        """Queue an image, or leave it out where the encoder is behind, has failed or expects another kind.

        Args:
            most: images that may wait before it, ``WAITING`` by default.
        """
        form = (raw.shape, raw.dtype)
        with self._lock:  # the sensor's thread, and that of the session for images left out before
            self._form = self._form or form
            why = self._failed or ("they change their kind" if form != self._form else "")
            if not why and self._queue.qsize() < (WAITING if most is None else most):
                self._queue.put_nowait((seconds, raw))
                self._places[number] = self._queued
                self._queued += 1
                self._places.pop(number - RECENT, None)
                return
        self._notices.note(
            f"left out {self._modality}",
            f"The recording leaves out images of {self._modality} ({why or 'the encoder is behind'}).",
        )

    def place(self, number: int) -> int | None:
        """The number of a shot's picture in the file, None where it was left out."""
        return self._places.get(number)

    def close(self) -> None:
        """Write what is queued and end the file."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            self._write()
        except (av.error.FFmpegError, OSError) as error:
            self._failed = f"{self._path} cannot be written: {getattr(error, 'strerror', None) or error}"
            while self._queue.get() is not None:
                pass

    def _write(self) -> None:
        first = self._queue.get()
        if first is None:
            return
        item: tuple[float, NDArray[Any]] | None = first
        raw = first[1]
        form, pixels = (
            ("rgb24", "bgr0") if raw.ndim == 3 else (("gray16le",) * 2 if raw.dtype == np.uint16 else ("gray",) * 2)
        )
        last = -1
        with av.open(str(self._path), "w", format="matroska") as container:
            name, options = CODEC
            stream: Any = container.add_stream(name, rate=30, options=dict(options))
            stream.height, stream.width = raw.shape[:2]
            stream.pix_fmt = pixels
            stream.gop_size = 1  # every picture stands alone, so that a file that was cut short can be read
            stream.codec_context.time_base = TICK
            while item is not None:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(item[1]), format=form)
                last = max(last + 1, round(item[0] / TICK))
                frame.pts, frame.time_base = last, TICK
                for packet in stream.encode(frame):
                    container.mux(packet)
                self.written += 1
                item = self._queue.get()
            for packet in stream.encode():
                container.mux(packet)
