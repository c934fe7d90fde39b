# SPDX-License-Identifier: Apache-2.0
"""The square crop around a box, and the way between image pixels and the crop.

``crop`` is the authors' crop, bit for bit (numpy and ``cv2.resize``); ``crop_batch`` is the same crop for
tensors on any device, within 2 grey levels of it.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Array = TypeVar("Array", NDArray[Any], torch.Tensor)


def crop_side(box: ArrayLike, factor: float) -> int:
    """Side of the square crop in pixels: ceil(sqrt(w * h) * factor) of an xywh box."""
    _, _, w, h = np.asarray(box, dtype=np.float64)
    return math.ceil(math.sqrt(w * h) * factor)


def with_context(box: ArrayLike, context: float) -> NDArray[np.float64]:
    """xywh boxes (..., 4) grown around their centres by context * (width + height) along both axes.

    What Siamese trackers cut their crops around (context 0.5; Bertinetto et al. 2016); 0 leaves the boxes.
    """
    x, y, w, h = np.moveaxis(np.asarray(box, np.float64), -1, 0)
    more = context * (w + h)
    return np.stack([x - more / 2, y - more / 2, w + more, h + more], -1)


def crop(image: NDArray[np.uint8], box: ArrayLike, factor: float, size: int) -> tuple[NDArray[np.uint8], float]:
    """Cut a square around an xywh box out of an image and resize it: the published crop.

    Args:
        image: uint8 (H, W, C).

    Returns:
        The crop, uint8 (size, size, C), black outside the image, and the resize factor size / side.

    Raises:
        ValueError: for a box without a positive, finite area.

    Source: docs/methods/ostrack.md 7. The published padding counts one column (row) too many at the right (bottom): as
    soon as the crop reaches the image's end, the image's last column (row) turns black as well. Matched on purpose.
    """
    x, y, w, h = (float(value) for value in np.asarray(box, dtype=np.float64))
    if not math.isfinite(x + y + w * h) or w <= 0 or h <= 0:
        raise ValueError(
            f"Cannot crop around the box ({x:g}, {y:g}, {w:g}, {h:g}): its size must be positive and finite."
        )
    side = crop_side((x, y, w, h), factor)
    height, width = image.shape[:2]
    left, top = round(x + 0.5 * w - side * 0.5), round(y + 0.5 * h - side * 0.5)  # Python's round: half to even
    right, bottom = left + side, top + side
    x1, x2 = max(left, 0), width - 1 if right >= width else right
    y1, y2 = max(top, 0), height - 1 if bottom >= height else bottom
    if (left, top, right, bottom) == (x1, y1, x2, y2):
        square = image[top:bottom, left:right]
    else:
        square = np.zeros((side, side, image.shape[2]), np.uint8)
        if x2 > x1 and y2 > y1:
            square[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    resized = cv2.resize(square, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8).reshape(size, size, image.shape[2]), size / side


def crop_sides(boxes: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """``crop_side`` of each of B boxes (B, 4), as floats."""
    return np.ceil(np.sqrt(boxes[:, 2] * boxes[:, 3]) * factor)


def _axis_positions(start: torch.Tensor, side: torch.Tensor, length: int, size: int) -> torch.Tensor:
    """(B, size) float32: where the lines of the crop lie in an image of ``length`` lines, -1..1 from edge to edge.

    cv2's bilinear rule: centres of pixels meet (the half-pixel shift) and positions are held inside the padded crop, so
    that zeros come in from the padding only.
    """
    cells = torch.arange(size, device=start.device, dtype=start.dtype)
    position = (cells + 0.5) * (side / size)[:, None] - 0.5  # (B, size) in pixels of the padded crop
    position = position.clamp(min=0).minimum(side[:, None] - 1) + start[:, None]  # in pixels of the image
    return (position * 2 + 1) / length - 1


def crop_batch(
    images: torch.Tensor, boxes: torch.Tensor, factor: float, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """``crop`` for a batch on any device: (B, C, H, W), xywh boxes (B, 4) -> crops (B, C, size, size), factors (B,).

    Args:
        images: float or uint8; crops are float in the same range of values (uint8 in, float32 0..255 out). Within 2
            grey levels of ``crop``.

    Raises:
        ValueError: for boxes without a positive, finite area.
    """
    boxes = boxes.to(device=images.device, dtype=torch.float64)  # sides and corners are integers: no float32 rounding
    if not bool((boxes.isfinite().all(1) & (boxes[:, 2:] > 0).all(1)).all()):
        raise ValueError("Cannot crop around boxes with NaN, infinite, zero or negative sizes; drop those rows first.")
    x, y, w, h = boxes.unbind(1)
    side = torch.ceil(torch.sqrt(w * h) * factor)  # (B,)
    left, top = torch.round(x + 0.5 * w - side * 0.5), torch.round(y + 0.5 * h - side * 0.5)
    whole = images.dtype in (torch.float32, torch.float64)
    pixels = images if whole else images.to(torch.float32)  # half precision cannot say where a pixel is
    height, width = pixels.shape[-2:]
    at_right, at_bottom = left + side >= width, top + side >= height  # (B,), the published padding, see ``crop``
    if bool((at_right | at_bottom).any()):
        pixels = pixels.clone() if pixels is images else pixels
        pixels[:, :, :, -1] *= ~at_right[:, None, None]
        pixels[:, :, -1, :] *= ~at_bottom[:, None, None]
    columns = _axis_positions(left, side, width, size)[:, None, :].expand(-1, size, -1)
    rows = _axis_positions(top, side, height, size)[:, :, None].expand(-1, -1, size)
    grid = torch.stack([columns, rows], -1).to(pixels.dtype)  # (B, size, size, 2)
    crops = torch.nn.functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return crops, (size / side).to(pixels.dtype)


def crop_many(image: torch.Tensor, boxes: NDArray[np.float64], factor: float, size: int) -> torch.Tensor:
    """``crop`` around many boxes in one image, on the image's device: (C, H, W) uint8, B xywh -> (B, C, size, size).

    float32 in 0..255, within 2 grey levels of ``crop``. Only the pixels that are needed are read: the image is neither
    copied for each box nor made float, and nothing waits for the device.

    Raises:
        ValueError: for boxes without a positive, finite area.
    """
    if not (np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all()):
        raise ValueError("Cannot crop around boxes with NaN, infinite, zero or negative sizes; drop those rows first.")
    sides = crop_sides(boxes, factor)
    axes = []
    for axis, length in ((0, image.shape[2]), (1, image.shape[1])):
        start = np.round(boxes[:, axis] + 0.5 * boxes[:, axis + 2] - sides * 0.5)
        lines, weights = _two_lines(start, sides, length, size)
        axes.append((torch.from_numpy(lines).to(image.device), torch.from_numpy(weights).to(image.device)))
    (columns, across), (rows, down) = axes  # (2, B, size) each
    crops = torch.zeros(image.shape[0], len(boxes), size, size, device=image.device, dtype=torch.float32)
    for i in range(2):
        for j in range(2):
            pixels = image[:, rows[i][:, :, None], columns[j][:, None, :]]  # (C, B, size, size)
            crops += pixels * (down[i][:, :, None] * across[j][:, None, :])
    return crops.transpose(0, 1)


def _two_lines(
    start: NDArray[np.float64], side: NDArray[np.float64], length: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Along one axis, the two image lines that each line of the crops lies between, and their weights: (2, B, size).

    Lines outside the image weigh nothing, nor does its last one where the crop reaches the end (see ``crop``).
    """
    position = (np.arange(size) + 0.5) * (side / size)[:, None] - 0.5  # (B, size) in pixels of the padded crop
    position = np.clip(position, 0, side[:, None] - 1)
    low = np.floor(position)
    end = (length - (start + side >= length))[:, None]  # the first line that is black
    lines, weights = [], []
    for line, weight in ((low, 1 - (position - low)), (np.minimum(low + 1, side[:, None] - 1), position - low)):
        line = line + start[:, None]
        weights.append(weight * ((line >= 0) & (line < end)))
        lines.append(np.clip(line, 0, length - 1))
    return np.stack(lines).astype(np.int64), np.stack(weights).astype(np.float32)


