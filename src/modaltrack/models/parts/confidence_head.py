# SPDX-License-Identifier: Apache-2.0
"""How likely the box at each cell is on the target, read from what the trunk made of template and search. [ours]"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConfidenceHead(nn.Module):
    """Template tokens (B, Nz, D), search tokens (B, Nx, D), score map (B, 1, g, g) -> logits (B, 1, g, g).

    A cell is judged by its token, by the template's mean, by its score, and by what else the map holds: its highest
    score, and its highest outside the cell's neighbourhood. The last tells two alike targets apart. A method whose last
    layers keep no template tokens gives None for them: its search tokens have met the template all the same.
    """

    def __init__(self, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.token = nn.Linear(dim, hidden)
        self.context = nn.Linear(2 * dim, hidden)
        self.scores = nn.Linear(4, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.read = nn.Linear(hidden, 1)

    def forward(self, template: Tensor | None, search: Tensor, score: Tensor) -> Tensor:
        grid = score.shape[-1]
        flat = score.float().flatten(2).transpose(1, 2)  # (B, Nx, 1)
        logit = torch.logit(flat, eps=1e-4)
        near = F.max_pool2d(score.float(), 5, 1, 2).flatten(2).transpose(1, 2)
        whole = flat.amax(1, keepdim=True).expand_as(flat)
        crowd = flat.square().sum(1, keepdim=True) / flat.amax(1, keepdim=True).square()  # cells as high as the peak
        numbers = torch.cat([logit, whole - flat, near - flat, crowd.log().expand_as(flat)], 2)
        share = flat / flat.sum(1, keepdim=True)
        found = (search * share.to(search)).sum(1, keepdim=True)  # (B, 1, D): what the scores point at
        about = torch.zeros_like(found) if template is None else template.mean(1, keepdim=True)
        context = torch.cat([about, found], 2)
        hidden = F.gelu(self.token(search) + self.context(context) + self.scores(numbers.to(search)))
        hidden = F.gelu(self.mix(hidden))
        return self.read(hidden).float().transpose(1, 2).unflatten(2, (grid, grid))
