# SPDX-License-Identifier: Apache-2.0
"""Overlap of boxes as the VOT toolkit counts it: in whole pixels, inside the image (docs/evaluation.md 9.1).

The toolkit draws both regions on a canvas that just holds the two and counts pixels. Its consequences are part of the
protocol, and published numbers contain them (each found on, and held to, the toolkit's own answers):

* the four numbers of a box are kept as float32 and rounded one by one, half to even: x .. x + w - 1 are its columns;
* an absent region has no pixels and holds the canvas at the point (0, 0); two absent regions agree: overlap 1;
* a canvas of a single column or row (or of none) counts as agreement, 1, whatever the two regions are: two lines in
  one row are "equal", and so are an absent region and a box that ends in column 0;
* where only clipping to the image has made the canvas that narrow, the overlap is 0;
* a box without pixels that is not absent (a side that rounds to 0, a negative side) keeps its place on the canvas and
  overlaps nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def raster_overlap(first: ArrayLike, second: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """Pixels in both over pixels in either, row by row.

    Args:
        first, second: (N, 4) xywh pixels; any ``nan`` in a row means that no region is there (``inf`` too
            [ours]).
        size: (width, height) of the image that both are clipped to.

    Returns:
        (N,) float64 in 0..1.

    Raises:
        ValueError: where the lengths differ.

    Source: answers of the VOT toolkit 0.7.3, identical in 0.5.3 and 0.9.0.
    """
    a, b = np.asarray(first, np.float64).reshape(-1, 4), np.asarray(second, np.float64).reshape(-1, 4)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} boxes cannot be compared with {len(b)}; give one row per frame in both.")
    (first_a, last_a, absent_a), (first_b, last_b, absent_b) = _pixel_range(a), _pixel_range(b)
    limit = np.array(size, np.float64) - 1
    low, high = np.minimum(first_a, first_b), np.maximum(last_a, last_b)  # the canvas, (N, 2)
    narrow = (high <= low).any(axis=1)
    outside = (np.minimum(high, limit) <= np.maximum(low, 0)).any(axis=1)

    def pixels(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        sides = np.maximum(np.minimum(end, limit) - np.maximum(start, 0) + 1, 0)
        return sides[:, 0] * sides[:, 1]

    area_a = np.where(absent_a, 0.0, pixels(first_a, last_a))
    area_b = np.where(absent_b, 0.0, pixels(first_b, last_b))
    both = np.where(
        np.logical_or(absent_a, absent_b), 0.0, pixels(np.maximum(first_a, first_b), np.minimum(last_a, last_b))
    )
    either = area_a + area_b - both
    ratio = np.divide(both, either, out=np.zeros(len(a)), where=either > 0)
    return np.where(narrow, 1.0, np.where(outside, 0.0, ratio))


def is_box(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) where a row (N, 4) holds four finite numbers."""
    return np.asarray(np.isfinite(boxes).all(axis=1), np.bool_)


def _pixel_range(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """First and last column and row of each box (N, 2), (0, 0) where it is absent, and which are (N,)."""
    absent = np.logical_not(is_box(boxes))
    whole = np.round(np.where(absent[:, None], 0.0, boxes).astype(np.float32)).astype(np.float64)
    whole[absent, 2:] = 1.0
    return whole[:, :2], whole[:, :2] + whole[:, 2:] - 1, absent
