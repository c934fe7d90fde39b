# SPDX-License-Identifier: Apache-2.0
"""NanoTrack: a light Siamese tracker, rebuilt from the two ONNX graphs that its authors publish.

Legend: B batch, g = 15 cells along an edge of the maps, 16 pixels of the search crop apart.
Source: the published graphs (project SiamTrackers, folder NanoTrack, Apache-2.0) and the rule of SiamRPN (Li et al.,
CVPR 2018). Reading the graphs: ``modaltrack.models.nanotrack_graphs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.model import TorchModel
from modaltrack.models.parts.siamese import Backbone, Head
from modaltrack.models.prediction import Images, Prediction, Presence, check_images
from modaltrack.models.registry import register
from modaltrack.vision.image import denormalise
from modaltrack.vision.response import decode


@dataclass(frozen=True)
class NanoTrackConfig:
    """Crops of the third version; the factors are of the box with its context (``NanoTrack.crop_context``)."""

    modalities: tuple[Modality, ...] = tuple(Modality)
    template_size: int = 127
    search_size: int = 255
    template_factor: float = 1.0
    search_factor: float = 255 / 127
    stride: int = 16


class NanoTrack(TorchModel):
    """``model(template, search) -> Prediction`` on exactly one modality, which it sees as if it were RGB."""

    config: NanoTrackConfig
    one_sensor = True
    crop_context = 0.5
    # The published rule (SiamRPN's). It knows no status; the thresholds are [ours], of 74 targets in 62 real clips with
    # human-made masks: 95 % of the frames with an IoU above 0.5 are TRACKING, and 24 % of those with one below 0.1.
    policy: Mapping[str, Any] = {
        "tracking_threshold": 0.94,
        "lost_threshold": 0.8,
        "window_influence": 0.455,
        "size_penalty": 0.138,
        "size_rate": 0.348,
        "hold_box": False,
        "hold_size": False,
        "max_size_change": float("inf"),
        "max_total_change": float("inf"),
        "lost_search_growth": 1.0,
        "lost_window": 1.0,
        "second_look": 1.0,
    }

    def __init__(self, config: NanoTrackConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone, self.head = Backbone(), Head()

    def forward(self, template: Images, search: Images, present: Presence | None = None) -> Prediction:
        """Normalised images per modality -> Prediction; RGB where there are several.

        ``present`` is accepted for the common interface: with one sensor there is nothing to choose from.
        """
        c = self.config
        available = check_images(template, search, c.template_size, c.search_size)
        usable = [m for m in available if m in c.modalities]
        if Modality.RGB in usable:
            usable = [Modality.RGB]
        if len(usable) != 1:
            seen, wanted = ", ".join(available) or "none", ", ".join(c.modalities)
            raise ValueError(f"The images are of {seen}; this model reads one modality, of {wanted}.")
        z, x = (self.backbone.of_rgb(denormalise(images[usable[0]]) * 255) for images in (template, search))
        found = self.head(z, x)
        return self.predict(found.classes, found.log_distances.exp(), x.flatten(2).transpose(1, 2))

    def predict(self, logits: Tensor, edges: Tensor, features: Tensor | None = None) -> Prediction:
        """Class logits (B, 2, g, g) and distances left, top, right, bottom (B, 4, g, g) in crop pixels -> maps.

        Cell i of g lies (i - (g - 1) / 2) strides from the crop's middle; the offset map says where the box's middle is
        on the house's grid, whose cell i begins at i / g.
        """
        c, grid = self.config, logits.shape[-1]
        score = logits.float().softmax(1)[:, 1:].clamp(1e-4, 1 - 1e-4)
        left, top, right, bottom = (edges.float() / c.search_size).unbind(1)  # (B, g, g) each, in crops
        cell = torch.arange(grid, device=logits.device, dtype=torch.float32)
        place = 0.5 + (cell - (grid - 1) / 2) * (c.stride / c.search_size)  # (g,) in crops
        x, y = place + (right - left) / 2, place[:, None] + (bottom - top) / 2  # (B, g, g)
        offset = torch.stack([x * grid - cell, y * grid - cell[:, None]], 1)
        size = torch.stack([left + right, top + bottom], 1)
        return Prediction(score, size, offset, decode(score, size, offset)[0], features, score)


@register(NanoTrack)
def nanotrack_v3() -> NanoTrackConfig:
    """The third published version; its weights are imported from the authors' two ONNX files."""
    return NanoTrackConfig()
