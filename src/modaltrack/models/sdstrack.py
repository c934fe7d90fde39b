# SPDX-License-Identifier: Apache-2.0
"""SDSTrack: RGB and one other sensor X share one frozen OSTrack; adapters bend it for X and for fusing both.

Legend: B batch, S streams (2 with both sensors), N = Nz + n tokens of one stream (template first), D width.
Both streams are stacked along the batch, RGB first, (S * B, N, D): the shared weights see one large matrix product.
Source: Hou et al., CVPR 2024, arXiv 2403.16002; docs/methods/sdstrack.md. What is marked [ours] is not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.model import Masks
from modaltrack.models.parts.adapter import MLP_SCALE, AdapterPair, gated
from modaltrack.models.parts.elimination import eliminate, restore
from modaltrack.models.parts.presence import run_by_presence
from modaltrack.models.parts.vit import Attention, Block, embed_pair, init_linear, make_stem
from modaltrack.models.prediction import Images, Prediction, Presence
from modaltrack.models.registry import register
from modaltrack.models.trunk import LAPTOP, TINY, ViTConfig
from modaltrack.models.two_sensors import TwoSensorTracker


@dataclass(frozen=True)
class SDSTrackConfig(ViTConfig):
    """OSTrack's sizes and SDSTrack's additions; the defaults are the authors'.

    Attributes:
        modalities: RGB and the kinds of X the weights are for.
        fusion_blocks: after which blocks the streams are fused.
        adapter_init: "normal" (published, std 0.02) or "zero" [ours].
        fuse_gate_init: None (published) or the initial value of a learnable gate on the fusion's residual branches
            [ours].
        x_stem_init: "fresh" (published) or "copy" [ours].
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


