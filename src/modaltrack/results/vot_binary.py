# SPDX-License-Identifier: Apache-2.0
"""The VOT toolkit's binary trajectories (``.bin``), what it writes since 0.6 by default.

Little endian: uint16 version (1), uint32 rows; then per row one byte for the kind of region and its numbers: 0 and an
int32 code, 1 and four float32 x, y, w, h, or 2, a uint16 number of points and so many pairs of float32 x, y. Found by
looking at files the toolkit wrote. Masks (3) are refused: bounding boxes are scored here.
"""

from __future__ import annotations

import struct

import numpy as np

from modaltrack.results.record import Array


def read_trajectory(content: bytes, name: str) -> Array:
    """(N, 4) xywh, rows of nan for codes, the box around a polygon.

    Raises:
        ValueError: for what is not such a file.
    """
    try:
        return _rows(content, name)
    except struct.error:
        raise ValueError(f"{name} ends in the middle of a row; it was cut short, copy it again.") from None


def _rows(content: bytes, name: str) -> Array:
    version, count = struct.unpack_from("<HI", content)
    if version != 1 or count > len(content):
        raise ValueError(f"{name} is no binary trajectory of version 1; let the toolkit write text results.")
    boxes = np.full((count, 4), np.nan)
    at = struct.calcsize("<HI")
    for row in range(count):
        (kind,) = struct.unpack_from("<B", content, at)
        at += 1
        if kind == 0:
            struct.unpack_from("<i", content, at)
            at += 4
        elif kind == 1:
            boxes[row] = struct.unpack_from("<4f", content, at)
            at += 16
        elif kind == 2:
            (points,) = struct.unpack_from("<H", content, at)
            values = np.array(struct.unpack_from(f"<{2 * points}f", content, at + 2)).reshape(-1, 2)
            if points:
                boxes[row] = [*values.min(axis=0), *np.ptp(values, axis=0)]
            at += 2 + 8 * points
        else:
            raise ValueError(f"{name}, row {row + 1} is a mask or unknown (kind {kind}); only boxes are scored here.")
    boxes[np.isnan(boxes).any(axis=1)] = np.nan
    return boxes
