# SPDX-License-Identifier: Apache-2.0
"""Late fusion: a tracker of one sensor runs on each sensor, and the maps are joined by how clear each of them is.

Nothing is learnt [ours]: the baseline that a learnt fusion has to beat. Legend: B batch, S sensors, H x W cells.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.model import TorchModel
from modaltrack.models.prediction import Images, Prediction, Presence, check_images
from modaltrack.vision.response import decode

PREFIX = "late:"  # of the names that ``load_model`` takes


class LateFusion(TorchModel):
    """``model(template, search, present=None) -> Prediction`` on any set of sensors, with a tracker of one sensor.

    A sensor that the tracker was not built for is shown to it as if it were RGB.
    """

    sensors_together = True
    missing_policy = "A missing sensor has no map and no say; the others' maps are joined without it."

    def __init__(self, base: TorchModel) -> None:
        super().__init__()
        if base.num_templates > 1:
            raise ValueError("Late fusion takes trackers with one template; this one has a second.")
        self.base = base
        self.train(base.training)
        self.config = replace(base.config, modalities=tuple(Modality))  # type: ignore[type-var]
        self.crop_context, self.policy, self.judges = base.crop_context, base.policy, base.judges
        self.name = f"{PREFIX}{base.name}"
        measured = {"name": f"{PREFIX}{base.card.get('name', base.name)}", "measured": {}, "modalities": list(Modality)}
        self.card = {**base.card, **measured}

    def forward(self, template: Images, search: Images, present: Presence | None = None) -> Prediction:
        """Normalised images per modality -> Prediction.

        Args:
            present: per modality which samples have it, (B,) bool.
        """
        c = self.config
        sensors = check_images(template, search, c.template_size, c.search_size)
        if not sensors:
            raise ValueError(f"There are no images; this model reads one or more of {', '.join(c.modalities)}.")
        found = []
        for sensor in sensors:
            name = sensor if sensor in self.base.config.modalities else Modality.RGB
            found.append(self.base({name: template[sensor]}, {name: search[sensor]}))
        weight = torch.stack([reliability(one.score_map) for one in found], 1)  # (B, S)
        if present is not None:
            everywhere = torch.ones_like(weight[:, 0])
            has = torch.stack([present.get(m, everywhere).to(weight) for m in sensors], 1)
            weight = weight * has
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-12)
        return fuse(found, weight)


def reliability(score_map: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B,): peak squared times contrast, the contrast being peak squared over the mean square."""
    peak, mean = score_map.flatten(1).amax(1) ** 2, (score_map**2).flatten(1).mean(1)
    return peak * peak / mean.clamp(min=1e-12)


def fuse(found: list[Prediction], weight: Tensor) -> Prediction:
    """S predictions and their weights (B, S) with the sum 1 -> one: scores added, boxes by weight times score."""
    score = torch.stack([one.score_map for one in found], 1)  # (B, S, 1, H, W)
    said = weight[:, :, None, None, None] * score  # (B, S, 1, H, W)
    share = said / said.sum(1, keepdim=True).clamp(min=1e-12)
    size, offset = (
        (share * torch.stack(maps, 1)).sum(1)
        for maps in ([one.size_map for one in found], [one.offset_map for one in found])
    )
    total = said.sum(1)
    judged = [one.score_map if one.confidence_map is None else one.confidence_map for one in found]
    confidence = (share * torch.stack(judged, 1)).sum(1)
    return Prediction(total, size, offset, decode(total, size, offset)[0], None, confidence)
