# SPDX-License-Identifier: Apache-2.0
"""Event recordings: files of every usual format in, slices of events out."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.encodings import Events
from modaltrack.sources.event_streams import load_aedat2, load_event_stream, load_prophesee_dat, load_prophesee_raw
from modaltrack.sources.event_tables import EventRecording, load_hdf5, load_npy, load_npz, load_npz_folder, load_text
from modaltrack.sources.notices import Notices, shown
from modaltrack.sources.order import order_names

DEFAULT_WINDOW = 1.0 / 30.0
MAX_SIDE = 8192  # pixels: several times the largest event sensor
MAX_FRAMES = 5_000_000  # two days at 30 per second
RESET = 1_000_000  # us backwards that no order of packets explains
STRAY_SHARE = 1e-3  # of the events may be wild and are then left out
_DECODER_SECONDS = 600.0

_TABLES: dict[str, Callable[[Path, str | None], EventRecording]] = {
    ".npz": load_npz,
    ".npy": load_npy,
    ".csv": load_text,
    ".txt": load_text,
    ".h5": load_hdf5,
    ".hdf5": load_hdf5,
}
_STREAMS: dict[str, Callable[[Path], EventRecording]] = {
    ".raw": load_prophesee_raw,
    ".dat": load_prophesee_dat,
    ".es": load_event_stream,
    ".aedat": load_aedat2,
    ".aedat2": load_aedat2,
}
EVENT_SUFFIXES = (".aedat4", *_TABLES, *_STREAMS)
UNREAD_SUFFIXES = (".bag", ".zst")


def load_events(file: Path, unit: str | None = None) -> EventRecording:
    """Read a whole recording; its events have t in whole microseconds, rising, and strays left out.

    AEDAT4 (first event stream; needs the ``aedat`` package), AEDAT 2, NPZ, NPY, HDF5 (needs ``h5py``), text, Prophesee
    RAW and DAT, Event Stream; a folder of NPZ files is one recording.

    Args:
        unit: of the stamps in tables (``s``, ``ms``, ``us``, ``ns``), guessed where None.

    Raises:
        ValueError: with one sentence for anything else.
    """
    suffix, name = file.suffix.lower(), shown(file)
    if file.is_dir():
        return _checked(load_npz_folder(npz_files(file), unit), name)
    if suffix in UNREAD_SUFFIXES:
        raise ValueError(
            f"Event files of type {suffix} ({name}) are not read here; convert them to .npz with arrays t "
            "(microseconds), x, y, p."
        )
    if suffix not in EVENT_SUFFIXES:
        raise ValueError(f"{name} is no event file this package reads; one of {', '.join(EVENT_SUFFIXES)} is expected.")
    if not file.exists():
        raise ValueError(f"The event file {name} does not exist; check the path.")
    if suffix == ".aedat4":
        recording = _load_aedat4(file)
    elif suffix in _TABLES:
        recording = _TABLES[suffix](file, unit)
    else:
        recording = _STREAMS[suffix](file)
    return _checked(recording, name)


def npz_files(folder: Path) -> list[Path]:
    """The NPZ files of a folder in order, empty where it holds images or nothing."""
    files = [f for f in folder.iterdir() if f.suffix.lower() == ".npz" and not f.name.startswith(".")]
    return [files[i] for i in order_names([f.stem for f in files]).places]


def _load_aedat4(file: Path) -> EventRecording:
    from importlib.util import find_spec

    name = shown(file)
    if find_spec("aedat") is None:
        raise ValueError(
            f"Reading {name} needs the aedat package, which is not installed; pip install 'modaltrack[events]'."
        )
    child = Path(__file__).with_name("aedat4_child.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(child), str(file)], capture_output=True, timeout=_DECODER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"The AEDAT4 file {name} is not decoded within {_DECODER_SECONDS:.0f} s; it is damaged."
        ) from None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode == 2 and said == ["no event stream"]:
        raise ValueError(f"The AEDAT4 file {name} has no event stream; a recording with polarity events is expected.")
    if done.returncode != 0 or len(done.stdout) < 8:
        why = shown(said[-1][:150]) if said else "its decoder broke down"
        raise ValueError(
            f"The AEDAT4 file {name} cannot be read to its end ({why}); it is damaged or cut, so fetch it again."
        )
    height, width = (int(v) for v in np.frombuffer(done.stdout, "<u4", 2))
    record = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    whole = np.frombuffer(done.stdout, record, offset=8)
    return EventRecording(Events(whole["t"], whole["x"], whole["y"], whole["p"]), (height, width))


def _checked(recording: EventRecording, name: str) -> EventRecording:
    t, x, y, p = (np.asarray(column) for column in recording.events)
    if len(t) == 0:
        raise ValueError(f"The event file {name} holds no polarity events; there is nothing to see in it.")
    if any(c.dtype.kind not in "buif" or (c.dtype.kind == "f" and not np.isfinite(c).all()) for c in (t, x, y, p)):
        raise ValueError(f"{name} holds events that are no finite numbers; t, x, y, p are expected.")
    if not np.isin(p, (-1, 0, 1)).all():
        raise ValueError(
            f"The polarity in {name} takes other values than 0, 1 or -1; the column order t,x,y,p is expected."
        )
    if float(np.abs(t.astype(np.float64)).max()) > 9e18:
        raise ValueError(f"{name} has time stamps beyond 64 bits of microseconds; repair or convert it.")
    t = t.astype(np.int64)
    if (t[1:] < t[:-1]).any():  # packets of several cores may interleave; the order within equal times is kept
        back = int((t[:-1] - t[1:]).max())
        order = np.argsort(t, kind="stable")
        t, x, y, p = t[order], x[order], y[order], p[order]
        if back > RESET:
            remark = (
                f"The times in {name} go back by {back * 1e-6:.3g} s: a clock that was reset, or joined parts. All "
                "events are sorted by their times, so that parts may lie over one another; cut the recording there."
            )
            recording = recording._replace(remarks=(*recording.remarks, remark))
    events = Events(t, _pixels(x, name), _pixels(y, name), p > 0)
    return recording._replace(events=events)


def _pixels(column: NDArray[Any], name: str) -> NDArray[np.int32]:
    if column.min() < 0:
        raise ValueError(f"{name} has events at negative pixels; x and y count from the top left, from 0.")
    # Beyond 2^31 a pixel would wrap into the picture.
    return np.minimum(column.astype(np.int64) if column.dtype.kind != "f" else column, 2**31 - 1).astype(np.int32)


def without_strays(
    events: Events, size: tuple[int, int] | None, name: str
) -> tuple[Events, tuple[int, int], list[str]]:
    """Leave out the few events that lie outside the sensor: (events, sensor (height, width), what was done).

    Where the size is not stated it is the extent of the events, without those (at most one in a thousand) that lie
    beyond twice the extent of all others.

    Raises:
        ValueError: where more lie outside, or the sensor would be absurd.
    """
    remarks: list[str] = []
    if size is not None and not (0 < size[0] <= MAX_SIDE and 0 < size[1] <= MAX_SIDE):
        raise ValueError(
            f"The sensor of {name} is said to be {size[1]}x{size[0]} pixels, which no event camera has; give its true "
            "size with --event-size WIDTHxHEIGHT."
        )
    if size is None:
        size = (_extent(events.y), _extent(events.x))
        guessed = True
    else:
        guessed = False
    inside = (events.x < size[1]) & (events.y < size[0])
    outside = int(len(inside) - np.count_nonzero(inside))
    if outside > max(STRAY_SHARE * len(inside), 1 if len(inside) >= 100 else 0):
        extent = int(events.x.max()), int(events.y.max())
        raise ValueError(
            f"{name} has events up to ({extent[0]}, {extent[1]}) and the sensor is {size[1]}x{size[0]}; give its true "
            "size (--event-size WIDTHxHEIGHT)."
        )
    if size[0] > MAX_SIDE or size[1] > MAX_SIDE:
        raise ValueError(
            f"The events of {name} reach over {size[1]}x{size[0]} pixels, which no event camera has; give the sensor's "
            "size with --event-size WIDTHxHEIGHT, or repair the file."
        )
    if outside:
        events = Events(*(column[inside] for column in events))
        remarks.append(f"Left out of {name}: {outside} of {len(inside)} events, which lie far outside the sensor.")
    if guessed:
        remarks.append(
            f"{name} does not say the sensor's size; {size[1]}x{size[0]} is taken from the events' own extent "
            "(--event-size WIDTHxHEIGHT, event_size=(height, width) in Python, if that is wrong)."
        )
    return events, size, remarks


def _extent(column: NDArray[np.int32]) -> int:
    """One more than the largest value, or than the largest that is not wild."""
    largest = int(column.max()) + 1
    strays = int(STRAY_SHARE * len(column)) or (1 if len(column) >= 100 else 0)
    if strays:
        usual = int(np.partition(column, len(column) - 1 - strays)[len(column) - 1 - strays]) + 1
        if largest > 2 * usual:
            return int(column[column < 2 * usual].max()) + 1
    return largest


def _jump(t: NDArray[np.int64]) -> str:
    """What is probably wrong with stamps that span years."""
    if len(t) > 2 and int(np.diff(t).max()) > 0.9 * int(t[-1] - t[0]):
        return "one jump of its clock makes up most of that, so cut the recording there."
    return "its time stamps are probably not microseconds: give --event-unit s, ms, us or ns, or repair the file."


class EventReader:
    """Holds one recording in memory and cuts it: by a fixed window on its own, by another sensor's times in a clip.

    Args:
        window: seconds; without another clock, slice k holds the events in (start + k window, start + (k + 1) window]
            and is stamped with its end.
        size: (height, width), needed where the file does not store it; guessed from the events otherwise, with a
            notice.
        unit: of the stamps in tables, guessed where None.
    """

    live = False
    has_time = True
    first: Any = None

    def __init__(
        self,
        file: Path,
        notices: Notices,
        window: float = DEFAULT_WINDOW,
        size: tuple[int, int] | None = None,
        unit: str | None = None,
    ) -> None:
        if not (math.isfinite(window) and window > 0):
            raise ValueError(f"The event window is {window} and a positive number of seconds was expected.")
        self.name = shown(file)
        recording = load_events(file, unit)
        self.events, self.size, remarks = without_strays(recording.events, size or recording.size, self.name)
        for remark in (*recording.remarks, *remarks):
            notices.note(remark, remark)
        first, last = int(self.events.t[0]), int(self.events.t[-1])
        seconds = (last - first) * 1e-6
        if seconds / window > MAX_FRAMES:
            raise ValueError(
                f"{self.name} spans {seconds:.3g} s, {seconds / window:.2g} frames; {_jump(self.events.t)}"
            )
        self.start: float | None = first * 1e-6
        self.end: float | None = last * 1e-6
        self._window = window
        self.fps: float | None = 1.0 / window
        self.length: int | None = max(1, math.ceil(seconds / window - 1e-9))
        self._note_gap(notices)

    def _note_gap(self, notices: Notices) -> None:
        """Say when most of the recording is one silence: a sensor that was reset, or a damaged stamp."""
        t = self.events.t
        if len(t) < 3 or t[-1] - t[0] < 10_000_000:
            return
        longest = int(np.diff(t).max())
        if longest > 0.9 * int(t[-1] - t[0]):
            notices.note(
                f"gap {self.name}",
                f"{self.name} spans {(t[-1] - t[0]) * 1e-6:.3g} s, {longest * 1e-6:.3g} s of them one pause without an "
                "event: its clock may have been reset there.",
            )

    def between(self, after: float, until: float) -> Events | None:
        """The events in (after, until] seconds; None where the recording has not begun or has ended."""
        # In whole microseconds: a stamp that went through float seconds must not lose or repeat an event at its border.
        after, until = np.rint(np.clip(np.array((after, until)) * 1e6, -9e18, 9e18))
        if until < self.events.t[0] or after >= self.events.t[-1]:
            return None
        low, high = np.searchsorted(self.events.t, np.array((after, until)).astype(np.int64), side="right")
        return Events(*(column[low:high] for column in self.events))

    def frames(self) -> Iterator[tuple[float, Events]]:
        """Yield (end of the slice in seconds, its events) over the whole recording, by the fixed window."""
        start = self.start
        assert start is not None
        assert self.length is not None
        for k in range(self.length):
            after = start + k * self._window if k else -math.inf  # the first slice includes the first event
            until = start + (k + 1) * self._window
            piece = self.between(after, until if k + 1 < self.length else math.inf)
            assert piece is not None
            yield until, piece
