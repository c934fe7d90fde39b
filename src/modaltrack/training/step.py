# SPDX-License-Identifier: Apache-2.0
"""One optimiser step: forward and backward of all parts, mean over processes, clipping, the move, the average."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from modaltrack.models.model import EliminationConfig, TorchModel
from modaltrack.training.activation_checkpointing import checkpointed
from modaltrack.training.adaptation import as_adapted
from modaltrack.training.checkpoint import SavedRun, restore_optimizer
from modaltrack.training.data import Batch
from modaltrack.training.distributed import Ranks, average_gradients, same_everywhere, take_from_first
from modaltrack.training.objective import Objective, batch_losses, build_objective, precision
from modaltrack.training.optim import EXTRA, Average, build_optimizer, keep_rate, progress, rate, set_training_mode
from modaltrack.training.prior import measure_prior
from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import SamplerBuilder
from modaltrack.training.significance import SignificanceBlend

PHASES = ("data", "forward", "backward", "optimiser")


class Stepper:
    """All that learns in a run, and how it takes a step.

    What a step computes depends on (seed, step, rank), the batch and the tensors of ``tensors()`` alone, so no
    generator has to be saved. ``seconds`` sums up what the phases took; "data" is the caller's.

    Attributes:
        synchronise: whether a phase waits for the device to have done its work, for timings.
    """

    def __init__(self, recipe: Recipe, model: TorchModel, device: torch.device, ranks: Ranks) -> None:
        self.recipe, self.model, self.device, self.ranks = recipe, model, device, ranks
        if recipe.elimination_epochs and not (
            isinstance(model.config, EliminationConfig) and model.config.elimination_blocks
        ):
            raise ValueError(
                f"Recipe {recipe.name} sets elimination_epochs and {recipe.model} eliminates nothing: set it to None "
                "or the model's elimination_blocks."
            )
        self.objective: Objective = build_objective(recipe, model)
        self.extra = self.objective.extra
        self.optimizer = build_optimizer(model, as_adapted(recipe, model), self.extra)
        self.named = {n: p for g in self.optimizer.param_groups for n, p in zip(g["names"], g["params"])}
        self.parameters: list[nn.Parameter] = list(self.named.values())
        self.average = Average(model, recipe.ema)
        self.blend: SignificanceBlend | None = None
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.synchronise = False

    def __call__(self, parts: list[Batch], number: int, elapsed: float) -> Tensor:
        """Take step ``number`` (from 0), ``elapsed`` seconds into the run.

        Returns, on the CPU, the losses in the order of ``objective.terms`` and the gradient's norm before clipping.
        Where one of them is not finite nothing has changed.

        Args:
            parts: this process's share of the batch.
        """
        recipe, objective = self.recipe, self.objective
        torch.manual_seed((recipe.seed * 1_000_003 + number) * 4099 + self.ranks.rank)
        set_training_mode(self.model, recipe)
        if self.extra is not None:
            self.extra.train()
        self.optimizer.zero_grad(set_to_none=True)
        config = self.model.config
        left = keep_rate(recipe, number, config.keep_rate if isinstance(config, EliminationConfig) else 1.0)
        losses = torch.zeros(len(objective.terms), device=self.device)
        for part in parts:
            clock = time.perf_counter()
            with self._sparing():
                terms = batch_losses(objective, self.model, recipe, part, self.device, left)
            clock = self.lap("forward", clock)
            (terms[0] / len(parts)).backward()
            losses += terms.detach() / len(parts)
            self.lap("backward", clock)
        clock = time.perf_counter()
        losses = average_gradients(self.parameters, losses, self.ranks)
        with_grad = [p for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(with_grad, recipe.clip or float("inf"))
        elapsed = same_everywhere(elapsed, self.device, self.ranks)
        numbers = torch.cat([losses, norm.reshape(1).to(losses)]).cpu()
        if torch.isfinite(numbers).all():
            scale = rate(recipe, number, elapsed)
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.lr * group["lr_scale"] * scale
            if self.blend is None:
                self.optimizer.step()
            else:
                self.blend.step(self.optimizer, self._kappa(number, elapsed), number)
            self.average.update(number)
        self.lap("optimiser", clock)
        return numbers

    def lap(self, phase: str, since: float) -> float:
        """Add the seconds since ``since`` to a phase; returns the time now."""
        if self.synchronise:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[phase] += now - since
        return now

    def begin(self, make_sampler: SamplerBuilder | None) -> None:
        """Measure what the recipe wants measured before the first step of a run."""
        prior = None
        if self.recipe.significance == "two-significance":
            names = self._regularised()
            prior = measure_prior(self.recipe, self.model, names, self.device, make_sampler)
            take_from_first(prior, self.ranks)  # processes that round differently would drift apart
        self._make_blend(prior)

    def tensors(self) -> dict[str, Tensor]:
        """What has to be kept with the run beside model, average and optimiser, by name."""
        found = {} if self.extra is None else {f"{EXTRA}{k}": v for k, v in self.extra.state_dict().items()}
        if self.blend is not None:
            names = self._regularised()
            for kind, values in self.blend.state_dict().items():
                found |= {f"significance.{kind}:{n}": v for n, v in zip(names, values) if v is not None}
        return found

    def restore(self, saved: SavedRun) -> None:
        """Go on from a run's checkpoint."""
        self.model.load_state_dict(saved.part("model"))
        self.average.model.load_state_dict(saved.part("average"))
        restore_optimizer(self.optimizer, saved.part("optimizer"))
        if self.extra is not None:
            self.extra.load_state_dict(saved.part(EXTRA.rstrip(".")))
        kept = saved.part("significance")
        names = self._regularised()
        state = {kind: [kept.get(f"{kind}:{n}") for n in names] for kind in ("last", "shares", "prior")}
        empty = [torch.zeros_like(self.named[n]) for n in names]
        self._make_blend(empty if self.recipe.significance == "two-significance" else None)
        if self.blend is not None:
            self.blend.load_state_dict(state)

    def _make_blend(self, prior: list[Tensor] | None) -> None:
        recipe = self.recipe
        if recipe.significance != "none":
            parameters = [self.named[n] for n in self._regularised()]
            self.blend = SignificanceBlend(
                parameters, recipe.significance, prior=prior, every=recipe.significance_every
            )

    def _regularised(self) -> list[str]:
        """The parameters under significance-regularised tuning: all that learn in the model."""
        return [name for name in self.named if not name.startswith(EXTRA)]

    def _kappa(self, number: int, elapsed: float) -> float:
        """Weight of the prior: what is left of the run, 1 to 0 ([inferred], docs/methods/srtrack.md 2.5)."""
        if self.recipe.significance != "two-significance":
            return 0.0
        return max(0.0, 1 - progress(self.recipe, number, elapsed))

    def _sparing(self) -> AbstractContextManager[None]:
        if not self.recipe.activation_checkpointing:
            return nullcontext()
        return checkpointed(self.model, lambda: precision(self.recipe, self.device))
