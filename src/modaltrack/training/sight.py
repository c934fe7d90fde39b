# SPDX-License-Identifier: Apache-2.0
"""What a model for any set of sensors learns from: the tracking loss, and each sensor's own score map. [ours]"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from modaltrack.models.modaltrack import Sight
from modaltrack.models.model import TorchModel
from modaltrack.models.prediction import Prediction, Presence
from modaltrack.training.data import Batch
from modaltrack.training.losses import focal_loss, heat_map
from modaltrack.training.objective import Images, tracking_terms
from modaltrack.training.recipe import Recipe


@runtime_checkable
class LooksApart(Protocol):
    """Ability: what each sensor says alone, beside the prediction."""

    def look(self, template: Images, search: Images, present: Presence | None = None) -> tuple[Prediction, Sight]: ...


class SightObjective:
    """The tracking loss plus ``sight``: the focal loss of every present sensor's own score map.

    A sensor's map says where the target is by that sensor alone. Its peak and contrast decide how far the sensor is
    believed in the fusion, so a blind sensor has to learn that it sees nothing. Option: ``weight`` (0.3) of the term.
    """

    terms: tuple[str, ...] = ("total", "giou", "l1", "focal", "sight")
    extra: nn.Module | None = None

    def __init__(self, recipe: Recipe, model: nn.Module) -> None:
        if not isinstance(model, LooksApart):
            raise ValueError(
                f"The objective sight is for models of any set of sensors; {recipe.model} is none of them."
            )
        self.recipe = recipe
        self.weight = float(recipe.settings(weight=0.3)["weight"])

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        assert isinstance(model, LooksApart)
        prediction, sight = model.look(template, search, batch.present)
        terms = tracking_terms(prediction, self.recipe, batch.box, batch.visible)
        seen = batch.visible >= self.recipe.min_visible
        target = torch.where(seen[:, None], batch.box.float(), 0.5)
        heat = heat_map(target, sight.logits.shape[-1]) * seen[:, None, None, None]
        losses = []
        for sensor, logits in zip([m for m in model.config.modalities if m in search], sight.logits):
            rows = torch.ones_like(seen) if batch.present is None else batch.present[sensor]
            if bool(rows.any()):
                losses.append(focal_loss(logits[rows].sigmoid().clamp(1e-4, 1 - 1e-4), heat[rows]))
        terms["sight"] = torch.stack(losses).mean()
        return {**terms, "total": terms["total"] + self.weight * terms["sight"]}
