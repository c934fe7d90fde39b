# SPDX-License-Identifier: Apache-2.0
"""A Vision Mamba block: a state-space mixer that reads a row of tokens in both directions.

Legend: B batch, L tokens, D width, I inner width, S states, R rank of the step sizes.
Source: Zhu et al., "Vision Mamba" (Vim), its bidirectional "v2" mixer, after spec tpf.md 2.2: the projections in and
out are shared, the two directions have everything else of their own, and their sum is halved.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.selective_scan import selective_scan
from modaltrack.models.parts.state_space import log_decays, log_uniform_step_bias, step_rank

CAUSAL = 4  # taps of the convolution in front of each scan


class Direction(nn.Module):
    """What one direction has of its own: convolution, projections to steps and matrices, decays and skip."""

    def __init__(self, dim: int, inner: int, states: int) -> None:
        super().__init__()
        rank = step_rank(dim)
        self.states, self.rank = states, rank
        self.conv = nn.Conv1d(inner, inner, CAUSAL, padding=CAUSAL - 1, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(log_decays(inner, states))
        self.skip = nn.Parameter(torch.ones(inner))
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(log_uniform_step_bias(inner))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (B, L, I) in this direction's order -> u, raw steps (B, L, I) without their bias, write, read (B, L, S)."""
        u = F.silu(self.conv(x.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)  # (B, L, I)
        step, write, read = self.x_proj(u).split([self.rank, self.states, self.states], 2)
        return u, F.linear(step, self.dt_proj.weight), write, read


class VimBlock(nn.Module):
    """x + mixer(norm(x)); (B, L, D) -> (B, L, D). There is no MLP and no positional table."""

    def __init__(self, dim: int, expand: int = 2, states: int = 16) -> None:
        super().__init__()
        inner = expand * dim
        self.norm = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.forth = Direction(dim, inner, states)
        self.back = Direction(dim, inner, states)

    def forward(self, tokens: Tensor) -> Tensor:
        x, gate = self.in_proj(self.norm(tokens)).chunk(2, 2)  # (B, L, I)
        # both directions in one scan, stacked along the batch
        parts = [self.forth(x), self.back(x.flip(1))]
        u, step, write, read = (torch.cat(pair) for pair in zip(*parts))
        own = [(-d.A_log.float().exp(), d.skip.float(), d.dt_proj.bias.float()) for d in (self.forth, self.back)]
        decay, skip, bias = (torch.stack(pair).repeat_interleave(len(x), 0) for pair in zip(*own))
        y = selective_scan(u, step, decay, write, read, skip, delta_bias=bias, delta_softplus=True, channels_last=True)
        forth, back = y.chunk(2)
        return tokens + self.out_proj((forth + back.flip(1)) * F.silu(gate) / 2)
