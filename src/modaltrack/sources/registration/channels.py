# SPDX-License-Identifier: Apache-2.0
"""Pictures as strengths of edges in four directions: what visible, thermal and depth images of one place share.

Neither brightness nor its sign is the same in two kinds of sensor, the place and the direction of edges is.
Source: channel features of orientated gradients (Ye et al., "Fast and Robust Matching for Multimodal Remote Sensing
Image Registration", TGRS 2019); here with four directions, and each pixel's channels divided by their norm.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Channels = list[NDArray[np.float32]]
_DIRECTIONS = 4
_BLUR = 1.0  # pixels, before and after the gradients
_FLOOR = 0.5  # of the median norm: what is weaker than that is noise
_BORDER_SHARE = 0.005  # of the picture: a uniform area at its edge larger than this is no part of the scene


def edge_channels(image: NDArray[np.uint8], mask: NDArray[np.float32]) -> Channels:
    """Four arrays (H, W) of a grey picture (H, W), of mean zero inside the mask and zero outside."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), _BLUR)
    x, y = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    found = []
    for k in range(_DIRECTIONS):
        angle = k * np.pi / _DIRECTIONS
        along = np.abs(x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
        found.append(np.asarray(cv2.GaussianBlur(along, (0, 0), _BLUR), np.float32))
    norm = np.sqrt(np.sum([c * c for c in found], axis=0))
    norm += max(_FLOOR * float(np.median(norm)), 1e-3)
    area = max(float(mask.sum()), 1.0)
    scaled = [np.asarray(channel / norm, np.float32) for channel in found]
    return [np.asarray((c - np.float32(float((c * mask).sum()) / area)) * mask, np.float32) for c in scaled]


def scene_mask(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where a grey picture shows the scene, 0 in the uniform border of a rectified or warped one."""
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    same = (image == np.bincount(edge).argmax()).astype(np.uint8)
    count, labels = cv2.connectedComponents(same, connectivity=4)
    at_edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    areas = np.bincount(labels.ravel(), minlength=count)
    outside = [i for i in at_edge if i and areas[i] > _BORDER_SHARE * image.size]
    mask = (~np.isin(labels, outside)).astype(np.uint8)
    return mask if mask.any() else np.ones_like(mask)


def eroded(mask: NDArray[np.uint8], by: int = 5) -> NDArray[np.uint8]:
    """The mask without the pixels whose channels see across its edge; the picture's own frame is no edge."""
    kernel = np.ones((by, by), np.uint8)
    return np.asarray(cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1), np.uint8)


def agreement(
    reference: Channels, other: Channels, reach: int, cell: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """How well each cell of the reference agrees with the other picture shifted by every (dy, dx) within ``reach``.

    Returns:
        (2 reach + 1, 2 reach + 1, rows, columns), and the cells' centres y (rows,) and x (columns,).
    """
    height, width = reference[0].shape
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    padded = [np.pad(channel, reach) for channel in other]
    side = 2 * reach + 1
    found = np.empty((side, side, rows, columns), np.float32)
    for i in range(side):
        for j in range(side):
            product = reference[0] * padded[0][i : i + height, j : j + width]
            for own, moving in zip(reference[1:], padded[1:], strict=True):
                product += own * moving[i : i + height, j : j + width]
            means = cv2.resize(product, (columns, rows), interpolation=cv2.INTER_AREA)
            found[i, j] = cv2.GaussianBlur(means, (0, 0), 0.75, borderType=cv2.BORDER_CONSTANT)
    y, x = (np.arange(rows) + 0.5) * height / rows - 0.5, (np.arange(columns) + 0.5) * width / columns - 0.5
    return found, y, x