class SDSTrack(TwoSensorTracker):
    """Two streams through one frozen transformer; X's has adapters, and some blocks run once more to fuse both."""

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
        """Further tensors that start as the RGB tracker's tensor ``name`` does: X's stem where it is a copy."""
        is_stem = self.config.x_stem_init == "copy" and name.startswith("patch_embed.")
        return [name.replace("patch_embed", "patch_embed_x", 1)] if is_stem else []

    def forward(
        self, template: Images, search: Images, present: Presence | None = None, keep_rate: float | None = None
    ) -> Prediction:
        """As every two-sensor tracker; ``keep_rate`` overrides the configuration's (1: keep all)."""
        rate = self.config.keep_rate if keep_rate is None else keep_rate

        def run(z: Images, x: Images, sensors: list[Modality]) -> Prediction:
            return self.predict(self.encode(self.tokens(z, x, sensors), rate, sensors))

        return run_by_presence(run, template, search, self.sensors(template, search), present)

    def masked_pair(
        self,
        template: Images,
        search: Images,
        masks: Masks,
        keep_rate: float | None = None,
        places: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Prediction, Prediction, list[tuple[Tensor, Tensor]]]:
        """Clean prediction, masked prediction and (clean, masked) fused tokens (2 * B, N, D) of every fusion block.

        Blanking happens after the patch projection and before the positions are added; with a convolutional stem [ours]
        a neighbour may already have seen the patch. Elimination orders the two sets independently, as published.

        Args:
            masks: which patches are blanked, per role and modality; both sensors have to be there.
            places: if given, collects the search positions (2 * B, n) of the clean and of the masked tokens of every
                fusion block.

        Source: docs/methods/sdstrack.md 2.1 and 2.2.
        """
        sensors = self.sensors(template, search)
        if len(sensors) != 2:
            raise ValueError(f"Masked pairs need RGB and one other modality; only {sensors[0]} was given.")
        rate = self.config.keep_rate if keep_rate is None else keep_rate
        clean: list[Stage] = []
        masked: list[Stage] = []
        seen = self.predict(self.encode(self.tokens(template, search, sensors), rate, sensors, clean))
        blanked = self.predict(self.encode(self.tokens(template, search, sensors, masks), rate, sensors, masked))
        if places is not None:
            places += [(a.left, b.left) for a, b in zip(clean, masked)]
        return seen, blanked, [(a.tokens, b.tokens) for a, b in zip(clean, masked)]

    def tokens(self, template: Images, search: Images, sensors: list[Modality], masks: Masks | None = None) -> Tensor:
        """Stacked tokens (S * B, N, D), RGB first (1.1)."""
        streams = []
        for m in sensors:
            z, x = embed_pair(self.patch_embed if m is Modality.RGB else self.patch_embed_x, template[m], search[m])
            if masks is not None:
                z = z.masked_fill(masks["template"][m][:, :, None], 0)
                x = x.masked_fill(masks["search"][m][:, :, None], 0)
            streams.append(torch.cat([z + self.pos_template, x + self.pos_search], 1))
        return torch.cat(streams)

    def encode(
        self, tokens: Tensor, keep_rate: float, sensors: list[Modality], stages: list[Stage] | None = None
    ) -> Tensor:
        """Stacked tokens (S * B, N, D) -> normalised mean of the streams at the search tokens (B, Nx, D) (1.4, 1.5).

        stages, if given, collects what every fusion block makes. Without it the last fusion, if it is behind the last
        block, leaves out the template's tokens, because nothing reads them.
        """
        batch, last = tokens.shape[0] // len(sensors), len(self.stack) - 1
        left = self.search_positions(tokens)  # (S * B, Nx)
        first = self.num_template  # where the search tokens begin
        for i in range(last + 1):
            tokens, left = self.block_of_streams(i, tokens, left, sensors, keep_rate)
            if i in self.config.fusion_blocks and len(sensors) == 2:
                unread = first if i == last and stages is None else 0
                tokens = self.block_of_fusion(i, tokens, unread)
                first -= unread
                if stages is not None:
                    stages.append(Stage(tokens, left))
        search = restore(tokens[:, first:], left, self.num_search)  # (S * B, Nx, D)
        # unlike OSTrack, the zeros of eliminated positions go through the norm
        return self.norm(search.unflatten(0, (-1, batch)).mean(0))

    def block_of_streams(
        self, i: int, tokens: Tensor, left: Tensor, sensors: list[Modality], keep_rate: float
    ) -> tuple[Tensor, Tensor]:
        """Block i in the modes RGB and X, which share A and M; (S * B, N, D), (S * B, n) -> what is left (1.3)."""
        block, adapter, dp = self.stack[i], cast(AdapterPair, self.adapters[i]), self.stack[i].drop_path
        attended = block.attn(block.norm1(tokens))  # A(LN1 t)
        a = [a if m is Modality.RGB else a + adapter.space(a) for m, a in zip(sensors, each(attended.output, sensors))]
        tokens = tokens + dp(torch.cat(a))  # dp(A), dp(S_x(A))
        if i in self.config.elimination_blocks:
            tokens, left = eliminate(tokens, left, attended.query, attended.key, self.num_template, keep_rate)
        n = block.norm2(tokens)
        modes = zip(sensors, each(block.mlp(n), sensors), each(n, sensors))
        # M(n), dp(M(n) + 0.5 P_x(n)): the published RGB stream has no stochastic depth on the MLP
        m = [m if sensor is Modality.RGB else dp(m + MLP_SCALE * adapter.mlp(n)) for sensor, m, n in modes]
        return tokens + torch.cat(m), left

    def block_of_fusion(self, i: int, tokens: Tensor, unread: int) -> Tensor:
        """Block i in the mode fuse (1.3); the first ``unread`` tokens of each stream get no output."""
        block, pair = self.stack[i], cast(AdapterPair, self.fusions[str(i)])
        a = self.cross_attention(block.attn, block.norm1(tokens), unread)  # C(LN1 t)
        tokens = tokens[:, unread:] + self.drop_pair(block, gated(a + pair.space(a), pair.attention_gate))
        n = block.norm2(tokens)
        return tokens + self.drop_pair(block, gated(block.mlp(n) + MLP_SCALE * pair.mlp(n), pair.mlp_gate))

    def cross_attention(self, attn: Attention, x: Tensor, unread: int) -> Tensor:
        """C: each token looks at the other sensor's tokens only; (2 * B, N, D) -> (2 * B, N - unread, D)."""
        dim, batch = x.shape[2], x.shape[0] // 2
        (q,) = attn.split(F.linear(x[:, unread:], attn.qkv.weight[:dim], attn.qkv.bias[:dim]), 1)
        k, v = attn.split(F.linear(x, attn.qkv.weight[dim:], attn.qkv.bias[dim:]), 2)  # (2 * B, H, N, d)
        return attn.merge(attn.attend(q, k.roll(batch, 0), v.roll(batch, 0)))

    def drop_pair(self, block: Block, change: Tensor) -> Tensor:
        """Stochastic depth of a fusion: both streams of a sample are one set of tokens and drop together."""
        if not self.training or block.drop_path.rate == 0:
            return change
        return torch.cat(block.drop_path(torch.cat(change.chunk(2), 1)).chunk(2, 1))  # (B, 2 * N, D) between


def each(stacked: Tensor, sensors: list[Modality]) -> tuple[Tensor, ...]:
    """(S * B, ...) -> the S streams (B, ...) in it."""
    return stacked.chunk(len(sensors))


@register(SDSTrack)
def sdstrack_base() -> SDSTrackConfig:
    """The authors' SDSTrack on OSTrack-256."""
    return SDSTrackConfig()


@register(SDSTrack)
def sdstrack_tiny() -> SDSTrackConfig:
    """[ours] Starts exactly as the tiny OSTrack in each stream, with a nearly closed fusion."""
    return SDSTrackConfig(**TINY, fusion_blocks=(1, 3, 5), adapter_init="zero", fuse_gate_init=1e-2, x_stem_init="copy")


@register(SDSTrack)
def sdstrack_laptop() -> SDSTrackConfig:
    """[ours] The same on ostrack-laptop: each stream starts exactly as it."""
    return SDSTrackConfig(**LAPTOP, fusion_blocks=(1, 3), adapter_init="zero", fuse_gate_init=1e-2, x_stem_init="copy")
