# SPDX-License-Identifier: Apache-2.0
"""Mamba's block: project, look back a few tokens, scan selectively, gate, project (Gu and Dao, arXiv 2312.00752).

Legend: B batch, L tokens in the order of the scan, D width, I = expand * D inner width, S states, R rank of the steps,
K branches: sequences with parameters of their own that are scanned at once.
Source: docs/selective_scan.md 1; which initial values AINet changes: docs/methods/ainet.md 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.branch_buffers import WINDOW, is_buffered, side_by_side
from modaltrack.models.parts.selective_scan import full_precision, selective_scan

STATES = 16  # Mamba's size, which every method here keeps


class Branch(nn.Module):
    """What one sequence has for itself between the two projections.

    The bias of the steps starts at 0, so that steps start at softplus(0) = 0.69: published, though Mamba itself starts
    much lower.

    Args:
        keep_step_init: Mamba's own start, with steps of 1e-3 .. 1e-1.
    """

    def __init__(self, inner: int, rank: int, keep_step_init: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inner, inner, WINDOW, groups=inner)  # of every channel by itself; padded on the left
        self.x_proj = nn.Linear(inner, rank + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, STATES + 1).float().log().repeat(inner, 1))  # (I, S)
        self.D = nn.Parameter(torch.ones(inner))
        for layer in (self.x_proj, self.dt_proj):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(self.dt_proj.bias)
        if keep_step_init:
            step = torch.exp(torch.empty(inner).uniform_(math.log(1e-3), math.log(1e-1)))
            self.dt_proj.bias.data.copy_(step + torch.log(-torch.expm1(-step)))

    def per_channel(self) -> tuple[Tensor, Tensor]:
        """Logarithms of the decays (I, S) and factors of the way past the scan (I,)."""
        return self.A_log, self.D

    def look_back(self, x: Tensor) -> Tensor:
        """(B, L, I) -> SiLU of the convolution over each token and the three before it, (B, L, I)."""
        weight = self.conv.weight  # (I, 1, WINDOW)
        picture = x.transpose(1, 2)[..., None]  # (B, I, L, 1): with the channels last already
        u = F.conv2d(picture, weight[..., None], self.conv.bias, padding=(WINDOW - 1, 0), groups=weight.shape[0])
        return F.silu(u[:, :, : x.shape[1], 0].transpose(1, 2))  # padded on both sides: cut the end

    def controls(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, I) -> steps before softplus (B, L, I), float32, and the matrices B and C (B, L, S)."""
        rank, write, read = self.projected(u)
        with full_precision(u.device):
            return F.linear(rank.to(self.dt_proj.weight.dtype), self.dt_proj.weight, self.dt_proj.bias), write, read

    def projected(self, u: Tensor) -> tuple[Tensor, ...]:
        """(B, L, I) -> the narrow form of the steps (B, L, R) and the matrices B and C (B, L, S)."""
        states = self.A_log.shape[1]
        return self.x_proj(u).split([self.dt_proj.in_features, states, states], -1)


def scan_branches(branches: Sequence[Branch], ordered: Tensor) -> Tensor:
    """K sequences (K, B, L, I), each through its own branch -> (K, B, L, I) before the gate; one scan."""
    if is_buffered(ordered):
        u, step, write, read = side_by_side(branches, ordered)
    else:
        seen = [branch.look_back(x) for branch, x in zip(branches, ordered)]
        parts = [(x, *branch.controls(x)) for branch, x in zip(branches, seen)]
        u, step, write, read = (torch.cat(tensors) for tensors in zip(*parts))  # (K * B, L, ...)
    count, batch = ordered.shape[:2]
    logs, skips = (torch.stack(own).repeat_interleave(batch, 0) for own in zip(*(b.per_channel() for b in branches)))
    y = selective_scan(u, step, -logs.float().exp(), write, read, skips, delta_softplus=True, channels_last=True)
    return y.unflatten(0, (count, batch))


class Mamba(nn.Module):
    """Tokens (B, L, D) -> (B, L, D), each seeing those before it; without a norm or a residual of its own."""

    def __init__(self, dim: int, expand: int, keep_step_init: bool = False) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, 2 * expand * dim, bias=False)  # x, then the gate z
        self.branch = Branch(expand * dim, math.ceil(dim / 16), keep_step_init)
        self.out_proj = nn.Linear(expand * dim, dim, bias=False)
        for layer in (self.in_proj, self.out_proj):
            nn.init.trunc_normal_(layer.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x, z = project(self.in_proj, tokens)
        return self.out_proj(gate(scan_branches([self.branch], x[None])[0], z))


def project(layer: nn.Linear, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of ``layer(tokens)``, each in memory of its own: what follows reads them one at a time."""
    first, second = layer.weight.chunk(2)
    return F.linear(tokens, first), F.linear(tokens, second)


def gate(y: Tensor, z: Tensor, scale: float = 1.0) -> Tensor:
    """scale * y * SiLU(z)."""
    gated = y * F.silu(z)
    return gated if scale == 1 else gated * scale
