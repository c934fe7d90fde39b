# SPDX-License-Identifier: Apache-2.0
"""Track the study's clips with a finished run, under every condition, once; the numbers go beside its card.

The tracker believes every peak, as the authors' do: thresholds would have to be calibrated for each model, and what
they hide or hold is not what the runs differ in. Only the smallest box differs (2 pixels instead of 10).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modaltrack.files import checksum, locked
from modaltrack.frame import Clip
from modaltrack.study.corruptions import Failing
from modaltrack.study.folder import Settings, StudyFolder, seeds_of, write_json
from modaltrack.study.plan import CORRUPTIONS, MAIN, SENSORS, Run

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from modaltrack.models.model import Model, TorchModel

FIRST_TEMPLATE = "first template"
GAP_DRAWS, GAP_FRAMES, GAP_TOKENS = 3, 80, 800


@dataclass(frozen=True)
class Condition:
    """What a tracker is given.

    Attributes:
        sensors: what it sees.
        failure: "" or one of ``plan.CORRUPTIONS``, or ``FIRST_TEMPLATE`` for a tracker whose second template stays the
            first.
    """

    sensors: tuple[str, ...]
    failure: str = ""

    @property
    def name(self) -> str:
        """As it is called in evaluation.json and in ``plan.MEASURES``."""
        return "+".join(self.sensors) + (f" | {self.failure}" if self.failure else "")


def conditions(known: Sequence[str], templates: int = 1) -> list[list[Condition]]:
    """What a model of these sensors is measured under, in groups that are tracked together."""
    if list(known) == ["rgb"]:
        return [[Condition((m,)) for m in ("rgb", *SENSORS)]]
    groups = [[Condition(("rgb",))]]
    for x in (x for x in SENSORS if x in known):
        both = ("rgb", x)
        groups.append([Condition((x,)), Condition(both), *(Condition(both, what) for what in CORRUPTIONS)])
        if templates > 1:
            groups.append([Condition(both, FIRST_TEMPLATE)])
    return groups


def measure(model: Model, clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """Condition -> success and precision of every clip, 0..1, and the mean score of the tracker.

    All clips and conditions of a group run in lock-step, one batch a frame.
    """
    from modaltrack.scoring import precision_at, success_auc
    from modaltrack.tracking import Policy, track_many
    from modaltrack.training.validate import View

    policy = replace(Policy.published(), margin=2.0)
    still = replace(policy, template_update=replace(policy.template_update, rule="none"))
    known = [str(m) for m in model.config.modalities]
    found: dict[str, dict[str, Any]] = {}
    for group in conditions(known, model.num_templates):
        shown = [(condition, clip) for condition in group for clip in clips]
        views = []
        for condition, clip in shown:
            view: Sequence[Any] = View(
                clip.frames, condition.sensors, known == ["rgb"] and condition.sensors != ("rgb",)
            )
            if condition.failure in CORRUPTIONS:
                view = Failing(view, clip.name, condition.failure)
            views.append(replace(clip, frames=view))
        results = track_many(model, views, policy=still if group[0].failure == FIRST_TEMPLATE else policy)
        for (condition, clip), result in zip(shown, results, strict=True):
            assert clip.boxes is not None
            row = found.setdefault(condition.name, {"success": [], "precision": [], "score": []})
            row["success"].append(round(success_auc(result.boxes, clip.boxes), 5))
            row["precision"].append(round(precision_at(result.boxes, clip.boxes, 20), 5))
            row["score"].append(float(result.scores[1:].mean()))
    return {name: {**row, "score": round(float(np.mean(row["score"])), 4)} for name, row in found.items()}


def evaluate_missing(
    place: StudyFolder,
    settings: Settings,
    runs: Sequence[Run],
    seeds: tuple[int, ...],
    clips: Callable[[], list[Clip]],
    device: str = "auto",
    threads: int = 1,
    say: Callable[[str], None] = print,
    until: float | None = None,
) -> dict[str, str]:
    """Measure every finished run that has not been measured with these clips and weights; -> what became of each.

    Args:
        until: a time of ``time.monotonic()`` after which none is begun.
    """
    states: dict[str, str] = {}
    loaded: list[Clip] = []
    for seed in seeds:
        for run in runs:
            if not run.measured or seed not in seeds_of(run, seeds):
                continue
            folder = place.run(run, seed)
            if not place.finished(run, seed):
                states[folder.name] = "not trained"
                continue
            if until is not None and time.monotonic() >= until:
                states[folder.name] = "stopped"
                continue
            with locked(folder / "lock") as mine:
                if not mine:
                    states[folder.name] = "in work elsewhere"
                    continue
                weights = _weights(place, run, seed, settings)
                of = {"weights": checksum(weights), "clips": settings.clips, "frames": settings.frames}
                if (place.evaluation(run, seed) or {}).get("of") == of:
                    states[folder.name] = "measured"
                    continue
                loaded = loaded or clips()
                data = evaluate(weights, loaded, device, threads, gaps=run.id in MAIN)
                card = place.card(run, seed) or {}
                kept = {k: card.get(k) for k in ("steps", "samples", "hours", "parameters", "trained_parameters")}
                write_json(folder / "evaluation.json", {"run": run.id, "seed": seed, "of": of, "card": kept, **data})
                states[folder.name] = "measured now"
                spent = f"{data['seconds']:.0f} s ({data['processor_seconds']:.0f} s of processor time)"
                say(f"{folder.name}: measured in {spent}; {headline(data['conditions'])}")
    return states


def evaluate(
    weights: Path, clips: Sequence[Clip], device: str = "auto", threads: int = 1, gaps: bool = False
) -> dict[str, Any]:
    """What is measured of a weight file.

    Args:
        gaps: the modality gap by depth as well.
    """
    import torch

    from modaltrack.models import load_torch_model
    from modaltrack.training.record import environment

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = load_torch_model(weights, device=device)
        began, worked = time.perf_counter(), time.process_time()
        with _precision(model):
            found = measure(model, clips)
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
        gap = modality_gap(model, clips) if gaps else {}
        machine = environment(next(model.parameters()).device)
    finally:
        torch.set_num_threads(before)
    return {
        "clip_names": [clip.name for clip in clips],
        "conditions": found,
        "gap": gap,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "environment": machine,
    }


def modality_gap(model: TorchModel, clips: Sequence[Clip]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Second sensor -> comparison -> depth -> MMD² of several draws of frames and tokens (``training.mmd``)."""
    from modaltrack.training.mmd import clip_pairs, mmd_by_depth

    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for x in SENSORS:
        for draw in range(GAP_DRAWS):
            pairs = clip_pairs(clips, x, model.config, frames=GAP_FRAMES, seed=draw)
            for comparison, by_depth in mmd_by_depth(model, pairs, x, GAP_TOKENS, draw).items():
                for depth, value in by_depth.items():
                    found.setdefault(x, {}).setdefault(comparison, {}).setdefault(depth, []).append(round(value, 5))
    return found


def _precision(model: Model) -> AbstractContextManager[object]:
    """The autocast that the recipes train in: on a CPU with bf16 products it halves the time of a measurement."""
    import torch

    from modaltrack.models.model import placed

    return torch.autocast(placed(model)[0].type, torch.bfloat16)


def headline(found: dict[str, dict[str, Any]]) -> str:
    """The first numbers of a measurement in one line."""
    parts = [f"{name} {np.mean(row['success']):.3f}" for name, row in found.items() if "|" not in name]
    return ", ".join(parts)


def _weights(place: StudyFolder, run: Run, seed: int, settings: Settings) -> Path:
    """The weight file to measure; a finished run's is written where it is missing."""
    if run.weights is not None:
        from modaltrack.models.weights_store import ensure, shipped

        return ensure(shipped(settings.sized(run.weights)))
    path = place.weights(run, seed)
    card = place.run(run, seed) / "card.json"
    if not path.exists() or path.stat().st_mtime < card.stat().st_mtime:
        from modaltrack.training.start import export

        export(place.run(run, seed), path)
    return path
