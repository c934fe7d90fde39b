# SPDX-License-Identifier: Apache-2.0
"""TPF's second stage, decoupled representation: what the head reads is kept apart from what is of no use to it.

That the stage exists and its name are reported of the paper (arXiv 2503.11247); every form and number here follows
docs/methods/tpf.md 4, [inferred] there. It works with every model that has a ``projection`` in front of its head.
Legend: B samples, N search tokens (g x g), D width; f the last tokens, r = P_r f relevant, n = P_n f irrelevant.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from modaltrack.models.model import TorchModel
from modaltrack.models.trunk import ViTTracker
from modaltrack.training.data import Batch
from modaltrack.training.objective import Images, Tracking, memory_of, tracking_terms
from modaltrack.training.recipe import Recipe

PARTS = ("irrelevant", "orthogonal", "rebuilt", "separate")


class Decoupled:
    """The tracking loss with the head on r, and three losses that shape r and n; ``extra`` is P_n.

    P_r is the model's own ``projection``: it learns, is averaged and is shipped like every other layer, so what is
    shipped is what was trained. P_n is dropped after training. Which gradients go where: irrelevant (n must not tell
    where the target is) reaches P_n alone; all others reach whatever learns. Options: the weights irrelevant,
    orthogonal, rebuilt (0.1 each) and separate (0: off), which pulls n off the target and r off the rest.
    r and n start parallel, where the slope of the orthogonal term is zero: the others have to part them first.
    """

    def __init__(self, recipe: Recipe, model: TorchModel) -> None:
        projection = model.projection if isinstance(model, ViTTracker) else None
        if projection is None:
            raise ValueError(
                f"The objective {recipe.objective} needs a projection in front of the head: set the model option "
                "projection to true, or choose another objective."
            )
        settings = recipe.settings(irrelevant=0.1, orthogonal=0.1, rebuilt=0.1, separate=0.0)
        self.recipe = recipe
        self.weights = {name: float(value) for name, value in settings.items()}
        if min(self.weights.values()) < 0:
            raise ValueError(f"The weights of the objective are {self.weights}: give numbers of at least 0.")
        self.terms: tuple[str, ...] = (*Tracking.terms, *(name for name in PARTS if self.weights[name]))
        self.extra: nn.Module | None = nn.Linear(projection.in_features, projection.in_features, bias=False)
        with torch.no_grad():
            self.extra.weight.copy_(0.1 * torch.eye(projection.in_features))
        self.extra.to(projection.weight.device)

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        options: dict[str, Any] = {} if keep_rate is None else {"keep_rate": keep_rate}
        options |= memory_of(model, batch)
        prediction = model(template, search, batch.present, **options)
        terms = tracking_terms(prediction, self.recipe, batch.box, batch.visible)
        f = prediction.features
        parts = self.parts(model, f, batch)
        total = terms["total"] + sum(self.weights[name] * value for name, value in parts.items())
        return {**terms, **parts, "total": total}

    def parts(self, model: TorchModel, f: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms whose weights are not 0, for last tokens f (B, N, D)."""
        assert self.extra is not None
        tracker = cast(ViTTracker, model)  # which the objective has asked for a projection
        assert tracker.projection is not None
        made = {}
        if self.weights["irrelevant"]:
            made["irrelevant"] = uniformity(frozen_scores(tracker, self.extra(f.detach())))
        r, n = tracker.projection(f).float(), self.extra(f).float()
        f = f.float()
        if self.weights["orthogonal"]:
            made["orthogonal"] = F.cosine_similarity(r, n, dim=2).square().mean()
        if self.weights["rebuilt"]:
            made["rebuilt"] = (f - (r + n)).square().mean()
        if self.weights["separate"]:
            inside = tokens_inside(batch.box, f.shape[1]) & (batch.visible >= self.recipe.min_visible)[:, None]
            apart = F.cosine_similarity(n, f, dim=2).abs(), F.cosine_similarity(r, f, dim=2).abs()
            made["separate"] = sum(
                (_mean(a, rows) for a, rows in zip(apart, (inside, ~inside))), torch.zeros_like(f[0, 0, 0])
            )
        return made


def frozen_scores(model: ViTTracker, tokens: Tensor) -> Tensor:
    """What the score branch answers to tokens (B, N, D), before its sigmoid (B, N); no gradient for its weights.

    Statistics of batch norms stay as they are too: these tokens are not what the head is meant to see.
    """
    branch = cast(nn.Module, model.head.ctr)
    state = {name: p.detach() for name, p in branch.named_parameters()}
    state |= {name: b.clone() for name, b in branch.named_buffers()}
    grid = round(tokens.shape[1] ** 0.5)
    logits = functional_call(branch, state, (tokens.transpose(1, 2).unflatten(2, (grid, grid)),))
    return logits.flatten(1)


def uniformity(logits: Tensor) -> Tensor:
    """KL of the uniform distribution from the softmax of logits (B, N), mean over samples; 0 where all are equal."""
    count = torch.tensor(float(logits.shape[1]), device=logits.device)
    return (-count.log() - logits.float().log_softmax(1).mean(1)).mean()


def tokens_inside(box: Tensor, count: int) -> Tensor:
    """Which of g x g tokens have their centres in boxes (B, 4) xywh, 0..1 of the crop: (B, N) bool, row-major."""
    grid = round(count**0.5)
    centres = (torch.arange(grid, device=box.device) + 0.5) / grid
    x, y, w, h = box[:, :, None].unbind(1)  # (B, 1) each
    across = (centres >= x) & (centres < x + w)
    down = (centres >= y) & (centres < y + h)
    return (down[:, :, None] & across[:, None, :]).flatten(1)


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    return (values * rows).sum() / rows.sum().clamp(min=1)
