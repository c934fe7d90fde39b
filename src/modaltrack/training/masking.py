# SPDX-License-Identifier: Apache-2.0
"""SDSTrack's complementary masked patch distillation (Hou et al., CVPR 2024; spec sdstrack.md, section 2)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.prediction import Prediction
from modaltrack.training.data import Batch
from modaltrack.training.objective import Images, Tracking, rows_of, tracking_terms
from modaltrack.training.recipe import Recipe

MASK_RATE = 0.3
CLEAN, MASKED, DISTILLATION = 0.6, 0.2, 0.1  # of the authors' code; the paper has 1 : 0.3 : 0.25


def draw_masks(
    second: str, batch: int, num_template: int, num_search: int, device: torch.device
) -> dict[str, dict[str, Tensor]]:
    """Patches to blank: role -> sensor -> (B, N) bool; no patch is blank in both sensors.

    RGB with probability 0.3, the second sensor with 0.3 where RGB is not blank (so 30 % and 21 %: not symmetric, as
    published). Drawn from the global CPU generator in the published order.
    """
    masks = {}
    for role, count in (("template", num_template), ("search", num_search)):
        rgb, other = torch.rand(batch, count), torch.rand(batch, count)
        blank = rgb < MASK_RATE
        masks[role] = {"rgb": blank.to(device), second: (~blank & (other < MASK_RATE)).to(device)}
    return masks


def distillation_loss(stages: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over fusion stages of the mean squared difference of clean and masked fused tokens (B, N, D).

    No gradient is stopped, so clean tokens are pulled towards masked ones too (as published). Compared rank by rank:
    once elimination is on, a rank is not the same place in both (as published; our tiny models eliminate nothing).
    """
    return torch.stack([F.mse_loss(clean.float(), masked.float()) for clean, masked in stages]).mean()


class Masked:
    """Clean and masked pass and their distillation; ``terms`` are of the clean pass, the total has all three parts.

    The published mixture is divided by its weight of the clean path, so that one learning rate fits with and without.
    """

    terms: tuple[str, ...] = Tracking.terms
    extra: nn.Module | None = None

    def __init__(self, recipe: Recipe, model: nn.Module) -> None:
        self.recipe = recipe
        if not recipe.modalities or not hasattr(model, "masked_pair"):
            raise ValueError(
                f"The objective {recipe.objective} needs a two-stream model with masked_pair and second sensors: "
                "choose another objective, or sdstrack with modalities."
            )

    def __call__(
        self, model: Any, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        assert batch.present is not None
        (second,) = (m for m in template if m != "rgb")
        both = batch.present["rgb"] & batch.present[second]
        paired, rest = both.nonzero()[:, 0], (~both).nonzero()[:, 0]
        if not len(paired):
            prediction = model(template, search, batch.present, keep_rate)
            return tracking_terms(prediction, recipe, batch.box, batch.visible)
        masks = draw_masks(second, len(paired), model.num_template, model.num_search, batch.box.device)
        clean, masked, stages = model.masked_pair(rows_of(template, paired), rows_of(search, paired), masks, keep_rate)
        masked_terms = tracking_terms(masked, recipe, batch.box[paired], batch.visible[paired])
        if len(rest):
            alone = model(rows_of(template, rest), rows_of(search, rest), rows_of(batch.present, rest), keep_rate)
            maps = ("score_map", "size_map", "offset_map", "boxes")
            clean = Prediction(*(torch.cat([getattr(clean, name), getattr(alone, name)]) for name in maps))
        order = torch.cat([paired, rest])
        terms = tracking_terms(clean, recipe, batch.box[order], batch.visible[order])
        extra = MASKED * masked_terms["total"] + DISTILLATION * distillation_loss(stages)
        return {**terms, "total": terms["total"] + extra / CLEAN}
