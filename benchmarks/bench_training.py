# SPDX-License-Identifier: Apache-2.0
"""Training speed on this machine: which of {fp32, bf16} x {threads} x {rendering processes} is fastest.

    python benchmarks/bench_training.py ostrack-tiny-scenes --batch 64 --threads 1 2 --workers 0 1 --steps 8

Prints samples per second over whole steps after the first ones (rendering of the first batch builds the cast of the
scenes, which is reported apart), with the split of the trainer's time. Each setting runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace


def measure(arguments: argparse.Namespace, threads: int, amp: str, workers: int) -> dict[str, object]:
    """One setting, in this process."""
    import torch

    from modaltrack.training import get_recipe
    from modaltrack.training.data import BatchSource
    from modaltrack.training.objective import batch_losses
    from modaltrack.training.optim import Average, build_optimizer, set_training_mode
    from modaltrack.training.prefetch import Prefetcher
    from modaltrack.training.record import hardware
    from modaltrack.training.start import build_model

    torch.set_num_threads(threads)
    recipe = replace(get_recipe(arguments.recipe), batch=arguments.batch, amp=amp, workers=workers)
    device = torch.device(arguments.device)
    model = build_model(recipe).to(device)
    optimizer = build_optimizer(model, recipe)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    average = Average(model, recipe.ema)
    config = model.config
    place = str(device) if device.type == "cuda" and not workers else "cpu"
    source = BatchSource(recipe, config.template_size, config.search_size, device=place)  # type: ignore[arg-type]
    warm, last = 2, 2 + arguments.steps
    split = dict.fromkeys(("data", "forward", "backward", "optimiser"), 0.0)
    began = clock = time.perf_counter()
    first = 0.0

    def lap(name: str) -> None:
        nonlocal clock
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        split[name] += now - clock
        clock = now

    with Prefetcher(source, 0, last, workers) as prefetcher:
        for step, parts in enumerate(prefetcher):
            if step == 0:
                first = time.perf_counter() - began
            lap("data")
            set_training_mode(model, recipe)
            optimizer.zero_grad(set_to_none=True)
            loss = batch_losses(model, recipe, parts[0], device)[0]
            lap("forward")
            loss.backward()
            lap("backward")
            torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], recipe.clip)
            optimizer.step()
            average.update(step)
            lap("optimiser")
            if step == warm - 1:
                split = dict.fromkeys(split, 0.0)
                began = time.perf_counter()
    spent = time.perf_counter() - began
    return {
        "recipe": recipe.name,
        "batch": recipe.batch,
        "amp": amp,
        "threads": threads,
        "workers": workers,
        "samples_per_s": round(arguments.steps * recipe.batch / spent, 2),
        "ms_per_sample": {k: round(1e3 * v / arguments.steps / recipe.batch, 3) for k, v in split.items()},
        "first_batch_s": round(first, 2),
        "hardware": hardware(device),
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure all settings and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="ostrack-tiny-scenes")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--amp", nargs="+", default=["none", "bf16"])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", action="store_true", help="measure the single setting in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments, arguments.threads[0], arguments.amp[0], arguments.workers[0])))
        return
    common = [arguments.recipe, "--batch", str(arguments.batch), "--steps", str(arguments.steps)]
    for workers in arguments.workers:
        for threads in arguments.threads:
            for amp in arguments.amp:
                chosen = ["--threads", str(threads), "--amp", amp, "--workers", str(workers)]
                command = [sys.executable, __file__, *common, *chosen, "--device", arguments.device, "--one"]
                subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


if __name__ == "__main__":
    main()
