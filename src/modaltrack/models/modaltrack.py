# SPDX-License-Identifier: Apache-2.0
"""Any set of sensors in one pass: tokens of all sensors become one set before the trunk, weighed by what each sees.

Legend: B batch, S sensors in the mappings, Nz and Nx template and search tokens, D width, g = cells along an edge.
Source: [ours], docs/methods/modaltrack.md. From the methods of this house: one stem and one trunk for all sensors with
light adapters (SDSTrack), score maps as reliability (SMSTracker), the difference to the others as a hint (AINet),
fusion where it is cheap (TPF).

    x_m = a_m(stem(search_m));  s_m = sight(x_m);  w_m = softmax_m(trust(s_m, x_m, x_m - mean x));  x = sum_m w_m x_m
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.parts.vit import embed_pair
from modaltrack.models.prediction import Images, Prediction, Presence, check_images
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig, ViTTracker

ABSENT = -1e4  # logit of a sensor that is not there: its weight is 0 in every number type


@dataclass(frozen=True)
class AnySensorConfig(ViTConfig):
    """Sizes of an AnySensor.

    Attributes:
        adapter: width inside each sensor's adapter, 0 for none.
        trust: "score" weighs sensors by what their own score maps and tokens say, "mean" counts them alike.
        exchange: whether the difference to the other sensors' mean is a part of what is weighed.
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    adapter: int = 24
    trust: str = "score"
    exchange: bool = True


