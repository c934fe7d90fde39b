# SPDX-License-Identifier: Apache-2.0
"""SMSTracker: RGB and one other sensor X walk through one OSTrack, a third path collects what both of them answer.

Legend: B batch, S streams (2 with both sensors), N = Nz + Nx tokens of one stream (template first), D width.
Both streams are stacked along the batch, RGB first, (S * B, N, D): the shared weights see one large matrix product.
Source: Chan et al., ICCV 2025; docs/methods/smstracker.md. What is marked [ours] is not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.parts.adapter import gated
from modaltrack.models.parts.concat_state_space import ConcatStateSpace
from modaltrack.models.parts.cross_state_space import CrossStateSpace
from modaltrack.models.parts.score_mask import ScoreMaskFusion
from modaltrack.models.parts.vit import init_linear
from modaltrack.models.prediction import Images, Prediction
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig
from modaltrack.models.two_sensors import TwoSensorTracker


@dataclass(frozen=True)
class SMSTrackerConfig(ViTConfig):
    """OSTrack's sizes and SMSTracker's additions; the defaults are the authors'.

    Attributes:
        modalities: RGB and the kinds of X the weights are for.
        interactions: how often the streams interact, evenly spread over the blocks (1, 2, 3, 4 or 6 of 12).
        merge: "published" or "max" [ours] in the score-mask fusion, whose attention has half the heads of a block.
        score_dropout: of that attention.
        drop_key: chance of a key to be dropped in training, in every attention.
        states: of the scans.
        norm_streams: whether an interaction also normalises the two streams (published) or the mixed path alone [ours].
        interaction_init: "normal" (published) or "zero" [ours] for what interactions add to the streams.
        mixed_gate_init: None (published) or the initial value of a learnable gate on the mixed path in the final sum
            [ours].
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    elimination_blocks: tuple[int, ...] = ()
    interactions: int = 1
    merge: str = "published"
    score_dropout: float = 0.1
    drop_key: float = 0.1
    states: int = 4
    norm_streams: bool = True
    interaction_init: str = "normal"
    mixed_gate_init: float | None = None


class Interaction(nn.Module):
    """A cross block, which changes both streams, and a concat block, which makes of them what the mixed path gets."""

    def __init__(self, dim: int, states: int) -> None:
        super().__init__()
        self.cross = CrossStateSpace(dim, states)
        self.concat = ConcatStateSpace(dim, states)


class SMSTracker(TwoSensorTracker):
    """Two streams and a mixed path between them.

    The mixed path is kept for the search tokens only: nothing but the head reads it, so the template's part of it, and
    of the last interaction, would change no number.
    """

    missing_policy = "A sample with one sensor runs that stream alone, without mixed path and interactions."
    config: SMSTrackerConfig

    def __init__(self, config: SMSTrackerConfig) -> None:
        super().__init__(config)
        c = config
        if c.elimination_blocks:
            raise ValueError("SMSTracker eliminates no candidates; elimination_blocks has to be ().")
        if c.interactions < 1 or c.depth % c.interactions:
            raise ValueError(f"interactions is {c.interactions}; expected a divisor of the depth, {c.depth}.")
        if c.interaction_init not in ("normal", "zero"):
            raise ValueError(f"interaction_init is {c.interaction_init!r}; expected normal or zero.")
        self.score = ScoreMaskFusion(c.dim, max(1, c.heads // 2), c.merge, c.drop_key, c.score_dropout)
        self.interactions = nn.ModuleList([Interaction(c.dim, c.states) for _ in range(c.interactions)])
        self.interaction_norm = nn.LayerNorm(c.dim, eps=1e-6)
        self.mixed_gate = None if c.mixed_gate_init is None else nn.Parameter(torch.full((c.dim,), c.mixed_gate_init))
        self.score.apply(init_linear)
        self.interactions.apply(init_linear)  # of the published start this leaves only the concat block's step sizes
        if c.interaction_init == "zero":
            for j in range(c.interactions):
                for own in (self.interaction(j).cross.rgb, self.interaction(j).cross.x):
                    nn.init.zeros_(own.out_proj.weight)

    def interaction(self, j: int) -> Interaction:
        """Interaction j with its type."""
        return cast(Interaction, self.interactions[j])

    def run(self, template: Images, search: Images, sensors: list[Modality]) -> Prediction:
        z, x = (torch.cat([images[m] for m in sensors]) for images in (template, search))  # (S * B, 3, h, w)
        tokens = self.embed(self.patch_embed, z, x)  # one stem and one set of positions for both sensors
        return self.predict(self.encode(tokens) if len(sensors) == 2 else self.encode_alone(tokens))

    def encode(self, tokens: Tensor) -> Tensor:
        """Stacked tokens (2 * B, N, D) -> normalised sum of the paths at the search tokens (B, Nx, D) (1.2)."""
        interval = len(self.stack) // self.config.interactions
        mixed = self.score(tokens[:, self.num_template :], self.num_search)  # M, (B, Nx, D)
        for i, block in enumerate(self.stack):
            tokens = block(tokens)  # R, X
            mixed = mixed + self.score(tokens, self.num_search)
            if (i + 1) % interval == 0:
                if i == len(self.stack) - 1:
                    tokens = tokens[:, self.num_template :]  # behind the last block only the search is read
                tokens, mixed = self.interact(i // interval, tokens, mixed)
        rgb, x = tokens.chunk(2)
        return self.norm(rgb + gated(mixed, self.mixed_gate) + x)

    def encode_alone(self, tokens: Tensor) -> Tensor:
        """Tokens of one sensor (B, N, D) -> normalised search tokens (B, Nx, D), without mixed path [ours]."""
        interval = len(self.stack) // self.config.interactions
        for i, block in enumerate(self.stack):
            tokens = block(tokens)
            if (i + 1) % interval == 0:
                tokens = self.norm_streams(tokens)
        return self.norm(tokens[:, self.num_template :])

    def interact(self, j: int, tokens: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """Interaction j on the template's and the search's grid by themselves (1.4)."""
        pair = self.interaction(j)
        grids = [
            part for part in tokens.split([tokens.shape[1] - self.num_search, self.num_search], 1) if part.shape[1]
        ]
        grids = [torch.cat(pair.cross(*grid.chunk(2))) for grid in grids]
        mixed = self.interaction_norm(mixed + pair.concat(*grids[-1].chunk(2)))
        return self.norm_streams(torch.cat(grids, 1)), mixed

    def norm_streams(self, tokens: Tensor) -> Tensor:
        """The streams behind an interaction: normalised as published, or as they are [ours]."""
        return self.interaction_norm(tokens) if self.config.norm_streams else tokens


GENTLE: dict[str, Any] = {  # [ours] what starts without effect on the base it is trained from
    "interactions": 2,
    "merge": "max",
    "score_dropout": 0.0,
    "norm_streams": False,
    "interaction_init": "zero",
    "mixed_gate_init": 1e-2,
}


@register(SMSTracker)
def smstracker_base() -> SMSTrackerConfig:
    """The authors' SMSTracker on OSTrack-256, with one interaction behind the last block."""
    return SMSTrackerConfig()


@register(SMSTracker)
def smstracker_tiny() -> SMSTrackerConfig:
    """[ours] Each stream starts exactly as the tiny OSTrack, the mixed path nearly closed, sensors merged in place."""
    return SMSTrackerConfig(**TINY, **GENTLE)


@register(SMSTracker)
def smstracker_laptop() -> SMSTrackerConfig:
    """[ours] The same on ostrack-laptop."""
    return SMSTrackerConfig(**LAPTOP, **GENTLE)
