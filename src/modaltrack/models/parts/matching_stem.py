# SPDX-License-Identifier: Apache-2.0
"""A stem that has already matched: what a light published tracker sees and finds, as tokens for the transformer.

Legend: B batch, D width, Nz and Nx template and search tokens, g = search cells along an edge (16 as published).
Source: [ours]; the networks inside are NanoTrack v3's (``siamese``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modaltrack.models.parts.siamese import CHANNELS, Backbone, Head
from modaltrack.vision import denormalise


class MatchingStem(nn.Module):
    """Template and search images -> tokens that say what is there and where the template was found.

    A search token is a projection of its cell's features plus one of what the correlation head says around that cell:
    its last features, its two class logits and the logarithms of its four distances. The head's places lie on the
    corners between the cells, one fewer along an edge, so a 2 x 2 convolution brings them together.
    """

    def __init__(self, dim: int, patch: int, template_grid: int = 8) -> None:
        super().__init__()
        if patch != 16:
            raise ValueError(f"The matching stem has a stride of 16 pixels, not {patch}.")
        self.backbone = Backbone()
        self.match = Head(template_grid)
        self.norm_features = nn.GroupNorm(1, CHANNELS)
        self.norm_match = nn.GroupNorm(1, 2 * CHANNELS)
        self.proj = nn.Conv2d(CHANNELS, dim, 1)
        self.proj_match = nn.Conv2d(2 * CHANNELS + 6, dim, 2, padding=1)

    def features(self, image: Tensor) -> Tensor:
        """Normalised images (B, 3, h, w) -> features (B, 96, h / 16, w / 16)."""
        return self.backbone.of_rgb(denormalise(image) * 255)

    def tokens(self, features: Tensor) -> Tensor:
        """Features (B, 96, g, g) -> tokens (B, g * g, D), row-major."""
        return self.proj(self.norm_features(features)).flatten(2).transpose(1, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Tokens of one image that has nothing to be matched with: a template."""
        return self.tokens(self.features(image))

    def pair(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, h, h), (B, 3, w, w) -> tokens (B, Nz, D), (B, Nx, D)."""
        z, x = self.features(template), self.features(search)
        match = self.match(z, x)
        found = torch.cat([match.class_features, match.box_features], 1)  # (B, 192, g - 1, g - 1)
        said = torch.cat([match.classes, match.log_distances], 1)  # (B, 6, g - 1, g - 1), a few units wide
        evidence = self.proj_match(torch.cat([self.norm_match(found), said / 4], 1))  # (B, D, g, g)
        return self.tokens(z), self.tokens(x) + evidence.flatten(2).transpose(1, 2)
