# SPDX-License-Identifier: Apache-2.0
"""The laptop models within a number of minutes: the RGB base, the default on it, and its confidence.

    python benchmarks/train_in_minutes.py --data PICTURES ... --out RUNS --minutes 10 --device cuda

For a machine that is lent for a short while: every stage has its share of the time and ends by itself, each is resumed
where its folder holds a run, and the weights lie in the folder as soon as their stage has ended. Samples are drawn and
degraded by one process a core, because they are composed with OpenCV; the network runs on the device. All three stages
were tried on a CPU with three minutes; the run on CUDA is yet to be made. real_clips.py scores what comes out.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import torch

from modaltrack.training.loop import train
from modaltrack.training.recipe import Recipe
from modaltrack.training.recipes import get_recipe
from modaltrack.training.start import export

# recipe, its share of the minutes, whose run it starts from, in the folder
STAGES = (
    ("ostrack-laptop-pictures", 0.4, None),
    ("modaltrack-laptop-pictures", 0.4, "ostrack-laptop-pictures"),
    ("modaltrack-laptop-confidence", 0.1, "modaltrack-laptop-pictures"),
)


def stage(name: str, seconds: float, start: Path | None, given: argparse.Namespace) -> Recipe:
    """The recipe of a stage that ends in time, with larger batches where a GPU is to be kept busy."""
    recipe = get_recipe(name)
    gpu = given.device.startswith("cuda")
    return replace(
        recipe,
        data={str(folder): 1.0 for folder in given.data},
        start_from=recipe.start_from if start is None else str(start),
        time_budget_s=seconds,
        batch=given.batch or (128 if gpu else recipe.batch),
        workers=given.workers,
        log_every=10,
        save_every=50,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of pictures and clips")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="of all stages; starting them comes on top")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="pairs a step; default 128 on CUDA")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    given = parser.parse_args()
    began = time.monotonic()
    for name, share, before in STAGES:
        left = given.minutes * 60 - (time.monotonic() - began)
        if left < 20:
            print(f"No time is left for {name}; give more --minutes, or run again with the same --out to go on.")
            break
        start = None if before is None else given.out / before
        seconds = min(left, share * given.minutes * 60)
        card = train(stage(name, seconds, start, given), given.out / name, device=given.device, threads=1)
        print(f"{name}: {card['steps']} steps, {export(given.out / name)}", flush=True)


if __name__ == "__main__":
    main()
