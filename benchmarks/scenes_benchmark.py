# SPDX-License-Identifier: Apache-2.0
"""Score weights on ``scenes.benchmark``: RGB alone, each other sensor alone, and both, easy and hard half.

    python benchmarks/scenes_benchmark.py sdstrack-tiny ostrack-tiny --json scores.json

Every clip is rendered once and tracked with every set of sensors, from the truth of its first frame. success: area
under the success curve at overlaps 0:0.05:1; precision: share within 20 px; averaged over clips, the first frame
counts; in brackets the 95 % bootstrap interval over clips. A model built for RGB alone sees the other sensors' images
as if they were RGB. A JSON file that is there already is gone on with. ``--calibrate`` tracks the validation split
without thresholds and prints those that it gives.
The test split is for reporting, never for choosing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack import models, scenes
from modaltrack.boxes import iou
from modaltrack.files import write_file
from modaltrack.frame import Clip, Modality
from modaltrack.scenes.clips import SceneBenchmark
from modaltrack.scoring import precision_at, success_auc
from modaltrack.tracking import Policy, track_many
from modaltrack.training.validate import View, thresholds

Sensors = tuple[str, ...]


def sensor_sets(model: models.Model) -> list[Sensors]:
    """RGB, each X, RGB + each X, and all together."""
    known = [str(m) for m in model.config.modalities]
    if known == ["rgb"]:
        return [(str(m),) for m in Modality]
    others = [m for m in known if m != "rgb"]
    sets = [("rgb",), *((m,) for m in others), *(("rgb", m) for m in others)]
    return [*sets, ("rgb", *others)] if len(others) > 1 else sets


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def track_all(model: models.Model, clips: list[Clip], sets: list[Sensors], policy: Policy) -> list[dict[str, Any]]:
    """One row per clip and set of sensors: scores, and per frame the windowed score and the overlap."""
    as_rgb = [str(m) for m in model.config.modalities] == ["rgb"]
    shown = [(clip, sensors) for clip in clips for sensors in sets]
    views = [replace(c, frames=View(c.frames, s, as_rgb and s != ("rgb",))) for c, s in shown]
    rows = []
    for (clip, sensors), result in zip(shown, track_many(model, views, policy=policy)):
        assert clip.boxes is not None
        overlap = np.nan_to_num(np.asarray(iou(result.boxes, clip.boxes)), nan=0.0)
        rows.append(
            {
                "clip": clip.name,
                "half": clip.name.split("-")[0],
                "attributes": sorted(clip.attributes),
                "sensors": "+".join(sensors),
                "success": success_auc(result.boxes, clip.boxes),
                "precision": precision_at(result.boxes, clip.boxes, 20),
                "scores": result.scores[1:],
                "overlaps": overlap[1:],
            }
        )
    return rows


def measure(names: list[str], bench: SceneBenchmark, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all models, a few clips at a time, each rendered once; what the JSON file holds is not run again."""
    loaded = {}
    for name in names:
        model = models.load_model(name, device="cpu")
        loaded[name] = model, Policy.published() if given.published or given.calibrate else Policy.of(model)
    rows: list[dict[str, Any]] = []
    if given.json and given.json.exists():
        rows = json.loads(given.json.read_text(encoding="utf-8"))["rows"]
    done = {(row["model"], row["clip"], row["sensors"]) for row in rows}
    began = time.perf_counter()
    for start in range(0, len(bench), given.lock_step):
        asked = bench[start : start + given.lock_step]
        clips: list[Clip] = []
        for name, (model, policy) in loaded.items():
            sets = [s for s in sensor_sets(model) if not given.sensors or "+".join(s) in given.sensors]
            for sensors in sets:
                if all((name, clip.name, "+".join(sensors)) in done for clip in asked):
                    continue
                clips = clips or [replace(clip, frames=list(clip.frames)) for clip in asked]
                rows += [{"model": name, **row} for row in track_all(model, clips, [sensors], policy)]
        if given.json:
            write(given.json, bench, rows)
        past = f"{time.perf_counter() - began:.0f} s"
        print(f"{min(start + given.lock_step, len(bench))} of {len(bench)} clips, {past}", flush=True)
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sensors -> means over the clips of one model."""
    table: dict[str, dict[str, Any]] = {}
    for sensors in dict.fromkeys(row["sensors"] for row in rows):
        mine = [r for r in rows if r["sensors"] == sensors]
        success = np.array([r["success"] for r in mine])
        halves = {h: [r["success"] for r in mine if r["half"] == h] for h in ("easy", "hard")}
        table[sensors] = {
            "success": float(success.mean()),
            "interval": list(interval(success)),
            **{half: float(np.mean(values)) for half, values in halves.items() if values},
            "precision": float(np.mean([r["precision"] for r in mine])),
        }
    return table


def write(path: Path, bench: SceneBenchmark, rows: list[dict[str, Any]]) -> None:
    """All rows and their means, so that a run that is stopped is gone on with."""
    names = dict.fromkeys(row["model"] for row in rows)
    facts = {
        "benchmark": bench.version,
        "split": bench.split,
        "clips": len(bench),
        "length": len(bench[0].frames),
        "tables": {name: summary([r for r in rows if r["model"] == name]) for name in names},
        "rows": [{k: v for k, v in r.items() if k not in ("scores", "overlaps")} for r in rows],
    }
    write_file(path, json.dumps(facts, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="model", help="name or path of weights")
    parser.add_argument("--sensors", nargs="+", help="only these sets, such as rgb rgb+thermal")
    parser.add_argument("--split", default="test", choices=("test", "validation"))
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--lock-step", type=int, default=4, help="clips held in memory and tracked together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--published", action="store_true", help="the authors' inference: no thresholds, no rails")
    parser.add_argument("--calibrate", action="store_true", help="print thresholds; implies the validation split")
    parser.add_argument("--json", type=Path, help="results; a file that is there already is gone on with")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    split = "validation" if given.calibrate else given.split
    bench = scenes.benchmark(split=split, clips=given.clips, length=given.length)
    rows = measure(given.models, bench, given)
    for name in given.models:
        mine = [r for r in rows if r["model"] == name]
        if given.calibrate:
            parts = (np.concatenate([r[k] for r in mine if k in r]) for k in ("scores", "overlaps"))
            print(name, json.dumps(thresholds(*parts)))
        print(f"\n{bench.version}, {bench.split} split, {len(bench)} clips of {given.length} frames, {name}\n")
        print("| sensors | success | easy | hard | precision |\n|---|---|---|---|---|")
        for sensors, row in summary(mine).items():
            low, high = row["interval"]
            halves = " | ".join(f"{row.get(half, float('nan')):.3f}" for half in ("easy", "hard"))
            print(f"| {sensors} | {row['success']:.3f} [{low:.3f}, {high:.3f}] | {halves} | {row['precision']:.3f} |")


if __name__ == "__main__":
    main()