class Adapter(nn.Module):
    """Tokens (B, N, D) plus a small change that is zero at the start."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.down, self.up = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.up(nn.functional.gelu(self.down(self.norm(x))))
        return out


class Sight(NamedTuple):
    """What each sensor says alone: logits (S, B, 1, g, g) of its score map; its mean weight (S, B) in the fusion."""

    logits: Tensor
    weight: Tensor


class AnySensor(ViTTracker):
    """``model(template, search, present=None) -> Prediction`` on any non-empty set of the configured sensors.

    All sensors go through one pass of fixed shape; a sensor that a sample lacks has the weight zero, whatever its image
    holds. With one sensor the weights are one and the model is the plain tracker of one stream.
    """

    config: AnySensorConfig
    sensors_together = True
    missing_policy = "A missing sensor has the weight zero in the fusion; the others share its part."

    def __init__(self, config: AnySensorConfig) -> None:
        super().__init__(config)
        c = config
        if c.trust not in ("score", "mean"):
            raise ValueError(f'trust is {c.trust!r}; expected "score" or "mean".')
        self.kind = nn.ParameterDict({str(m): nn.Parameter(torch.zeros(c.dim)) for m in c.modalities})
        self.adapters = nn.ModuleDict({str(m): Adapter(c.dim, c.adapter) for m in c.modalities} if c.adapter else {})
        self.sight_norm = nn.LayerNorm(c.dim, eps=1e-6)
        self.sight = nn.Linear(c.dim, 1)
        nn.init.normal_(self.sight.weight, std=0.01)
        nn.init.constant_(self.sight.bias, math.log(0.01 / 0.99))
        # log peak, log contrast, and two more from tokens: how much of the trust each is worth
        self.trust_summary = nn.Linear(3, 1)
        self.trust_token = nn.Linear(2 * c.dim if c.exchange else c.dim, 1)
        self.trust_score = nn.Parameter(torch.zeros(()))
        for layer in (self.trust_summary, self.trust_token):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.trust_summary.weight.copy_(torch.tensor([[1.0, 0.5, 0.0]]))  # peak squared times contrast, nearly

    def presence(self, search: Images, names: list[Modality], present: Presence | None) -> Tensor:
        """Which samples have which of these sensors, (S, B) bool.

        Raises:
            ValueError: where no sample has any.
        """
        first = search[names[0]]
        everywhere = torch.ones(first.shape[0], dtype=torch.bool, device=first.device)
        has = torch.stack(
            [everywhere if present is None else present.get(m, everywhere).to(first.device) for m in names]
        )
        if present is not None and not torch.compiler.is_compiling() and not bool(has.any()):
            raise ValueError("No sample of the batch has any modality; skip the model where no sensor has an image.")
        return has

    def streams(self, template: Images, search: Images, names: list[Modality], has: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (S, B, Nz, D), (S, B, Nx, D) of every sensor, with its adapter and its kind, without positions.

        Args:
            has: (S, B) bool; what the image of a missing sensor holds is of no consequence.
        """

        def sensors(images: Images) -> Tensor:
            stacked = torch.stack([images[m] for m in names])  # (S, B, 3, h, w)
            return torch.where(has[:, :, None, None, None], stacked, 0.0).flatten(0, 1)

        z, x = embed_pair(self.patch_embed, sensors(template), sensors(search))
        z, x = (t.unflatten(0, (len(names), -1)) for t in (z, x))
        both = torch.cat([z, x], 2)
        adapted = [(self.adapters[m](t) if self.adapters else t) + self.kind[m] for m, t in zip(names, both)]
        z, x = torch.stack(adapted).split([self.num_template, self.num_search], 2)
        return z, x

    def weights(self, x: Tensor, logits: Tensor, absent: Tensor) -> Tensor:
        """Shares (S, B, Nx) of the sensors in every search token, which sum to one over S.

        Args:
            x: (S, B, Nx, D) tokens.
            logits: (S, B, Nx) of each sensor's own score map.
            absent: (S, B), ABSENT or 0.
        """
        trust = absent[:, :, None].expand(-1, -1, x.shape[2])
        if self.config.trust == "score":
            trust = trust + self.say(x, logits, absent)
        return trust.softmax(0)

    def say(self, x: Tensor, logits: Tensor, absent: Tensor) -> Tensor:
        """Logits (S, B, Nx) of how far each sensor is to be believed, everywhere and at each place."""
        score = logits.float().sigmoid()
        peak = score.amax(2)  # (S, B)
        contrast = peak.square() / score.square().mean(2).clamp(min=1e-8)
        summary = torch.stack([2 * peak.clamp(min=1e-4).log(), contrast.log(), peak], 2)
        normed = self.sight_norm(x)
        if self.config.exchange:
            there = (absent == 0).to(x)[:, :, None, None]
            mean = (normed * there).sum(0) / there.sum(0).clamp(min=1)
            normed = torch.cat([normed, normed - mean], 3)
        return self.trust_summary(summary) + self.trust_token(normed).squeeze(3) + self.trust_score * logits

    def look(self, template: Images, search: Images, present: Presence | None = None) -> tuple[Prediction, Sight]:
        """The prediction, and what every sensor says alone (in the order of ``Modality``)."""
        names = list(check_images(template, search, self.config.template_size, self.config.search_size))
        if not names or not set(names) <= set(self.config.modalities):
            found, wanted = ", ".join(names) or "none", ", ".join(self.config.modalities)
            raise ValueError(f"The images are of {found}; this model reads any of {wanted}.")
        has = self.presence(search, names, present)
        z, x = self.streams(template, search, names, has)
        logits = self.sight(self.sight_norm(x)).squeeze(3)  # (S, B, Nx)
        absent = torch.where(has, 0.0, ABSENT)
        share = self.weights(x, logits, absent)  # (S, B, Nx)
        fused = (x * share[..., None].to(x)).sum(0)
        mean = share.mean(2)  # (S, B): the template is one object, each sensor has one share of it
        template_tokens = (z * mean[..., None, None].to(z)).sum(0)
        tokens = torch.cat([template_tokens + self.pos_template, fused + self.pos_search], 1)
        prediction = self.predict_all(self.walk(tokens))
        grid = (len(names), -1, 1, self.search_grid, self.search_grid)
        return prediction, Sight(logits.float().reshape(grid), mean)

    def forward(self, template: Images, search: Images, present: Presence | None = None) -> Prediction:
        """Normalised images per modality -> Prediction.

        Args:
            present: per modality which samples have it, (B,) bool.
        """
        return self.look(template, search, present)[0]


@register(AnySensor)
def modaltrack_laptop() -> AnySensorConfig:
    """[ours] The default: any set of sensors, on a laptop's CPU."""
    return AnySensorConfig(**LAPTOP)


@register(AnySensor)
def modaltrack_tiny() -> AnySensorConfig:
    """[ours] The same for tests and short trials, on small crops and a stem without pretrained weights."""
    return AnySensorConfig(**TINY)
