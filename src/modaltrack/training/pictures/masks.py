# SPDX-License-Identifier: Apache-2.0
"""Masks of objects: label images of the common kinds, and which label belongs to which box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.boxes import iou
from modaltrack.sources.folder import read_image

VOID = 255  # of an index mask: between object and background, belongs to neither
VOID_COLOUR = (224, 224, 192)  # the same in the palette of PASCAL VOC
SOFT = 64  # grey values above which a mask is one object with soft edges, no list of objects
OBJECTS = 1000  # in one picture; a mask with more values is none
MATCH = 0.5  # IoU of a label's box with an annotated one above which they are the same object


def read_labels(file: Path) -> NDArray[np.int32]:
    """The objects of a mask file.

    Grey masks of two values (0 and anything) hold one object; of up to 64 values, an object a value, 255 being void; of
    more, one object with soft edges, cut at 128. Colour masks hold an object a colour, black being background and
    PASCAL VOC's beige void.

    Returns:
        (H, W) int32, 0 = background or void, 1..n = objects in the order of their values.

    Raises:
        ValueError: The file cannot be decoded, or holds more values than a picture has objects.
    """
    image = read_image(file)
    if image is None:
        raise ValueError(f"The mask {file} cannot be decoded: it is damaged or not an image.")
    values = image.astype(np.int64)
    if values.ndim == 3:
        values = values[..., 0] << 32 | values[..., 1] << 16 | values[..., 2]
        void = VOID_COLOUR[0] << 32 | VOID_COLOUR[1] << 16 | VOID_COLOUR[2]
    else:
        void = VOID
    kinds = np.unique(values)
    kinds = kinds[kinds != 0]
    if image.ndim == 2 and len(kinds) > SOFT and image.dtype == np.uint8:
        return (image > 127).astype(np.int32)
    if len(kinds) > 1:
        kinds = kinds[kinds != void]
    if len(kinds) > OBJECTS:
        raise ValueError(
            f"The mask {file} holds {len(kinds):,} different values, an object each; it is a photograph, or was saved "
            "as JPEG, which changes values: save it as PNG."
        )
    if not len(kinds):
        return np.zeros(values.shape, np.int32)
    place = np.searchsorted(kinds, values).clip(max=len(kinds) - 1)
    return np.where(kinds[place] == values, place + 1, 0).astype(np.int32)


def label_boxes(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """(n, 4) xywh around each label 1..n; a label without pixels gives a row of nan."""
    count = int(labels.max(initial=0))
    corners = np.array([[np.inf, np.inf, -np.inf, -np.inf]]).repeat(count, 0)
    rows, columns = np.nonzero(labels)
    number = labels[rows, columns] - 1
    for side, (reduce, at) in enumerate(
        ((np.minimum, columns), (np.minimum, rows), (np.maximum, columns + 1), (np.maximum, rows + 1))
    ):
        reduce.at(corners[:, side], number, at.astype(np.float64))
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    boxes[np.isinf(corners).any(1)] = np.nan
    return boxes


def masks_of(labels: NDArray[np.int32], boxes: NDArray[np.float64]) -> list[NDArray[np.bool_] | None]:
    """For each of (K, 4) boxes the (H, W) mask of the label whose box overlaps it most; None below an IoU of 0.5."""
    around = label_boxes(labels)
    found: list[NDArray[np.bool_] | None] = []
    for box in boxes:
        overlaps = np.nan_to_num(iou(around, np.broadcast_to(box, around.shape))) if len(around) else np.zeros(0)
        best = int(overlaps.argmax()) if len(overlaps) else -1
        found.append(labels == best + 1 if best >= 0 and overlaps[best] > MATCH else None)
    return found
