# SPDX-License-Identifier: Apache-2.0
"""SRTrack: RGB and one other sensor X have a whole vision transformer each; four more blocks let all tokens meet.

Legend: B batch, S streams (2 with both sensors, RGB first), N = Nz + Nx tokens of one stream (template first), D width.
Source: Chen et al., arXiv 2508.17488, docs/methods/srtrack.md 1. What is marked [ours] is in 7 there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.parts.adapter import gated
from modaltrack.models.parts.lora import LoraLinear
from modaltrack.models.parts.vit import Block, embed_pair, init_linear, make_stem
from modaltrack.models.prediction import Images, Prediction
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig
from modaltrack.models.two_sensors import TwoSensorTracker


@dataclass(frozen=True)
class SRTrackConfig(ViTConfig):
    """OSTrack's sizes and SRTrack's additions; the defaults are the authors' 256-pixel network ("siamtrack").

    Attributes:
        modalities: RGB and the kinds of X the weights are for.
        fusion_blocks: after which blocks all tokens meet.
        temporal_positions: one vector for all template tokens and one for all search tokens (the DropMAE variant).
        lora_ranks: ranks of the low-rank changes of qkv and of the output projection, None for none.
        fuse_gate_init: None (published) or the initial value of a learnable gate on the fusion's residual branches
            [ours].
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    elimination_blocks: tuple[int, ...] = ()
    fusion_blocks: tuple[int, ...] = (2, 5, 8, 11)
    temporal_positions: bool = False
    lora_ranks: tuple[int, int] | None = None
    fuse_gate_init: float | None = None


LARGE: dict[str, Any] = {"template_size": 192, "search_size": 384}
# the authors' networks: settings for create("srtrack-base", **VARIANTS[...])
VARIANTS: dict[str, dict[str, Any]] = {
    "256": {},
    "384": LARGE,
    "dropmae": {**LARGE, "temporal_positions": True, "search_factor": 5.0},
    "lora": {"lora_ranks": (8, 16)},
}


class CrossBlock(Block):
    """One of the blocks in which the tokens of both sensors meet.

    Args:
        gate_init: see ``fuse_gate_init``.
    """

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, drop_path: float, drop_key: float, gate_init: float | None
    ) -> None:
        super().__init__(dim, heads, mlp_ratio, drop_path, drop_key)
        self.attention_gate = None if gate_init is None else nn.Parameter(torch.full((dim,), gate_init))
        self.mlp_gate = None if gate_init is None else nn.Parameter(torch.full((dim,), gate_init))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(gated(self.attn(self.norm1(x)).output, self.attention_gate))
        return x + self.drop_path(gated(self.mlp(self.norm2(x)), self.mlp_gate))


