# SPDX-License-Identifier: Apache-2.0
"""OSTrack's centre head: three convolution towers for the centre, the size and the rest of the rounding."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOWERS = {"ctr": 1, "offset": 2, "size": 2}  # the authors' names and their output channels


class ConvNorm(nn.Module):
    """3x3 convolution, norm and ReLU; (B, C, H, W) -> (B, C', H, W)."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(max(1, outputs // 8), outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class CenterHead(nn.Module):
    """Search features (B, D, H, W) -> score map (B, 1, H, W), size map (B, 2, H, W), offset map (B, 2, H, W), float32.

    Score and size are sigmoids clamped to 1e-4 .. 1 - 1e-4; the offset is linear (docs/methods/ostrack.md 4).

    Args:
        norm: "batch" (published) or "group" ([ours], for training with small batches).
        score_prior: initial value of the score everywhere (CenterNet's start; [ours] here), None for the default start.
    """

    def __init__(self, dim: int, channels: int, norm: str, score_prior: float | None = None) -> None:
        super().__init__()
        if norm not in ("batch", "group"):
            raise ValueError(f'head_norm is {norm!r}; expected "batch" or "group".')
        widths = [dim] + [channels >> i for i in range(4)]
        for tower, outputs in TOWERS.items():
            layers: list[nn.Module] = [ConvNorm(a, b, norm) for a, b in pairwise(widths)]
            layers.append(nn.Conv2d(widths[-1], outputs, 1))
            setattr(self, tower, nn.Sequential(*layers))
        if score_prior is not None:
            for tower, prior in (("ctr", score_prior), ("size", 0.25)):  # 0.25: a target in a crop of factor 4
                last = getattr(self, tower)[4]
                nn.init.normal_(last.weight, std=0.01)
                nn.init.constant_(last.bias, math.log(prior / (1 - prior)))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score, offset, size = (getattr(self, tower)(features).float() for tower in TOWERS)
        return bounded_sigmoid(score), bounded_sigmoid(size), offset


def bounded_sigmoid(logits: Tensor) -> Tensor:
    """Sigmoid kept inside 1e-4 .. 1 - 1e-4, so that its logarithm in the loss stays finite."""
    return torch.clamp(logits.sigmoid(), 1e-4, 1 - 1e-4)
