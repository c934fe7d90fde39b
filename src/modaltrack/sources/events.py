# SPDX-License-Identifier: Apache-2.0
"""Event recordings: AEDAT4, NPZ and text files in, slices of events out."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.encodings import Events
from modaltrack.sources.notices import Notices

EVENT_SUFFIXES = (".aedat4", ".npz", ".csv", ".txt")
UNREAD_SUFFIXES = (".raw", ".dat", ".es", ".h5", ".hdf5", ".aedat", ".bag")
DEFAULT_WINDOW = 1.0 / 30.0


def load_events(file: Path) -> tuple[Events, tuple[int, int] | None]:
    """Read a whole recording: (events with t in microseconds as stored, sensor (height, width) or None if not stored).

    AEDAT4: the first event stream (needs the ``aedat`` package). NPZ: arrays t (microseconds), x, y, p and optionally
    width, height. CSV and TXT: ``t,x,y,p`` per line (comma, tab or blanks), or another order under a header of those
    names. Raises ValueError with one sentence for anything else.
    """
    suffix = file.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        raise ValueError(
            f"Event files of type {suffix} ({file}) are not read here; convert them to .npz with arrays t "
            "(microseconds), x, y, p."
        )
    if suffix not in EVENT_SUFFIXES:
        raise ValueError(f"{file} is no event file this package reads; one of {', '.join(EVENT_SUFFIXES)} is expected.")
    if not file.exists():
        raise ValueError(f"The event file {file} does not exist; check the path.")
    if suffix == ".aedat4":
        events, size = _load_aedat4(file)
    elif suffix == ".npz":
        events, size = _load_npz(file)
    else:
        events, size = _load_text(file), None
    return _checked(events, file), size


def _load_aedat4(file: Path) -> tuple[Events, tuple[int, int] | None]:
    try:
        import aedat
    except ImportError:
        raise ValueError(
            f"Reading {file} needs the aedat package, which is not installed; pip install 'modaltrack[events]'."
        ) from None
    pieces: list[NDArray[Any]] = []
    size: tuple[int, int] | None = None
    try:
        decoder = aedat.Decoder(str(file))
        streams = {i: s for i, s in decoder.id_to_stream().items() if s["type"] == "events"}
        if not streams:
            raise ValueError(
                f"The AEDAT4 file {file} has no event stream; a recording with polarity events is expected."
            )
        chosen = min(streams)
        size = (int(streams[chosen]["height"]), int(streams[chosen]["width"]))
        pieces.extend(packet["events"] for packet in decoder if packet["stream_id"] == chosen and "events" in packet)
    except RuntimeError as error:  # what the decoder raises for everything
        raise ValueError(
            f"The AEDAT4 file {file} cannot be read to its end ({error}); it is damaged or cut, so fetch it again."
        ) from error
    whole = np.concatenate(pieces) if pieces else np.empty(0, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
    return Events(whole["t"], whole["x"], whole["y"], whole["on"]), size


def _load_npz(file: Path) -> tuple[Events, tuple[int, int] | None]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The event file {file} is no readable NPZ archive ({error}); save it with numpy.savez."
        ) from error
    if not {"t", "x", "y", "p"} <= held.keys():
        raise ValueError(
            f"The event file {file} holds the arrays {', '.join(sorted(held)) or 'nothing'} and t "
            "(microseconds), x, y, p were expected; save it with these names."
        )
    size = (int(held["height"]), int(held["width"])) if {"height", "width"} <= held.keys() else None
    return Events(held["t"], held["x"], held["y"], held["p"]), size


def _load_text(file: Path) -> Events:
    with file.open(encoding="utf-8", errors="replace") as lines:
        head = lines.readline()
    names = re.findall(r"[a-z_]+", head.lower())
    order = ["t", "x", "y", "p"]
    if names:
        order = [{"polarity": "p", "pol": "p", "on": "p"}.get(n, "t" if n.startswith("t") else n) for n in names]
        if sorted(order) != ["p", "t", "x", "y"]:
            raise ValueError(
                f"{file} begins with {head.strip()[:60]!r} and a header of t,x,y,p (or none) was expected."
            )
    try:
        table = np.loadtxt(file, delimiter="," if "," in head else None, skiprows=1 if names else 0, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{file} cannot be read as rows of t,x,y,p ({error}); numbers are expected.") from error
    if table.size and table.shape[1] != 4:
        raise ValueError(f"{file} has {table.shape[1]} columns and 4 (t,x,y,p; t in microseconds) were expected.")
    table = table.reshape(-1, 4)
    return Events(*(table[:, order.index(name)] for name in ("t", "x", "y", "p")))


def _checked(events: Events, file: Path) -> Events:
    t, x, y, p = (np.asarray(column) for column in events)
    if not len(t) == len(x) == len(y) == len(p):
        raise ValueError(
            f"The arrays t, x, y, p of {file} have {len(t)}, {len(x)}, {len(y)}, {len(p)} rows, not equal."
        )
    if len(t) == 0:
        raise ValueError(f"The event file {file} holds no polarity events; there is nothing to see in it.")
    if t.dtype.kind == "f" and not np.array_equal(t, np.floor(t)):
        raise ValueError(
            f"The times in {file} have fractions and whole microseconds were expected; multiply seconds by 1e6."
        )
    if x.min() < 0 or y.min() < 0:
        raise ValueError(f"{file} has events at negative pixels; x and y count from the top left, from 0.")
    if not np.isin(p, (-1, 0, 1)).all():
        raise ValueError(
            f"The polarity in {file} takes other values than 0, 1 or -1; the column order t,x,y,p is expected."
        )
    t = t.astype(np.int64)
    if (np.diff(t) < 0).any():  # packets of several cores may interleave; the order within equal times is kept
        order = np.argsort(t, kind="stable")
        t, x, y, p = t[order], x[order], y[order], p[order]
    return Events(t, x.astype(np.int32), y.astype(np.int32), p > 0)


class EventReader:
    """Holds one recording in memory and cuts it: by a fixed window on its own, by another sensor's times in a clip.

    window: seconds; without another clock, slice k holds the events in (start + k window, start + (k + 1) window] and
    is stamped with its end. size: (height, width), needed where the file does not store it; guessed from the events
    otherwise, with a notice.
    """

    live = False
    has_time = True
    first: Any = None

    def __init__(
        self, file: Path, notices: Notices, window: float = DEFAULT_WINDOW, size: tuple[int, int] | None = None
    ) -> None:
        if not (math.isfinite(window) and window > 0):
            raise ValueError(f"The event window is {window} and a positive number of seconds was expected.")
        self.name = str(file)
        self.events, stored = load_events(file)
        first, last = int(self.events.t[0]), int(self.events.t[-1])
        self.start: float | None = first * 1e-6
        self.end: float | None = last * 1e-6
        self._window = window
        self.fps: float | None = 1.0 / window
        self.length: int | None = max(1, math.ceil((last - first) * 1e-6 / window - 1e-9))
        extent = (int(self.events.y.max()) + 1, int(self.events.x.max()) + 1)
        chosen = size or stored
        if chosen is None:
            notices.note(
                f"size {file}",
                f"{file} does not say the sensor's size; {extent[1]}x{extent[0]} is taken from the events' own extent "
                "(give event_size=(height, width) if that is wrong).",
            )
            chosen = extent
        if extent[0] > chosen[0] or extent[1] > chosen[1]:
            raise ValueError(
                f"{file} has events up to ({extent[1] - 1}, {extent[0] - 1}) and the sensor size given is "
                f"{chosen[1]}x{chosen[0]}; give the true (height, width)."
            )
        self.size = chosen

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
