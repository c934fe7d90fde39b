# SPDX-License-Identifier: Apache-2.0
"""Score weights on ``scenes.benchmark``: RGB alone, each other sensor alone, and both, easy and hard half.

    python benchmarks/scenes_benchmark.py sdstrack-tiny --json scores.json

Every clip is rendered once and tracked with every set of sensors, from the truth of its first frame. success: area
under the success curve at overlaps 0:0.05:1; precision: share within 20 px; averaged over clips, the first frame
counts; in brackets the 95 % bootstrap interval over clips. A model built for RGB alone sees the other sensors' images
as if they were RGB. ``--calibrate`` tracks the validation split without thresholds and prints those that it gives.
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
from modaltrack.frame import Clip, Modality
from modaltrack.scoring import precision_at, success_auc
from modaltrack.tracking import Policy, track_many
from modaltrack.training.validate import View, thresholds

Sensors = tuple[str, ...]


def sensor_sets(model: Any) -> list[Sensors]:
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


def track_all(model: Any, clips: list[Clip], sets: list[Sensors], policy: Policy) -> list[dict[str, Any]]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or path of weights")
    parser.add_argument("--split", default="test", choices=("test", "validation"))
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--lock-step", type=int, default=4, help="clips held in memory and tracked together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--published", action="store_true", help="the authors' inference: no thresholds, no rails")
    parser.add_argument("--calibrate", action="store_true", help="print thresholds; implies the validation split")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = models.load_model(given.model, device="cpu")
    policy = Policy.published() if given.published or given.calibrate else Policy.of(model)
    bench = scenes.benchmark(
        split="validation" if given.calibrate else given.split, clips=given.clips, length=given.length
    )
    sets = sensor_sets(model)
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for start in range(0, len(bench), given.lock_step):
        clips = [replace(c, frames=list(c.frames)) for c in bench[start : start + given.lock_step]]
        rows += track_all(model, clips, sets, policy)
        print(
            f"{min(start + given.lock_step, len(bench))} of {len(bench)} clips, {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    if given.calibrate:
        found = thresholds(np.concatenate([r["scores"] for r in rows]), np.concatenate([r["overlaps"] for r in rows]))
        print(json.dumps(found))
    table: dict[str, dict[str, Any]] = {}
    print(f"\n{bench.version}, {bench.split} split, {len(bench)} clips of {given.length} frames, {given.model}\n")
    print("| sensors | success | easy | hard | precision |\n|---|---|---|---|---|")
    for sensors in ["+".join(s) for s in sets]:
        mine = [r for r in rows if r["sensors"] == sensors]
        success = np.array([r["success"] for r in mine])
        halves = {h: float(np.mean([r["success"] for r in mine if r["half"] == h])) for h in ("easy", "hard")}
        precision = float(np.mean([r["precision"] for r in mine]))
        low, high = interval(success)
        table[sensors] = {"success": float(success.mean()), "interval": [low, high], **halves, "precision": precision}
        cells = [
            f"{success.mean():.3f} [{low:.3f}, {high:.3f}]",
            *(f"{halves[h]:.3f}" for h in halves),
            f"{precision:.3f}",
        ]
        print(f"| {sensors} | {' | '.join(cells)} |")
    if given.json:
        facts = {
            "benchmark": bench.version,
            "split": bench.split,
            "clips": len(bench),
            "length": given.length,
            "model": given.model,
            "table": table,
            "rows": [{k: v for k, v in r.items() if k not in ("scores", "overlaps")} for r in rows],
        }
        given.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
