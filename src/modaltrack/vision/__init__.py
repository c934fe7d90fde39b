# SPDX-License-Identifier: Apache-2.0
"""Pure pixel and tensor code shared by training, tracking and export: crop, normalise, window, decode."""

from modaltrack.vision.crop import (
    box_from_crop,
    box_to_crop,
    crop,
    crop_batch,
    crop_many,
    crop_side,
    crop_sides,
    with_context,
)
from modaltrack.vision.image import IMAGENET_MEAN, IMAGENET_STD, denormalise, normalise, to_tensor
from modaltrack.vision.response import decode, hann_window

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "box_from_crop",
    "box_to_crop",
    "crop",
    "crop_batch",
    "crop_many",
    "crop_side",
    "crop_sides",
    "decode",
    "denormalise",
    "hann_window",
    "normalise",
    "to_tensor",
    "with_context",
]
