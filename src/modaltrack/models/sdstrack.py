# SPDX-License-Identifier: Apache-2.0
"""SDSTrack: RGB and one other sensor X share one frozen OSTrack; adapters bend it for X and for fusing both.

Legend: B batch, S streams (2 with both sensors), N = Nz + n tokens of one stream (template first), D width.
Both streams are stacked along the batch, RGB first, (S * B, N, D): the shared weights see one large matrix product.
Source: Hou et al., CVPR 2024, arXiv 2403.16002; docs/methods/sdstrack.md. What is marked ours is not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.model import Masks
from modaltrack.models.parts.adapter import MLP_SCALE, AdapterPair
from modaltrack.models.parts.elimination import eliminate, restore
from modaltrack.models.parts.presence import rgb_and_other, run_by_presence
from modaltrack.models.parts.vit import accumulate, init_linear, make_stem, scaled, working_room
from modaltrack.models.prediction import Images, Prediction, Presence
from modaltrack.models.registry import register
from modaltrack.models.trunk import TINY, ViTConfig, ViTTracker


@dataclass(frozen=True)
class SDSTrackConfig(ViTConfig):
    """OSTrack's sizes and SDSTrack's additions; the defaults are the authors'.

    modalities: RGB and the kinds of X the weights are for. fusion_blocks: after which blocks the streams are fused.
    adapter_init: "normal" (published, std 0.02) or "zero" (ours). fuse_gate_init: None (published) or the initial value
    of a learnable gate on the fusion's residual branches (ours). x_stem_init: "fresh" (published) or "copy" (ours).
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    fusion_blocks: tuple[int, ...] = (3, 6, 9, 11)
    adapter_ratio: float = 0.25
    adapter_init: str = "normal"
    fuse_gate_init: float | None = None
    x_stem_init: str = "fresh"


class Stage(NamedTuple):
    """Fused tokens (2 * B, N, D) behind a fusion block and the search positions (2 * B, n) that are left."""

    tokens: Tensor
    left: Tensor


