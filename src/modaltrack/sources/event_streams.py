# SPDX-License-Identifier: Apache-2.0
"""Binary event recordings of cameras: Prophesee RAW (EVT2, EVT2.1, EVT3) and DAT, Event Stream, AEDAT 2.

No permissively licensed library reads them; each is a page of array operations. N: number of events.

Source: Prophesee, "Data Encoding Formats" and "DAT File Format" (public documentation of the Metavision SDK);
A. Marcireau, "Event Stream" file format; iniVation and jAER, "AEDAT 2.0 file format".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.encodings import Events
from modaltrack.sources.event_tables import EventRecording
from modaltrack.sources.notices import shown

_GENERATIONS = {
    "gen3": (480, 640),
    "gen31": (480, 640),
    "gen4": (720, 1280),
    "gen41": (720, 1280),
    "imx636": (720, 1280),
}
CHUNK_WORDS = 1 << 22
Columns = tuple[NDArray[np.int64], NDArray[Any], NDArray[Any], NDArray[np.bool_]]


class Decoded(NamedTuple):
    """Events of a chunk of words.

    Attributes:
        carry: words that bring a decoder to its state after it.
        overflow: us it passed.
    """

    columns: Columns
    carry: NDArray[Any]
    overflow: int


def load_prophesee_raw(file: Path) -> EventRecording:
    """A RAW recording; the text header says its encoding and, in newer files, its geometry."""
    header, body = _header_and_body(file, b"%")
    text = header.decode("latin-1")
    size = _geometry(text)
    found = re.search(r"%\s*(?:format\s+EVT\s*|evt\s+)(21|\d(?:\.\d)?)", text, re.IGNORECASE)
    kind = {"2": "2", "2.0": "2", "2.1": "2.1", "21": "2.1", "3": "3", "3.0": "3"}.get(found[1] if found else "")
    if kind is None:
        raise ValueError(
            f"{shown(file)} does not say in its header which encoding it has (EVT2, EVT2.1 or EVT3 are read); it is no "
            "Prophesee RAW file, or of another version."
        )
    form, decode = {"2": ("<u4", _decode_evt2), "2.1": ("<u8", _decode_evt21), "3": ("<u2", _decode_evt3)}[kind]
    words = np.frombuffer(body, form, len(body) // np.dtype(form).itemsize)
    return EventRecording(Events(*_in_chunks(words, decode)), size)


def _in_chunks(words: NDArray[Any], decode: Callable[[NDArray[Any]], Decoded]) -> Columns:
    """Decode a few million words at a time: the whole of a recording would need twenty times its size at once.

    What a decoder remembers (time, row, base of a vector) is handed to the next chunk as words in front of it.
    """
    pieces: list[Columns] = []
    carry = words[:0]
    overflow = 0
    for first in range(0, max(1, len(words)), CHUNK_WORDS):
        part = decode(np.concatenate((carry, words[first : first + CHUNK_WORDS])))
        t, x, y, on = part.columns
        pieces.append((t + overflow, x.astype(np.int32), y.astype(np.int32), on))
        overflow += part.overflow
        carry = part.carry.astype(words.dtype)
    columns = tuple(np.concatenate([piece[k] for piece in pieces]) for k in range(4))
    return columns[0], columns[1], columns[2], columns[3]


def _geometry(text: str) -> tuple[int, int] | None:
    found = re.search(r"geometry\s+(\d+)x(\d+)", text, re.IGNORECASE)
    if found:
        return int(found[2]), int(found[1])
    width, height = (re.search(rf"{key}[=\s]+(\d+)", text, re.IGNORECASE) for key in ("width", "height"))
    if width and height:
        return int(height[1]), int(width[1])
    plugin = re.search(r"plugin_name\s+hal_plugin_(gen\d+|imx636)", text, re.IGNORECASE)
    return _GENERATIONS.get(plugin[1].lower()) if plugin else None


def _header_and_body(file: Path, mark: bytes) -> tuple[bytes, bytes]:
    """The leading text lines that begin with ``mark``, and what follows them."""
    content = file.read_bytes()
    end = 0
    while content[end : end + 1] == mark:
        line_end = content.find(b"\n", end)
        if line_end < 0:
            break
        line = content[end : line_end + 1]
        end = line_end + 1
        if line.strip().lower() in (b"% end", b"%end"):
            break
    return content[:end], content[end:]


def _last_value(values: NDArray[np.int64], at: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each position the value at the latest position where ``at`` holds, -1 before the first."""
    index = np.maximum.accumulate(np.where(at, np.arange(len(at)), -1))
    return np.where(index >= 0, values[np.maximum(index, 0)], -1)


