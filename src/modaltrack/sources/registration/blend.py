# SPDX-License-Identifier: Apache-2.0
"""A picture to judge an alignment by eye."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.registration.planes import Matrix

_SQUARES = 8  # of the checkerboard along the longer side


def blended(reference: NDArray[np.uint8], other: NDArray[np.uint8], homography: Matrix) -> NDArray[np.uint8]:
    """Two pictures below each other: a checkerboard of both sensors, and both one's edges, magenta and green.

    Where the edges lie on each other they are white. ``reference`` and ``other`` are uint8 (H, W, 3); -> (2 H, W, 3).
    """
    height, width = reference.shape[:2]
    placed = cv2.warpPerspective(other, homography, (width, height))
    inside = cv2.warpPerspective(np.full(other.shape[:2], 255, np.uint8), homography, (width, height)) > 0
    square = max(1, max(height, width) // _SQUARES)
    rows, columns = np.indices((height, width)) // square
    checker = np.where((((rows + columns) % 2 == 0) | ~inside)[..., None], reference, placed)
    own, moved = (_edges(image) for image in (reference, np.asarray(placed, np.uint8)))
    core = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    edges = np.dstack([own, np.where(core > 0, moved, 0), own])
    return np.concatenate([checker, edges]).astype(np.uint8)


def _edges(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    strength = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    scale = 255 / max(float(np.quantile(strength, 0.98)), 1e-3)
    return np.asarray(np.clip(strength * scale, 0, 255), np.uint8)
