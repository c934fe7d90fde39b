# SPDX-License-Identifier: Apache-2.0
"""The training loop: plain torch, one process or many, restartable at any instant."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from modaltrack.models.model import TorchModel, declared
from modaltrack.training.adaptation import adapt
from modaltrack.training.batch_cache import CachedSource
from modaltrack.training.checkpoint import SavedRun, load_checkpoint, save_checkpoint
from modaltrack.training.data import Batch, BatchSource
from modaltrack.training.distributed import Ranks, join_ranks, same_everywhere
from modaltrack.training.fingerprint import fingerprint
from modaltrack.training.optim import progress, rate
from modaltrack.training.prefetch import BatchMaker, Prefetcher
from modaltrack.training.recipe import Recipe
from modaltrack.training.record import Display, Log, curves, environment, write_card
from modaltrack.training.run_folder import alone_in, stop_on_signal
from modaltrack.training.samplers import SamplerBuilder
from modaltrack.training.start import CHECKPOINT, build_model, start_weights
from modaltrack.training.step import PHASES, Stepper

# Fields that may change between a run and its resume without changing what is computed.
HARMLESS = {"log_every", "save_every", "validate_every", "validation_clips", "workers", "max_bad_batches"}
MANY_BAD_SAMPLES, BAD_SHARE = 50, 0.02  # unreadable samples that a run puts up with: so many, or this share
ModelBuilder = Callable[[Recipe], TorchModel]
Validator = Callable[[TorchModel, Recipe, int], dict[str, float]]


@dataclass
class Totals:
    """What a run has used up and met, over all its resumes; stored in the checkpoint."""

    step: int = 0
    elapsed: float = 0.0
    bad_batches: int = 0
    bad_samples: int = 0
    skipped_steps: int = 0
    not_finite_in_a_row: int = 0
    restarts: int = 0
    threads: int = 0
    validations: list[dict[str, float]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"after {self.elapsed / 3600:.2f} h; {self.bad_batches} bad batch(es) replaced, "
            f"{self.bad_samples} bad sample(s) replaced, "
            f"{self.skipped_steps} step(s) skipped for a loss that was not finite."
        )


@dataclass
class Window:
    """Sums since the last line of the log."""

    seen: int = 0
    steps: int = 0
    losses: torch.Tensor | float = 0.0
    norm: float = 0.0


def train(
    recipe: Recipe,
    out_dir: str | Path,
    device: str = "auto",
    resume: Literal["auto", "never", "must"] = "auto",
    threads: int | None = None,
    steps: int | None = None,
    *,
    batch_cache: str | Path | None = None,
    batch_cache_gb: float = 50.0,
    make_model: ModelBuilder = build_model,
    make_sampler: SamplerBuilder | None = None,
    validate: Validator | None = None,
    until: float | None = None,
) -> dict[str, Any]:
    """Train a recipe into a folder and return its run card (also ``card.json``).

    A run stopped by SIGINT or SIGTERM saves its state, and its card says ``"finished": false``. A resumed run on CPU
    with the same number of threads computes the same bits as an unbroken one (without ``time_budget_s``).

    Args:
        recipe: what to train.
        out_dir: the run's folder.
        device: "auto", "cpu", "cuda", ...
        resume: "auto" goes on where a checkpoint is, "never" begins anew over it, "must" needs one.
        threads: torch threads (None = leave).
        steps: replaces the recipe's.
        batch_cache: folder of up to batch_cache_gb that keeps rendered batches for other runs with the same samples;
            the bits are the same with and without.
        make_sampler: None = the one for the recipe's data.
        until: a time of ``time.monotonic()`` at which the run stops as at a signal: resumable, its schedule unchanged.

    Raises:
        ValueError: for what the user can correct.
        RuntimeError: when three losses in a row are not finite or too many batches cannot be drawn. (The published
            programs restart on any exception and report success.)
    """
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if threads is not None:
        torch.set_num_threads(threads)
    out_dir = Path(out_dir)
    if validate is None and recipe.validate_every:
        from modaltrack.training.validate import quick_validation

        validate = quick_validation
    with join_ranks(device) as ranks, torch.random.fork_rng(enabled=True), stop_on_signal() as stop:
        place = torch.device(device, ranks.local) if device == "cuda" else torch.device(device)
        if place.type == "cuda":
            torch.cuda.set_device(place)
        with alone_in(out_dir, ranks):
            run = _Run(recipe, out_dir, place, ranks, resume, make_model, validate, until)
            return run.go(make_sampler, stop, batch_cache, batch_cache_gb)


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        out_dir: Path,
        device: torch.device,
        ranks: Ranks,
        resume: str,
        make_model: ModelBuilder,
        validate: Validator | None,
        until: float | None,
    ) -> None:
        self.recipe, self.out_dir, self.device, self.ranks = recipe, out_dir, device, ranks
        self.validate = validate
        self.until = until
        self.totals = Totals(threads=torch.get_num_threads())
        self.path = out_dir / CHECKPOINT
        if resume == "must" and not self.path.exists():
            raise ValueError(f"There is no {CHECKPOINT} in {out_dir}: check the folder, or --resume auto to begin.")
        going_on = resume != "never" and self.path.exists()
        torch.manual_seed(recipe.seed)
        self.model = make_model(recipe)
        declared(self.model)
        self.start_report: dict[str, Any] = {}
        if recipe.start_from and not going_on:
            self.start_report = start_weights(
                self.model, recipe.start_from, recipe.start_sha256, recipe.start_positions_from, recipe.start_only
            )
        self.model = adapt(self.model, recipe).to(device)
        self.stepper = Stepper(recipe, self.model, device, ranks)
        self.average = self.stepper.average
        self.messages: list[str] = []
        self.going_on = going_on
        if going_on:
            self._restore()
        if ranks.world > 1 and device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # in place

    def _restore(self) -> None:
        advice = "begin anew with --resume never, or put back a copy of it"
        try:
            saved = load_checkpoint(self.path)
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}; {advice}.") from None
        try:
            self._take_over(saved)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:  # whole, but not what this version writes
            what = " ".join(str(error).split())[:200]
            raise ValueError(f"{self.path} does not fit this recipe ({what}); {advice}.") from None

    def _take_over(self, saved: SavedRun) -> None:
        now = json.loads(json.dumps(self.recipe.to_dict()))
        before = {**Recipe(self.recipe.name, self.recipe.model).to_dict(), **saved.rest["recipe"]}  # newer fields
        changed = sorted(k for k in now if k not in HARMLESS and before[k] != now[k])
        if set(changed) - {"steps", "time_budget_s"}:
            changes = ", ".join(f"{k} {before[k]} -> {now[k]}" for k in changed)
            raise ValueError(
                f"{self.out_dir} holds a run with other settings ({changes}): give it the same ones, another folder, "
                "or --resume never to overwrite it."
            )
        if changed:
            self.messages.append(f"Warning: {', '.join(changed)} changed since the run began; so does its schedule.")
        self.stepper.restore(saved)
        self.totals = Totals(**saved.rest["totals"])
        self.start_report = saved.rest["start"]
        self.totals.restarts += 1
        if self.totals.threads != torch.get_num_threads():
            self.messages.append(
                f"Warning: the run had {self.totals.threads} threads and now has {torch.get_num_threads()}; "
                "sums are rounded differently, so it is not bit-equal to an unbroken one."
            )
            self.totals.threads = torch.get_num_threads()

    def go(
        self,
        make_sampler: SamplerBuilder | None,
        stop: threading.Event,
        batch_cache: str | Path | None = None,
        batch_cache_gb: float = 50.0,
    ) -> dict[str, Any]:
        recipe, totals, ranks = self.recipe, self.totals, self.ranks
        source = self._source(make_sampler, batch_cache, batch_cache_gb)
        self.data = fingerprint(recipe)
        log = Log(self.out_dir / "log.jsonl", totals.step, ranks.is_first)
        self.started = time.perf_counter()
        self.elapsed_before = totals.elapsed
        window = Window()
        with (
            Display(recipe.name, recipe.steps, ranks.is_first) as display,
            Prefetcher(source, totals.step, recipe.steps, recipe.workers) as prefetcher,
        ):
            for message in self.messages:
                display.say(message)
            if self.start_report:
                display.say(f"Started from {recipe.start_from}: {self.start_report['summary']}")
            if not self.going_on:
                self.stepper.begin(make_sampler)  # while the first batches are rendered
            batches: Iterator[list[Batch]] = iter(prefetcher)
            while totals.step < recipe.steps and not self._over(stop):
                clock = time.perf_counter()
                parts = next(batches)
                self.stepper.lap("data", clock)
                self._count_failures(parts, display)
                self._step(parts, window)
                totals.step += 1
                self._tick()
                last = totals.step == recipe.steps
                if totals.step % recipe.log_every == 0 or last:
                    self._log(log, display, window)
                    window = Window()
                if self.validate and recipe.validate_every and (totals.step % recipe.validate_every == 0 or last):
                    self._validate(log, display)
                if totals.step % recipe.save_every == 0 and not last:
                    self._save(finished=False)
            stopped = totals.step < recipe.steps and progress(recipe, totals.step, totals.elapsed) < 1
            self._tick()
            card = self._save(finished=not stopped)
            display.say(f"{'Stopped' if stopped else 'Finished'} at step {totals.step} of {recipe.steps} {totals}")
        log.close()
        return card

    def _source(
        self, make_sampler: SamplerBuilder | None, batch_cache: str | Path | None, batch_cache_gb: float
    ) -> BatchMaker:
        """What makes this rank's batches, with its memory on disk if there is one."""
        config, ranks = self.model.config, self.ranks
        rendered = BatchSource(
            self.recipe,
            config.template_size,
            config.search_size,
            ranks.rank,
            ranks.world,
            str(self.device) if self.device.type == "cuda" and not self.recipe.workers else "cpu",
            make_sampler,
            config.template_factor,
            config.search_factor,
        )
        if batch_cache is None:
            return rendered
        kept = CachedSource(rendered, Path(batch_cache), batch_cache_gb)
        kept.prepare()
        return kept

    def _over(self, stop: threading.Event) -> bool:
        """Whether time or a signal ends the run now; the first rank decides for all."""
        late = self.until is not None and time.monotonic() >= self.until
        over = late or stop.is_set() or progress(self.recipe, self.totals.step, self.totals.elapsed) >= 1
        return bool(same_everywhere(float(over), self.device, self.ranks))

    def _tick(self) -> None:
        self.totals.elapsed = self.elapsed_before + time.perf_counter() - self.started

    def _count_failures(self, parts: list[Batch], display: Display) -> None:
        failed = [message for part in parts for message in part.failed]
        self.totals.bad_batches += len(failed)
        for message in failed:
            display.say(f"Replaced a batch that could not be drawn: {message}")
        replaced = [message for part in parts for message in part.replaced]
        self.totals.bad_samples += len(replaced)
        for message in replaced:
            display.say(f"Replaced a sample that could not be read: {message}")
        drawn = (self.totals.step + 1) * self.recipe.batch
        if self.totals.bad_samples > max(MANY_BAD_SAMPLES, BAD_SHARE * drawn):
            raise RuntimeError(
                f"{self.totals.bad_samples} of {drawn} samples could not be read; check the data with "
                f"`modaltrack data check`. The last: {replaced[-1]}"
            )
        if self.totals.bad_batches > self.recipe.max_bad_batches:
            raise RuntimeError(
                f"{self.totals.bad_batches} batches could not be drawn (limit {self.recipe.max_bad_batches}); "
                f"the last: {failed[-1]}"
            )

    def _step(self, parts: list[Batch], window: Window) -> None:
        """One optimiser step, and what it means for the run."""
        totals = self.totals
        window.seen += 1
        numbers = self.stepper(parts, totals.step, totals.elapsed)
        if torch.isfinite(numbers).all():
            totals.not_finite_in_a_row = 0
            window.losses += numbers[:-1]
            window.norm += float(numbers[-1])
            window.steps += 1
            return
        totals.skipped_steps += 1
        totals.not_finite_in_a_row += 1
        if totals.not_finite_in_a_row >= 3:
            names = (*self.stepper.objective.terms, "gradient norm")
            raise RuntimeError(
                f"The loss or its gradient was not finite in three steps in a row, the last being step "
                f"{totals.step} ({dict(zip(names, numbers.tolist()))}): lower the learning rate, or set amp to none."
            )

    def _log(self, log: Log, display: Display, window: Window) -> None:
        recipe, totals = self.recipe, self.totals
        count = max(1, window.steps)
        names = self.stepper.objective.terms
        mean = window.losses / count
        losses = dict(zip(names, mean.tolist())) if isinstance(mean, torch.Tensor) else dict.fromkeys(names)
        lr = recipe.lr * rate(recipe, totals.step - 1, totals.elapsed)
        seconds = self.stepper.seconds
        spent = sum(seconds.values()) or 1.0
        speed = window.seen * recipe.batch / spent
        split = {name: round(value / spent, 3) for name, value in seconds.items()}
        self.stepper.seconds = dict.fromkeys(PHASES, 0.0)
        line = {
            "step": totals.step,
            "losses": losses,
            "lr": lr,
            "grad_norm": window.norm / count if window.steps else None,
            "samples_per_s": round(speed, 2),
            "time": split,
            "elapsed": round(totals.elapsed, 2),
        }
        log.write(**line)
        shown = " ".join(f"{k} {v:.4f}" for k, v in losses.items() if v is not None)
        shares = " ".join(f"{k} {v:.0%}" for k, v in split.items())
        display.note(totals.step, f"{shown} lr {lr:.2e} {speed:.1f} samples/s ({shares})")

    def _validate(self, log: Log, display: Display) -> None:
        if not self.ranks.is_first:
            return  # the others wait for it in their next message
        assert self.validate is not None
        numbers = self.validate(self.average.model, self.recipe, self.totals.step)
        self.average.model.eval()
        self._tick()
        self.totals.validations.append({"step": self.totals.step, **numbers})
        log.write(step=self.totals.step, validation=numbers, elapsed=round(self.totals.elapsed, 2))
        shown = " ".join(f"{k} {v:.3f}" for k, v in numbers.items())
        display.say(f"validation at step {self.totals.step}: {shown}")

    def _save(self, finished: bool) -> dict[str, Any]:
        rest = {"recipe": self.recipe.to_dict(), "totals": vars(self.totals), "start": self.start_report}
        card = {
            "name": self.recipe.name,
            "finished": finished,
            "recipe": self.recipe.to_dict(),
            "seed": self.recipe.seed,
            "steps": self.totals.step,
            "samples": self.totals.step * self.recipe.batch,
            "hours": round(self.totals.elapsed / 3600, 4),
            "processes": self.ranks.world,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "trained_parameters": sum(p.numel() for p in self.stepper.parameters),
            "config": json.loads(json.dumps(vars(self.model.config))),
            "totals": {k: v for k, v in vars(self.totals).items() if k != "validations"},
            "validations": self.totals.validations,
            "start": self.start_report,
            "data": self.data,
            "environment": environment(self.device),
            "curves": curves(self.out_dir),
        }
        if self.ranks.is_first:
            stepper = self.stepper
            save_checkpoint(self.path, self.model, self.average.model, stepper.optimizer, rest, more=stepper.tensors())
            write_card(self.out_dir, card)
        return card
