# SPDX-License-Identifier: Apache-2.0
"""Low-rank adaptation: a linear layer whose weight is changed by the product of two thin matrices."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def start_factors(inputs: int, outputs: int, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
    """A (rank, in), random, and B (out, rank), zero: a change that starts as none (docs/methods/srtrack.md 1.3)."""
    if rank < 1:
        raise ValueError(f"The rank of a low-rank layer is {rank}; expected at least 1.")
    a = nn.Parameter(torch.empty(rank, inputs))
    nn.init.kaiming_uniform_(a, a=math.sqrt(5))
    return a, nn.Parameter(torch.zeros(outputs, rank))


class LoraLinear(nn.Linear):
    """``x W' + b + x A' B' / rank``: (..., in) -> (..., out), with A (rank, in) and B (out, rank), B zero at the start.

    The factor 1 / rank is loralib's alpha / rank with its default alpha of 1 (docs/methods/srtrack.md 1.3). Nothing
    is merged: the layer says the same in training and in evaluation mode.
    """

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__(inputs, outputs)
        self.lora_A, self.lora_B = start_factors(inputs, outputs, rank)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.linear(F.linear(x, self.lora_A), self.lora_B) / self.lora_A.shape[0]
