# SPDX-License-Identifier: Apache-2.0
"""A Vision Mamba block: a state-space mixer that reads a row of tokens in both directions.

Legend: B batch, L tokens, D width, I inner width, S states, R rank of the step sizes.
Source: Zhu et al., "Vision Mamba" (Vim), its bidirectional "v2" mixer, docs/methods/tpf.md 2.2: the projections in and
out are shared, the two directions have everything else of their own, and their sum is halved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modaltrack.models.parts.mamba import WINDOW, Branch, gate, project, scan_branches
from modaltrack.models.parts.state_space import log_decays, log_uniform_step_bias, step_rank


class Direction(Branch):
    """What one direction has of its own: convolution, projections to steps and matrices, decays and skip."""

    def __init__(self, dim: int, inner: int, states: int) -> None:
        nn.Module.__init__(self)  # Mamba's own initial values throughout, unlike a Branch
        rank = step_rank(dim)
        self.conv = nn.Conv1d(inner, inner, WINDOW, groups=inner)  # padded on the left
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(log_decays(inner, states))
        self.skip = nn.Parameter(torch.ones(inner))
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(log_uniform_step_bias(inner))

    def per_channel(self) -> tuple[Tensor, Tensor]:
        return self.A_log, self.skip


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
        x, z = project(self.in_proj, self.norm(tokens))  # (B, L, I)
        forth, back = scan_branches([self.forth, self.back], torch.stack([x, x.flip(1)]))
        return tokens + self.out_proj(gate(forth + back.flip(1), z, 1 / 2))
