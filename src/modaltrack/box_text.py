# SPDX-License-Identifier: Apache-2.0
"""Tables of numbers in text: commas, semicolons, tabs or blanks, read at once and fast, with a line number for errors.

Numbers stay as written: nothing is shifted, rounded or taken for absent here (unlike ``sources.read_boxes``).
"""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


_BLANKS = bytes.maketrans(b",;\t", b"   ")
_POWERS = np.array([10.0**n for n in range(16)])  # all of them exact
MAX_BYTES = 200 * 2**20


def read_table(file: str | os.PathLike[str]) -> Array:
    """(N, K) float64 of a text file; ValueError with the line that does not fit."""
    return parse_table(read_bytes(file), str(file))


def read_bytes(file: str | os.PathLike[str]) -> bytes:
    """What is in a file, if it can be read and has a size that numbers in text can have; else ValueError."""
    try:
        with open(file, "rb", buffering=0) as opened:
            if os.fstat(opened.fileno()).st_size > MAX_BYTES:
                raise ValueError(f"{file} is larger than {MAX_BYTES >> 20} MiB; one box per line was expected.")
            return opened.readall()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); check the path.") from error


def parse_table(data: bytes, where: str) -> Array:
    """(N, K) float64 of the bytes of a text file; shorter rows (VOT's codes, blank lines) are filled with nan.

    Raises ValueError naming ``where`` and the line on anything that is no number.
    """
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    if b"\0" in data[:4096]:
        raise ValueError(f"{where} is no text file; one row of numbers per frame was expected.")
    if b"\r" in data:  # also alone, as once in RGBT234's kite2/infrared.txt
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = data.translate(_BLANKS).rstrip()
    if not text:
        raise ValueError(f"{where} is empty; one row of numbers per frame was expected.")
    columns = len(text[: (text.find(b"\n") + 1) or None].split())
    table = _plain_numbers(text, columns) if columns else None
    return _row_by_row(text, where) if table is None else table


def _plain_numbers(text: bytes, columns: int) -> Array | None:
    """A whole file of numbers like -12.50 at once; None where rows differ in length or hold anything else.

    Exact: at most 15 digits divided by a power of ten up to 15 is the nearest float64, as ``float`` gives it. A third
    of the time of numpy's own readers, and reading is what scoring spends its time on.
    """
    buffer = np.frombuffer(text, np.uint8)
    blank = buffer <= 32
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    if blank[0]:
        return None
    starts, ends = np.concatenate([[0], edges[1::2]]), np.concatenate([edges[0::2], [len(buffer)]])
    breaks = np.flatnonzero(buffer == 10)
    if len(starts) != (len(breaks) + 1) * columns:
        return None
    if (ends[columns - 1 : -1 : columns] > breaks).any() or (starts[columns::columns] < breaks).any():
        return None
    digit = buffer - 48  # wraps below "0", so that one comparison is enough
    is_digit = digit < 10
    counts, decimals, with_point, negative = ends - starts, None, None, None
    others = np.flatnonzero(~(blank | is_digit))
    if others.size:
        kinds = buffer[others]
        points, minuses = others[kinds == 46], others[kinds == 45]
        if len(points) + len(minuses) != len(others):
            return None
        with_point = np.searchsorted(starts, points, "right") - 1
        negative = np.searchsorted(starts, minuses, "right") - 1
        if (np.diff(with_point) == 0).any() or (starts[negative] != minuses).any():
            return None
        decimals = ends[with_point] - 1 - points
        counts = counts.copy()
        counts[with_point] -= 1
        counts[negative] -= 1
    longest = int(counts.max())
    if longest > 15 or int(counts.min()) < 1:
        return None
    digits = digit[is_digit]
    last = np.cumsum(counts) - 1
    value = digits[last].astype(np.float64)
    for place in range(1, longest):
        long_enough = np.flatnonzero(counts > place)
        value[long_enough] += digits[last[long_enough] - place] * _POWERS[place]
    if decimals is not None:
        value[with_point] /= _POWERS[decimals]
    if negative is not None:
        value[negative] *= -1
    return value.reshape(-1, columns)


def _row_by_row(text: bytes, where: str) -> Array:
    rows: list[list[float]] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        try:
            rows.append([_number(word) for word in line.split()])
        except ValueError:
            shown = line.decode("utf-8", "replace").strip()[:60]
            raise ValueError(f"{where}, line {number}: {shown!r} holds something that is no number.") from None
    width = max(len(row) for row in rows)
    table = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        # a blank row, a lone code (VOT's 1, 0, 2) or boxes whose extra columns are blank; nothing else is a row
        if len(row) not in (0, 1, 4, 8, width):
            raise ValueError(f"{where}, line {i + 1} has {len(row)} numbers where other lines have {width}.")
        if {len(row), width} == {4, 8}:
            raise ValueError(f"{where} mixes rows of 4 and of 8 numbers (line {i + 1} has {len(row)}); use one form.")
        if len(row) == 1 < width:
            continue
        table[i, : len(row)] = row
    return table


def _number(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        # what Windows' C library prints for nan: -nan(ind), 1.#QNAN, -1.#IND00
        if word.lower().lstrip(b"+-").startswith((b"nan", b"1.#qnan", b"1.#ind", b"1.#snan")):
            return float("nan")
        raise
