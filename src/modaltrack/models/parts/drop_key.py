# SPDX-License-Identifier: Apache-2.0
"""DropKey: in training every query overlooks some keys, so that it learns not to lean on one sensor or one place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend_dropping_keys(q: Tensor, k: Tensor, v: Tensor, rate: float, dropout: float = 0.0) -> Tensor:
    """Attention of (B, H, N, d) heads in which each (query, head) loses each key with probability ``rate``.

    The mask has the full shape (B, H, N, M) and nothing is rescaled (docs/methods/smstracker.md 1.5). A dropped logit
    becomes the smallest finite float32 number: -1e12, as published, is out of range in fp16, and a row that lost all of
    its keys attends evenly instead of becoming NaN.

    Args:
        dropout: ordinary dropout of the attention weights.

    For training only.
    """
    logits = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).float()  # (B, H, N, M)
    if rate:
        dropped = torch.rand_like(logits) < rate
        logits = logits.masked_fill(dropped, torch.finfo(torch.float32).min)
    return F.dropout(logits.softmax(-1), dropout).to(v.dtype) @ v