class SDSTrack(ViTTracker):
    """``model(template, search, present=None) -> Prediction`` on RGB and one other modality, either of which may lack.

    Missing modalities are ours, see ``missing_policy``.
    """

    missing_policy = "A sample with one sensor runs that stream alone, without fusion and without averaging."
    config: SDSTrackConfig

    def __init__(self, config: SDSTrackConfig) -> None:
        super().__init__(config)
        c = config
        for name, value, known in (
            ("adapter_init", c.adapter_init, ("normal", "zero")),
            ("x_stem_init", c.x_stem_init, ("fresh", "copy")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}.")
        self.patch_embed_x = make_stem(c.stem, c.dim, c.stride, self.template_grid)
        self.adapters = nn.ModuleList([AdapterPair(c.dim, c.adapter_ratio) for _ in self.blocks])
        self.fusions = nn.ModuleDict(
            {str(i): AdapterPair(c.dim, c.adapter_ratio, c.fuse_gate_init) for i in c.fusion_blocks}
        )
        for pair in (*self.adapters, *self.fusions.values()):
            pair.apply(init_linear)
            if c.adapter_init == "zero":
                pair.zero_init()
        if c.x_stem_init == "copy":
            self.patch_embed_x.load_state_dict(self.patch_embed.state_dict())

    def copies_of_base(self, name: str) -> list[str]:
        """Our further tensors that start as the RGB tracker's tensor ``name`` does: X's stem where it is a copy."""
        is_stem = self.config.x_stem_init == "copy" and name.startswith("patch_embed.")
        return [name.replace("patch_embed", "patch_embed_x", 1)] if is_stem else []

    def forward(
        self, template: Images, search: Images, present: Presence | None = None, keep_rate: float | None = None
    ) -> Prediction:
        """Normalised images per modality -> Prediction; ``keep_rate`` overrides the configuration's (1: keep all).

        present: per modality which samples have it, (B,) bool; a key missing in an image mapping counts as missing for
        the whole batch. A sample without any sensor gets a meaningless prediction; a batch without any is an error.
        """
        rate = self.config.keep_rate if keep_rate is None else keep_rate
        modalities = self._modalities(template, search)
        return run_by_presence(
            lambda z, x, chosen: self._run(z, x, chosen, rate), template, search, modalities, present
        )

    def masked_pair(
        self,
        template: Images,
        search: Images,
        masks: Masks,
        keep_rate: float | None = None,
        places: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Prediction, Prediction, list[tuple[Tensor, Tensor]]]:
        """Clean prediction, masked prediction and (clean, masked) fused tokens (2 * B, N, D) of every fusion block.

        masks say which patches are blanked, per role and modality; both sensors have to be there. Blanking happens
        after the patch projection and before the positions are added (docs/methods/sdstrack.md 2.1); with a
        convolutional stem (ours) a neighbour may already have seen the patch. Elimination orders the two sets
        independently, as published; places, if given, collects the search positions (2 * B, n) of the clean and of the
        masked tokens of every fusion block.
        """
        modalities = self._modalities(template, search)
        if len(modalities) != 2:
            raise ValueError(f"Masked pairs need RGB and one other modality; only {modalities[0]} was given.")
        rate = self.config.keep_rate if keep_rate is None else keep_rate
        fused: tuple[list[Stage], list[Stage]] = ([], [])
        predictions = []
        for chosen, stages in zip((None, masks), fused):
            tokens = self._tokens(template, search, modalities, chosen)
            predictions.append(self.predict(self.backbone(tokens, rate, modalities, stages)[:, self.num_template :]))
        if places is not None:
            places += [(clean.left, masked.left) for clean, masked in zip(*fused)]
        return predictions[0], predictions[1], [(clean.tokens, masked.tokens) for clean, masked in zip(*fused)]

    def _modalities(self, template: Images, search: Images) -> list[Modality]:
        """RGB and X, RGB alone or X alone, in this order."""
        c = self.config
        return rgb_and_other(template, search, c.modalities, c.template_size, c.search_size)

    def _tokens(self, template: Images, search: Images, modalities: list[Modality], masks: Masks | None) -> Tensor:
        """Stacked tokens (S * B, N, D)."""
        streams = []
        for m in modalities:
            stem = self.patch_embed if m is Modality.RGB else self.patch_embed_x
            z, x = stem(template[m]), stem(search[m])
            if masks is not None:
                z = z.masked_fill(masks["template"][m][:, :, None], 0)
                x = x.masked_fill(masks["search"][m][:, :, None], 0)
            streams.append(torch.cat([z + self.pos_template, x + self.pos_search], 1))
        return torch.cat(streams)

    def _run(self, template: Images, search: Images, modalities: list[Modality], keep_rate: float) -> Prediction:
        tokens = self._tokens(template, search, modalities, None)
        return self.predict(self.backbone(tokens, keep_rate, modalities)[:, -self.num_search :])

    def backbone(
        self, tokens: Tensor, keep_rate: float, modalities: list[Modality], stages: list[Stage] | None = None
    ) -> Tensor:
        """Stacked tokens (S * B, N, D) -> normalised mean of the streams (B, N, D).

        stages, if given, collects what every fusion block makes; without it the template's part of the last
        fusion is not computed, because nothing reads it, and the result is (B, Nx, D).
        """
        streams, batch = len(modalities), tokens.shape[0] // len(modalities)
        of_x = slice(batch * (streams - 1) if modalities[-1] is not Modality.RGB else tokens.shape[0], None)
        index = self.start_index(tokens)
        search_only = False
        room = working_room(tokens, self.config.mlp_ratio)
        for i in range(len(self.blocks)):
            tokens, index = self._stream_block(i, tokens, index, of_x, keep_rate, room)
            if i in self.config.fusion_blocks and streams == 2:
                search_only = stages is None and i == len(self.blocks) - 1
                tokens = self._fusion_block(i, tokens, self.num_template if search_only else 0, room)
                if stages is not None:
                    stages.append(Stage(tokens, index))
        split = 0 if search_only else self.num_template
        # unlike OSTrack, the zeros of eliminated positions go through the norm
        tokens = torch.cat([tokens[:, :split], restore(tokens[:, split:], index, self.num_search)], 1)
        return self.norm(tokens.view(streams, batch, *tokens.shape[1:]).mean(0))

    def _stream_block(
        self, i: int, tokens: Tensor, index: Tensor, of_x: slice, keep_rate: float, room: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Block i in both streams at once; ``of_x`` are the rows of X, which alone have adapters.

        Source: docs/methods/sdstrack.md 1.3.
        """
        block, adapter = self.block(i), cast(AdapterPair, self.adapters[i])
        attention, q, k = block.attn(block.norm1(tokens), room)
        scale = block.keep_scale(tokens)
        tokens = tokens + scaled(attention, scale)
        tokens[of_x].add_(scaled(adapter.space(attention[of_x]), None if scale is None else scale[of_x]))
        if i in self.config.elimination_blocks:
            tokens, index = eliminate(tokens, index, q, k, self.num_template, keep_rate)
        hidden = block.norm2(tokens)
        scale = block.keep_scale(tokens)
        if scale is not None:
            scale[: of_x.start] = 1  # the published RGB stream has no stochastic depth here
        tokens = accumulate(tokens, scaled(block.mlp(hidden, room), scale))
        change = scaled(adapter.mlp(hidden[of_x]), None if scale is None else scale[of_x])
        tokens[of_x].add_(change, alpha=MLP_SCALE)
        return tokens, index

    def _fusion_block(self, i: int, tokens: Tensor, skip: int, room: Tensor | None) -> Tensor:
        """Block i once more: every token looks at the other sensor's tokens only. The first ``skip`` get no output."""
        block, pair = self.block(i), cast(AdapterPair, self.fusions[str(i)])
        batch, dim = tokens.shape[0] // 2, tokens.shape[2]
        attn = block.attn
        hidden = block.norm1(tokens)
        (q,) = attn.split(F.linear(hidden[:, skip:], attn.qkv.weight[:dim], attn.qkv.bias[:dim]), 1)
        k, v = attn.split(F.linear(hidden, attn.qkv.weight[dim:], attn.qkv.bias[dim:]), 2)
        attention = attn.merge(attn.attend(q, k.roll(batch, 0), v.roll(batch, 0)))
        change = attention + pair.space(attention)
        tokens = tokens[:, skip:] + scaled(scaled(change, pair.attention_gate), self._pair_scale(i, batch, tokens))
        hidden = block.norm2(tokens)
        change = torch.add(block.mlp(hidden, room), pair.mlp(hidden), alpha=MLP_SCALE)
        return accumulate(tokens, scaled(scaled(change, pair.mlp_gate), self._pair_scale(i, batch, tokens)))

    def _pair_scale(self, i: int, batch: int, tokens: Tensor) -> Tensor | None:
        """Stochastic depth of a fusion: both streams of a sample are one set of tokens and drop together."""
        scale = self.block(i).keep_scale(tokens[:batch])
        return None if scale is None else scale.repeat(2, 1, 1)


@register(SDSTrack)
def sdstrack_base() -> SDSTrackConfig:
    """The authors' SDSTrack on OSTrack-256."""
    return SDSTrackConfig()


@register(SDSTrack)
def sdstrack_tiny() -> SDSTrackConfig:
    """Ours: starts exactly as the tiny OSTrack in each stream, with a nearly closed fusion."""
    return SDSTrackConfig(**TINY, fusion_blocks=(1, 3, 5), adapter_init="zero", fuse_gate_init=1e-2, x_stem_init="copy")
