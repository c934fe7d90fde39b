# SPDX-License-Identifier: Apache-2.0
"""Train the runs of the study that are missing. Several processes may work on one folder; any may be killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modaltrack.files import locked
from modaltrack.study.folder import Settings, StudyFolder, read_json, seeds_of, write_json
from modaltrack.study.plan import Run, run_of
from modaltrack.training.recipe import Group, Recipe

Say = Callable[[str], None]


class NotAvailableError(ValueError):
    """The run needs a recipe, a field or a model setting that this version does not have."""


@dataclass(frozen=True)
class Machine:
    """What a run is computed with; none of it decides the result, but for rounding.

    Attributes:
        device: auto, cpu, cuda.
        threads: of torch.
        workers: processes that render ahead, 0 = the trainer renders.
        cache: folder that keeps rendered batches for the other runs; None = none is kept.
    """

    device: str = "auto"
    threads: int = 1
    workers: int = 1
    cache: Path | None = None


def recipe_of(run: Run, place: StudyFolder, settings: Settings, seed: int, workers: int = 0) -> Recipe:
    """The recipe of a run with the study's budget.

    Raises:
        NotAvailableError: for what does not exist (yet).
    """
    from modaltrack.models.registry import config_of
    from modaltrack.training.recipes import get_recipe
    from modaltrack.training.recipes.laptop_scenes import LEADING

    try:
        recipe = get_recipe(settings.sized(run.recipe))
        options = {**recipe.model_options, **run.options, **run.of_size.get(settings.size, {})}
        config_of(recipe.model, **options)
        groups = (*LEADING.get(recipe.name, ()), *run.train) if run.train else recipe.trainable
        if run.freeze:
            groups = (Group(run.freeze, lr=0.0), *groups)
        steps = max(1, round(settings.steps * run.share))
        budget: dict[str, Any] = {"steps": steps, "batch": settings.batch, "time_budget_s": None, "seed": seed}
        budget |= {"warmup": min(recipe.warmup, steps // 5), "workers": workers, "validate_every": 0}
        budget |= {"save_every": max(50, steps // 10), "log_every": max(1, min(recipe.log_every, steps // 10))}
        if run.start:
            budget["start_from"] = str(place.run(run_of(run.start), seed))
        fields = {**run.fields, "lr": run.fields.get("lr", recipe.lr) * settings.rate}
        if "start_from" in fields:
            fields["start_from"] = settings.sized(fields["start_from"])
        return replace(recipe, model_options=options, trainable=groups, **budget, **fields)
    except (ValueError, TypeError) as error:
        raise NotAvailableError(str(error)) from None


def train_missing(
    place: StudyFolder,
    settings: Settings,
    runs: Sequence[Run],
    seeds: tuple[int, ...],
    machine: Machine,
    say: Say = print,
    train: Callable[..., dict[str, Any]] | None = None,
    until: float | None = None,
) -> dict[str, str]:
    """Train what has no finished card, all runs of the first seed before the second; -> state of each by its folder.

    What another process is training is left to it. A run that fails is written down and the others go on; it is tried
    again at the next call.

    Args:
        train: stands in for ``training.train``.
        until: a time of ``time.monotonic()`` at which the run in work is stopped.
    """
    states: dict[str, str] = {}
    progress = True
    while progress:  # a second stage can be ready only after a pass
        progress = False
        for seed in seeds:
            for run in runs:
                if seed not in seeds_of(run, seeds):
                    continue
                name = place.run(run, seed).name
                before = states.get(name, "")
                if before.startswith(("finished", "failed", "not available")):
                    continue
                states[name] = _one(place, settings, run, seed, machine, say, train, until)
                if states[name] == "stopped":
                    return states
                progress |= states[name] == "finished now"
    return states


def _one(
    place: StudyFolder,
    settings: Settings,
    run: Run,
    seed: int,
    machine: Machine,
    say: Say,
    train: Callable[..., dict[str, Any]] | None,
    until: float | None,
) -> str:
    if place.finished(run, seed):
        return "finished"
    if run.start and not place.finished(run_of(run.start), seed):
        return f"waits for {run.start}"
    folder = place.run(run, seed)
    with locked(folder / "lock") as mine:
        if not mine:
            return "in work elsewhere"
        if place.finished(run, seed):  # another process finished it between the question and the lock
            return "finished"
        try:
            recipe = recipe_of(run, place, settings, seed, machine.workers)
        except NotAvailableError as error:
            say(f"{folder.name}: not available: {error}")
            write_json(folder / "state.json", {"state": "not available", "message": str(error)})
            return "not available"
        say(f"{folder.name}: {run.shows} ({recipe.steps} steps of {recipe.batch})")
        try:
            card = _train(recipe, folder, machine, train, until)
        except (ValueError, RuntimeError, TypeError) as error:  # the run's own fault: say it, keep it, go on
            say(f"{folder.name}: failed: {error}")
            write_json(folder / "state.json", {"state": "failed", "message": f"{type(error).__name__}: {error}"})
            return "failed"
        (folder / "state.json").unlink(missing_ok=True)
        return "finished now" if card["finished"] else "stopped"


def _train(
    recipe: Recipe,
    folder: Path,
    machine: Machine,
    train: Callable[..., dict[str, Any]] | None,
    until: float | None,
) -> dict[str, Any]:
    more: dict[str, Any] = {"until": until}
    if machine.cache is not None:
        more["batch_cache"] = machine.cache
    if train is None:
        from modaltrack.training.loop import train as training

        train = training
    return train(recipe, folder, machine.device, "auto", machine.threads, **more)


def state_of(place: StudyFolder, run: Run, seed: int) -> str:
    """A word or two on a run for the tables: finished, at step N, not run, or what went wrong."""
    if place.finished(run, seed):
        return "finished"
    noted = read_json(place.run(run, seed) / "state.json")
    if noted is not None:
        return f"{noted['state']}: {noted['message']}"
    card = place.card(run, seed)
    return "not run" if card is None else f"at step {card['steps']}"
