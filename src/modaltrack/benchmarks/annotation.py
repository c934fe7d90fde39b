# SPDX-License-Identifier: Apache-2.0
"""Reads annotation files in the forms that data sets use; numbers stay as they were written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.box_text import parse_boxes, read_bytes

Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]

_INTEGER = re.compile(r"\d+")
_TO_BLANKS = str.maketrans({",": " ", ";": " ", "\t": " "})


def read_text(file: Path) -> str:
    """The text of a small file.

    Raises:
        ValueError: in one sentence, when it cannot be read or is no text.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); check the path and its permissions.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text file; the download is damaged or another file has its name.") from error


def read_rows(file: Path, corners: bool = False) -> Rows:
    """One box per line as (N, 4) xywh, exactly as written: zeros, negative sizes and all.

    Commas, semicolons, tabs or blanks; 4 numbers, or a polygon of 6 or more (its bounding box: min and max of the
    corners, docs/data.md, "Rules of reading", 2). nan, an empty line between others, or a single number (VOT's code for
    "no region") give a row of nan. Coordinates are not moved between 0- and 1-based.

    Args:
        corners: the 4 numbers are x1 y1 x2 y2, and w = x2 - x1 (GTOT).

    Raises:
        ValueError: naming the line that does not fit.
    """
    rows = parse_boxes(read_bytes(file), str(file))
    if corners:
        rows = np.concatenate([rows[:, :2], rows[:, 2:] - rows[:, :2]], axis=1)
    return rows


def read_values(file: Path) -> Rows:
    """Every number of a file, in order, as (N,): one per line or all in one line (LaSOT's labels)."""
    words = read_text(file).translate(_TO_BLANKS).split()
    try:
        return np.array([float(word) for word in words], np.float64)
    except ValueError:
        raise ValueError(f"{file} holds something that is no number; one value per frame is expected.") from None


def read_names(file: Path) -> list[str]:
    """The lines of a list file that are neither empty nor a ``#`` comment; a trailing path separator is dropped."""
    lines = (line.strip().rstrip("/\\") for line in read_text(file).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def number_of(file: Path) -> int:
    """The last integer of a file's name, -1 where there is none: frames are sorted and paired by it."""
    return last_number(file.stem)


def last_number(stem: str) -> int:
    numbers = _INTEGER.findall(stem)
    return int(numbers[-1]) if numbers else -1


def without_area(rows: Rows) -> Flags:
    """(N,) True where a row is nan or its width or height is 0 or less (x and y may be: targets touch the border)."""
    with np.errstate(invalid="ignore"):
        return ~((rows[:, 2] > 0) & (rows[:, 3] > 0) & np.isfinite(rows).all(axis=1))


def settle_polarity(values: Rows, absent_value: int, rows: Rows) -> tuple[Flags, bool]:
    """(N,) True where a label says absent, and whether its polarity had to be turned round.

    Files of one benchmark are about with 1 = present and with 1 = absent (VisEvent's data set and its own toolkit).
    The boxes decide: a label is turned when it calls nine in ten frames with a box absent and hardly any frame
    without one. Lengths must agree.
    """
    absent = values == absent_value
    empty = without_area(rows)
    if (~empty).any() and absent[~empty].mean() > 0.9 and (not empty.any() or absent[empty].mean() < 0.1):
        return ~absent, True
    return absent, False
