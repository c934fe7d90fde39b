# SPDX-License-Identifier: Apache-2.0
"""Candidate elimination: search tokens that the target's centre does not look at leave the network early (OSTrack)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modaltrack.models.parts.vit import Block


def eliminate(
    tokens: Tensor, index: Tensor, query: Tensor, key: Tensor, num_template: int, keep_rate: float
) -> tuple[Tensor, Tensor]:
    """Keep the ``ceil(keep_rate * n)`` search tokens with most attention from the centre of the template.

    tokens (B, Nz + n, D) in the order template, search; index (B, n) original search positions of these tokens; query
    and key (B, H, Nz + n, d) of the attention that made the tokens.

    Returns:
        Tokens and index of what is left, ordered by descending attention as published (unchanged, order included, if
        nothing has to go).

    Source: docs/methods/ostrack.md 3; the centre is cell ((g - 1) // 2, (g - 1) // 2), token 27 of an 8x8 template.
    """
    num_search = index.shape[1]
    keep = math.ceil(keep_rate * num_search)
    if keep >= num_search:
        return tokens, index
    grid = math.isqrt(num_template)
    centre = (grid - 1) // 2 * (grid + 1)
    logits = query[:, :, centre : centre + 1].float() @ key.float().transpose(2, 3) / math.sqrt(key.shape[3])
    attention = logits.softmax(-1)[:, :, 0, num_template:].mean(1)  # (B, n)
    order = attention.sort(dim=1, descending=True).indices[:, :keep]  # (B, keep)
    rows = (order + num_template)[:, :, None].expand(-1, -1, tokens.shape[2])
    return torch.cat([tokens[:, :num_template], tokens.gather(1, rows)], 1), index.gather(1, order)


def restore(search: Tensor, index: Tensor, num_search: int) -> Tensor:
    """Put surviving search tokens (B, n, D) back at their positions ``index`` (B, n): (B, Nx, D), zeros elsewhere."""
    if search.shape[1] == num_search:
        return search  # nothing was eliminated, so nothing was moved
    full = search.new_zeros(search.shape[0], num_search, search.shape[2])
    return full.scatter(1, index[:, :, None].expand_as(search), search)


def through_eliminating(
    block: Block, tokens: Tensor, index: Tensor, num_template: int, keep_rate: float
) -> tuple[Tensor, Tensor]:
    """``block`` with elimination between attention and MLP; tokens (B, Nz + n, D), index (B, n) -> what is left."""
    attended = block.attn(block.norm1(tokens))
    tokens = tokens + block.drop_path(attended.output)
    tokens, index = eliminate(tokens, index, attended.query, attended.key, num_template, keep_rate)
    return tokens + block.drop_path(block.mlp(block.norm2(tokens))), index
