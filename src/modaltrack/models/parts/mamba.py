# SPDX-License-Identifier: Apache-2.0
"""Mamba's block: project, look back a few tokens, scan selectively, gate, project (Gu and Dao, arXiv 2312.00752).

Legend: B batch, L tokens in the order of the scan, D width, I = expand * D inner width, S states, R rank of the steps,
K branches: sequences with parameters of their own that are scanned at once.
Source: docs/selective_scan.md 1; which initial values AINet changes: docs/methods/ainet.md 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.cores import on_cores, scripted
from modaltrack.models.parts.selective_scan import selective_scan

STATES, WINDOW = 16, 4  # Mamba's sizes, which every method here keeps
_PIECE = 65536  # numbers worked on together: they fit a core's cache


class Branch(nn.Module):
    """What one sequence has for itself between the two projections.

    The bias of the steps starts at 0, so that steps start at softplus(0) = 0.69: published, though Mamba itself starts
    much lower. keep_step_init: Mamba's own start, with steps of 1e-3 .. 1e-1.
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

    def look_back(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """(B, L, I) -> SiLU of the convolution over each token and the three before it, (B, L, I), into ``out``."""
        weight, bias = self.conv.weight, self.conv.bias
        assert bias is not None
        if out is not None and x.device.type == "cpu" and x.dtype == weight.dtype:
            return _window_on_cpu(x, weight[:, 0].t().contiguous(), bias, out)
        picture = x.transpose(1, 2)[..., None]  # (B, I, L, 1): with the channels last already
        u = F.conv2d(picture, weight[..., None], bias, padding=(WINDOW - 1, 0), groups=weight.shape[0])
        u = F.silu(u[:, :, : x.shape[1], 0].transpose(1, 2))  # padded on both sides: cut the end
        return u if out is None else out.copy_(u)

    def controls(self, u: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, I) -> steps before softplus (B, L, I), float32, into ``out``, and the matrices B and C (B, L, S)."""
        states = self.A_log.shape[1]
        rank, write, read = self.x_proj(u).split([self.dt_proj.in_features, states, states], -1)
        with torch.autocast(u.device.type, enabled=False):
            rank = rank.to(self.dt_proj.weight.dtype)
            if out is None:
                return F.linear(rank, self.dt_proj.weight, self.dt_proj.bias), write, read
            rows = rank.flatten(0, 1)
            torch.addmm(self.dt_proj.bias, rows, self.dt_proj.weight.t(), out=out.view(-1, out.shape[2]))
        return out, write, read


def _window_on_cpu(x: Tensor, taps: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """The convolution and SiLU on all cores; taps (WINDOW, I), the token's own one last."""
    cores = torch.get_num_threads()
    ends = [k * x.shape[1] // cores for k in range(cores + 1)]
    length = max(1, _PIECE // x.shape[2])
    on_cores([partial(scripted(_window_between), x, taps, bias, out, *pair, length) for pair in pairwise(ends)])
    return out


def _window_between(x: Tensor, taps: Tensor, bias: Tensor, out: Tensor, first: int, last: int, length: int) -> None:
    """Tokens ``first`` to ``last`` of x (B, L, I) in pieces of ``length`` that stay in the cache, into ``out``."""
    taken = taps.shape[0]
    for b in range(x.shape[0]):
        for start in range(first, last, length):
            stop = min(start + length, last)
            piece = out[b, start:stop]
            torch.addcmul(bias, x[b, start:stop], taps[taken - 1], out=piece)
            for back in range(1, taken):
                begin = max(start, back)  # before the first token there is nothing
                if begin < stop:
                    out[b, begin:stop].addcmul_(x[b, begin - back : stop - back], taps[taken - 1 - back])
            F.silu(piece, inplace=True)


def scan_branches(branches: Sequence[Branch], ordered: Tensor) -> Tensor:
    """K sequences (K, B, L, I), each through its own branch -> (K, B, L, I) before the gate; one scan.

    Where no gradient is recorded, ``ordered`` is used up: its memory takes the steps.
    """
    count, batch = ordered.shape[:2]
    if torch.is_grad_enabled():
        seen = [branch.look_back(x) for branch, x in zip(branches, ordered)]
        parts = [(x, *branch.controls(x)) for branch, x in zip(branches, seen)]
        u, step, write, read = (torch.cat(tensors) for tensors in zip(*parts))  # (K * B, L, ...)
    else:  # into memory where the branches lie side by side from the start
        rows, steps = torch.empty_like(ordered), ordered.to(torch.promote_types(ordered.dtype, torch.float32))
        matrices = [b.controls(b.look_back(x, row), to)[1:] for b, x, row, to in zip(branches, ordered, rows, steps)]
        write, read = (torch.cat(tensors) for tensors in zip(*matrices))
        u, step = rows.flatten(0, 1), steps.flatten(0, 1)
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
    """scale * y * SiLU(z), in place of y where no gradient is recorded."""
    if torch.is_grad_enabled():
        return y * F.silu(z) * scale
    return y.mul_(F.silu(z, inplace=True)).mul_(scale) if scale != 1 else y.mul_(F.silu(z, inplace=True))
