# SPDX-License-Identifier: Apache-2.0
"""Bottleneck adapters: the small trainable layers inside a frozen transformer (docs/methods/sdstrack.md 1.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MLP_SCALE = 0.5  # the parallel adapter's published factor r


class Bottleneck(nn.Module):
    """D -> ratio * D -> D with GELU between; (B, N, D) -> (B, N, D), without a residual of its own."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        self.down = nn.Linear(dim, int(dim * ratio))
        self.up = nn.Linear(int(dim * ratio), dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.gelu(self.down(x)))


class AdapterPair(nn.Module):
    """One adapter behind the attention (``space``, with a residual) and one parallel to the MLP (``mlp``, without).

    Args:
        gate_init: None for the published form; a number adds a learnable gate per channel on both residual branches of
            the block that the pair belongs to [ours], so that a freshly added fusion barely disturbs a pretrained base.
    """

    def __init__(self, dim: int, ratio: float, gate_init: float | None = None) -> None:
        super().__init__()
        self.space = Bottleneck(dim, ratio)
        self.mlp = Bottleneck(dim, ratio)
        self.attention_gate = None if gate_init is None else nn.Parameter(torch.full((dim,), gate_init))
        self.mlp_gate = None if gate_init is None else nn.Parameter(torch.full((dim,), gate_init))

    def zero_init(self) -> None:
        """Start as if the adapters were not there [ours]."""
        for layer in (self.space.up, self.mlp.up):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def gated(change: Tensor, gate: Tensor | None) -> Tensor:
    """``change`` (..., D) times a gate (D,) [ours], or as it is where there is none."""
    return change if gate is None else change * gate
