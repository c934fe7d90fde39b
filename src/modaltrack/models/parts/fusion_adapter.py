# SPDX-License-Identifier: Apache-2.0
"""TPF's pixel-level fusion adapter: two images in, one image out that a tracker of plain images can read.

Legend: B batch, H x W pixels, C channels, L = (H / 4)(W / 4) tokens. Works for any H and W that are multiples of 4.
Source: arXiv 2503.11247. That there are three Vision Mamba blocks and convolutions is reported; everything else here
is a design that fits it (docs/methods/tpf.md 2.2, marked [inferred] there): not known to be what the authors did.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modaltrack.models.parts.vim import VimBlock

LAYOUTS = ("parallel", "sequential")


def _stem(channels: int, norm: str) -> nn.Sequential:
    """Image (B, 3, H, W) -> (B, C, H / 4, W / 4)."""

    def step(inputs: int, outputs: int) -> list[nn.Module]:
        layer = nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(max(1, outputs // 8), outputs)
        return [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), layer, nn.GELU()]

    return nn.Sequential(*step(3, channels // 2), *step(channels // 2, channels))


class FusionAdapter(nn.Module):
    """Normalised images of RGB and of one other sensor (B, 3, H, W) each -> fused image (B, 3, H, W), normalised alike.

    fused = blend * rgb + (1 - blend) * other + rest; a fresh adapter has blend 1/2 and rest 0: the plain average.

    Args:
        layout: "parallel" encodes each image with a block of its own and merges with the third; "sequential" merges the
            images at once and has the three blocks in a row.
    """

    def __init__(self, channels: int = 64, norm: str = "batch", layout: str = "parallel", states: int = 16) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"pfa_layout is {layout!r}; expected one of {', '.join(LAYOUTS)}.")
        if norm not in ("batch", "group"):
            raise ValueError(f'pfa_norm is {norm!r}; expected "batch" or "group".')
        if channels % 8:
            raise ValueError(f"pfa_channels is {channels}; expected a multiple of 8.")
        self.layout = layout
        self.stem_rgb, self.stem_other = _stem(channels, norm), _stem(channels, norm)
        self.blocks = nn.ModuleList([VimBlock(channels, states=states) for _ in range(3)])
        self.merge = nn.Linear(2 * channels, channels)
        self.shortcut = nn.Conv2d(2 * channels, channels, 1)
        self.up = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.PixelShuffle(2),
            nn.GELU(),
            nn.Conv2d(channels // 2, channels, 3, padding=1),
            nn.PixelShuffle(2),
            nn.GELU(),
        )
        self.blend = nn.Conv2d(channels // 4, 1, 3, padding=1)
        self.rest = nn.Conv2d(channels // 4, 3, 3, padding=1)
        self.restart()

    def restart(self) -> None:
        """Make it the plain average, whatever the other weights are."""
        for layer in (self.blend, self.rest):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, rgb: Tensor, other: Tensor) -> Tensor:
        near = torch.cat([self.stem_rgb(rgb), self.stem_other(other)], 1)  # (B, 2C, H/4, W/4)
        grid = near.shape[2:]
        first, second, third = self.blocks
        tokens = near.flatten(2).transpose(1, 2)  # (B, L, 2C), row-major
        if self.layout == "parallel":
            of_rgb, of_other = tokens.chunk(2, 2)
            tokens = third(self.merge(torch.cat([first(of_rgb), second(of_other)], 2)))  # (B, L, C)
        else:
            tokens = third(second(first(self.merge(tokens))))
        picture = tokens.transpose(1, 2).unflatten(2, grid) + self.shortcut(near)  # (B, C, H/4, W/4)
        picture = self.up(picture)  # (B, C / 4, H, W)
        blend = self.blend(picture).float().sigmoid()  # (B, 1, H, W)
        fused = blend * rgb + (1 - blend) * other + self.rest(picture).float()
        return fused.to(rgb.dtype)
