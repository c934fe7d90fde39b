# SPDX-License-Identifier: Apache-2.0
"""Affine maps between pictures and crops, and what they do to boxes.

A map is (2, 3) float64, picture pixels -> crop pixels; boxes are xywh in pixels. Source: [ours].
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Map = NDArray[np.float64]


def view(
    centre: ArrayLike, side: float, size: int, angle: float = 0.0, stretch: float = 1.0, flip: bool = False
) -> Map:
    """The map of a square of ``side`` pixels around ``centre`` (2,) to a crop of ``size`` pixels.

    Args:
        angle: radians the picture turns by.
        stretch: width over height of what was square.
        flip: left and right change.
    """
    c, s = np.cos(angle), np.sin(angle)
    scale = size / side
    linear = scale * np.diag([stretch**0.5, stretch**-0.5]) @ np.array([[c, -s], [s, c]])
    if flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    shift = size / 2 - 0.5 - linear @ (np.asarray(centre, np.float64) - 0.5)
    return np.concatenate([linear, shift[:, None]], 1)


def map_box(box: ArrayLike, way: Map, round_target: bool = True) -> NDArray[np.float64]:
    """The xywh box around a mapped box: around the ellipse in it, as most targets fill it, or around its corners."""
    x, y, w, h = np.asarray(box, np.float64)
    linear = way[:, :2]
    centre = linear @ (x + w / 2 - 0.5, y + h / 2 - 0.5) + way[:, 2] + 0.5
    columns = linear * (w / 2, h / 2)
    reach = np.sqrt((columns**2).sum(1)) if round_target else np.abs(columns).sum(1)
    return np.concatenate([centre - reach, 2 * reach])


def warp(image: NDArray[np.uint8], way: Map, size: int) -> NDArray[np.uint8]:
    """The crop (size, size, ...) of an image under a map; outside it is 0. Shrinking by more than 2 does not alias."""
    scale = float(np.sqrt(abs(np.linalg.det(way[:, :2]))))
    if scale < 0.5:  # warpAffine reads four pixels, however many the crop's pixel covers
        steps = int(np.floor(np.log2(1 / scale)))
        height, width = image.shape[:2]
        small = (max(1, width >> steps), max(1, height >> steps))
        ratio = np.array([width / small[0], height / small[1]])
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        linear = way[:, :2] * ratio
        way = np.concatenate([linear, (way[:, 2] + way[:, :2] @ (ratio / 2 - 0.5))[:, None]], 1)
    return np.asarray(cv2.warpAffine(image, way, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def covered(shape: tuple[int, ...], way: Map, size: int) -> NDArray[np.bool_] | None:
    """Which pixels (size, size) of the crop an image of that shape fills; None: all of them."""
    height, width = shape[:2]
    back = cv2.invertAffineTransform(way)
    corners = (
        np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float64) @ back[:, :2].T + back[:, 2]
    )
    low, high = corners.min(0), corners.max(0)
    if low.min() >= 0 and high[0] <= width - 1 and high[1] <= height - 1:
        return None
    quad = (
        np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64) @ way[:, :2].T
        + way[:, 2]
    )
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.round(quad * 16).astype(np.int32), 1, shift=4)
    return mask > 0


def overlap_share(a: ArrayLike, b: ArrayLike) -> float:
    """The share 0..1 of box a that lies inside box b."""
    ax, ay, aw, ah = np.asarray(a, np.float64)
    bx, by, bw, bh = np.asarray(b, np.float64)
    w = min(ax + aw, bx + bw) - max(ax, bx)
    h = min(ay + ah, by + bh) - max(ay, by)
    return float(max(w, 0) * max(h, 0) / (aw * ah))