class SRTrack(TwoSensorTracker):
    """Two branches that meet in fusion blocks: RGB's has the names of an OSTrack, X's the same with ``_x``."""

    missing_policy = (
        "A sample with one sensor runs that sensor's branch alone; the fusion blocks see its tokens only, "
        "and nothing is averaged."
    )
    config: SRTrackConfig

    def __init__(self, config: SRTrackConfig) -> None:
        super().__init__(config)
        c = config
        if c.elimination_blocks:
            raise ValueError(f"elimination_blocks is {c.elimination_blocks}; SRTrack keeps every token: leave it ().")
        if strange := [i for i in c.fusion_blocks if not 0 <= i < c.depth]:
            raise ValueError(f"fusion_blocks names the blocks {strange}; the model has the blocks 0 to {c.depth - 1}.")
        rates = [block.drop_path.rate for block in self.stack]
        self.patch_embed_x = make_stem(c.stem, c.dim, c.stride, self.template_grid)
        self.blocks_x = nn.ModuleList([Block(c.dim, c.heads, c.mlp_ratio, rate, c.drop_key) for rate in rates])
        self.norm_x = nn.LayerNorm(c.dim, eps=1e-6)
        self.cross_blocks = nn.ModuleList(
            [
                CrossBlock(c.dim, c.heads, c.mlp_ratio, rates[i], c.drop_key, c.fuse_gate_init)
                for i in sorted(c.fusion_blocks)
            ]
        )
        if c.temporal_positions:
            self.temporal_template = nn.Parameter(torch.zeros(1, 1, c.dim))
            self.temporal_search = nn.Parameter(torch.zeros(1, 1, c.dim))
        for stack in (self.blocks, self.blocks_x, self.cross_blocks):
            for block in cast("list[Block]", stack):
                if c.lora_ranks is not None:
                    block.attn.qkv = LoraLinear(c.dim, 3 * c.dim, c.lora_ranks[0])
                    block.attn.proj = LoraLinear(c.dim, c.dim, c.lora_ranks[1])
                if stack is not self.blocks or c.lora_ranks is not None:
                    block.apply(init_linear)

    def copies_of_base(self, name: str) -> list[str]:
        """Tensors of this model that start as the RGB tracker's tensor ``name`` does (docs/methods/srtrack.md 1.4)."""
        copies = {"patch_embed": "patch_embed_x", "blocks": "blocks_x", "norm": "norm_x"}
        kind, _, rest = name.partition(".")
        found = [f"{copies[kind]}.{rest}"] if kind in copies else []
        block, _, tensor = rest.partition(".")
        stages = [str(i) for i in sorted(self.config.fusion_blocks)]
        if kind == "blocks" and block in stages:
            found.append(f"cross_blocks.{stages.index(block)}.{tensor}")
        return found

    def run(self, template: Images, search: Images, sensors: list[Modality]) -> Prediction:
        stems = [self.patch_embed if m is Modality.RGB else self.patch_embed_x for m in sensors]
        streams = [self.embed(stem, template[m], search[m]) for stem, m in zip(stems, sensors)]
        return self.predict(self.encode(streams, sensors))

    def embed(self, stem: nn.Module, template: Tensor, search: Tensor) -> Tensor:
        """Images (B, 3, h, w) of one modality -> tokens (B, N, D) with their positions."""
        z, x = embed_pair(stem, template, search)
        z, x = z + self.pos_template, x + self.pos_search
        if self.config.temporal_positions:
            z, x = z + self.temporal_template, x + self.temporal_search
        return torch.cat([z, x], 1)

    def encode(self, streams: list[Tensor], sensors: list[Modality]) -> Tensor:
        """S times (B, N, D) -> mean of the normalised search tokens (B, Nx, D) (1.2)."""
        branches = [self.blocks if m is Modality.RGB else self.blocks_x for m in sensors]
        norms = [self.norm if m is Modality.RGB else self.norm_x for m in sensors]
        cross = iter(self.cross_blocks)
        for i in range(self.config.depth):
            streams = [branch[i](tokens) for branch, tokens in zip(branches, streams)]
            if i in self.config.fusion_blocks:
                together = torch.cat(streams, 1)  # (B, S * N, D)
                streams = list(next(cross)(together).chunk(len(streams), 1))
        outputs = [norm(tokens[:, self.num_template :]) for norm, tokens in zip(norms, streams)]
        return outputs[0] if len(outputs) == 1 else (outputs[0] + outputs[1]) / 2


def from_rgb_tracker(tensors: Mapping[str, Tensor], positions: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """An SRTrack checkpoint, in the authors' names, made of an RGB tracker's (an OSTrack's or a DropTrack's ``net``).

    Both branches and the fusion blocks become copies of the RGB tracker (docs/methods/srtrack.md 1.4); they share
    memory with ``tensors``.

    Args:
        positions: a second RGB checkpoint whose positions are taken instead (the 384-pixel variant takes
            DropTrack-384's).
    """
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        room, _, rest = name.partition(".")
        kind, _, tail = rest.partition(".")
        if room != "backbone" or kind not in ("patch_embed", "blocks", "norm"):
            result[name] = tensor
            continue
        for branch in ("rgb", "event"):
            result[f"backbone.{kind}_{branch}.{tail}"] = tensor
        block, _, tensor_name = tail.partition(".")
        if kind == "blocks" and block in ("2", "5", "8", "11"):
            result[f"backbone.blocks_cross.{int(block) // 3}.{tensor_name}"] = tensor
    for name in ("backbone.pos_embed_z", "backbone.pos_embed_x"):
        if positions is not None:
            if name not in positions:
                raise ValueError(f"The checkpoint for the positions lacks {name}; give the 'net' of a DropTrack.")
            result[name] = positions[name]
    return result


@register(SRTrack)
def srtrack_base() -> SRTrackConfig:
    """The authors' SRTrack on OSTrack-256; ``VARIANTS`` holds the settings of their other networks."""
    return SRTrackConfig()


@register(SRTrack)
def srtrack_tiny() -> SRTrackConfig:
    """[ours] Starts as the tiny OSTrack in each branch, with a nearly closed fusion."""
    return SRTrackConfig(**TINY, fusion_blocks=(1, 3, 5), fuse_gate_init=1e-2)


@register(SRTrack)
def srtrack_laptop() -> SRTrackConfig:
    """[ours] The same on ostrack-laptop."""
    return SRTrackConfig(**LAPTOP, fusion_blocks=(1, 3), fuse_gate_init=1e-2)
