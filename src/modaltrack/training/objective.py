# SPDX-License-Identifier: Apache-2.0
"""From a batch to the number that is minimised."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from modaltrack.models.prediction import Prediction
from modaltrack.training.data import Batch
from modaltrack.training.losses import box_losses
from modaltrack.training.masking import (
    CLEAN,
    DISTILLATION,
    MASKED,
    distillation_loss,
    draw_masks,
)
from modaltrack.training.recipes import Recipe
from modaltrack.vision import normalise

TERMS = ("total", "giou", "l1", "focal")


def batch_losses(model: nn.Module, recipe: Recipe, batch: Batch, device: torch.device) -> Tensor:
    """(4,) float32 in the order of ``TERMS``; the first is to be minimised, the others are before their weights.

    Images are normalised here. With ``recipe.masked_pass`` samples that have both sensors go through the model twice,
    clean and masked (see ``masking``).
    """
    batch = batch.to(device)
    template = {m: normalise(x.float().div_(255)) for m, x in batch.template.items()}
    search = {m: normalise(x.float().div_(255)) for m, x in batch.search.items()}
    with _precision(recipe, device):
        if recipe.masked_pass:
            terms = _masked(model, recipe, batch, template, search)
        else:
            prediction = model(template, search, batch.present)
            terms = _weighted(prediction, recipe, batch.box, batch.visible)
    return torch.stack([terms[name].float() for name in TERMS])


def _precision(recipe: Recipe, device: torch.device) -> ExitStack:
    """The recipe's autocast, and on CPU attention in plain matrix products.

    Torch's fused attention for CPUs is quick forwards and slow backwards: for the tiny models in bf16 it took 37 % of a
    step, and without it a step took 10.3 instead of 13.7 ms of processor time per sample.
    """
    stack = ExitStack()
    if recipe.amp == "bf16":
        stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        if device.type == "cpu":
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
    return stack


def _weighted(prediction: Any, recipe: Recipe, box: Tensor, visible: Tensor) -> dict[str, Tensor]:
    seen = visible >= recipe.min_visible  # below it there is no target: no box to learn and an empty heat map
    losses = box_losses(prediction, box, None if bool(seen.all()) else seen.float(), recipe.box_at)
    terms = {name: losses[name] for name in TERMS[1:]}
    return {**terms, "total": recipe.giou * terms["giou"] + recipe.l1 * terms["l1"] + recipe.focal * terms["focal"]}


def _masked(
    model: Any, recipe: Recipe, batch: Batch, template: dict[str, Tensor], search: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Terms of the clean predictions; the total adds the masked ones and the distillation.

    The published mixture is divided by its weight of the clean path, so that one learning rate fits with and without.
    """
    if batch.present is None or not hasattr(model, "masked_pair"):
        raise ValueError("Recipe field masked_pass needs a two-stream model and second sensors: turn it off.")
    (second,) = (m for m in template if m != "rgb")
    both = batch.present["rgb"] & batch.present[second]
    paired, rest = both.nonzero()[:, 0], (~both).nonzero()[:, 0]
    if not len(paired):
        return _weighted(model(template, search, batch.present), recipe, batch.box, batch.visible)
    masks = draw_masks(second, len(paired), model.num_template, model.num_search, batch.box.device)
    clean, masked, stages = model.masked_pair(_rows(template, paired), _rows(search, paired), masks)
    masked_terms = _weighted(masked, recipe, batch.box[paired], batch.visible[paired])
    if len(rest):
        alone = model(_rows(template, rest), _rows(search, rest), _rows(batch.present, rest))
        maps = ("score_map", "size_map", "offset_map", "boxes")
        clean = Prediction(*(torch.cat([getattr(clean, name), getattr(alone, name)]) for name in maps))
    order = torch.cat([paired, rest])
    terms = _weighted(clean, recipe, batch.box[order], batch.visible[order])
    extra = MASKED * masked_terms["total"] + DISTILLATION * distillation_loss(stages)
    return {**terms, "total": terms["total"] + extra / CLEAN}


def _rows(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {key: value[rows] for key, value in tensors.items()}
