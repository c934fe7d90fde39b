# SPDX-License-Identifier: Apache-2.0
"""From a model's maps to boxes."""

from __future__ import annotations

import torch


def hann_window(size: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(size, size) float32, 0.5 * (1 - cos(2 pi k / (size + 1))), k = 1..size, along both axes.

    Source: docs/methods/ostrack.md 7.
    """
    k = torch.arange(1, size + 1, dtype=torch.float64)
    line = 0.5 * (1 - torch.cos(2 * torch.pi * k / (size + 1)))
    return torch.outer(line, line).to(device, torch.float32)


def decode(
    score_map: torch.Tensor, size_map: torch.Tensor, offset_map: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the boxes at the peaks: (B, 1, H, W), (B, 2, H, W), (B, 2, H, W) -> boxes (B, 4), peaks (B,).

    Boxes are cxcywh in 0..1 of the search crop: centre (cell + offset) / number of cells, size as it stands in the map.
    score_map may be the score or the windowed response. Source: docs/methods/ostrack.md 4.
    """
    height, width = score_map.shape[-2:]
    peak, cell = score_map.flatten(1).max(1)  # (B,), (B,)
    at = cell[:, None, None].expand(-1, 2, 1)
    offset = offset_map.flatten(2).gather(2, at).squeeze(2)  # (B, 2) x, y in cells
    size = size_map.flatten(2).gather(2, at).squeeze(2)  # (B, 2) width, height in 0..1
    column, row = cell % width, torch.div(cell, width, rounding_mode="floor")
    centre = torch.stack([(column + offset[:, 0]) / width, (row + offset[:, 1]) / height], 1)
    return torch.cat([centre, size], 1), peak
