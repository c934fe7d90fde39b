# SPDX-License-Identifier: Apache-2.0
"""The counts behind a thermal camera's coloured picture: FLIR's radiometric JPEG, and its FFF and SEQ files.

A radiometric JPEG shows a palette, often with a logo and a scale drawn in; the measured 16-bit counts are stored beside
it. They rise with temperature, which is all that tracking needs: no calibration is applied.

Source: the layout of FLIR's FFF records as the documentation of ExifTool describes it (tag tables "FLIR").
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SEQUENCE_SUFFIXES = (".seq", ".fff")
_MAGIC = b"FFF\0"
_RAW_DATA = 1  # record type
_MAX_RECORDS = 1000
Buffer = bytes | mmap.mmap


def is_radiometric(file: Path) -> bool:
    """Whether a JPEG carries FLIR's records."""
    if file.suffix.lower() not in (".jpg", ".jpeg"):
        return False
    return bool(_flir_segments(file.read_bytes()))


def read_radiometric(file: Path) -> NDArray[np.uint16] | None:
    """The raw counts (H, W) of a radiometric JPEG, None where it has none or they are damaged."""
    try:
        return raw_counts(_flir_segments(file.read_bytes()), 0)
    except OSError:
        return None


def _flir_segments(jpeg: bytes) -> bytes:
    """The FFF file that is spread over the APP1 segments of a JPEG, empty where there is none."""
    position, pieces = 2, []
    while position + 4 <= len(jpeg) and jpeg[position] == 0xFF and jpeg[position + 1] not in (0xDA, 0xD9):
        length = int.from_bytes(jpeg[position + 2 : position + 4], "big")
        segment = jpeg[position + 4 : position + 2 + length]
        if jpeg[position + 1] == 0xE1 and segment.startswith(b"FLIR\0") and len(segment) > 8:
            pieces.append((segment[6], segment[8:]))  # its number, its part
        position += 2 + max(2, length)
    return b"".join(part for _, part in sorted(pieces, key=lambda piece: piece[0]))


def count_frames(file: Path) -> int:
    """How many FFF records a sequence holds."""
    return sum(1 for _ in _starts(file))


def read_sequence(file: Path) -> Iterator[NDArray[np.uint16] | None]:
    """The raw counts of each frame, None where one is damaged."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start in _starts(file):
            yield raw_counts(content, start)


def _starts(file: Path) -> Iterator[int]:
    if file.stat().st_size < 64:
        return
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_MAGIC)
        while start >= 0:
            record = _raw_record(content, start)
            if record is not None:
                yield start
            start = content.find(_MAGIC, start + 4 if record is None else start + record[1] + record[2])


def _raw_record(content: Buffer, start: int) -> tuple[str, int, int] | None:
    """(byte order, offset from the start, length) of the record of raw data, None where there is none."""
    header = content[start : start + 64]
    if len(header) < 64 or header[:4] != _MAGIC:
        return None
    order = next((o for o in "<>" if 100 <= struct.unpack(o + "I", header[20:24])[0] < 200), None)
    if order is None:
        return None
    directory, count = struct.unpack(order + "II", header[24:32])
    for k in range(min(count, _MAX_RECORDS)):
        entry = content[start + directory + 32 * k : start + directory + 32 * (k + 1)]
        if len(entry) < 32:
            return None
        kind, offset, length = struct.unpack(order + "H10xII", entry[:20])
        if kind == _RAW_DATA and 32 < length <= len(content) - start - offset:
            return order, offset, length
    return None


def raw_counts(content: Buffer, start: int) -> NDArray[np.uint16] | None:
    """The image in the FFF file at ``start``: PNG or plain 16-bit values."""
    record = _raw_record(content, start)
    if record is None:
        return None
    _, offset, length = record
    raw = content[start + offset : start + offset + length]
    order = next((o for o in "<>" if struct.unpack(o + "H", raw[:2])[0] == 2), None)
    if order is None:
        return None
    width, height = struct.unpack(order + "HH", raw[2:6])
    pixels = raw[32:]
    if pixels[:4] == b"\x89PNG":
        return _png_counts(pixels)
    if len(pixels) < 2 * width * height or not width * height:
        return None
    return np.frombuffer(pixels, order + "u2", width * height).reshape(height, width).astype(np.uint16)


def _png_counts(data: bytes) -> NDArray[np.uint16] | None:
    """Many cameras store the PNG's bytes in the wrong order; the right one is the smoother picture."""
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        return None
    swapped = image.byteswap()
    rough = [float(np.abs(np.diff(i.astype(np.float32), axis=1)).mean()) for i in (image, swapped)]
    return np.asarray(image if rough[0] <= rough[1] else swapped)
