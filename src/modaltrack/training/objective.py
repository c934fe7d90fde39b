# SPDX-License-Identifier: Apache-2.0
"""From a batch to the number that is minimised: one objective per training idea, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from modaltrack.models.model import TorchModel
from modaltrack.models.prediction import Prediction
from modaltrack.plugins import Table, expected
from modaltrack.training.data import Batch
from modaltrack.training.losses import box_losses
from modaltrack.training.recipe import Recipe
from modaltrack.vision import normalise

Images = dict[str, Tensor]  # sensor -> (B, 3, h, w), normalised


class Objective(Protocol):
    """What a run minimises.

    Attributes:
        terms: names of what a call returns, "total" first; they go to the log.
        extra: a module that learns with the model and is saved with the run but is no part of the shipped weights; None
            where there is none.
    """

    terms: tuple[str, ...]
    extra: nn.Module | None

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        """Scalars by the names in ``terms``.

        Args:
            keep_rate: of candidate elimination; None = the model's own.
        """
        ...


Builder = Callable[[Recipe, TorchModel], Objective]


def _in(module: str, name: str) -> Builder:
    """An objective of this package, imported when it is built."""

    def build(recipe: Recipe, model: TorchModel) -> Objective:
        made: Builder = getattr(import_module(f"modaltrack.training.{module}"), name)
        return made(recipe, model)

    return build


def _builder(name: str, found: object) -> Builder:
    if not callable(found):
        raise expected("a class or function (recipe, model) -> Objective", found)
    return cast(Builder, found)


OBJECTIVES: Table[Builder] = Table(
    "modaltrack.objectives",
    {
        "tracking": _in("objective", "Tracking"),
        "masked-published": _in("masking", "Masked"),
        "masked-aligned": _in("masking", "Masked"),
        "experts": _in("experts.distillation", "ExpertDistillation"),
        "decoupled": _in("decoupling", "Decoupled"),
        "sight": _in("sight", "SightObjective"),
        "confidence": _in("confidence", "Confidence"),
    },
    _builder,
)


def build_objective(recipe: Recipe, model: TorchModel) -> Objective:
    """The recipe's objective.

    Raises:
        ValueError: with the list of names when there is none of that name.
    """
    if recipe.objective not in OBJECTIVES:
        raise ValueError(
            f"There is no objective called {recipe.objective!r}: choose among {', '.join(sorted(OBJECTIVES))}."
        )
    return OBJECTIVES[recipe.objective](recipe, model)


class Tracking:
    """The loss of the whole family: GIoU, L1 and focal, with the recipe's weights; it takes no options."""

    terms: tuple[str, ...] = ("total", "giou", "l1", "focal")
    extra: nn.Module | None = None

    def __init__(self, recipe: Recipe, model: TorchModel) -> None:
        self.recipe = recipe
        if recipe.objective_options:
            raise ValueError(f"The objective tracking has no options; leave out {sorted(recipe.objective_options)}.")

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        options: dict[str, Any] = {} if keep_rate is None else {"keep_rate": keep_rate}
        options |= memory_of(model, batch)
        return tracking_terms(model(template, search, batch.present, **options), self.recipe, batch.box, batch.visible)


def memory_of(model: TorchModel, batch: Batch) -> dict[str, Images]:
    """The batch's second template, normalised, as the argument ``memory`` of models that take two; else nothing."""
    if batch.memory is None or model.num_templates < 2:
        return {}
    return {"memory": {m: normalise(x.float().div_(255)) for m, x in batch.memory.items()}}


def tracking_terms(prediction: Prediction, recipe: Recipe, box: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """The terms of ``Tracking`` for a prediction; box (B, 4) xywh in 0..1 of the crop, visible (B,)."""
    seen = visible >= recipe.min_visible  # below it there is no target: no box to learn and an empty heat map
    losses = box_losses(prediction, box, None if bool(seen.all()) else seen.float(), recipe.box_at)
    terms = {name: losses[name] for name in Tracking.terms[1:]}
    return {**terms, "total": recipe.giou * terms["giou"] + recipe.l1 * terms["l1"] + recipe.focal * terms["focal"]}


def batch_losses(
    objective: Objective,
    model: TorchModel,
    recipe: Recipe,
    batch: Batch,
    device: torch.device,
    keep_rate: float | None = None,
) -> Tensor:
    """(T,) float32 in the order of ``objective.terms``; the first is to be minimised. Images are normalised here."""
    batch = batch.to(device)
    template = {m: normalise(x.float().div_(255)) for m, x in batch.template.items()}
    search = {m: normalise(x.float().div_(255)) for m, x in batch.search.items()}
    with precision(recipe, device):
        terms = objective(model, batch, template, search, keep_rate)
    return torch.stack([terms[name].float() for name in objective.terms])


@contextmanager
def precision(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """The recipe's autocast, and on CPU attention in plain matrix products; from ``with`` on, not from the call.

    An autocast that is entered and never left keeps its low-precision copies of the weights for good: every later
    step would compute with those of the first.

    Torch's fused attention for CPUs is quick forwards and slow backwards: for the tiny models in bf16 it took 37 % of a
    step, and without it a step took 10.3 instead of 13.7 ms of processor time per sample.
    """
    with ExitStack() as stack:
        if recipe.amp == "bf16":
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
            if device.type == "cpu":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def rows_of(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The same mapping with some rows of the batch only."""
    return {key: value[rows] for key, value in tensors.items()}
