# SPDX-License-Identifier: Apache-2.0
"""SDSTrack's complementary masked patch distillation (Hou et al., CVPR 2024; spec sdstrack.md, section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MASK_RATE = 0.3
CLEAN, MASKED, DISTILLATION = 0.6, 0.2, 0.1  # of the authors' code; the paper has 1 : 0.3 : 0.25


def draw_masks(
    second: str, batch: int, num_template: int, num_search: int, device: torch.device
) -> dict[str, dict[str, Tensor]]:
    """Patches to blank: role -> sensor -> (B, N) bool; no patch is blank in both sensors.

    RGB with probability 0.3, the second sensor with 0.3 where RGB is not blank (so 30 % and 21 %: not symmetric, as
    published). Drawn from the global CPU generator in the published order.
    """
    masks = {}
    for role, count in (("template", num_template), ("search", num_search)):
        rgb, other = torch.rand(batch, count), torch.rand(batch, count)
        blank = rgb < MASK_RATE
        masks[role] = {"rgb": blank.to(device), second: (~blank & (other < MASK_RATE)).to(device)}
    return masks


def distillation_loss(stages: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over fusion stages of the mean squared difference of clean and masked fused tokens (B, N, D).

    No gradient is stopped, so clean tokens are pulled towards masked ones too (as published). Compared rank by rank:
    once elimination is on, a rank is not the same place in both (as published; our tiny models eliminate nothing).
    """
    return torch.stack([F.mse_loss(clean.float(), masked.float()) for clean, masked in stages]).mean()
