# SPDX-License-Identifier: Apache-2.0
"""Order-dynamic fusion of AINet: the maps of all layers in one sequence, scanned in three orders of the layers.

Legend: B batch, M maps (one per fused layer), n tokens of a map, L = M * n, D width, I = 2 * D inner width.
Source: Lu et al., AAAI 2025, docs/methods/ainet.md 4 and 5 (the authors call it MambaFusion, "v_shift").
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.mamba import Branch, gate, project, scan_branches

_LARGE = 16 << 20  # bytes of a sequence in the state space, (samples, L, 2 D)
ORDER_GRADIENTS = ("none", "ste", "fixed")


class OrderPredictor(nn.Module):
    """The sequence (B, L, D) -> one number per map (B, M); the map with the smallest is scanned first.

    Args:
        bins: lengths through which the sequence shrinks, channel by channel; (2048, 512, 256, 128) is published.
    """

    def __init__(self, dim: int, maps: int, bins: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.bins = bins[0]
        first, second, third = (nn.Linear(a, b) for a, b in pairwise(bins))
        self.layers = nn.Sequential(first, nn.GELU(), second, nn.GELU(), third)
        self.last = nn.Linear(dim * bins[-1], maps)
        for layer in (first, second, third, self.last):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, sequence: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool1d(sequence.transpose(1, 2), self.bins)  # (B, D, bins)
        return self.last(self.layers(pooled).flatten(1))


class OrderFusion(nn.Module):
    """M maps (B, n, D) -> one map (B, n, D).

    The three orders are first to last, last to first (the maps only: tokens keep their order inside a map) and the
    predicted one, per sample.

    Args:
        order_grad: "none" (published: only the sorted places are used, the predictor stays as it was drawn and is
            frozen here), "ste", by which a straight-through factor of exactly 1 lets a gradient reach it [inferred,
            docs/methods/ainet.md 5], or "fixed": first to last in the place of the predicted order, to compare with
            [ours].
    """

    def __init__(
        self, dim: int, maps: int, bins: tuple[int, int, int, int], order_grad: str, keep_step_init: bool
    ) -> None:
        super().__init__()
        if order_grad not in ORDER_GRADIENTS:
            raise ValueError(f"order_grad is {order_grad!r}; expected one of {', '.join(ORDER_GRADIENTS)}.")
        self.order_grad = order_grad
        self.norm_in, self.norm_map, self.norm_out = (nn.LayerNorm(dim, eps=1e-5) for _ in range(3))
        self.in_proj = nn.Linear(dim, 4 * dim, bias=False)  # x, then the gate z
        self.out_proj = nn.Linear(2 * dim, dim, bias=False)
        for layer in (self.in_proj, self.out_proj):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        self.branches = nn.ModuleList([Branch(2 * dim, math.ceil(dim / 16), keep_step_init) for _ in range(3)])
        self.order = OrderPredictor(dim, maps, bins).requires_grad_(order_grad == "ste")

    def forward(self, maps: list[Tensor]) -> Tensor:
        if maps[0].device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.fuse(maps)
        # On a CPU the sequences of many samples at once leave the caches: for the base size 8 samples took 1.3 times
        # as long as one by one.
        size = len(maps) * maps[0][0].numel() * 2 * maps[0].element_size()
        parts = zip(*(m.split(max(1, _LARGE // size)) for m in maps))
        return torch.cat([self.fuse(list(part)) for part in parts])

    def fuse(self, maps: list[Tensor]) -> Tensor:
        """What ``forward`` gives, all samples at once."""
        count = len(maps)
        sequence = torch.cat(maps, 1)  # (B, L, D)
        hidden = self.norm_in(sequence)
        if self.order_grad == "fixed":
            logits = torch.arange(count, device=hidden.device).expand(hidden.shape[0], count)  # (B, M)
        else:
            logits = self.order(hidden)
        fused = self.scan(hidden, logits) + sequence
        return self.norm_out(self.norm_map(fused).unflatten(1, (count, -1)).sum(1))

    def scan(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """Normalised sequence (B, L, D) and the predictor's numbers (B, M) -> (B, L, D)."""
        count = logits.shape[1]
        x, z = project(self.in_proj, hidden)
        x, z = (v.unflatten(1, (count, -1)) for v in (x, z))  # (B, M, n, I)
        places, ranks = order_of(logits)
        dynamic = x
        straight = None
        if self.order_grad == "ste" and torch.is_grad_enabled():
            share = (-logits.float()).softmax(1)
            straight = (1 + share - share.detach())[:, :, None, None]  # exactly 1, but not its gradient
            dynamic = (x * straight).to(x.dtype)
        ordered = torch.stack([x, x.flip(1), rearranged(dynamic, places)]).flatten(2, 3)  # (3, B, L, I)
        y = scan_branches([cast(Branch, branch) for branch in self.branches], ordered)
        there, back, moved = y.unflatten(2, (count, -1)).unbind(0)  # each (B, M, n, I), in its own order
        moved = rearranged(moved, ranks)
        if straight is not None:
            mixed = gate(there + back.flip(1), z, 1 / 3) + gate(moved, z * straight, 1 / 3)
        else:
            mixed = gate(there + back.flip(1) + moved, z, 1 / 3)
        return self.out_proj(mixed.flatten(1, 2))


def rearranged(maps: Tensor, places: Tensor) -> Tensor:
    """(B, M, n, I) with the map ``places[b, k]`` at place k of sample b."""
    return maps[torch.arange(maps.shape[0], device=maps.device)[:, None], places]


def order_of(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (B, M) -> place -> map and map -> place, (B, M) each: ascending, equal numbers in the maps' order.

    By comparing all pairs: exporters know no stable sort, and M is at most the number of blocks.
    """
    count = numbers.shape[1]
    at = torch.arange(count, device=numbers.device)
    own, other = numbers[:, :, None], numbers[:, None, :]
    ranks = ((other < own) | ((other == own) & (at < at[:, None]))).sum(2)
    places = (ranks[:, None, :] == at[:, None]).long().argmax(2)
    return places, ranks
