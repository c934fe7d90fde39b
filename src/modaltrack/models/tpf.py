# SPDX-License-Identifier: Apache-2.0
"""TPF: an adapter fuses RGB and one other sensor X into one image; a one-stream tracker with two templates reads it.

A DESIGN OF OURS THAT FITS THE PAPER, NOT A REPRODUCTION: no code was released, and of the paper (Lu et al., arXiv
2503.11247v1) little more is known than fusion at pixel level by an adapter of Vision Mamba blocks and convolutions,
a single-stream tracker behind it and a template that follows the target. Everything else follows docs/methods/tpf.md
2 and 5, where it is marked [inferred]; do not present results as "the TPF numbers".

Legend: B batch, Nz tokens of one template, Nx of the search crop, D width. Tokens: [first template; later one; search].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.parts.fusion_adapter import FusionAdapter
from modaltrack.models.parts.presence import rgb_and_other, run_by_presence
from modaltrack.models.parts.vit import accumulate, scaled, working_room
from modaltrack.models.prediction import Images, Prediction, Presence
from modaltrack.models.registry import register
from modaltrack.models.trunk import TINY, ViTConfig, ViTTracker


@dataclass(frozen=True)
class TPFConfig(ViTConfig):
    """OSTrack's sizes, without candidate elimination, and the adapter's; all defaults are inferred.

    Source: docs/methods/tpf.md 2.

    num_templates: 2, or 1 for the first template alone. pfa_channels: C of the adapter. pfa_layout: "parallel" or
    "sequential". pfa_states: of its scans. pfa_norm: "batch" (inferred) or "group" (ours).
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    elimination_blocks: tuple[int, ...] = ()
    num_templates: int = 2
    pfa_channels: int = 64
    pfa_layout: str = "parallel"
    pfa_states: int = 16
    pfa_norm: str = "batch"


class TPF(ViTTracker):
    """``model(template, search, present=None, memory=None) -> Prediction`` on RGB and one other modality."""

    config: TPFConfig
    missing_policy = (
        "Without RGB or without X there is nothing to fuse: the adapter is skipped and the one image goes to the "
        "tracker as it is, in templates and search alike; a frame without both holds the box."
    )

    def __init__(self, config: TPFConfig) -> None:
        super().__init__(config)
        if config.elimination_blocks:
            raise ValueError(
                f"elimination_blocks is {config.elimination_blocks}; TPF keeps every token: leave it empty."
            )
        if config.num_templates not in (1, 2):
            raise ValueError(f"num_templates is {config.num_templates}; expected 1 or 2.")
        self.num_templates = config.num_templates
        self.num_template = config.num_templates * self.template_grid**2  # tokens in front of the search crop's
        self.adapter = FusionAdapter(config.pfa_channels, config.pfa_norm, config.pfa_layout, config.pfa_states)

    def fused_image(self, images: Images) -> Tensor:
        """What the tracker sees of normalised images (B, 3, H, W) of RGB, of X or of both: (B, 3, H, W), normalised.

        H and W are multiples of 4. One image alone comes back as it is. ValueError for none, or two besides RGB.
        """
        others = [m for m in images if m != Modality.RGB]
        if len(others) > 1 or not images:
            raise ValueError(f"The images are of {', '.join(images) or 'none'}; expected rgb and at most one other.")
        if len(images) == 1:
            return next(iter(images.values()))
        by_name = {str(m): image for m, image in images.items()}
        return self.adapter(by_name["rgb"], by_name[str(others[0])])

    def forward(
        self, template: Images, search: Images, present: Presence | None = None, memory: Images | None = None
    ) -> Prediction:
        """Normalised images per modality -> Prediction.

        memory: the later template, in the layout of ``template`` and of the same modalities; None takes the first one
        twice, as in the first frame of a clip. present: per modality which samples have it, (B,) bool; it holds for
        all images of a sample.
        """
        c = self.config
        modalities = rgb_and_other(template, search, c.modalities, c.template_size, c.search_size)
        joined: Images = template
        if memory is not None and c.num_templates == 2:
            both = rgb_and_other(memory, search, c.modalities, c.template_size, c.search_size)
            if both != modalities:
                found, wanted = ", ".join(both), ", ".join(modalities)
                raise ValueError(f"The later template is of {found} and the first of {wanted}; give the same.")
            joined = {m: torch.stack([template[m], memory[m]], 1) for m in modalities}  # (B, 2, 3, h, w)
        return run_by_presence(self._run, joined, search, modalities, present)

    def _run(self, template: Images, search: Images, modalities: list[Modality]) -> Prediction:
        templates = [{m: template[m] for m in modalities}]
        if template[modalities[0]].ndim == 5:
            templates = [{m: template[m][:, i] for m in modalities} for i in range(2)]
        tokens = [self.patch_embed(self.fused_image(images)) + self.pos_template for images in templates]
        tokens += tokens[:1] * (self.config.num_templates - len(tokens))  # (B, Nz, D) each
        tokens.append(self.patch_embed(self.fused_image({m: search[m] for m in modalities})) + self.pos_search)
        return self.predict(self.backbone(torch.cat(tokens, 1))[:, self.num_template :])

    def backbone(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) -> normalised tokens (B, N, D)."""
        room = working_room(tokens, self.config.mlp_ratio)
        for i in range(len(self.blocks)):
            block = self.block(i)
            tokens = tokens + scaled(block.attn(block.norm1(tokens), room)[0], block.keep_scale(tokens))
            tokens = accumulate(tokens, scaled(block.mlp(block.norm2(tokens), room), block.keep_scale(tokens)))
        return self.norm(tokens)


@register(TPF)
def tpf_base() -> TPFConfig:
    """Inferred: the one-stream base tracker at 256 pixels behind an adapter of 64 channels."""
    return TPFConfig()


@register(TPF)
def tpf_tiny() -> TPFConfig:
    """Ours: the tiny OSTrack behind an adapter of 32 channels."""
    return TPFConfig(**TINY, pfa_channels=32, pfa_norm="group")
