# SPDX-License-Identifier: Apache-2.0
"""Homographies as eight small numbers, and pictures brought to a smaller size with the map that says how."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SIMILARITY, AFFINE, HOMOGRAPHY = 4, 6, 8  # numbers of each: shift (2), zoom, turn; stretch (2); perspective (2)

_GENERATORS = np.zeros((8, 3, 3))
for _row, _entries in enumerate(
    (
        [(0, 2, 1)],
        [(1, 2, 1)],
        [(0, 0, 1), (1, 1, 1)],
        [(0, 1, -1), (1, 0, 1)],
        [(0, 0, 1), (1, 1, -1)],
        [(0, 1, 1), (1, 0, 1)],
        [(2, 0, -1)],
        [(2, 1, -1)],
    )
):
    for _i, _j, _value in _entries:
        _GENERATORS[_row, _i, _j] = _value


def exponential(numbers: NDArray[np.float64]) -> Matrix:
    """The homography (3, 3) of the motion given by the first 4, 6 or 8 generators, in normalised coordinates."""
    generator = np.tensordot(numbers, _GENERATORS[: len(numbers)], 1) / 2**8
    result = term = np.eye(3)
    for order in range(1, 7):
        term = term @ generator / order
        result = result + term
    for _ in range(8):
        result = result @ result
    return normalised(result)


def motion(count: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """How points (N,) move with each of the ``count`` numbers, to first order: (N, 2, count)."""
    one, zero = np.ones_like(u), np.zeros_like(u)
    fields = [(one, zero), (zero, one), (u, v), (-v, u), (u, -v), (v, u), (u * u, u * v), (u * v, v * v)]
    return np.stack([np.stack(field, -1) for field in fields[:count]], -1)


def beyond_similarity(homography: Matrix, half: tuple[float, float]) -> NDArray[np.float64]:
    """The eight numbers of what is left of a normalised homography when the nearest similarity is taken out.

    Args:
        half: extent of the picture in u and v from its centre.
    """
    u, v = np.array([-1, 1, 1, -1]) * half[0], np.array([-1, -1, 1, 1]) * half[1]
    x, y = moved(homography, np.stack([u, v], 1)).T
    one, zero = np.ones(4), np.zeros(4)
    rows = np.concatenate([np.stack([u, -v, one, zero], 1), np.stack([v, u, zero, one], 1)])
    nearest = rows @ np.linalg.lstsq(rows, np.concatenate([x, y]), rcond=None)[0]
    fields = motion(HOMOGRAPHY, nearest[:4], nearest[4:]).reshape(-1, HOMOGRAPHY)
    rest = np.stack([x - nearest[:4], y - nearest[4:]], 1).ravel()
    return np.asarray(np.linalg.lstsq(fields, rest, rcond=None)[0])


def moved(homography: NDArray[Any], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 2) through a homography."""
    carried = points @ homography[:, :2].T + homography[:, 2]
    return np.asarray(carried[:, :2] / carried[:, 2:])


def normalised(homography: Matrix) -> Matrix:
    """The same homography with 1 as its last number."""
    return np.asarray(homography / homography[2, 2])


def centred(size: tuple[int, int]) -> Matrix:
    """Pixels of a picture (height, width) -> coordinates from its centre in halves of its longer side."""
    height, width = size
    half = max(height, width) / 2
    return np.array([[1 / half, 0, -(width / 2 - 0.5) / half], [0, 1 / half, -(height / 2 - 0.5) / half], [0, 0, 1]])


def shrunk(image: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], Matrix]:
    """A picture made smaller (never larger), and the map of its pixels to the smaller one's."""
    height, width = image.shape
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    x, y = image.shape[1] / width, image.shape[0] / height
    return image, np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def corners(size: tuple[int, int]) -> NDArray[np.float64]:
    """The centres of a picture's four corner pixels (4, 2) as x, y."""
    height, width = size
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
