# SPDX-License-Identifier: Apache-2.0
"""Small models that fuse, and samples of two sensors with something to see at every scale."""

from __future__ import annotations

import torch

from modaltrack.training.data import Batch
from modaltrack.training.experts.filters import gaussian, smooth

SMALL = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
TPF = {**SMALL, "pfa_channels": 8, "pfa_states": 4}


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(*shape, seed=0):
    """Images with something to see at every scale."""
    return (smooth(random(*shape, seed=seed), gaussian(9, 2.0)) - 0.5).mul(4).add(0.5).clamp(0, 1)


def samples(count=4, size=(32, 64), seed=0, present=None):
    def byte(side, seed):
        return (blobs(count, 3, side, side, seed=seed) * 255).to(torch.uint8)

    images = [{m: byte(side, seed * 10 + i) for i, m in enumerate(("rgb", "thermal"))} for side in size]
    box = torch.tensor([[0.3, 0.35, 0.3, 0.25]]).repeat(count, 1) + 0.1 * random(count, 4, seed=seed)
    everywhere = torch.ones(count, dtype=torch.bool)
    return Batch(images[0], images[1], box, torch.ones(count), present or {"rgb": everywhere, "thermal": everywhere})
