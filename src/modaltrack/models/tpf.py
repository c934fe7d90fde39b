# SPDX-License-Identifier: Apache-2.0
"""TPF: an adapter fuses RGB and one other sensor X into one image; a one-stream tracker with two templates reads it.

A DESIGN THAT FITS THE PAPER'S OUTLINE [ours], NOT A REPRODUCTION: no code was released, and of the paper (Lu et al.,
arXiv 2503.11247v1) little more is known than fusion at pixel level by an adapter of Vision Mamba blocks and
convolutions, a single-stream tracker behind it and a template that follows the target. Everything else follows
docs/methods/tpf.md 2 and 5, where it is marked [inferred]; do not present results as "the TPF numbers".

Legend: B batch, Nz tokens of one template, Nx of the search crop, D width. Tokens: [first template; later one; search].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.parts.fusion_adapter import FusionAdapter
from modaltrack.models.parts.presence import run_by_presence
from modaltrack.models.parts.vit import embed_pair
from modaltrack.models.prediction import Images, Prediction, Presence
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig
from modaltrack.models.two_sensors import TwoSensorTracker


@dataclass(frozen=True)
class TPFConfig(ViTConfig):
    """OSTrack's sizes, without candidate elimination, and the adapter's; all defaults are inferred.

    Attributes:
        num_templates: 2, or 1 for the first template alone.
        pfa_channels: C of the adapter.
        pfa_layout: "parallel" or "sequential".
        pfa_states: of its scans.
        pfa_norm: "batch" (inferred) or "group" [ours].

    Source: docs/methods/tpf.md 2.
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    elimination_blocks: tuple[int, ...] = ()
    num_templates: int = 2
    pfa_channels: int = 64
    pfa_layout: str = "parallel"
    pfa_states: int = 16
    pfa_norm: str = "batch"


class TPF(TwoSensorTracker):
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

        H and W are multiples of 4. One image alone comes back as it is.

        Raises:
            ValueError: for none, or two besides RGB.
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

        Args:
            memory: the later template, in the layout of ``template`` and of the same modalities; None takes the first
                one twice, as in the first frame of a clip.
            present: per modality which samples have it, (B,) bool; it holds for all images of a sample.
        """
        sensors = self.sensors(template, search)
        joined: Images = template
        if memory is not None and self.config.num_templates == 2:
            both = self.sensors(memory, search)
            if both != sensors:
                found, wanted = ", ".join(both), ", ".join(sensors)
                raise ValueError(f"The later template is of {found} and the first of {wanted}; give the same.")
            joined = {m: torch.stack([template[m], memory[m]], 1) for m in sensors}  # (B, 2, 3, h, w)
        return run_by_presence(self.run, joined, search, sensors, present)

    def run(self, template: Images, search: Images, sensors: list[Modality]) -> Prediction:
        templates = [{m: template[m] for m in sensors}]
        if template[sensors[0]].ndim == 5:
            templates = [{m: template[m][:, i] for m in sensors} for i in range(2)]
        first, *later = [self.fused_image(images) for images in templates]
        tokens, x = embed_pair(self.patch_embed, first, self.fused_image({m: search[m] for m in sensors}))
        z = [tokens, *(self.patch_embed(image) for image in later)]  # (B, Nz, D) each
        z += z[:1] * (self.config.num_templates - len(z))
        return self.predict_all(self.walk(torch.cat([*(t + self.pos_template for t in z), x + self.pos_search], 1)))


@register(TPF)
def tpf_base() -> TPFConfig:
    """Inferred: the one-stream base tracker at 256 pixels behind an adapter of 64 channels."""
    return TPFConfig()


@register(TPF)
def tpf_tiny() -> TPFConfig:
    """[ours] The tiny OSTrack behind an adapter of 32 channels."""
    return TPFConfig(**TINY, pfa_channels=32, pfa_norm="group")


@register(TPF)
def tpf_laptop() -> TPFConfig:
    """[ours] The same on ostrack-laptop, with one template."""
    return TPFConfig(**LAPTOP, num_templates=1, pfa_channels=32, pfa_norm="group")
