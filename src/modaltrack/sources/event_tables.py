# SPDX-License-Identifier: Apache-2.0
"""Events from tables whose columns and units are whatever their writer chose: text, NumPy arrays, HDF5.

Names of columns are read in all the spellings of the field; without names the columns are told apart by their values.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.encodings import Events
from modaltrack.sources.images import read_array
from modaltrack.sources.notices import shown

if TYPE_CHECKING:
    import h5py

UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}  # to microseconds
_MANY = 1000  # events from which a rate says something
_QUIET = 100.0  # events per second: the noise alone of an event camera is more
_NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on"),
}
_MAX_NPZ_RATIO, _MAX_NPZ_BYTES = 200, 1 << 30  # a larger archive that shrank more than this is a bomb


class EventRecording(NamedTuple):
    """What a file of events holds.

    t of ``events`` is in microseconds.

    Attributes:
        size: (height, width) of the sensor, None where the file does not say.
        remarks: sentences on what was guessed.
    """

    events: Events
    size: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()


def from_columns(
    columns: Mapping[str, NDArray[Any]], name: str, unit: str | None, size: tuple[int, int] | None = None
) -> EventRecording | None:
    """Events from arrays under any of the usual names, or None where one of t, x, y, p is not among them."""
    lower = {key.lower(): value for key, value in columns.items()}
    found: dict[str, NDArray[Any]] = {}
    for kind, spellings in _NAMES.items():
        key = next((spelling for spelling in spellings if spelling in lower), None)
        if key is None:
            return None
        found[kind] = np.asarray(lower[key]).reshape(-1)
    lengths = {kind: len(column) for kind, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"The arrays t, x, y, p of {name} have {', '.join(str(n) for n in lengths.values())} rows, not equal."
        )
    stamps, remark = in_microseconds(found["t"], name, unit)
    return EventRecording(Events(stamps, found["x"], found["y"], found["p"]), size, (remark,) if remark else ())


def from_array(array: NDArray[Any], name: str, unit: str | None) -> EventRecording:
    """Events from a structured array, or from a plain one of four columns (or four rows) in any order."""
    if array.dtype.names:
        recording = from_columns({key: array[key] for key in array.dtype.names}, name, unit)
        if recording is None:
            raise ValueError(
                f"{name} holds an array with the fields {', '.join(map(shown, array.dtype.names))} and t, x, y, p "
                "were expected; rename them."
            )
        return recording
    if array.ndim == 2 and array.shape[1] != 4 and array.shape[0] == 4:
        array = array.T
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "buif":
        raise ValueError(
            f"{name} holds an array of shape {array.shape} and {array.dtype}; events are rows of t, x, y, p, "
            "or a structured array with these fields."
        )
    order, remark = _told_apart(array, name)
    recording = from_columns({key: array[:, i] for i, key in enumerate(order)}, name, unit)
    assert recording is not None
    return recording._replace(remarks=tuple(r for r in (remark, *recording.remarks) if r))


def _told_apart(table: NDArray[Any], name: str) -> tuple[list[str], str]:
    """The order of four columns without names, and a sentence where it is not t, x, y, p.

    The time is the column that goes up; the polarity one that takes only 0, 1 and -1; x comes before y.
    """
    if len(table) < 2:
        return ["t", "x", "y", "p"], ""
    rising = [float((np.diff(table[:, k].astype(np.float64)) >= 0).mean()) for k in range(4)]
    binary = [bool(np.isin(table[: 10**6, k], (-1, 0, 1)).all()) for k in range(4)]
    span = np.ptp(table.astype(np.float64), axis=0)
    best = max(range(4), key=lambda k: (rising[k] > 0.95 and span[k] > 1e-9, rising[k], span[k]))
    time = 0 if rising[0] >= rising[best] and span[0] > 0 else best
    if time == 0 and binary[3]:
        return ["t", "x", "y", "p"], ""
    if rising[time] < 0.95:
        raise ValueError(f"None of the columns of {name} goes up, so none is a time; rows of t,x,y,p are expected.")
    polarity = next((k for k in (3, 2, 1, 0) if binary[k] and k != time), None)
    if polarity is None:
        raise ValueError(
            f"None of the columns of {name} takes only the values 0, 1 and -1, so none is a polarity; the column order "
            "t,x,y,p is expected."
        )
    order = ["", "", "", ""]
    order[time], order[polarity] = "t", "p"
    for kind in ("x", "y"):
        order[order.index("")] = kind
    return order, f"The columns of {name} are taken as {' '.join(order)}: column {time + 1} is the one that goes up."


def in_microseconds(stamps: NDArray[Any], name: str, unit: str | None) -> tuple[NDArray[Any], str]:
    """Stamps in microseconds, and a sentence where their unit was guessed.

    Microseconds unless there are fractions (seconds), an epoch in nanoseconds, or so many that an event camera would
    have sent less than a hundred events a second (nanoseconds).

    Args:
        unit: ``s``, ``ms``, ``us``, ``ns``, None.
    """
    if stamps.dtype.kind in "mM":  # NumPy's own durations and dates say their unit
        return stamps.astype(f"{stamps.dtype.kind}8[us]").astype(np.int64), ""
    if unit is not None:
        return _scaled(stamps, unit), ""
    if stamps.dtype.kind == "f":
        if not np.isfinite(stamps).all():
            raise ValueError(f"The times in {name} hold NaN or infinity; numbers are expected.")
        if (stamps != np.floor(stamps)).any():
            span = float(stamps.max() - stamps.min())
            guess = "s"
            if len(stamps) >= _MANY and span > 0:  # the longest unit in which the recording is not silent
                guess = next((u for u in ("s", "ms") if len(stamps) / (span * UNITS[u] * 1e-6) >= _QUIET), "us")
            return _scaled(stamps, guess), _taken(name, guess, "have fractions")
    first, span = (float(stamps.min()), float(np.ptp(stamps.astype(np.float64)))) if len(stamps) else (0.0, 0.0)
    if first > 1e17:
        return _scaled(stamps, "ns"), _taken(name, "ns", "are an epoch of 19 digits")
    if len(stamps) >= _MANY and span > 0 and len(stamps) / (span * 1e-6) < _QUIET <= len(stamps) / (span * 1e-9):
        rate = len(stamps) / (span * 1e-6)
        return _scaled(stamps, "ns"), _taken(name, "ns", f"in microseconds would be {rate:.1f} events per second")
    return stamps, ""


def _scaled(stamps: NDArray[Any], unit: str) -> NDArray[Any]:
    if unit not in UNITS:
        raise ValueError(f"The event unit is {unit!r} and one of {', '.join(UNITS)} was expected.")
    if unit == "us":
        return np.rint(stamps) if stamps.dtype.kind == "f" else stamps
    if unit == "ns" and stamps.dtype.kind in "iu":
        return stamps // 1000
    return np.rint(stamps.astype(np.float64) * UNITS[unit])


def _taken(name: str, unit: str, why: str) -> str:
    word = {"s": "seconds", "ms": "milliseconds", "ns": "nanoseconds", "us": "microseconds"}[unit]
    return f"The times in {name} {why} and are taken as {word} (--event-unit says otherwise)."


def load_text(file: Path, unit: str | None) -> EventRecording:
    """Rows of t,x,y,p (commas, semicolons, tabs or blanks), ``#`` lines, names or ``width height`` in the first line.

    Seconds with fractions are the RPG, v2e and ESIM texts; whole numbers are microseconds.
    """
    name = shown(file)
    with file.open("rb") as stream:
        wide = stream.read(2) in (b"\xff\xfe", b"\xfe\xff")  # as PowerShell redirects
    with file.open(encoding="utf-16" if wide else "utf-8-sig", errors="replace") as lines:
        first, order, size = _preamble(lines, name)
        delimiter = "," if "," in first else ";" if ";" in first else None
        rows = (line for line in chain([first], lines) if line.strip())
        try:
            table = np.loadtxt(rows, delimiter=delimiter, comments=("#", "%"), ndmin=2)
        except ValueError as error:
            where = re.search(r"row (\d+)", str(error))
            raise ValueError(
                f"{name} cannot be read as rows of t,x,y,p"
                + (f" (data row {where[1]} does not fit)" if where else "")
                + "; four numbers per line are expected."
            ) from error
    remark = ""
    if table.size and table.shape[1] != 4:
        raise ValueError(
            f"{name} has {table.shape[1]} columns and 4 (t,x,y,p; t in microseconds or seconds) were expected."
        )
    table = table.reshape(-1, 4)
    if order is None:
        order, remark = _told_apart(table, name)
    recording = from_columns({key: table[:, i] for i, key in enumerate(order)}, name, unit, size)
    assert recording is not None
    return recording._replace(remarks=tuple(r for r in (remark, *recording.remarks) if r))


def _preamble(lines: Iterator[str], name: str) -> tuple[str, list[str] | None, tuple[int, int] | None]:
    """Read up to the first row of numbers: (that row, the columns' order if named, (height, width) if stated)."""
    order, size = None, None
    for line in lines:
        content = line.strip()
        order = _header(content) or order
        if not content or content[0] in "#%":
            continue
        words = [w for w in re.split(r"[,;\s]+", content) if w]
        if re.search(r"[A-Za-z_]", re.sub(r"(?i)nan|inf|\de[+-]?\d", "", content)):
            if order is None:
                raise ValueError(
                    f"{name} begins with {shown(content[:60])!r} and a header of t,x,y,p (or none) was expected."
                )
        elif len(words) == 2 and size is None:
            size = (_whole(words[1], name), _whole(words[0], name))
        else:
            return line, order, size
    return "", order, size


def _whole(word: str, name: str) -> int:
    if not word.isdigit():
        raise ValueError(f"{name} begins with two numbers, the sensor's width and height, and one is {shown(word)!r}.")
    return int(word)


def _header(line: str) -> list[str] | None:
    """The columns that a line names, with or without ``#`` and units (``timestamp[s] x y polarity``), or None."""
    words = [w for w in re.split(r"[,;\s]+", re.sub(r"[\[(].*?[\])]", "", line.lstrip("#% "))) if w]
    kinds = [next((kind for kind, spellings in _NAMES.items() if w.lower() in spellings), "") for w in words]
    return kinds if sorted(kinds) == ["p", "t", "x", "y"] else None


def load_npy(file: Path, unit: str | None) -> EventRecording:
    """Events saved with ``numpy.save``."""
    array = read_array(file)
    if array is None:
        raise ValueError(f"The event file {shown(file)} is no readable NumPy array of numbers; save it again.")
    return from_array(array, shown(file), unit)


def load_npz(file: Path, unit: str | None) -> EventRecording:
    """Arrays t, x, y, p (or the names of TimeLens: x, y, timestamp, polarity), optionally width and height."""
    name = shown(file)
    held: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            whole, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
            if whole > _MAX_NPZ_BYTES and whole > _MAX_NPZ_RATIO * packed:
                raise ValueError(f"The event file {name} would unpack {packed} bytes to {whole}; it is not read.")
            for member in members:
                array = read_array(io.BytesIO(archive.read(member)), member.file_size)
                if array is not None:
                    held[member.filename.removesuffix(".npy")] = array
    except (
        OSError,
        EOFError,
        KeyError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"The event file {name} is no readable NPZ archive ({error}); save it with numpy.savez."
        ) from error
    size = None
    if {"height", "width"} <= held.keys() and held["height"].size == held["width"].size == 1:
        size = (int(held["height"].item()), int(held["width"].item()))
    recording = from_columns(held, name, unit, size)
    if recording is not None:
        return recording
    if len(held) == 1:
        return from_array(next(iter(held.values())), name, unit)
    raise ValueError(
        f"The event file {name} holds the readable arrays {shown(', '.join(sorted(held))) or 'nothing'} and t "
        "(microseconds), x, y, p were expected; save it with these names."
    )


def load_npz_folder(files: list[Path], unit: str | None) -> EventRecording:
    """One recording from the files of a folder, one piece after the other (TimeLens writes one per frame)."""
    pieces = [load_npz(f, unit) for f in files]
    whole = Events(*(np.concatenate([np.asarray(p.events[k]) for p in pieces]) for k in range(4)))
    return EventRecording(whole, pieces[0].size, pieces[0].remarks)


def load_hdf5(file: Path, unit: str | None) -> EventRecording:
    """DSEC (``events/t,x,y,p`` and ``t_offset``), Metavision (``CD/events``), RPG (``events/ts,xs,ys,ps``), MVSEC."""
    name = shown(file)
    try:
        import h5py
    except ImportError:
        raise ValueError(f"Reading {name} needs the h5py package; pip install 'modaltrack[events]'.") from None
    try:
        with h5py.File(file, "r") as content:
            columns, size = _hdf5_columns(content)
    except (OSError, RuntimeError, KeyError, TypeError, MemoryError) as error:
        hint = "; its compression needs a plug-in (pip install hdf5plugin)" if "filter" in str(error).lower() else ""
        raise ValueError(
            f"The HDF5 file {name} cannot be read ({' '.join(str(error).split())[:150]}){hint}."
        ) from error
    if isinstance(columns, np.ndarray):
        return from_array(columns, name, unit)
    recording = from_columns(columns, name, unit, size)
    if recording is None:
        raise ValueError(
            f"The HDF5 file {name} holds no group with t, x, y, p (as DSEC, Metavision and MVSEC write them); convert "
            "it to .npz with these arrays."
        )
    offset = columns.get("t_offset")
    if offset is not None and offset.size == 1:
        recording = recording._replace(events=recording.events._replace(t=recording.events.t + int(offset.item())))
    return recording


def _hdf5_columns(content: h5py.Group) -> tuple[Any, tuple[int, int] | None]:
    """The first group or table that looks like events, and the sensor's size where the attributes tell."""
    from contextlib import suppress

    import h5py

    with suppress(ImportError):
        import hdf5plugin  # noqa: F401 - DSEC's compression (Blosc)
    size = None
    for key in ("sensor_resolution", "resolution"):
        if key in content.attrs and np.size(content.attrs[key]) == 2:
            height, width = (int(v) for v in np.sort(np.asarray(content.attrs[key]).reshape(-1)))
            size = (height, width)
    found: list[tuple[int, Any]] = []

    def look(path: str, item: h5py.Group | h5py.Dataset) -> None:
        depth = path.count("/")
        if isinstance(item, h5py.Group):
            held = {key.lower() for key in item}
            fits = all(held & set(spellings) for spellings in _NAMES.values())
        else:
            fits = {"x", "y"} <= set(item.dtype.names or ()) or (path.endswith("events") and item.ndim == 2)
        if fits:
            found.append((depth, item))

    look("", content)
    content.visititems(look)
    if not found:
        return {}, size
    item = min(found, key=lambda entry: entry[0])[1]
    if isinstance(item, h5py.Dataset):
        return item[...], size
    columns = {k.lower(): v[...] for k, v in item.items() if isinstance(v, h5py.Dataset) and v.ndim <= 2}
    for holder in (item, content):
        if "t_offset" in holder:
            columns["t_offset"] = np.asarray(holder["t_offset"])
    return columns, size
