# SPDX-License-Identifier: Apache-2.0
"""Cross state-space block: each sensor's sequence is remembered by itself and read out with the other's question.

Legend: B batch, L tokens of one grid (row-major), D width, I = 2 * D inner width, S states, R rank of the step sizes.
Source: Sigma (WACV 2025) as used by SMSTracker (ICCV 2025); docs/methods/smstracker.md 1.4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.state_space import depthwise, log_decays, look_around, scan_each, step_rank


class Sequence(nn.Module):
    """The layers of one sensor: projection, step sizes, memory, projection back."""

    def __init__(self, dim: int, inner: int, states: int) -> None:
        super().__init__()
        self.widths = [step_rank(dim), states, states]
        self.in_proj = nn.Linear(dim, inner, bias=False)
        self.x_proj = nn.Linear(inner, sum(self.widths), bias=False)
        self.dt_proj = nn.Linear(step_rank(dim), inner)
        self.A_log = nn.Parameter(log_decays(inner, states))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_norm = nn.LayerNorm(inner, eps=1e-5)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def controls(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, I) -> steps before bias and softplus (B, L, I), write vectors (B, L, S), read vectors (B, L, S)."""
        rank, write, read = self.x_proj(u).split(self.widths, -1)
        return F.linear(rank, self.dt_proj.weight), write, read


class CrossStateSpace(nn.Module):
    """(RGB, X), each (B, L, D) -> the same, changed by what the other one asked for. One forward scan, row-major."""

    def __init__(self, dim: int, states: int, expand: int = 2) -> None:
        super().__init__()
        self.conv = depthwise(expand * dim)
        self.rgb = Sequence(dim, expand * dim, states)
        self.x = Sequence(dim, expand * dim, states)

    def forward(self, rgb: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        both = (self.rgb, self.x)
        u = look_around(self.conv, torch.cat([self.rgb.in_proj(rgb), self.x.in_proj(x)])).chunk(2)
        step, write, read = zip(*(own.controls(part) for own, part in zip(both, u)))
        y = scan_each(
            torch.stack(u),
            torch.stack(step),
            torch.stack([own.A_log for own in both]),
            torch.stack(write),
            torch.stack(read[::-1]),  # each memory is read with the other sensor's vectors
            torch.stack([own.D for own in both]),
            torch.stack([own.dt_proj.bias for own in both]),
        )
        change = [own.out_proj(own.out_norm(part)) for own, part in zip(both, y)]
        return rgb + change[0], x + change[1]
