# SPDX-License-Identifier: Apache-2.0
"""What the two state-space blocks of SMSTracker's sigma interaction have in common (its source: Sigma, WACV 2025).

Legend: B batch, L tokens of one g x g grid (row-major), I inner width, S states, R rank of the step sizes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.selective_scan import selective_scan


def step_rank(dim: int) -> int:
    """R = ceil(D / 16), the width through which the step sizes are computed."""
    return math.ceil(dim / 16)


def log_decays(inner: int, states: int) -> Tensor:
    """Mamba's start of ``A_log``: log(1), ..., log(S) in every channel, (I, S)."""
    return torch.arange(1, states + 1).float().log().expand(inner, -1).clone()


def log_uniform_step_bias(*shape: int) -> Tensor:
    """Mamba's start of the step bias: its softplus is log-uniform in 1e-3 .. 1e-1."""
    step = torch.exp(torch.empty(shape).uniform_(math.log(1e-3), math.log(1e-1)))
    return step + torch.log(-torch.expm1(-step))


def depthwise(inner: int) -> nn.Conv2d:
    """3x3 convolution of every channel by itself."""
    return nn.Conv2d(inner, inner, 3, padding=1, groups=inner)


def look_around(conv: nn.Conv2d, rows: Tensor) -> Tensor:
    """(B, L, I) as a g x g picture through ``conv`` and SiLU, and back to (B, L, I)."""
    grid = math.isqrt(rows.shape[1])
    assert grid * grid == rows.shape[1], "the tokens of a square crop"
    picture = rows.transpose(1, 2).unflatten(2, (grid, grid))  # (B, I, g, g), laid out with the channels last
    return F.silu(conv(picture)).flatten(2).transpose(1, 2)


def scan_each(
    u: Tensor, step: Tensor, log_decay: Tensor, write: Tensor, read: Tensor, skip: Tensor, bias: Tensor
) -> Tensor:
    """K sequences with parameters of their own through one selective scan, (K, B, L, I) -> (K, B, L, I).

    u, step (K, B, L, I), step before bias and softplus; log_decay (K, I, S); write, read (K, B, L, S), usually called
    B and C; skip, bias (K, I). float32 whatever the precision around it.
    """
    count, batch = u.shape[:2]
    per_item = (x.repeat_interleave(batch, 0) for x in (-log_decay.float().exp(), skip.float(), bias.float()))
    decay, skips, biases = per_item
    u, step, write, read = (x.flatten(0, 1) for x in (u, step, write, read))
    y = selective_scan(u, step, decay, write, read, skips, delta_bias=biases, delta_softplus=True, channels_last=True)
    return y.unflatten(0, (count, batch))
