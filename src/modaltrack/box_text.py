# SPDX-License-Identifier: Apache-2.0
"""Boxes and numbers as text: the one place that reads such files and the one that writes them.

Read are commas, semicolons, tabs or blanks between numbers, decimal commas where something else separates, brackets and
quotes, a first line of column names, comments, UTF-8 and UTF-16, and the line ends of every system. Numbers stay as
written: nothing is shifted, rounded or taken for absent. Written is ``x,y,w,h`` with the shortest digits that read back
as the same float64.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]

MAX_BYTES = 200 * 2**20
_BLANKS = bytes.maketrans(b",;\t", b"   ")
_TIDY = bytes.maketrans(b"[](){}", b"      ")
_POWERS = np.array([10.0**n for n in range(16)])  # all of them exact
_SYSTEMATIC = 3  # rows that must be apart by the same number of blank lines before these count as line ends


@dataclass(frozen=True)
class Table:
    """What a text file of numbers holds.

    Attributes:
        numbers: (N, K) float64; rows with fewer numbers are filled with nan.
        counts: (N,) how many numbers each row has.
        names: of the columns, in lower case, where a first line gives them; else empty.
        notes: what was passed over or taken for something, one sentence each.
    """

    numbers: Array
    counts: NDArray[np.int64]
    names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def read_bytes(file: str | os.PathLike[str]) -> bytes:
    """What is in a file, if it can be read and has a size that numbers in text can have; else ValueError."""
    try:
        with open(file, "rb", buffering=0) as opened:
            facts = os.fstat(opened.fileno())
            data = b""
            if stat.S_ISREG(facts.st_mode) and facts.st_size <= MAX_BYTES:
                return opened.readall()
            while len(data) <= MAX_BYTES and (part := opened.read(2**20)):  # a pipe has no size
                data += part
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); check the path.") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{file} is larger than {MAX_BYTES >> 20} MiB; one box per line was expected.")
    return data


def parse_table(data: bytes, where: str) -> Table:
    """The numbers of a text file.

    Args:
        data: what is in the file.
        where: its name, for messages.

    Raises:
        ValueError: naming ``where`` and the line of anything that is no number.
    """
    text = _text(data, where)
    decimal_commas = b"," in text and _has_decimal_commas(text)
    if decimal_commas:
        text = text.replace(b",", b".")
    if (numbers := _regular(text.translate(_BLANKS))) is not None:
        return _table(numbers, decimal_commas)
    names, lines, notes = _tidied(text)
    regular = _regular(b"\n".join(line for _, line in lines).translate(_BLANKS))
    if regular is not None:
        return _table(regular, decimal_commas, names, notes)
    rows, names = _rows(lines, where, names, notes)
    counts = np.array([len(row) for row in rows])
    numbers = np.full((len(rows), int(counts.max())), np.nan)
    for i, row in enumerate(rows):
        numbers[i, : len(row)] = row
    _same_form(counts, [number for number, _ in lines], where)
    return _table(numbers, decimal_commas, names, notes, counts)


def parse_boxes(data: bytes, where: str) -> Array:
    """One box per line as (N, 4) xywh: 4 numbers, or a polygon of 6 or more, whose bounding box is taken.

    A row with a nan, a blank line between others and a single number (VOT's codes) are rows of nan.

    Raises:
        ValueError: naming ``where`` and the line that does not fit.
    """
    table = parse_table(data, where)
    numbers, counts = table.numbers, table.counts
    boxes = np.full((len(numbers), 4), np.nan)
    for count in np.unique(counts):
        chosen = counts == count
        rows = numbers[chosen, :count]
        if count == 4:
            boxes[chosen] = rows
        elif count >= 6 and count % 2 == 0:
            low = np.stack([rows[:, 0::2].min(1), rows[:, 1::2].min(1)], 1)
            boxes[chosen] = np.concatenate([low, np.stack([rows[:, 0::2].max(1), rows[:, 1::2].max(1)], 1) - low], 1)
        elif count > 1:
            line = int(np.flatnonzero(chosen)[0]) + 1
            raise ValueError(f"{where}, line {line} has {count} numbers; 4 (x y w h) or a polygon's 8 are expected.")
    boxes[np.isnan(boxes).any(axis=1)] = np.nan
    return boxes


def format_rows(rows: ArrayLike, separator: str = ",") -> str:
    """Rows of numbers as text, a line each, with the shortest digits that read back as the same float64.

    Args:
        rows: (N, K) or (N,) numbers; boxes are xywh.
        separator: between the numbers of a row.
    """
    values = np.asarray(rows, np.float64)
    lines: Iterable[list[float]] = values[:, None].tolist() if values.ndim == 1 else values.tolist()
    return "".join(separator.join(map(_shortest, row)) + "\n" for row in lines)


def _shortest(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _text(data: bytes, where: str) -> bytes:
    """UTF-8 with one kind of line end, without what stands before and after the rows."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4096]:
        data = _from_utf16(data, where)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:  # also \r\r\n, as texts written twice through Windows have, and \r alone (RGBT234's kite2)
        data = re.sub(rb"\r+\n", b"\n", data).replace(b"\r", b"\n")
    data = data.rstrip()
    if not data.translate(_BLANKS).strip():
        raise ValueError(f"{where} is empty; one row of numbers per frame was expected.")
    return data


def _from_utf16(data: bytes, where: str) -> bytes:
    zeros = np.frombuffer(data[: len(data) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    if marked or (zeros.mean(0).max(initial=0) > 0.9 and zeros.mean(0).min(initial=1) < 0.1):
        little = data[:2] == b"\xff\xfe" or (not marked and zeros[:, 1].mean() > 0.5)
        try:
            text = data.decode("utf-16-le" if little else "utf-16-be").removeprefix("\ufeff")
        except UnicodeDecodeError:
            text = ""
        if 2 * sum(map(str.isascii, text[:1000])) > len(text[:1000]):  # numbers are; other bytes are it by chance only
            return text.encode()
    raise ValueError(f"{where} is no text file; one row of numbers per frame was expected.")


def _has_decimal_commas(text: bytes) -> bool:
    """Whether commas stand inside numbers and something else between them (12,5;30,25;40;50).

    Corners written as points (10,20 40,20 40,60 10,60) look alike; they are upright rectangles in every row.
    """
    if not any(separator in text for separator in (b";", b"\t", b" ")):
        return False
    upright, with_comma = True, False
    for line in text.split(b"\n", 60)[:60]:
        words = line.replace(b";", b" ").split()
        if b"," not in line or not words:
            continue
        if len(words) < 4 or not all(re.fullmatch(rb"[-+]?\d+(,\d+)?", word) for word in words):
            return False
        with_comma = True
        numbers = [float(part) for word in words[:4] for part in word.split(b",")]
        upright &= len(numbers) == 8 and bool(is_upright(np.array([numbers]))[0])
    return with_comma and not upright


def is_upright(corners: Array) -> NDArray[np.bool_]:
    """(N,) whether rows of 8 numbers are the corners TL TR BR BL of an upright rectangle, to a pixel or 2 %."""
    x1, y1, x2, y2, x3, y3, x4, y4 = corners[:, :8].T
    slack = 1.01 + 0.02 * np.maximum(np.abs(x3 - x1), np.abs(y3 - y1))
    sides = np.abs(np.stack([x1 - x4, x2 - x3, y1 - y2, y3 - y4]))
    fits: NDArray[np.bool_] = (sides <= slack).all(0)
    return fits


def _tidied(text: bytes) -> tuple[tuple[str, ...], list[tuple[int, bytes]], list[str]]:
    """Names of columns, numbered lines of bare words, and notes on what was passed over."""
    text = text.replace(b'"', b" ").replace(b"'", b" ").replace(b"\xc2\xa0", b" ")
    if b"[" in text or b"(" in text:
        text = re.sub(rb"(nan)\(\w*\)", rb"\1", text, flags=re.IGNORECASE)  # -nan(ind) of Windows
        text = re.sub(rb"[\])][\s,;]*[\[(]", b"\n", text).translate(_TIDY)
    lines = list(enumerate(text.split(b"\n"), 1))
    comment = (b"#", b"%", b"//")
    first = next((line.strip() for _, line in lines if line.strip()), b"")
    lines = [(n, line) for n, line in lines if not line.lstrip().startswith(comment)]
    while lines and not lines[-1][1].translate(_BLANKS).strip():
        lines.pop()
    names: tuple[str, ...] = ()
    notes: list[str] = []
    at = next((i for i, (_, line) in enumerate(lines) if line.translate(_BLANKS).strip()), 0)
    if lines[at + 1 :] and _is_heading(lines[at][1]):
        names = _names(lines[at][1], lines[at + 1 :])
        notes += [] if names else ["a first line of words was passed over"]
        lines = lines[at + 1 :]
    if not names and first.startswith(comment):
        names = _names(first.lstrip(b"#%/ "), lines)
    filled = [i for i, (_, line) in enumerate(lines) if line.translate(_BLANKS).strip()]
    gaps = np.diff(filled)
    if len(filled) >= _SYSTEMATIC and gaps[0] > 1 and (gaps == gaps[0]).all():
        lines = [lines[i] for i in filled]
        notes.append("a blank line after every row was passed over")
    return names, lines, notes


def _is_heading(line: bytes) -> bool:
    """Whether a line holds two words or more and no number."""
    words = line.translate(_BLANKS).split()
    return len(words) > 1 and not any(_is_number(word) for word in words)


def _names(line: bytes, later: list[tuple[int, bytes]]) -> tuple[str, ...]:
    """The column names in a line; empty where they are not as many as the next row has columns."""
    parts = re.split(rb"[,;\t]" if re.search(rb"[,;\t]", line) else rb"\s+", line.strip())
    columns = next((len(row.translate(_BLANKS).split()) for _, row in later if row.translate(_BLANKS).strip()), 0)
    if len(parts) != columns:
        return ()
    return tuple(re.sub(r"[^a-z0-9]", "", part.decode("utf-8", "replace").lower()) for part in parts)


def _rows(
    lines: list[tuple[int, bytes]], where: str, names: tuple[str, ...], notes: list[str]
) -> tuple[list[list[float]], tuple[str, ...]]:
    """Rows of numbers, and the names of their columns; one that holds a word in every row (a file) is left out."""
    words = [line.translate(_BLANKS).split() for _, line in lines]
    filled = [row for row in words if row]
    text = {c for c in range(min(map(len, filled), default=0)) if not any(_is_number(row[c]) for row in filled)}
    if text and len(filled[0]) - len(text) >= 4:
        words = [[word for c, word in enumerate(row) if c not in text] for row in words]
        names = tuple(name for c, name in enumerate(names) if c not in text)
        notes.append(f"{len(text)} column{'s' * (len(text) > 1)} of words was left out")
    rows = []
    for (number, line), row in zip(lines, words, strict=True):
        try:
            rows.append([_number(word) for word in row])
        except ValueError:
            shown = line.decode("utf-8", "replace").strip()[:60]
            raise ValueError(f"{where}, line {number}: {shown!r} holds something that is no number.") from None
    if not any(rows):
        raise ValueError(f"{where} is empty; one row of numbers per frame was expected.")
    if blank := sum(not row for row in rows):
        notes.append(f"{blank} blank line{'s count as frames' if blank > 1 else ' counts as a frame'} without a box")
    return rows, names


def _same_form(counts: NDArray[np.int64], lines: list[int], where: str) -> None:
    """ValueError where rows differ by more than a blank row, a lone code (VOT's 1, 0, 2) or blank extra columns."""
    width = int(counts.max())
    for count, line in zip(counts.tolist(), lines, strict=True):
        if count not in (0, 1, 4, 8, width):
            raise ValueError(f"{where}, line {line} has {count} numbers where other lines have {width}.")


def _table(
    numbers: Array,
    decimal_commas: bool,
    names: tuple[str, ...] = (),
    notes: list[str] | None = None,
    counts: NDArray[np.int64] | None = None,
) -> Table:
    remarks = ["commas are taken for decimal points"] if decimal_commas else []
    if counts is None:
        counts = np.full(len(numbers), numbers.shape[1])
    return Table(numbers, counts, names, remarks + (notes or []))


def _regular(text: bytes) -> Array | None:
    """A whole file of plain numbers at once; None where rows differ in length or hold anything else."""
    text = text.rstrip()
    columns = len(text[: (text.find(b"\n") + 1) or None].split())
    return _plain_numbers(text, columns) if columns else None


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


def _is_number(word: bytes) -> bool:
    try:
        _number(word)
    except ValueError:
        return False
    return True


def _number(word: bytes) -> float:
    try:
        if b"_" not in word:  # Python reads 1_000
            return float(word)
    except ValueError:
        pass
    # what Windows' C library prints for nan: -nan(ind), 1.#QNAN, -1.#IND00
    if word.lower().lstrip(b"+-").startswith((b"nan", b"1.#qnan", b"1.#ind", b"1.#snan")):
        return float("nan")
    raise ValueError(word)
