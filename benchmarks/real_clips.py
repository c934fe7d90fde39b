# SPDX-License-Identifier: Apache-2.0
"""Our trackers on real clips: RGB alone, the other sensor alone, and both.

    python benchmarks/real_clips.py sdstrack-tiny late:ostrack-tiny nano.safetensors late:nano.safetensors \\
        --data CLIPS --json ours.json --beside opencv.json

Each clip starts from its first row; success AUC and mean IoU over the later frames with a known box. A model is the
name or path that ``load_model`` takes (built for RGB alone, it sees the other sensor's images as if they were RGB);
``create:NAME`` runs fresh weights, a floor to compare with; ``late:NAME`` is late fusion, the floor of learnt fusion.
NanoTrack's weights are imported with ``modaltrack models import``; CSRT and KCF come from real_clips_opencv.py. A JSON
file that is there already is gone on with.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_clip_folder import RealClip, Rows, read_clips

from modaltrack import models
from modaltrack.frame import Clip, Frame, Modality, Status
from modaltrack.tracking import Policy, track


def frames(clip: RealClip, sensors: tuple[Modality, ...], names: tuple[Modality, ...]) -> list[Frame]:
    """All frames of a clip with these sensors only, under these names."""
    sides = zip(*(clip.images(m) for m in sensors))
    return [Frame(dict(zip(names, images)), index=i) for i, images in enumerate(sides)]


def run(model: models.Model, clip: RealClip, sensors: tuple[Modality, ...], policy: Policy) -> dict[str, Any]:
    """Scores of one model on one clip with these sensors, how often it was sure, and its speed."""
    names = (Modality.RGB,) if one_stream(model) else sensors
    result = track(model, Clip(clip.name, frames(clip, sensors, names), clip.boxes), policy=policy)
    return {
        **clip.score(result.boxes),
        "score": round(float(result.scores[1:].mean()), 3),
        "tracking": round(float((result.status[1:] == Status.TRACKING).mean()), 3),
        "fps": round(len(result.boxes) / result.info["tracker_seconds"], 1),
    }


def one_stream(model: models.Model) -> bool:
    """Whether a model sees one sensor at a time, any of them as if it were RGB."""
    return bool(model.one_sensor) or tuple(model.config.modalities) == (Modality.RGB,)


def table(rows: list[dict[str, Any]]) -> str:
    """AUC / IoU by clip (down) and by tracker and sensors (across), the mean over clips of each column at the end."""
    columns = list(dict.fromkeys((row["tracker"], side(row)) for row in rows))
    cells = {(row["clip"], row["tracker"], side(row)): f"{row['auc']:.3f} / {row['iou']:.3f}" for row in rows}
    scores = defaultdict(list)
    for row in rows:
        scores[row["tracker"], side(row)].append((row["auc"], row["iou"]))
    lines = ["| clip | " + " | ".join(f"{t} {s}" for t, s in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for clip in dict.fromkeys(row["clip"] for row in rows):
        lines.append(f"| {clip} | " + " | ".join(cells.get((clip, *column), "") for column in columns) + " |")
    means = (np.mean(scores[column], axis=0) for column in columns)
    return "\n".join([*lines, "| mean | " + " | ".join(f"{auc:.3f} / {iou:.3f}" for auc, iou in means) + " |"])


def side(row: dict[str, Any]) -> str:
    """rgb, X or both, from "rgb", "thermal", "rgb+thermal"."""
    return "both" if "+" in row["sensors"] else "rgb" if row["sensors"] == "rgb" else "X"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names or paths of weights, or create:NAME")
    parser.add_argument("--data", type=Path, required=True, help="folder with rgb/, rgbt/, rgbd/, rgbe/")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--published", action="store_true", help="the authors' inference: no thresholds, no guard rails"
    )
    parser.add_argument("--json", type=Path, help="keep the rows here, and go on from there")
    parser.add_argument("--beside", type=Path, help="the JSON of real_clips_opencv.py, to print in the same table")
    given = parser.parse_args()
    done = Rows(given.json, torch=torch.__version__)
    for name in given.models:
        if name.startswith("create:"):
            torch.manual_seed(0)
            model = models.create(name.removeprefix("create:")).to(given.device).eval()
        else:
            model = models.load_model(name, device=given.device)
        policy = Policy.published() if given.published else Policy.of(model)
        label = "late:" * name.startswith("late:") + Path(name.removeprefix("late:")).stem
        label += " (published policy)" if given.published else ""
        for clip in read_clips(given.data):
            for sensors in (*((side,) for side in clip.sides), *((clip.sides,) if clip.aux else ())):
                if len(sensors) > 1 if one_stream(model) else not set(sensors) <= set(model.config.modalities):
                    continue
                key = {"clip": clip.name, "tracker": label, "sensors": "+".join(sensors)}
                if not done.has(**key):
                    done.add({**key, **run(model, clip, sensors, policy)})
    rows = done.rows
    if given.beside:
        rows += json.loads(given.beside.read_text())["rows"]
    print("\nAUC / mean IoU\n\n" + table(rows))


if __name__ == "__main__":
    main()
