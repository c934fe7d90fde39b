# SPDX-License-Identifier: Apache-2.0
"""Score-mask fusion: one attention rates the tokens of both sensors, a maximum keeps the stronger answers.

Legend: B batch, N tokens of one sensor, D width, n tokens that are kept. RGB and X are stacked along the batch.
Source: SMSTracker, ICCV 2025; docs/methods/smstracker.md 1.3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.drop_key import attend_dropping_keys
from modaltrack.models.parts.vit import Attention, attend


def pool_pairs(answers: Tensor, batch: int) -> Tensor:
    """The published merge of (2 * B, N, D) -> (B, N, D): maxima of neighbouring features, not of the two sensors.

    The first half of the rows is RGB's tokens, two to a row, the second half X's: row r does not lie where token r
    lies. Probably not what was meant, but weights that were trained with it need exactly this.
    """
    rows, dim = answers.shape[1:]
    pairs = answers.reshape(2, batch, rows * dim // 2, 2)
    return torch.maximum(pairs[..., 0], pairs[..., 1]).transpose(0, 1).reshape(batch, rows, dim)


def keep_larger(answers: Tensor, batch: int) -> Tensor:
    """The merge for own training [ours]: (2 * B, N, D) -> (B, N, D), the larger of the two sensors, in its place."""
    return torch.maximum(answers[:batch], answers[batch:])


MERGES = {"published": pool_pairs, "max": keep_larger}


class ScoreMaskFusion(nn.Module):
    """Tokens of both sensors (2 * B, N, D) -> mixed tokens (B, n, D), the last n rows of the merge.

    No norm before the attention and no residual around it, as published.

    Args:
        merge: "published" or "max" [ours].
    """

    def __init__(self, dim: int, heads: int, merge: str, drop_key: float, dropout: float) -> None:
        super().__init__()
        if merge not in MERGES:
            raise ValueError(f"merge is {merge!r}; expected one of {', '.join(MERGES)}.")
        self.attn = Attention(dim, heads)
        self.attn.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.merge, self.drop_key, self.dropout = merge, drop_key, dropout

    def forward(self, tokens: Tensor, keep: int) -> Tensor:
        q, k, v = self.attn.split(self.attn.qkv(tokens), 3)
        if self.merge == "max":
            q = q[:, :, -keep:]  # the published merge mixes places: there other rows matter, too
        if self.training and (self.drop_key or self.dropout):
            answers = self.attn.merge(attend_dropping_keys(q, k, v, self.drop_key, self.dropout))
            answers = F.dropout(answers, self.dropout)
        else:
            answers = self.attn.merge(attend(q, k, v))
        return self.norm(MERGES[self.merge](answers, tokens.shape[0] // 2)[:, -keep:])
