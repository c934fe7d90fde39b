# SPDX-License-Identifier: Apache-2.0
"""OSTrack: template and search tokens walk through one vision transformer together, a centre head reads the rest.

Legend: B batch, N = Nz + Nx tokens (template first, row-major), D width, g = search tokens along an edge.
Source: Ye et al., ECCV 2022; docs/methods/ostrack.md 1 to 4. What is marked [ours] is in 10 there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.parts.elimination import restore, through_eliminating
from modaltrack.models.prediction import Images, Prediction, Presence, check_images
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig, ViTTracker


@dataclass(frozen=True)
class OSTrackConfig(ViTConfig):
    """OSTrack has no settings beyond those of the family."""


class OSTrack(ViTTracker):
    """``model(template, search) -> Prediction`` on exactly one modality."""

    config: OSTrackConfig

    def forward(
        self, template: Images, search: Images, present: Presence | None = None, keep_rate: float | None = None
    ) -> Prediction:
        """Normalised images per modality -> Prediction; ``keep_rate`` overrides the configuration's (1: keep all).

        ``present`` is accepted for the common interface: with one sensor there is nothing to choose from, so a sample
        marked missing gets the prediction of whatever its image holds.
        """
        available = check_images(template, search, self.config.template_size, self.config.search_size)
        usable = [m for m in available if m in self.config.modalities]
        if Modality.RGB in usable:
            usable = [Modality.RGB]
        if len(usable) != 1:
            found, wanted = ", ".join(available) or "none", ", ".join(self.config.modalities)
            raise ValueError(f"The images are of {found}; this model reads one modality, of {wanted}.")
        tokens = self.embed(self.patch_embed, template[usable[0]], search[usable[0]])  # (B, Nz + Nx, D)
        return self.predict_all(self.encode(tokens, self.config.keep_rate if keep_rate is None else keep_rate))

    def encode(self, tokens: Tensor, keep_rate: float) -> Tensor:
        """Tokens (B, Nz + Nx, D) -> the same, normalised, with zeros where a search token was eliminated."""
        left = self.search_positions(tokens)  # (B, Nx)
        for i, block in enumerate(self.stack):
            if i in self.config.elimination_blocks:
                tokens, left = through_eliminating(block, tokens, left, self.num_template, keep_rate)
            else:
                tokens = block(tokens)
        template, search = self.norm(tokens).split([self.num_template, left.shape[1]], 1)
        return torch.cat([template, restore(search, left, self.num_search)], 1)


@register(OSTrack)
def ostrack_base() -> OSTrackConfig:
    """The authors' OSTrack-256 (vitb_256_mae_ce)."""
    return OSTrackConfig()


@register(OSTrack)
def ostrack_tiny() -> OSTrackConfig:
    """[ours] Small enough to be trained on two CPU cores."""
    return OSTrackConfig(**TINY)


@register(OSTrack)
def ostrack_laptop() -> OSTrackConfig:
    """[ours] Small enough for a laptop's CPU, on the published crops, with a stem that has learned from real video."""
    return OSTrackConfig(**LAPTOP)
