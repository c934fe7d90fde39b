# SPDX-License-Identifier: Apache-2.0
"""Teaching a finished tracker when it is wrong: only the confidence head learns. [ours]"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.boxes import iou
from modaltrack.models.model import TorchModel
from modaltrack.models.prediction import Prediction
from modaltrack.training.data import Batch
from modaltrack.training.objective import Images
from modaltrack.training.recipe import Recipe

ON_TARGET = 0.3  # IoU from which a box counts as on the target in full; below 0.1 it is off, between them in part
OFF_TARGET = 0.1


class Confidence:
    """Binary cross entropy between the confidence at the cell that would be taken and whether its box is right.

    Two cells of each sample are asked: the peak, and the highest peak away from it, so that "another one like it" is
    met in training as often as it can be. The rest of the model only runs, it does not learn: freeze it in the recipe.
    """

    terms: tuple[str, ...] = ("total", "right")
    extra: nn.Module | None = None

    def __init__(self, recipe: Recipe, model: nn.Module) -> None:
        if getattr(model, "confidence", None) is None:
            raise ValueError(
                f"The objective confidence needs a model with a confidence head; give {recipe.model} the option "
                "confidence true."
            )

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        prediction = model(template, search, batch.present)
        score = prediction.score_map.detach()
        cells = two_peaks(score)  # (B, 2)
        boxes = boxes_at(prediction, cells)  # (B, 2, 4) xywh in 0..1
        wanted = torch.nan_to_num(batch.box.float(), nan=-1.0)[:, None].expand(-1, 2, -1)
        overlap = iou(boxes.reshape(-1, 4), wanted.reshape(-1, 4)).reshape(-1, 2)
        label = ((overlap - OFF_TARGET) / (ON_TARGET - OFF_TARGET)).clamp(0, 1) * (batch.visible > 0)[:, None]
        chance = prediction.confidence_map.flatten(1).gather(1, cells)
        weight = torch.tensor([1.0, 0.4], device=chance.device)
        loss = F.binary_cross_entropy(chance.clamp(1e-6, 1 - 1e-6), label.detach(), weight.expand_as(chance))
        right = ((chance > 0.5) == (label > 0.5))[:, 0].float().mean()
        return {"total": loss, "right": right}


def two_peaks(score: Tensor, reach: int = 2) -> Tensor:
    """Cells (B, 2) of the highest score (B, 1, g, g) and of the highest more than ``reach`` cells away from it."""
    grid = score.shape[-1]
    flat = score.flatten(1)
    first = flat.argmax(1)
    index = torch.arange(grid * grid, device=score.device)
    dx = (index % grid)[None] - (first % grid)[:, None]
    dy = (index // grid)[None] - (first // grid)[:, None]
    near = (dx.abs() <= reach) & (dy.abs() <= reach)
    return torch.stack([first, flat.masked_fill(near, -1).argmax(1)], 1)


def boxes_at(prediction: Prediction, cells: Tensor) -> Tensor:
    """The boxes (B, n, 4) xywh in 0..1 of the crop that are read at cells (B, n)."""
    grid = prediction.score_map.shape[-1]
    at = cells[:, None].expand(-1, 2, -1)
    offset = prediction.offset_map.detach().flatten(2).gather(2, at)  # (B, 2, n)
    size = prediction.size_map.detach().flatten(2).gather(2, at)
    place = torch.stack([cells % grid, cells // grid], 1)
    centre = (place + offset) / grid
    return torch.cat([centre - size / 2, size], 1).transpose(1, 2)
