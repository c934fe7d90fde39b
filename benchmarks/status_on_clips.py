# SPDX-License-Identifier: Apache-2.0
"""How far a model's score and status can be believed, on labelled clips that it was not trained on.

    python benchmarks/status_on_clips.py modaltrack-laptop --data train/video/davis_bear train/video/davis_bus ...

Every target is followed from its first known box with RGB alone. Off: IoU up to 0.1; on: above 0.5. Prints the score's
area under the ROC curve for "IoU above 0.1", its expected calibration error (ten bins of equal width), the share of
each status where the box is off and on, and mean overlap and success; ``--json`` writes what a card keeps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack import models
from modaltrack.boxes import iou
from modaltrack.frame import Clip, Frame, Modality, Status
from modaltrack.models.measured import STATUS
from modaltrack.scoring.presence import auroc, calibration_error
from modaltrack.tracking import track
from modaltrack.training.pictures.image_files import read_encoded
from modaltrack.training.pictures.readers import read_folder
from modaltrack.training.pictures.records import LabelledClip

OFF, ON = 0.1, 0.5
Numbers = NDArray[np.float64]


def follow(model: models.Model, clip: LabelledClip) -> tuple[Numbers, Numbers, NDArray[np.int64]]:
    """Overlap, score and status of every later frame whose box is known."""
    known = np.isfinite(clip.boxes).all(1)
    first = int(np.flatnonzero(known)[0])
    files = clip.files[Modality.RGB][first:]
    boxes, known = clip.boxes[first:], known[first:].copy()

    def frames() -> Iterator[Frame]:
        for i, file in enumerate(files):
            yield Frame({Modality.RGB: read_encoded(file, Modality.RGB)}, index=i)

    result = track(model, Clip(clip.name, list(frames()), boxes))
    known[0] = False
    return iou(result.boxes[known], boxes[known]), result.scores[known], result.status[known]


def summary(overlap: Numbers, score: Numbers, status: NDArray[np.int64]) -> dict[str, Any]:
    """What a card keeps."""
    off, on = overlap <= OFF, overlap > ON
    shares = {
        f"{one.name.lower()} where {where}": round(float((status[rows] == one).mean()), 3) if rows.any() else None
        for where, rows in (("off", off), ("on", on))
        for one in Status
    }
    return {
        "frames": len(overlap),
        "auroc": round(auroc(score, overlap > OFF), 3),
        "calibration error": round(calibration_error(score, overlap > OFF), 3),
        "off": round(float(off.mean()), 3),
        **shares,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of clips")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = models.load_model(given.model, device="cpu")
    found: list[tuple[Numbers, Numbers, NDArray[np.int64]]] = []
    names = []
    for folder in given.data:
        for clip in read_folder(folder).clips:
            if Modality.RGB in clip.files and np.isfinite(clip.boxes).all(1).sum() > 1:
                found.append(follow(model, clip))
                names.append(f"{folder.name} {clip.target}".strip())
                print(f"{names[-1]}: mean overlap {found[-1][0].mean():.3f}", flush=True)
    numbers = summary(*(np.concatenate(parts) for parts in zip(*found)))
    numbers["mean overlap over targets"] = round(float(np.mean([o.mean() for o, _, _ in found])), 3)
    numbers["targets"] = len(found)
    print(json.dumps({STATUS: numbers}, indent=1))
    if given.json:
        given.json.write_text(json.dumps({STATUS: {**numbers, "clips": names}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
