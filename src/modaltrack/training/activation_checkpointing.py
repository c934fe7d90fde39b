# SPDX-License-Identifier: Apache-2.0
"""Activation checkpointing: the inside of a block is computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from modaltrack.models.parts.fusion_adapter import FusionAdapter
from modaltrack.models.parts.mamba import Mamba
from modaltrack.models.parts.order_fusion import OrderFusion
from modaltrack.models.parts.score_mask import ScoreMaskFusion
from modaltrack.models.parts.vit import Attention, ConvStem, Mlp, PatchStem

# The large parts of the methods, called as modules.
PARTS = (Attention, Mlp, Mamba, OrderFusion, ScoreMaskFusion, FusionAdapter, PatchStem, ConvStem)


@contextmanager
def checkpointed(model: nn.Module, again_under: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Within, the forward pass of ``model`` keeps of attentions, MLPs and their like only what goes in.

    Args:
        again_under: makes the context in which the backward pass computes them again; it has to be that of the forward
            pass (autocast, kind of attention). Random numbers are drawn again as they were. The backward pass may come
            later.
    """
    parts = list(_outermost(model))
    try:
        for part in parts:
            part.forward = _sparing(part.forward, again_under)  # of the instance, over its class's
        yield
    finally:
        for part in parts:
            vars(part).pop("forward", None)


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model that lie in no other; not those with running statistics, which would be changed twice."""
    if isinstance(module, PARTS) and not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules()):
        yield module
        return
    for child in module.children():
        yield from _outermost(child)


def _sparing(forward: Callable[..., Any], again_under: Callable[[], AbstractContextManager[Any]]) -> Callable[..., Any]:
    def run(*arguments: object) -> object:
        return checkpoint(forward, *arguments, use_reentrant=False, context_fn=lambda: (nullcontext(), again_under()))

    return run
