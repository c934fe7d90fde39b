# SPDX-License-Identifier: Apache-2.0
"""From uint8 crops to what the models take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_tensor(crops: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """uint8 crops (B, s, s, 3), or B of (s, s, 3), -> float32 (B, 3, s, s) in 0..1."""
    batch = torch.from_numpy(np.ascontiguousarray(crops if isinstance(crops, np.ndarray) else np.stack(crops)))
    assert batch.ndim == 4, batch.shape
    assert batch.dtype == torch.uint8, batch.dtype
    return batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 255


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, h, w) in 0..1 -> the same with ImageNet's mean and spread taken out, every modality alike."""
    mean, std = _statistics(images)
    return (images - mean) / std


def denormalise(images: torch.Tensor) -> torch.Tensor:
    """What ``normalise`` was given, (B, 3, h, w)."""
    mean, std = _statistics(images)
    return images * std + mean


def _statistics(like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = (torch.tensor(v, dtype=like.dtype, device=like.device) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return mean[:, None, None], std[:, None, None]
