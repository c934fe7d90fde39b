# SPDX-License-Identifier: Apache-2.0
"""The vision transformer that every method of this family is built on.

Legend: B batch, N tokens, D width, H heads, d = D / H, Nz template tokens, Nx search tokens, g tokens along an edge.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.drop_key import attend_dropping_keys
from modaltrack.models.parts.matching_stem import MatchingStem


class PatchStem(nn.Module):
    """Published stem: one convolution whose kernel is the patch; images (B, 3, h, w) -> tokens (B, N, D), row-major."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, image: Tensor) -> Tensor:
        patch = self.proj.kernel_size[0]
        rows, columns = image.shape[2] // patch, image.shape[3] // patch
        # patches do not overlap, so the convolution is one matrix product, which CPUs do faster
        patches = image.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))  # (B, 3, rows, p, columns, p)
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, N, 3 * p * p)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)  # (B, N, D)


class ConvStem(nn.Module):
    """Stem of the tiny models [ours]: strided 3x3 convolutions learn edges from far less data than one big patch does.

    Images (B, 3, h, w) -> tokens (B, N, D), row-major. GroupNorm with one group keeps it independent of the batch.
    """

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        steps = patch.bit_length() - 1
        assert patch == 2**steps, "a stack of stride-2 convolutions makes a power of two"
        widths = [3] + [dim >> (steps - 1 - i) for i in range(steps)]  # 3, 24, 48, 96, 192 at D = 192, patch 16
        self.convs = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.GroupNorm(1, b), nn.GELU())
                for a, b in pairwise(widths)
            )
        )
        self.proj = nn.Conv2d(widths[-1], dim, 1)
        for module in self.convs.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(self.convs(image)).flatten(2).transpose(1, 2)  # (B, N, D)


STEMS = ("patch", "conv", "matching")


def make_stem(name: str, dim: int, patch: int, template_grid: int) -> nn.Module:
    """A fresh stem by its name.

    Args:
        template_grid: cells along a template's edge.

    Raises:
        ValueError: for an unknown name.
    """
    if name == "matching":
        return MatchingStem(dim, patch, template_grid)
    if name not in STEMS:
        raise ValueError(f"stem is {name!r}; expected one of {', '.join(STEMS)}.")
    return PatchStem(dim, patch) if name == "patch" else ConvStem(dim, patch)


def embed_pair(stem: nn.Module, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
    """Images of one sensor -> template and search tokens; a stem that matches sees both at once."""
    if isinstance(stem, MatchingStem):
        return stem.pair(template, search)
    return stem(template), stem(search)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of (B, H, N, d) heads.

    In training on a CPU the plain products are used: for the few tokens of the tiny models the backward pass of torch's
    fused kernel takes three times as long (a third of a whole training step).
    """
    trained = torch.is_grad_enabled() and not torch.compiler.is_exporting()
    if trained and q.device.type == "cpu" and k.shape[2] <= 1024:
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (B, H, N, M)
        return logits.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Attended(NamedTuple):
    """The output of an attention (B, N, D), and its queries and keys (B, H, N, d), which elimination reads."""

    output: Tensor
    query: Tensor
    key: Tensor


class Attention(nn.Module):
    """Multi-head attention whose projections can also be used one by one, as fusions do.

    Args:
        drop_key: chance of a key to be dropped in training.
    """

    def __init__(self, dim: int, heads: int, drop_key: float = 0.0) -> None:
        super().__init__()
        self.heads, self.drop_key = heads, drop_key
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Attended:
        q, k, v = self.split(self.qkv(x), 3)  # (B, H, N, d) each
        return Attended(self.merge(self.attend(q, k, v)), q, k)

    def split(self, rows: Tensor, count: int) -> tuple[Tensor, ...]:
        """(B, N, count * D) -> count tensors (B, H, N, d)."""
        b, n, width = rows.shape
        return rows.view(b, n, count, self.heads, width // (count * self.heads)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, N, d) each -> (B, H, N, d), with some keys dropped in training."""
        if self.training and self.drop_key:
            return attend_dropping_keys(q, k, v, self.drop_key)
        return attend(q, k, v)

    def merge(self, heads: Tensor) -> Tensor:
        """(B, H, N, d) -> (B, N, D) through the output projection."""
        return self.proj(heads.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them; (B, N, D) -> (B, N, D)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class DropPath(nn.Module):
    """Stochastic depth: in training, a sample's change is dropped with a probability and else scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, change: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return change
        keep = 1 - self.rate
        return change * change.new_empty(change.shape[0], 1, 1, dtype=torch.float32).bernoulli_(keep).div_(keep)


class Block(nn.Module):
    """A pre-norm transformer block; tokens (B, N, D) -> (B, N, D)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_path: float, drop_key: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, drop_key)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)).output)
        return x + self.drop_path(self.mlp(self.norm2(x)))


def init_linear(module: nn.Module) -> None:
    """The family's initialiser: truncated normal of std 0.02 for every linear layer, adapters included; zero bias."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def sincos_positions(dim: int, grid: int) -> Tensor:
    """2-D sine-cosine table (1, g * g, D) with values in -1..1: half of the channels tell the row, half the column."""
    assert dim % 4 == 0
    rates = 100.0 ** -(torch.arange(dim // 4) / (dim // 4))  # 100 instead of 10000: grids have at most 16 cells
    angle = torch.arange(grid)[:, None] * rates  # (g, D / 4)
    axis = torch.cat([angle.sin(), angle.cos()], 1)  # (g, D / 2)
    rows, columns = axis[:, None].expand(grid, grid, -1), axis[None].expand(grid, grid, -1)
    return torch.cat([rows, columns], 2).reshape(1, grid * grid, dim)
