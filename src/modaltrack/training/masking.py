# SPDX-License-Identifier: Apache-2.0
"""SDSTrack's complementary masked patch distillation (Hou et al., CVPR 2024; docs/methods/sdstrack.md 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.model import MasksPairs, TorchModel
from modaltrack.models.parts.elimination import restore
from modaltrack.models.prediction import Prediction
from modaltrack.training.data import Batch
from modaltrack.training.objective import Images, Tracking, rows_of, tracking_terms
from modaltrack.training.recipe import Recipe

MASK_RATE = 0.3
# weights of the clean pass, the masked pass and the distillation: of the authors' code, and of the paper
WEIGHTS = {"masked-published": (0.6, 0.2, 0.1), "masked-aligned": (1.0, 0.3, 0.25)}
EXTRA_TERMS = ("masked_giou", "masked_l1", "masked_focal", "distillation")


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
    """Mean over fusion stages of the mean squared difference of clean and masked fused tokens (S, N, D).

    No gradient is stopped, so clean tokens are pulled towards masked ones too (as published). Compared rank by rank:
    once elimination is on, a rank is not the same place in both (as published).
    """
    return torch.stack([F.mse_loss(clean.float(), masked.float()) for clean, masked in stages]).mean()


def aligned_distillation_loss(
    stages: list[tuple[Tensor, Tensor]], places: list[tuple[Tensor, Tensor]], num_search: int
) -> Tensor:
    """The same, as the paper words it: clean tokens teach masked ones, place by place; [ours].

    Args:
        places: the search positions (S, n) of the last n clean and masked tokens of every stage. The tokens before
            them, the template's, stand where they are; of the search tokens those count that elimination has left in
            both passes.

    Source: docs/methods/sdstrack.md 2.2.
    """
    means = []
    for (clean, masked), kept in zip(stages, places):
        first = clean.shape[1] - kept[0].shape[1]
        teacher, pupil = clean.detach().float(), masked.float()
        square = (pupil[:, :first] - teacher[:, :first]).square().sum()
        sides = [restore(t[:, first:], index, num_search) for t, index in zip((teacher, pupil), kept)]
        seen = [restore(torch.ones_like(index, dtype=torch.float32)[:, :, None], index, num_search) for index in kept]
        both = seen[0] * seen[1]  # (S, Nx, 1)
        square = square + ((sides[1] - sides[0]).square() * both).sum()
        count = pupil.shape[0] * first + both.sum()
        means.append(square / (count * pupil.shape[2]))
    return torch.stack(means).mean()


class Masked:
    """Clean and masked pass of ``model.masked_pair`` and the distillation between them, in two modes by name.

    masked-published: the authors' code to the digit: ranks compared, no gradient stopped, 0.6 : 0.2 : 0.1.
    masked-aligned: the paper's idea: places compared, the clean pass detached, 1 : 0.3 : 0.25.
    Terms: the total with these weights; giou, l1 and focal of the clean pass; those of the masked pass; the
    distillation, before its weight. Samples that lack a sensor have the clean pass only. No options.
    """

    terms: tuple[str, ...] = (*Tracking.terms, *EXTRA_TERMS)
    extra: nn.Module | None = None

    def __init__(self, recipe: Recipe, model: TorchModel) -> None:
        self.recipe = recipe
        recipe.settings()
        if not recipe.modalities or not isinstance(model, MasksPairs):
            raise ValueError(
                f"The objective {recipe.objective} needs a two-stream model with masked_pair and second sensors: "
                "choose another objective, or sdstrack with modalities."
            )
        self.weights = WEIGHTS[recipe.objective]

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        recipe, weights = self.recipe, self.weights
        assert isinstance(model, MasksPairs)
        assert batch.present is not None
        (second,) = (m for m in template if m != "rgb")
        both = batch.present["rgb"] & batch.present[second]
        paired, rest = both.nonzero()[:, 0], (~both).nonzero()[:, 0]
        if not len(paired):
            terms = tracking_terms(model(template, search, batch.present, keep_rate), recipe, batch.box, batch.visible)
            nothing = {name: torch.zeros_like(terms["total"]) for name in EXTRA_TERMS}
            return {**terms, **nothing, "total": weights[0] * terms["total"]}
        masks = draw_masks(second, len(paired), model.num_template, model.num_search, batch.box.device)
        places: list[tuple[Tensor, Tensor]] = []
        clean, masked, stages = model.masked_pair(
            rows_of(template, paired), rows_of(search, paired), masks, keep_rate, places
        )
        masked_terms = tracking_terms(masked, recipe, batch.box[paired], batch.visible[paired])
        if len(rest):
            alone = model(rows_of(template, rest), rows_of(search, rest), rows_of(batch.present, rest), keep_rate)
            maps = ("score_map", "size_map", "offset_map", "boxes")
            clean = Prediction(*(torch.cat([getattr(clean, name), getattr(alone, name)]) for name in maps))
        order = torch.cat([paired, rest])
        terms = tracking_terms(clean, recipe, batch.box[order], batch.visible[order])
        if recipe.objective == "masked-published":
            distillation = distillation_loss(stages)
        else:
            distillation = aligned_distillation_loss(stages, places, model.num_search)
        parts = (terms["total"], masked_terms["total"], distillation)
        total = sum((w * part for w, part in zip(weights, parts)), torch.zeros_like(distillation))
        named = {f"masked_{name}": masked_terms[name] for name in Tracking.terms[1:]}
        return {**terms, **named, "distillation": distillation, "total": total}
