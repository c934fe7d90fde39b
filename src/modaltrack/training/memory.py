# SPDX-License-Identifier: Apache-2.0
"""``--memory GB``: into how many parts a step has to be cut, and whether with activation checkpointing, to fit [ours].

The estimate for a part of n samples, in bytes:

    1.1 x (state + kept(n) + largest(n)) + reserve

state: weights and their average (4 bytes each), gradients and Adam's two moments of what learns (12), significances
where the recipe has them. kept(n): what the forward pass keeps for the backward pass, counted in a real forward pass of
one and of two samples with synthetic images on the device that will train, and extended linearly. largest(n): the same
for the one part of the network that keeps most, which the backward pass holds twice while it is in it. The 1.1 is for
what an allocator cannot use; the reserve, on CUDA, for its context. Not counted: the processes that render ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from modaltrack.models.model import TorchModel
from modaltrack.training.activation_checkpointing import PARTS, checkpointed
from modaltrack.training.adaptation import adapt
from modaltrack.training.data import Batch
from modaltrack.training.distributed import Ranks
from modaltrack.training.objective import batch_losses, precision
from modaltrack.training.recipe import Recipe
from modaltrack.training.start import build_model
from modaltrack.training.step import Stepper

GB = 1e9
LOSS = 1.1
RESERVE = {"cuda": 1.0 * GB}
FEWEST = 8  # samples in a part, below which computing activations again is preferred to smaller parts
STATES = {"none": 0, "published": 2, "ranked": 2, "two-significance": 3}  # further tensors per learning tensor


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that a step of n samples takes: ``bytes(n)``.

    Attributes:
        fixed: bytes without any sample.
        each: bytes per sample.
    """

    fixed: float
    each: float

    def bytes(self, samples: int) -> float:
        """Peak of a step with this many samples in a part."""
        return self.fixed + self.each * samples

    def most(self, limit: float) -> int:
        """Samples that fit into ``limit`` bytes; 0 or less for none."""
        return int((limit - self.fixed) // self.each)


def fit(recipe: Recipe, gigabytes: float, device: str = "cpu", world: int = 1) -> tuple[Recipe, str]:
    """The recipe with ``accumulation`` and ``activation_checkpointing`` such that a step fits, and a sentence on it.

    Args:
        gigabytes: of 1e9 bytes, for each process.
        world: processes. Checkpointing is taken only where fewer than 8 samples fit without it.

    Raises:
        ValueError: where not even one sample fits.
    """
    share, place = recipe.batch // world, torch.device(device)
    limit, chosen = gigabytes * GB, None
    for sparing in (False, True):
        plan = replace(recipe, activation_checkpointing=sparing)
        needs = estimate(plan, place)
        parts = _parts(recipe, share, needs.most(limit))
        if parts is None:
            continue
        if chosen is None or parts < chosen[0].accumulation:
            chosen = replace(plan, accumulation=parts), needs
        if share // parts >= min(FEWEST, share):
            break
    if chosen is None:
        raise ValueError(
            f"One sample of {recipe.name} needs {needs.bytes(1) / GB:.1f} GB and --memory is {gigabytes:g}: give more, "
            "or take a smaller model."
        )
    made, needs = chosen
    size = share // made.accumulation
    also = " with activations computed again" if made.activation_checkpointing else ""
    return made, (
        f"A step of {share} samples runs in {made.accumulation} part(s) of {size}{also}: about "
        f"{needs.bytes(size) / GB:.1f} of {gigabytes:g} GB."
    )


def _parts(recipe: Recipe, share: int, most: int) -> int | None:
    """The fewest equal parts of ``share`` samples of at most ``most``, whole shards each; None where there are none."""
    shard = recipe.shard or 1
    sizes = [size for size in range(min(most, share), 0, -1) if share % size == 0 and size % shard == 0]
    return share // sizes[0] if sizes else None


def estimate(recipe: Recipe, device: torch.device | None = None) -> Estimate:
    """What a step of the recipe takes on a device; see the module's text."""
    device = device or torch.device("cpu")
    with torch.random.fork_rng(enabled=True):
        torch.manual_seed(recipe.seed)
        model = adapt(build_model(recipe), recipe).to(device)
        stepper = Stepper(recipe, model, device, Ranks())
        one, two = (kept_bytes(stepper, samples) for samples in (1, 2))
    learning = sum(p.numel() for p in stepper.parameters)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    state = 2 * weights + (12 + 4 * STATES[recipe.significance]) * learning
    each = sum(two) - sum(one)
    fixed = state + sum(one) - each
    return Estimate(LOSS * fixed + RESERVE.get(device.type, 0.0), LOSS * each)


def kept_bytes(stepper: Stepper, samples: int) -> tuple[int, int]:
    """(all, largest): bytes that the forward pass of so many samples keeps, in all and in the part that keeps most."""
    recipe, model, device = stepper.recipe, stepper.model, stepper.device
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}  # the tensors themselves: as long as they live, no other storage has their address

    def keep(tensor: Tensor) -> Tensor:
        if tensor.device.type == device.type and tensor.untyped_storage().data_ptr() not in known:
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    def total() -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())

    largest, before = 0, list[int]()

    def enter(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        before.append(total())
        if recipe.activation_checkpointing:  # these are kept by closures that the hooks on saved tensors do not see
            for argument in arguments:
                if isinstance(argument, Tensor):
                    keep(argument)

    def leave(module: nn.Module, arguments: tuple[Any, ...], result: object) -> None:
        nonlocal largest
        largest = max(largest, total() - before.pop())

    stepper.model.train()
    parts = [module for module in model.modules() if isinstance(module, PARTS)]
    hooks: list[Any] = [part.register_forward_pre_hook(enter) for part in parts]
    hooks += [part.register_forward_hook(leave) for part in parts]
    again: Callable[[], Any] = lambda: precision(recipe, device)  # noqa: E731
    sparing = checkpointed(model, again) if recipe.activation_checkpointing else nullcontext()
    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor), sparing:
            batch_losses(stepper.objective, model, recipe, synthetic(recipe, model, samples), device)
        return total(), largest
    finally:
        for hook in hooks:
            hook.remove()


def synthetic(recipe: Recipe, model: TorchModel, samples: int) -> Batch:
    """A batch of noise in the recipe's form, every sensor there."""
    config = model.config
    sensors = ("rgb", *recipe.modalities[:1])

    def noise(size: int) -> dict[str, Tensor]:
        return {m: torch.randint(0, 256, (samples, 3, size, size), dtype=torch.uint8) for m in sensors}

    present = {m: torch.ones(samples, dtype=torch.bool) for m in sensors} if recipe.modalities else None
    return Batch(
        noise(config.template_size),
        noise(config.search_size),
        torch.tensor([0.4, 0.4, 0.2, 0.2]).repeat(samples, 1),
        torch.ones(samples),
        present,
        noise(config.template_size) if recipe.templates == 2 else None,
    )
