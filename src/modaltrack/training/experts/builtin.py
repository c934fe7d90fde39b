# SPDX-License-Identifier: Apache-2.0
"""Experts without weights, so that the distillation runs anywhere (docs/methods/tpf.md 3).

All but the average fuse brightness and keep RGB's colour. Legend: y (B, 1, H, W) brightness in 0..1, H x W at least 16.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from modaltrack.training.experts.filters import box_mean, gaussian, slope, smooth

LEVELS = 4  # of the pyramid, the base being one
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def luminance(images: Tensor) -> Tensor:
    """Brightness (B, 1, H, W) of RGB images (B, 3, H, W), ITU-R BT.601."""
    red, green, blue = images.split(1, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def recolour(brightness: Tensor, rgb: Tensor) -> Tensor:
    """An image (B, 3, H, W) of this brightness (B, 1, H, W) and with Cb and Cr of ``rgb``, cut to 0..1."""
    return (rgb + (brightness - luminance(rgb))).clamp(0, 1)


def on_brightness(fuse: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """An expert of colour images made of one that fuses brightness."""

    def expert(rgb: Tensor, other: Tensor) -> Tensor:
        return recolour(fuse(luminance(rgb), luminance(other)), rgb)

    expert.__doc__ = fuse.__doc__
    return expert


def average(rgb: Tensor, other: Tensor) -> Tensor:
    """The mean of both images: what a fresh adapter makes."""
    return (rgb + other) / 2


@on_brightness
def maximum(y: Tensor, other: Tensor) -> Tensor:
    """The brighter of both, pixel by pixel."""
    return torch.maximum(y, other)


@on_brightness
def pyramid(y: Tensor, other: Tensor) -> Tensor:
    """Laplacian pyramids: of every detail the stronger, of the base the mean."""
    details = []
    both = torch.stack([y, other])  # (2, B, 1, H, W)
    for _ in range(LEVELS - 1):
        small = smooth(both, BINOMIAL)[..., ::2, ::2]
        detail = both - _grown(small, both.shape[-2:])
        details.append(torch.where(detail[0].abs() >= detail[1].abs(), detail[0], detail[1]))
        both = small
    fused = both.mean(0)
    for detail in reversed(details):
        fused = _grown(fused, detail.shape[-2:]) + detail
    return fused


def _grown(images: Tensor, size: torch.Size) -> Tensor:
    flat = images.flatten(0, -4) if images.ndim > 4 else images
    return F.interpolate(flat, tuple(size), mode="bilinear", align_corners=False).view(*images.shape[:-2], *size)


@on_brightness
def guided(y: Tensor, other: Tensor) -> Tensor:
    """Guided-filter fusion on two scales (Li, Kang and Hu 2013), its radii given for 512 pixels and scaled to these."""
    side = min(y.shape[-2:])
    wide, narrow, base = (max(1, round(r * side / 512)) for r in (45, 7, 15))
    both = torch.stack([y, other])  # (2, B, 1, H, W)
    bases = box_mean(both, base)
    edges = F.pad(both.flatten(0, 1), (1, 1, 1, 1), mode="replicate").view(
        2, *y.shape[:2], *(s + 2 for s in y.shape[2:])
    )
    curve = 4 * both - edges[..., 1:-1, 2:] - edges[..., 1:-1, :-2] - edges[..., 2:, 1:-1] - edges[..., :-2, 1:-1]
    salience = smooth(curve.abs(), gaussian(11, 5.0))
    first = (salience[0] >= salience[1]).float()
    chosen = torch.stack([first, 1 - first])
    fused = torch.zeros_like(y)
    for layer, radius, eps in ((bases, wide, 0.3), (both - bases, narrow, 1e-6)):
        weights = _guided_filter(both, chosen, radius, eps).clamp(0, 1) + 1e-6
        fused = fused + (weights * layer).sum(0) / weights.sum(0)
    return fused


def _guided_filter(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """``image`` smoothed but for the edges of ``guide`` (He, Sun and Tang 2013)."""
    mean_g, mean_i = box_mean(guide, radius), box_mean(image, radius)
    spread = (box_mean(guide * guide, radius) - mean_g**2).clamp(min=0)
    gain = (box_mean(guide * image, radius) - mean_g * mean_i) / (spread + eps)
    return box_mean(gain, radius) * guide + box_mean(mean_i - gain * mean_g, radius)


@on_brightness
def saliency(y: Tensor, other: Tensor) -> Tensor:
    """A mean weighted by how much goes on around a pixel: the smoothed gradients of each."""
    taps = gaussian(11, 2.0)
    of_y, of_other = (smooth(slope(image), taps) + 1e-3 for image in (y, other))
    return (of_y * y + of_other * other) / (of_y + of_other)


BUILTIN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "average": average,
    "maximum": maximum,
    "pyramid": pyramid,
    "guided": guided,
    "saliency": saliency,
}
