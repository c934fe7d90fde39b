# SPDX-License-Identifier: Apache-2.0
"""What all methods of this family are built of: a vision transformer over template and search tokens, a centre head.

Legend: B batch, N = Nz + Nx tokens (template first, row-major), D width, g = search tokens along an edge.
Source: Ye et al., OSTrack, ECCV 2022; docs/methods/ostrack.md 1 to 4. What is marked [ours] is in 10 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.model import TorchModel
from modaltrack.models.parts.center_head import CenterHead
from modaltrack.models.parts.confidence_head import ConfidenceHead
from modaltrack.models.parts.vit import Block, embed_pair, init_linear, make_stem, sincos_positions
from modaltrack.models.prediction import Prediction
from modaltrack.vision.response import decode


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of a tracker; the defaults are the authors' 256-pixel ViT-B/16.

    Attributes:
        stem: "patch" (published), "conv" or "matching" [ours].
        elimination_blocks, keep_rate: candidate elimination, () for none.
        head_norm: "batch" (published) or "group" [ours].
        score_prior: initial score [ours], None for the plain start.
        drop_key: chance, in training, of a key to be dropped in every attention (of SMSTracker; [ours] in other
            methods).
        projection: a linear layer in front of the head, the identity at first, for decoupled training; see
            docs/methods/tpf.md 4.
        confidence: whether a head says how likely each cell's box is on the target.
    """

    modalities: tuple[Modality, ...] = (Modality.RGB,)
    template_size: int = 128
    search_size: int = 256
    template_factor: float = 2.0
    search_factor: float = 4.0
    stride: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    drop_key: float = 0.0
    stem: str = "patch"
    elimination_blocks: tuple[int, ...] = (3, 6, 9)
    keep_rate: float = 0.7
    head_channels: int = 256
    head_norm: str = "batch"
    score_prior: float | None = None
    projection: bool = False
    confidence: bool = False


TINY: dict[str, Any] = {
    "template_size": 64,
    "search_size": 128,
    "dim": 192,
    "depth": 6,
    "heads": 3,
    "drop_path": 0.0,
    "stem": "conv",
    "elimination_blocks": (),
    "head_channels": 64,
    "head_norm": "group",
    "score_prior": 0.01,
}
LAPTOP: dict[str, Any] = {**TINY, "template_size": 128, "search_size": 256, "depth": 4, "stem": "matching"}


class ViTTracker(TorchModel):
    """Stem, positions, blocks, norm and head; each method writes down how tokens walk through them in ``forward``."""

    config: ViTConfig

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.template_grid, self.search_grid = c.template_size // c.stride, c.search_size // c.stride
        self.num_template, self.num_search = self.template_grid**2, self.search_grid**2
        self.patch_embed = make_stem(c.stem, c.dim, c.stride, self.template_grid)
        self.pos_template = nn.Parameter(torch.empty(1, self.num_template, c.dim))
        self.pos_search = nn.Parameter(torch.empty(1, self.num_search, c.dim))
        rates = [c.drop_path * i / max(1, c.depth - 1) for i in range(c.depth)]
        if not 0 <= c.drop_key < 1:
            raise ValueError(f"drop_key is {c.drop_key}; expected a chance of at least 0 and below 1.")
        self.blocks = nn.ModuleList([Block(c.dim, c.heads, c.mlp_ratio, rate, c.drop_key) for rate in rates])
        self.norm = nn.LayerNorm(c.dim, eps=1e-6)
        self.projection = nn.Linear(c.dim, c.dim, bias=False) if c.projection else None
        self.head = CenterHead(c.dim, c.head_channels, c.head_norm, c.score_prior)
        self.confidence = ConfidenceHead(c.dim) if c.confidence else None
        self.judges = c.confidence
        self.blocks.apply(init_linear)
        for table, grid in ((self.pos_template, self.template_grid), (self.pos_search, self.search_grid)):
            kind = torch.randn(c.dim) * 0.02  # what tells template from search at the start
            table.data.copy_(0.5 * sincos_positions(c.dim, grid) + kind)
        if self.projection is not None:
            nn.init.eye_(self.projection.weight)

    def search_positions(self, tokens: Tensor) -> Tensor:
        """Places of the search tokens before any elimination, (B, Nx)."""
        return torch.arange(self.num_search, device=tokens.device).expand(tokens.shape[0], -1)

    @property
    def stack(self) -> list[Block]:
        """The blocks, with their type."""
        return cast("list[Block]", self.blocks)

    def embed(self, stem: nn.Module, template: Tensor, search: Tensor) -> Tensor:
        """Images (B, 3, h, w) of one modality -> tokens (B, Nz + Nx, D) with their positions."""
        z, x = embed_pair(stem, template, search)
        return torch.cat([z + self.pos_template, x + self.pos_search], 1)

    def walk(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) through all blocks, normalised."""
        for block in self.stack:
            tokens = block(tokens)
        return self.norm(tokens)

    def predict(self, features: Tensor, template: Tensor | None = None) -> Prediction:
        """Normalised search tokens (B, Nx, D) -> Prediction; its features are these, before any projection.

        Args:
            template: the template's tokens (B, Nz, D), which the confidence head reads too where a method keeps them.
        """
        grid = self.search_grid
        read = features if self.projection is None else self.projection(features)
        # (B, D, g, g), laid out with the channels last as the tokens are: no copy, and the faster form on CPUs
        score, size, offset = self.head(read.transpose(1, 2).unflatten(2, (grid, grid)))
        prediction = Prediction(score, size, offset, decode(score, size, offset)[0], features, score)
        if self.confidence is None:
            return prediction
        return prediction._replace(confidence_map=self.confidence(template, features, score).sigmoid())

    def predict_all(self, tokens: Tensor) -> Prediction:
        """Normalised tokens (B, Nz + Nx, D) -> Prediction, with the confidence where there is a head for it."""
        template, search = tokens.split([self.num_template, self.num_search], 1)
        return self.predict(search, template)
