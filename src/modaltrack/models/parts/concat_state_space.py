# SPDX-License-Identifier: Apache-2.0
"""Concat state-space block: both sensors in one sequence, scanned from both ends, then weighed by channel.

Legend: B batch, L tokens of one grid (row-major), D width, I = 2 * D inner width, S states, R rank of the step sizes,
2 directions: RGB then X, and the reverse of it.
Source: Sigma (WACV 2025) as used by SMSTracker (ICCV 2025); docs/methods/smstracker.md 1.4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modaltrack.models.parts.state_space import (
    depthwise,
    log_decays,
    log_uniform_step_bias,
    look_around,
    scan_each,
    step_rank,
)


class Excite(nn.Sequential):
    """Mean over all places -> weight per channel in 0..1; (B, L, I) -> (B, 1, I)."""

    def __init__(self, inner: int) -> None:
        hidden = inner // 16
        super().__init__(nn.Linear(inner, hidden, bias=False), nn.SiLU(), nn.Linear(hidden, inner, bias=False))

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows.mean(1, keepdim=True)).sigmoid()


class ConcatStateSpace(nn.Module):
    """RGB and X, each (B, L, D) -> one fused (B, L, D), the sum of both included."""

    def __init__(self, dim: int, states: int, expand: int = 2) -> None:
        super().__init__()
        inner, rank = expand * dim, step_rank(dim)
        self.widths = [rank, states, states]
        self.in_proj_rgb = nn.Linear(dim, inner, bias=False)
        self.in_proj_x = nn.Linear(dim, inner, bias=False)
        self.conv_rgb, self.conv_x = depthwise(inner), depthwise(inner)
        # of both directions, in the authors' layout
        self.x_proj = nn.Parameter(torch.empty(2, sum(self.widths), inner).uniform_(-1, 1) * inner**-0.5)
        self.dt_weight = nn.Parameter(torch.empty(2, inner, rank).uniform_(-1, 1) * rank**-0.5)
        self.dt_bias = nn.Parameter(log_uniform_step_bias(2, inner))
        self.A_log = nn.Parameter(log_decays(inner, states).repeat(2, 1))  # (2 * I, S)
        self.D = nn.Parameter(torch.ones(2 * inner))
        self.out_norm_rgb, self.out_norm_x = nn.LayerNorm(inner, eps=1e-5), nn.LayerNorm(inner, eps=1e-5)
        self.excite_rgb, self.excite_x = Excite(inner), Excite(inner)
        self.out_proj = nn.Linear(2 * inner, dim, bias=False)

    def forward(self, rgb: Tensor, x: Tensor) -> Tensor:
        length = rgb.shape[1]
        g_rgb, g_x = self.in_proj_rgb(rgb), self.in_proj_x(x)
        u = torch.cat([look_around(self.conv_rgb, g_rgb), look_around(self.conv_x, g_x)], 1)  # (B, 2L, I)
        u = torch.stack([u, u.flip(1)])  # (2, B, 2L, I)
        controls = u @ self.x_proj[:, None].transpose(2, 3)  # (2, B, 2L, R + 2S)
        rank, write, read = controls.split(self.widths, -1)
        step = rank @ self.dt_weight[:, None].transpose(2, 3)  # (2, B, 2L, I)
        log_decay, skip = self.A_log.unflatten(0, (2, -1)), self.D.unflatten(0, (2, -1))
        there, back = scan_each(u, step, log_decay, write, read, skip, self.dt_bias)
        y_rgb, y_x = (there + back.flip(1)).split(length, 1)
        y_rgb = self.out_norm_rgb(y_rgb) * self.excite_x(g_x)  # crossed on purpose: each sensor weighs the other
        y_x = self.out_norm_x(y_x) * self.excite_rgb(g_rgb)
        return rgb + x + self.out_proj(torch.cat([y_rgb, y_x], 2))