def _origin(crop_box: Array, resize_factor: Array | float, size: int) -> tuple[Any, Array, Array, Array]:
    """The array library, and left, top and side of the crop in image pixels (the integers it was cut with)."""
    xp: Any = torch if isinstance(crop_box, torch.Tensor) else np
    if isinstance(crop_box, torch.Tensor):
        factor = torch.as_tensor(resize_factor, device=crop_box.device)
    else:
        crop_box, factor = np.asarray(crop_box, dtype=np.float64), np.asarray(resize_factor)
    side = xp.round(size / factor)
    x, y, w, h = (crop_box[..., i] for i in range(4))
    return xp, xp.round(x + 0.5 * w - side * 0.5), xp.round(y + 0.5 * h - side * 0.5), side


def box_to_crop(box: Array, crop_box: Array, resize_factor: Array | float, size: int) -> Array:
    """xywh boxes (..., 4) in image pixels -> cxcywh (..., 4) in 0..1 of the crop cut around ``crop_box``.

    The inverse of ``box_from_crop``; numpy and torch. Values leave 0..1 where the box leaves the crop.
    """
    xp, left, top, side = _origin(crop_box, resize_factor, size)
    values: Any = box if xp is torch else np.asarray(box, dtype=np.float64)
    x, y, w, h = (values[..., i] for i in range(4))
    made: Array = xp.stack([(x + 0.5 * w - left) / side, (y + 0.5 * h - top) / side, w / side, h / side], -1)
    return made


def box_from_crop(predicted: Array, crop_box: Array, resize_factor: Array | float, size: int) -> Array:
    """cxcywh boxes (..., 4) in 0..1 of the crop cut around ``crop_box`` -> xywh (..., 4) in image pixels.

    Args:
        crop_box: the xywh box (..., 4) the crop was cut around.
        resize_factor: (...), as ``crop`` answered it. The authors add the crop's origin before it was rounded to whole
            pixels (docs/methods/ostrack.md 7); here it is the rounded one, where the pixels really came from: up to
            half a pixel apart, which matters for targets of 8 pixels [ours].
    """
    xp, left, top, side = _origin(crop_box, resize_factor, size)
    values: Any = predicted if xp is torch else np.asarray(predicted, dtype=np.float64)
    cx, cy, w, h = (values[..., i] * side for i in range(4))
    made: Array = xp.stack([left + cx - 0.5 * w, top + cy - 0.5 * h, w, h], -1)
    return made
