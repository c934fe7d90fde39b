# SPDX-License-Identifier: Apache-2.0
"""Training speed on this machine: which of {fp32, bf16} x {threads} x {rendering processes} is fastest.

    python benchmarks/bench_training.py ostrack-tiny-scenes --batch 64 --threads 1 2 --workers 0 1 --steps 8
    python benchmarks/bench_training.py srtrack-tiny-scenes --threads 1 --workers 0 --set significance=ranked

Prints samples per second over whole steps after the first ones (rendering of the first batch builds the cast of the
scenes, which is reported apart), with the split of the trainer's time; where significance-regularised tuning is on, the
processor time that it adds, as a share of the step without it and without rendering. ``products_share`` is the part of
forward, backward and optimiser that is spent in matrix products, convolutions and attention, by torch's profiler over
two more steps: of the operators' own time on a CPU, of the kernels' time over the wall clock on a GPU. Each setting
runs in a process of its own; the steps are those of the training loop.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modaltrack.training.recipe import Recipe
    from modaltrack.training.step import Stepper


def measure(arguments: argparse.Namespace, threads: int, amp: str, workers: int) -> dict[str, object]:
    """One setting, in this process."""
    import torch

    from modaltrack.training import get_recipe
    from modaltrack.training.data import BatchSource
    from modaltrack.training.distributed import Ranks
    from modaltrack.training.prefetch import Prefetcher
    from modaltrack.training.record import hardware
    from modaltrack.training.start import build_model
    from modaltrack.training.step import PHASES, Stepper

    torch.set_num_threads(threads)
    recipe = replace(get_recipe(arguments.recipe), batch=arguments.batch, amp=amp, workers=workers)
    recipe = replace(recipe, **dict(change(recipe, text) for text in arguments.set))
    device = torch.device(arguments.device)
    model = build_model(recipe).to(device)
    config: Any = model.config
    place = str(device) if device.type == "cuda" and not workers else "cpu"
    source = BatchSource(recipe, config.template_size, config.search_size, device=place)
    stepper = Stepper(recipe, model, device, Ranks())
    stepper.synchronise = device.type == "cuda"  # else the time of a phase is that of starting its work
    stepper.begin(None)
    spent = dict.fromkeys(("step", "blend", "move"), 0.0)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: object) -> object:
            before = time.process_time()
            try:
                return call(*given)
            finally:
                spent[name] += time.process_time() - before

        return run

    stepper.optimizer.step = timed("move", stepper.optimizer.step)  # type: ignore[method-assign]
    if stepper.blend is not None:
        stepper.blend.step = timed("blend", stepper.blend.step)  # type: ignore[method-assign]
    take = timed("step", stepper)
    warm, last = 2, 2 + arguments.steps
    began = clock = time.perf_counter()
    first = 0.0
    latest: list[Any] = []
    with Prefetcher(source, 0, last, workers) as prefetcher:
        for step, parts in enumerate(prefetcher):
            if step == 0:
                first = time.perf_counter() - began
            if step == warm:
                stepper.seconds = dict.fromkeys(PHASES, 0.0)
                spent.update(dict.fromkeys(spent, 0.0))
                began = clock
            stepper.lap("data", clock)
            take(parts, step, 0.0)
            clock = time.perf_counter()
            latest = [*latest[-1:], parts]
    wall = time.perf_counter() - began
    found: dict[str, object] = {
        "recipe": recipe.name,
        "set": arguments.set,
        "batch": recipe.batch,
        "amp": amp,
        "threads": threads,
        "workers": workers,
        "samples_per_s": round(arguments.steps * recipe.batch / wall, 2),
        "ms_per_sample": {k: round(1e3 * v / arguments.steps / recipe.batch, 3) for k, v in stepper.seconds.items()},
        "first_batch_s": round(first, 2),
        "hardware": hardware(device),
        "torch": torch.__version__,
    }
    if stepper.blend is not None:
        added = spent["blend"] - spent["move"]
        found["significance_share"] = round(added / (spent["step"] - added), 4)
        found["significance_cpu_ms_per_step"] = round(1e3 * added / arguments.steps, 1)
    found["products_share"] = round(products_share(stepper, latest, last), 3)  # last: its steps count in none of these
    return found


PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "addbmm", "convolution", "conv2d", "linear", "attention")
"""What the names of torch's operators for matrix products end with, or hold, once ``_`` and directions are cut."""


def is_product(operator: str) -> bool:
    """Whether an operator is a matrix product, a convolution or an attention."""
    name = operator.removeprefix("aten::").removesuffix("_backward").removesuffix("_forward").strip("_")
    words = name.split("_")
    return operator.startswith("aten::") and (words[-1] in PRODUCTS or "attention" in words)


def products_share(stepper: Stepper, batches: list[Any], step: int) -> float:
    """The part of these training steps that is matrix products, 0 to 1; rendering is not in them."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    on_gpu = stepper.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as record:
        began = time.perf_counter()
        for parts in batches:
            stepper(parts, step, 0.0)
            step += 1
        if on_gpu:
            torch.cuda.synchronize()
        wall_us = 1e6 * (time.perf_counter() - began)
    events = [event for event in record.key_averages() if event.key.startswith("aten::")]
    kind = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    inside = sum(getattr(event, kind) for event in events if is_product(event.key))
    return float(inside / (wall_us if on_gpu else sum(event.self_cpu_time_total for event in events)))


def change(recipe: Recipe, text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` as a field of the recipe and its new value; VALUE is JSON, or a text."""
    name, _, value = text.partition("=")
    try:
        new = json.loads(value)
    except json.JSONDecodeError:
        new = value
    old = getattr(recipe, name)
    return name, {**old, **new} if isinstance(old, dict) else new


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
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="other values of the recipe")
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
                command = [
                    sys.executable,
                    __file__,
                    *common,
                    *chosen,
                    "--device",
                    arguments.device,
                    "--one",
                    "--set",
                    *arguments.set,
                ]
                subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


if __name__ == "__main__":
    main()
