# SPDX-License-Identifier: Apache-2.0
"""Boxes: three ways to write one, how much two overlap, and keeping one inside an image.

Every function takes numpy arrays or torch tensors (..., 4) and returns the same kind; torch is only imported when a
tensor comes in. Coordinates are continuous pixels with the origin at the top-left corner of the top-left pixel; ``nan``
rows (absent targets) stay ``nan``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = Any  # a numpy array or a torch tensor (..., 4); sequences of numbers become numpy arrays

_SMALLEST_SIDE = 1e-3  # pixels of a box that a user gives: the crop around a smaller one has no pixel
_SMALLEST_AREA = 1e-9  # keeps the ratios of two empty boxes at 0 instead of 0 / 0, and their gradients finite


def _load(boxes: Box) -> tuple[Any, Box]:
    """The array library of these boxes, and the boxes as an array of floats in it."""
    if isinstance(boxes, np.ndarray) or not hasattr(boxes, "detach"):
        boxes = np.asarray(boxes)
        return np, boxes if boxes.dtype.kind == "f" else boxes.astype(np.float64)
    import torch

    return torch, boxes if boxes.is_floating_point() else boxes.to(torch.get_default_dtype())


def _parts(boxes: Box) -> tuple[Any, Box, Box, Box, Box]:
    xp, boxes = _load(boxes)
    return xp, boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def xywh_to_xyxy(boxes: Box) -> Box:
    """(..., 4) left, top, width, height -> left, top, right, bottom."""
    xp, x, y, w, h = _parts(boxes)
    return xp.stack([x, y, x + w, y + h], -1)


def xyxy_to_xywh(boxes: Box) -> Box:
    """(..., 4) left, top, right, bottom -> left, top, width, height."""
    xp, x1, y1, x2, y2 = _parts(boxes)
    return xp.stack([x1, y1, x2 - x1, y2 - y1], -1)


def xywh_to_cxcywh(boxes: Box) -> Box:
    """(..., 4) left, top, width, height -> centre x, centre y, width, height."""
    xp, x, y, w, h = _parts(boxes)
    return xp.stack([x + w / 2, y + h / 2, w, h], -1)


def cxcywh_to_xywh(boxes: Box) -> Box:
    """(..., 4) centre x, centre y, width, height -> left, top, width, height."""
    xp, cx, cy, w, h = _parts(boxes)
    return xp.stack([cx - w / 2, cy - h / 2, w, h], -1)


def cxcywh_to_xyxy(boxes: Box) -> Box:
    """(..., 4) centre x, centre y, width, height -> left, top, right, bottom."""
    return xywh_to_xyxy(cxcywh_to_xywh(boxes))


def xyxy_to_cxcywh(boxes: Box) -> Box:
    """(..., 4) left, top, right, bottom -> centre x, centre y, width, height."""
    return xywh_to_cxcywh(xyxy_to_xywh(boxes))


def _overlap(a: Box, b: Box) -> tuple[Any, Box, Box, Box]:
    """The library, the area in common, the area of the union and the area of the smallest box around both."""
    xp, ax, ay, aw, ah = _parts(a)
    _, bx, by, bw, bh = _parts(b)
    inner_w = xp.minimum(ax + aw, bx + bw) - xp.maximum(ax, bx)
    inner_h = xp.minimum(ay + ah, by + bh) - xp.maximum(ay, by)
    outer_w = xp.maximum(ax + aw, bx + bw) - xp.minimum(ax, bx)
    outer_h = xp.maximum(ay + ah, by + bh) - xp.minimum(ay, by)
    inner = inner_w.clip(min=0) * inner_h.clip(min=0)
    return xp, inner, aw * ah + bw * bh - inner, outer_w * outer_h


def iou(a: Box, b: Box) -> Box:
    """Intersection over union of xywh boxes, element by element: (..., 4), (..., 4) -> (...), 0..1.

    Two empty boxes have 0; a ``nan`` box gives ``nan``.
    """
    _, inner, union, _ = _overlap(a, b)
    return inner / union.clip(min=_SMALLEST_AREA)


def giou(a: Box, b: Box) -> Box:
    """Generalised IoU of xywh boxes, element by element: (..., 4), (..., 4) -> (...), -1..1.

    Source: Rezatofighi et al. 2019.
    """
    _, inner, union, outer = _overlap(a, b)
    union, outer = union.clip(min=_SMALLEST_AREA), outer.clip(min=_SMALLEST_AREA)
    return inner / union - (outer - union) / outer


def clip_box(boxes: Box, height: float | NDArray[Any], width: float | NDArray[Any], margin: float = 0.0) -> Box:
    """Keep xywh boxes (..., 4) inside an image of height x width pixels, at least ``margin`` pixels wide and high.

    The published rule (margin 10, docs/methods/ostrack.md 7): the left edge is pulled to 0..width - margin, the right
    edge to margin..width, and a box that is narrower than ``margin`` then grows to it. A margin larger than the image
    counts as the image's size [ours].

    Args:
        height, width: numbers, or for numpy boxes arrays (...), one image for each box.
    """
    xp, x, y, w, h = _parts(boxes)
    smaller: Any = np.minimum if isinstance(width, np.ndarray) else min
    margin_x, margin_y = smaller(margin, width), smaller(margin, height)
    x1, x2 = x.clip(0, width - margin_x), (x + w).clip(margin_x, width)
    y1, y2 = y.clip(0, height - margin_y), (y + h).clip(margin_y, height)
    return xp.stack([x1, y1, (x2 - x1).clip(min=margin_x), (y2 - y1).clip(min=margin_y)], -1)


def check_box(box: Box, height: float, width: float) -> NDArray[np.float64]:
    """The box a user gave, as float64 xywh (4,), or one clear ``ValueError`` about what is wrong with it.

    Raises:
        ValueError: for: not four numbers, NaN or infinite numbers, a width or height that is not positive, a box
            entirely outside the image of height x width pixels.
    """
    try:
        if hasattr(box, "detach"):
            box = box.detach().cpu().numpy()
        values = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"The box {box!r} is not four numbers; give x, y, width and height in pixels.") from None
    if values.shape != (4,):
        raise ValueError(f"The box has shape {values.shape}; give four numbers: x, y, width and height in pixels.")
    shown = "x={:g}, y={:g}, width={:g}, height={:g}".format(*values)
    if not np.isfinite(values).all():
        raise ValueError(f"The box ({shown}) holds NaN or infinite numbers; give four finite numbers in pixels.")
    x, y, w, h = values
    if w <= 0 or h <= 0:
        raise ValueError(
            f"The box ({shown}) is empty; its width and height must be larger than 0 (x, y, width, height)."
        )
    if min(w, h) < _SMALLEST_SIDE:
        raise ValueError(
            f"The box ({shown}) is less than a thousandth of a pixel wide or high; boxes are in pixels of the image."
        )
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(
            f"The box ({shown}) lies entirely outside the image, which is {width:g} pixels wide and {height:g} high; "
            "give a box that overlaps it."
        )
    return values
