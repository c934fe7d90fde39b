# SPDX-License-Identifier: Apache-2.0
"""Which parameters learn, how fast, when, and their running average."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import torch
from torch import nn

from modaltrack.models.model import TorchModel
from modaltrack.training.recipe import Group, Recipe

EXTRA = "extra."  # what the names of an objective's own parameters begin with, in groups and checkpoints


def build_optimizer(model: nn.Module, recipe: Recipe, extra: nn.Module | None = None) -> torch.optim.AdamW:
    """Freeze what the recipe freezes and return AdamW over the rest, one group per (recipe group, decays or not).

    Each group carries ``lr_scale``; names of its parameters are in ``names``.

    Args:
        extra: a module of the objective's that learns at the recipe's rate, if it learns at all.

    Raises:
        ValueError: when a pattern of the recipe matches no parameter, or nothing of the model is left to train.
    """
    found: dict[int, list[tuple[str, nn.Parameter]]] = {i: [] for i in range(len(recipe.trainable))}
    matched: set[int] = set()
    for name, parameter in model.named_parameters():
        hits = [i for i, group in enumerate(recipe.trainable) if re.match(group.pattern, name)]
        matched.update(hits)
        learns = bool(hits) and recipe.trainable[hits[0]].lr > 0
        parameter.requires_grad_(learns)
        if learns:
            found[hits[0]].append((name, parameter))
    unmatched = [group.pattern for i, group in enumerate(recipe.trainable) if i not in matched]
    if unmatched:
        raise ValueError(
            f"The patterns {unmatched} of recipe {recipe.name} match no parameter of {recipe.model}: correct them "
            f"(parameters are called, for example, {[n for n, _ in model.named_parameters()][:3]})."
        )
    groups = []
    for i, members in found.items():
        groups += _groups(members, recipe.trainable[i], recipe)
    if not groups:
        raise ValueError(f"Recipe {recipe.name} freezes every parameter of {recipe.model}: give a group with lr > 0.")
    if extra is not None:
        own = [(EXTRA + name, p) for name, p in extra.named_parameters() if p.requires_grad]
        groups += _groups(own, Group(""), recipe)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)


def _groups(members: list[tuple[str, nn.Parameter]], group: Group, recipe: Recipe) -> list[dict[str, Any]]:
    decay = recipe.weight_decay if group.weight_decay is None else group.weight_decay
    made = []
    for is_vector in (False, True):
        chosen = [(n, p) for n, p in members if (p.ndim < 2) == is_vector]
        if chosen:
            made.append(
                {
                    "params": [p for _, p in chosen],
                    "names": [n for n, _ in chosen],
                    "lr_scale": group.lr,
                    "weight_decay": 0.0 if is_vector and not recipe.decay_vectors else decay,
                }
            )
    return made


def rate(recipe: Recipe, step: int, elapsed: float) -> float:
    """Share 0..1 of the peak learning rate at a step (from 0), after ``elapsed`` seconds."""
    warmup = min(recipe.warmup, recipe.steps // 5)
    warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if recipe.schedule == "constant":
        return warm
    if recipe.schedule == "step":
        return float(warm * 0.1 ** ((epoch(recipe, step) - 1) // recipe.drop_epoch))
    done = min(1.0, progress(recipe, step, elapsed))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def epoch(recipe: Recipe, step: int) -> int:
    """The epoch, from 1, that a step (from 0) is part of."""
    return 1 + step * recipe.batch // recipe.epoch_samples


def keep_rate(recipe: Recipe, step: int, final: float) -> float | None:
    """Share of search tokens that candidate elimination keeps at a step; None = the model's own rate, ``final``.

    1 before the first of ``elimination_epochs``, ``final`` from the last on, a cosine between.
    Source: docs/methods/ostrack.md 6.
    """
    if recipe.elimination_epochs is None:
        return None
    first, last = recipe.elimination_epochs
    now = epoch(recipe, step)
    if now < first:
        return 1.0
    if now >= last:
        return final
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (now - first) / (last - first)))


def progress(recipe: Recipe, step: int, elapsed: float) -> float:
    """How much of the run is over: the larger of the share of steps and the share of the time budget."""
    share = step / recipe.steps
    return share if recipe.time_budget_s is None else max(share, elapsed / recipe.time_budget_s)


def set_training_mode(model: nn.Module, recipe: Recipe) -> None:
    """Training mode, with batch norms that are frozen (or all, where the recipe says so) kept in evaluation mode."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            frozen = not any(p.requires_grad for p in module.parameters())
            if recipe.eval_batchnorm or frozen:
                module.eval()


class Average:
    """A running average of a model's weights and batch-norm statistics, kept as a second model in evaluation mode.

    The decay starts low, min(decay, (1 + n) / (10 + n)) after n updates, so that a short run does not ship its
    initialisation. decay = 0 makes it a plain copy.
    """

    def __init__(self, model: TorchModel, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        live, mine = dict(model.named_parameters()), dict(self.model.named_parameters())
        learning = [n for n, p in live.items() if p.requires_grad]
        self._live = [live[n].data for n in learning]
        self._mine = [mine[n].data for n in learning]
        live_buffers, my_buffers = dict(model.named_buffers()), dict(self.model.named_buffers())
        floating = [n for n, b in live_buffers.items() if b.is_floating_point()]
        self._live += [live_buffers[n] for n in floating]
        self._mine += [my_buffers[n] for n in floating]
        self._counts = [(my_buffers[n], b) for n, b in live_buffers.items() if not b.is_floating_point()]

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Move towards the live weights; ``updates`` counts the earlier ones."""
        decay = min(self.decay, (1 + updates) / (10 + updates)) if self.decay else 0.0
        torch._foreach_lerp_(self._mine, self._live, 1 - decay)
        for mine, live in self._counts:
            mine.copy_(live)
