# SPDX-License-Identifier: Apache-2.0
"""Pictures as the strength and direction of their edges: what visible, thermal and depth images of one place share.

Neither brightness nor its sign is the same in two kinds of sensor, the place and the direction of edges is. A gradient
of strength m at angle a becomes m (cos 2a, sin 2a): the doubled angle is the same for both signs of an edge, and edges
that cross at right angles count against each other.
Source: the doubled angle is that of structure tensors (Bigun and Granlund, "Optimal Orientation Detection of Linear
Symmetry", ICCV 1987); comparing pictures by the squared cosine between gradients, which it makes linear, is Haber and
Modersitzki, "Intensity Gradient Based Registration and Fusion of Multi-modal Images", MICCAI 2006.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Channels = list[NDArray[np.float32]]
_FLOOR = 0.5  # of the median strength: what is weaker than that is noise
_BORDER_SHARE = 0.005  # of the picture: a uniform area at its edge larger than this is no part of the scene


def edge_channels(
    image: NDArray[np.uint8], mask: NDArray[np.float32], blur: float = 1.0, strength_share: float = 0.0
) -> Channels:
    """Arrays (H, W) of a grey picture (H, W): cosine, sine and strength; of mean zero inside the mask, zero outside.

    Args:
        blur: in pixels, before and after the gradients.
        strength_share: weight of the strength (0: it is left out). It helps where the place is nearly known and little
            is seen; it misleads a search from nowhere, and lets empty areas agree with each other.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), blur)
    x, y = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    strength = cv2.magnitude(x, y) + np.float32(1e-6)
    smooth_strength = cv2.GaussianBlur(strength, (0, 0), blur)
    inside = smooth_strength[mask > 0]
    norm = smooth_strength + np.float32(max(_FLOOR * float(np.median(inside)), 1e-3) if inside.size else 1.0)
    area = max(float(mask.sum()), 1.0)
    found = []
    doubled = ((x * x - y * y) / strength, 2 * x * y / strength)
    parts = [cv2.GaussianBlur(part, (0, 0), blur) for part in doubled]
    if strength_share > 0:
        parts.append(np.float32(strength_share) * smooth_strength)
    for part in parts:
        channel = part / norm
        channel -= np.float32(float((channel * mask).sum()) / area)
        found.append(np.asarray(channel * mask, np.float32))
    return found


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
