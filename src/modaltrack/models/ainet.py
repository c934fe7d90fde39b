# SPDX-License-Identifier: Apache-2.0
"""AINet: RGB and one other sensor X share one vision transformer and meet after every block, and all layers at its end.

Legend: B batch, S streams (2 with both sensors, RGB first), N = Nz + Nx tokens of one stream (template first), D width.
Both streams are stacked along the batch, (S * B, N, D): the shared weights see one large matrix product.
Source: Lu et al., AAAI 2025, arXiv 2408.08827; docs/methods/ainet.md. What is marked [ours] is in 10 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.parts.mamba import Mamba
from modaltrack.models.parts.order_fusion import OrderFusion
from modaltrack.models.prediction import Images, Prediction
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig
from modaltrack.models.two_sensors import TwoSensorTracker


@dataclass(frozen=True)
class AINetConfig(ViTConfig):
    """OSTrack's sizes and AINet's additions; the defaults are the authors' 256-pixel network.

    Attributes:
        modalities: RGB and the kinds of X the weights are for.
        fusion_blocks: after which blocks the streams meet.
        dropped_tokens: how many tokens at the start of each layer's map stay out of the fusion of all layers; None:
            those of the template (published at 256), 0: none (the paper's abstract), 64: the authors' constant (too few
            at 384).
        order_bins, order_grad: see ``OrderPredictor`` and ``OrderFusion``.
        keep_step_init: Mamba's own initial steps.
        fuse_gate_init: None (published), or the initial value of a learnable gate per channel that adds the fused map
            to the mean of the streams instead of replacing it, with exchanges that start at zero [ours].
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    elimination_blocks: tuple[int, ...] = ()
    fusion_blocks: tuple[int, ...] = tuple(range(12))
    dropped_tokens: int | None = None
    order_bins: tuple[int, int, int, int] = (2048, 512, 256, 128)
    order_grad: str = "none"
    keep_step_init: bool = False
    fuse_gate_init: float | None = None


# the authors' networks: settings for create("ainet-base", **VARIANTS[...])
VARIANTS: dict[str, dict[str, Any]] = {"256": {}, "384": {"template_size": 192, "search_size": 384}}


class Difference(nn.Module):
    """Difference-based fusion: what tells the streams apart decides how much each gives to the other.

    Source: docs/methods/ainet.md 3.
    """

    def __init__(self, dim: int, keep_step_init: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.mamba = Mamba(dim, 1, keep_step_init)
        self.fuse = nn.Linear(2 * dim, dim)
        self.fuse_norm = nn.LayerNorm(dim, eps=1e-5)
        nn.init.trunc_normal_(self.fuse.weight, std=0.02)
        nn.init.zeros_(self.fuse.bias)

    def exchange(self, tokens: Tensor) -> Tensor:
        """Both streams (2 * B, N, D), RGB first, each with its share of the other."""
        rgb, x = tokens.chunk(2)
        g = self.mamba(self.norm(rgb - x)).tanh()  # (B, N, D)
        return torch.cat([rgb + g * x, x + g * rgb])

    def map(self, tokens: Tensor, first: int, streams: int) -> Tensor:
        """One map (B, N - first, D) of the streams' tokens (S * B, N, D) from token ``first`` on.

        A single stream takes both places [ours].
        """
        parts = tokens[:, first:].chunk(streams)
        return F.gelu(self.fuse_norm(self.fuse(torch.cat([parts[0], parts[-1]], 2))))


class AINet(TwoSensorTracker):
    """Two streams through one transformer, which exchange tokens after every block and leave a map of each there."""

    missing_policy = (
        "A sample with one sensor runs one stream without any exchange; in every layer's fusion the stream takes both "
        "its own place and the missing one's, and all three orders are scanned as usual."
    )
    config: AINetConfig

    def __init__(self, config: AINetConfig) -> None:
        super().__init__(config)
        c = config
        if c.elimination_blocks:
            raise ValueError(f"elimination_blocks is {c.elimination_blocks}; AINet keeps every token: leave it ().")
        if not c.fusion_blocks or any(not 0 <= i < c.depth for i in c.fusion_blocks):
            raise ValueError(f"fusion_blocks is {c.fusion_blocks}; expected some of the blocks 0 to {c.depth - 1}.")
        self.first = self.num_template if c.dropped_tokens is None else c.dropped_tokens
        if not 0 <= self.first <= self.num_template:
            raise ValueError(f"dropped_tokens is {self.first}; expected 0 to {self.num_template}, a template's tokens.")
        self.differences = nn.ModuleDict({str(i): Difference(c.dim, c.keep_step_init) for i in c.fusion_blocks})
        self.order_fusion = OrderFusion(c.dim, len(c.fusion_blocks), c.order_bins, c.order_grad, c.keep_step_init)
        self.gate = None if c.fuse_gate_init is None else nn.Parameter(torch.full((c.dim,), c.fuse_gate_init))
        if self.gate is None:
            self.norm.requires_grad_(False)  # published: the head reads the fusion of all layers and nothing else
        else:
            for difference in self.differences.values():
                nn.init.zeros_(cast(Difference, difference).mamba.out_proj.weight)

    def run(self, template: Images, search: Images, sensors: list[Modality]) -> Prediction:
        z, x = (torch.cat([images[m] for m in sensors]) for images in (template, search))  # (S * B, 3, h, w)
        return self.predict(self.encode(self.embed(self.patch_embed, z, x), len(sensors)))

    def encode(self, tokens: Tensor, streams: int) -> Tensor:
        """Stacked tokens (S * B, N, D) -> fused search tokens (B, Nx, D)."""
        maps = []
        for i, block in enumerate(self.stack):
            tokens = block(tokens)  # (S * B, N, D)
            if i in self.config.fusion_blocks:
                difference = cast(Difference, self.differences[str(i)])
                tokens = difference.exchange(tokens) if streams == 2 else tokens  # v', i'
                maps.append(difference.map(tokens, self.first, streams))  # f_l, (B, n, D)
        fused = self.order_fusion(maps)[:, -self.num_search :]  # F
        if self.gate is None:
            return fused
        mean = self.norm(tokens[:, self.num_template :]).unflatten(0, (streams, -1)).mean(0)
        return mean + self.gate * fused  # [ours]


# [ours] for small models, which start as the base they are trained from
GENTLE: dict[str, Any] = {"order_bins": (256, 128, 64, 32), "order_grad": "ste", "fuse_gate_init": 1e-2}


@register(AINet)
def ainet_base() -> AINetConfig:
    """The authors' AINet on ViT-B, 256 pixels; ``VARIANTS`` holds the settings of their 384-pixel one."""
    return AINetConfig()


@register(AINet)
def ainet_tiny() -> AINetConfig:
    """[ours] Starts as the tiny OSTrack in each stream; the fused map joins through a nearly closed gate."""
    return AINetConfig(**TINY, **GENTLE, fusion_blocks=tuple(range(6)))


@register(AINet)
def ainet_laptop() -> AINetConfig:
    """[ours] The same on ostrack-laptop."""
    return AINetConfig(**LAPTOP, **GENTLE, fusion_blocks=tuple(range(4)))