def _unwrapped(high: NDArray[np.int64], at: NDArray[np.bool_], bits: int) -> tuple[NDArray[np.int64], int]:
    """Counters of ``bits`` bits at the positions ``at``, with 2**bits added after each overflow, and what was added."""
    ticks = high[at]
    wraps = np.concatenate(([0], np.cumsum(np.diff(ticks) < -(1 << (bits - 1)))))[: len(ticks)]
    result = high.copy()
    result[at] = ticks + (wraps << bits)
    return result, int(wraps[-1]) << bits if len(wraps) else 0


def _decode_evt2(raw: NDArray[Any]) -> Decoded:
    """32-bit words: type (4 bits), then time high (28 bits), or time low (6), x (11), y (11)."""
    words = raw.astype(np.int64)
    kind = words >> 28
    is_high = kind == 8
    counted, passed = _unwrapped(words & 0xFFFFFFF, is_high, 28)
    high = _last_value(counted, is_high)
    chosen = (kind <= 1) & (high >= 0)
    w = words[chosen]
    columns = (high[chosen] << 6) | ((w >> 22) & 0x3F), (w >> 11) & 0x7FF, w & 0x7FF, kind[chosen] == 1
    return Decoded(columns, raw[is_high][-1:], passed << 6)


def _decode_evt21(words: NDArray[Any]) -> Decoded:
    """64-bit words: type (4), time low (6), x of the first (11), y (11), 32 bits of valid neighbours to the right."""
    kind = (words >> np.uint64(60)).astype(np.int64)
    upper = (words >> np.uint64(32)).astype(np.int64)
    is_high = kind == 8
    counted, passed = _unwrapped(upper & 0xFFFFFFF, is_high, 28)
    high = _last_value(counted, is_high)
    chosen = (kind <= 1) & (high >= 0)
    valid = words[chosen].astype("<u4")
    bits = np.unpackbits(valid.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    row, bit = np.nonzero(bits)
    u = upper[chosen][row]
    times = (high[chosen][row] << 6) | ((u >> 22) & 0x3F)
    columns = times, ((u >> 11) & 0x7FF) + bit, u & 0x7FF, kind[chosen][row] == 1
    return Decoded(columns, words[is_high][-1:], passed << 6)


def _decode_evt3(raw: NDArray[Any]) -> Decoded:
    """16-bit words: type (4 bits) and 12 bits of y, x, base of a vector, its valid bits, time low or time high."""
    words = raw.astype(np.int64)
    kind, value = words >> 12, words & 0xFFF
    is_high, is_low, is_y, is_base = kind == 8, kind == 6, kind == 0, kind == 3
    counted, overflow = _unwrapped(value, is_high, 12)
    high = _last_value(counted, is_high)
    low = _last_value(np.where(is_high, 0, value), is_low | is_high)  # a new high part starts its low part at 0
    time = (high << 12) | np.maximum(low, 0)
    y = _last_value(value & 0x7FF, is_y)
    base = _last_value(value & 0x7FF, is_base)
    polarity = _last_value(value >> 11, is_base)
    width = np.where(kind == 4, 12, np.where(kind == 5, 8, 0))
    passed = np.cumsum(width) - width
    start = base + passed - _last_value(passed, is_base)  # vectors after one base lie side by side
    ready = (high >= 0) & (y >= 0)
    single = (kind == 2) & ready
    vector = (width > 0) & ready & (base >= 0)
    masks = np.where(kind == 5, value & 0xFF, value)[vector].astype("<u2")
    row, bit = np.nonzero(np.unpackbits(masks.view(np.uint8).reshape(-1, 2), axis=1, bitorder="little"))
    where = np.concatenate((np.flatnonzero(single), np.flatnonzero(vector)[row]))
    x = np.concatenate((value[single] & 0x7FF, start[vector][row] + bit))
    on = np.concatenate(((value[single] >> 11) == 1, polarity[vector][row] == 1))
    order = np.argsort(where, kind="stable")  # as the words came
    columns = time[where][order], x[order], y[where][order], on[order]
    if not len(words):
        return Decoded(columns, raw, 0)
    next_base = int(start[-1] + width[-1])
    state = [(8, high[-1] & 0xFFF, high[-1] >= 0), (6, low[-1], low[-1] >= 0), (0, y[-1], y[-1] >= 0)]
    state += [(3, int(polarity[-1]) << 11 | next_base & 0x7FF, base[-1] >= 0)]
    return Decoded(columns, np.array([code << 12 | int(v) for code, v, known in state if known], "<u2"), overflow << 12)


def load_prophesee_dat(file: Path) -> EventRecording:
    """A DAT file: header lines, kind and size of an event, then 32 bits of time and 14 + 14 + 4 bits of x, y, p."""
    header, body = _header_and_body(file, b"%")
    if len(body) < 2 or body[1] != 8:
        raise ValueError(
            f"{shown(file)} holds no 8-byte events; a DAT file of contrast detections (_td.dat) is expected."
        )
    words = np.frombuffer(body, "<u4", (len(body) - 2) // 8 * 2, offset=2).astype(np.int64).reshape(-1, 2)
    if not header:
        raise ValueError(f"{shown(file)} does not begin with the header lines of a Prophesee DAT file.")
    times, _ = _unwrapped(words[:, 0], np.ones(len(words), bool), 32)
    xyp = words[:, 1]
    columns = times, xyp & 0x3FFF, (xyp >> 14) & 0x3FFF, (xyp >> 28) > 0
    return EventRecording(Events(*columns), _geometry(header.decode("latin-1")))


def load_event_stream(file: Path) -> EventRecording:
    """An Event Stream (``.es``) of a DVS: a byte of time and polarity, then x and y; y counts from the bottom.

    A byte 0xFF adds 127 us to the clock, 0xFE resets the decoder; everything else begins an event of five bytes.
    """
    content = np.fromfile(file, np.uint8)
    if content[:12].tobytes() != b"Event Stream" or len(content) < 20 or content[12] != 2:
        raise ValueError(f"{shown(file)} is no Event Stream of version 2; fetch it again or convert it.")
    if content[15] != 1:
        kind = {0: "generic", 2: "ATIS", 3: "colour"}.get(int(content[15]), "unknown")
        raise ValueError(f"{shown(file)} is an Event Stream of the kind {kind} and DVS was expected.")
    width, height = (int(v) for v in content[16:20].view("<u2"))
    body = content[20:]
    starts, overflow = _event_starts(body)
    head = body[starts].astype(np.int64)
    rest = body[starts[:, None] + np.arange(1, 5)].astype(np.int64)
    times = np.cumsum(head >> 1) + overflow
    x, y = rest[:, 0] | (rest[:, 1] << 8), height - 1 - (rest[:, 2] | (rest[:, 3] << 8))
    return EventRecording(Events(times, x, y, (head & 1) == 1), (height, width))


def _event_starts(body: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each event begins, and the microseconds of overflow bytes before it, (N,) each.

    Between two special bytes the events lie five bytes apart; so the next special byte is the nearest 0xFE or 0xFF
    in the same residue class of five, and the walk is over special bytes only.
    """
    special = np.flatnonzero(body >= 0xFE)
    classes = [special[special % 5 == r].tolist() for r in range(5)]
    runs: list[NDArray[np.int64]] = []
    added: list[tuple[int, int]] = []  # (events so far, overflow from there on)
    position, overflow, count = 0, 0, 0
    while position < len(body):
        same = classes[position % 5]
        k = bisect_left(same, position)
        stop = same[k] if k < len(same) else len(body) - (len(body) - position) % 5
        if stop > position:
            runs.append(np.arange(position, stop, 5))
            added.append((count, overflow))
            count += len(runs[-1])
        if stop >= len(body) or k >= len(same):
            break
        overflow += 127 if body[stop] == 0xFF else 0
        position = stop + 1
    if not runs:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    lengths = [len(run) for run in runs]
    return np.concatenate(runs), np.repeat(np.array([o for _, o in added], np.int64), lengths)


def load_aedat2(file: Path) -> EventRecording:
    """AEDAT 2.0: big-endian pairs of address and microseconds; the header names the camera (DVS128 where it does not).

    x and y of these cameras count from the lower right corner; here they are turned to the upper left.
    """
    header, body = _header_and_body(file, b"#")
    if not header.startswith(b"#!AER-DAT2"):
        raise ValueError(
            f"{shown(file)} is no AEDAT 2.0 file (it does not begin with #!AER-DAT2.0); use .aedat4 or .npz."
        )
    pairs = np.frombuffer(body, ">u4", len(body) // 8 * 2).astype(np.int64).reshape(-1, 2)
    address, text = pairs[:, 0], header.decode("latin-1").lower()
    times, _ = _unwrapped(pairs[:, 1], np.ones(len(pairs), bool), 32)
    if "davis" not in text:
        x, y, on = (address >> 1) & 0x7F, (address >> 8) & 0x7F, (address & 1) == 0
        return EventRecording(Events(times, 127 - x, 127 - y, on), (128, 128))
    size = (180, 240) if "240" in text else (260, 346)
    polarity = (address >> 31) == 0  # the rest are samples of the frames and of the inertial unit
    polarity &= (address & 0x400) == 0  # external inputs
    x, y = (address >> 12) & 0x3FF, (address >> 22) & 0x1FF
    columns = times, size[1] - 1 - x, size[0] - 1 - y, ((address >> 11) & 1) == 1
    return EventRecording(Events(*(c[polarity] for c in columns)), size)
