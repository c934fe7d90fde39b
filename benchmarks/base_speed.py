# SPDX-License-Identifier: Apache-2.0
"""The published sizes on a CPU: float32 beside its bare matrix products, bfloat16 beside float32, what bf16 changes.

    python benchmarks/base_speed.py --threads 2
    python benchmarks/base_speed.py --models ostrack-base --runtimes openvino     # exports, which takes a minute each

One target, RGB and thermal where the model takes two sensors, drawn weights. A network call in float32, the bare
products of the same shapes in float32 and in bfloat16, and the call under bfloat16 autocast take turns, so that a busy
machine slows all of them: the ratios are medians over the rounds. Map differences are between float32 and bfloat16 maps
of the same drawn weights; memory is the peak of the process, which has one model.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from bench_models import products_of

from modaltrack import models
from modaltrack.frame import Modality
from modaltrack.models.model import TorchModel
from modaltrack.models.prediction import Prediction
from modaltrack.models.registry import METHODS

BASE = [f"{method}-base" for method in METHODS if f"{method}-base" in models.list_models()]


def seconds(call: Callable[[], Any]) -> float:
    """Of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(name: str, threads: int, rounds: int, runtimes: list[str]) -> dict[str, Any]:
    """The row of one model."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = models.create(name).eval()
    sensors = [m for m in model.config.modalities if m in (Modality.RGB, Modality.THERMAL)]
    sizes = (model.config.template_size, model.config.search_size)
    images = [{m: torch.randn(1, 3, s, s) for m in sensors} for s in sizes]

    def run(dtype: torch.dtype = torch.float32) -> Prediction:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return model(*images)

    calls: dict[str, Callable[[], Any]] = {"f32": run, "bf16": lambda: run(torch.bfloat16)}
    calls["products f32"], macs = products_of(run, torch.float32, "cpu")
    calls["products bf16"] = products_of(run, torch.bfloat16, "cpu")[0]
    for runtime in runtimes:
        for precision in ("fp32", "bf16"):
            calls[f"{runtime} {precision}"] = exported(model, runtime, precision, images)
    spent: dict[str, list[float]] = {part: [] for part in calls}
    for _ in range(rounds + 1):
        for part, call in calls.items():
            spent[part].append(seconds(call))
    spent = {part: times[1:] for part, times in spent.items()}  # the first warms up
    exact, rough = run(), run(torch.bfloat16)

    def ratio(a: str, b: str) -> float:
        return round(statistics.median(x / y for x, y in zip(spent[a], spent[b])), 3)

    return {
        "model": name,
        "threads": threads,
        "gmacs": round(macs, 2),
        "ms": {part: round(1e3 * statistics.median(times), 1) for part, times in spent.items()},
        "f32 / products": ratio("f32", "products f32"),
        "bf16 / f32": ratio("bf16", "f32"),
        "bf16 / products": ratio("bf16", "products bf16"),
        **{f"{part} / f32": ratio(part, "f32") for part in spent if part.split()[0] in runtimes},
        "map difference": {
            part: float((getattr(exact, part) - getattr(rough, part)).abs().max())
            for part in ("score_map", "size_map", "offset_map")
        },
        "peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def exported(model: TorchModel, runtime: str, precision: str, images: list[Any]) -> Callable[[], Any]:
    """A call of the model in another runtime."""
    from modaltrack.runtime.loading import exported_on_demand

    other = exported_on_demand(model, runtime, precision)
    return lambda: other(*images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=BASE)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtimes", nargs="*", default=[], choices=["onnx", "openvino"])
    parser.add_argument("--limit", type=float, default=600, help="seconds after which no further model is begun")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.threads, options.rounds, options.runtimes)))
        return
    print(
        f"torch {torch.__version__}, {options.threads} threads, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    )
    began = time.monotonic()
    for name in options.models:
        if time.monotonic() - began > options.limit:
            print(f"{name}: left out, the time is up")
            continue
        words = ["--one", name, "--threads", str(options.threads), "--rounds", str(options.rounds)]
        words += ["--runtimes", *options.runtimes]
        done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout.strip() or f"{name}: failed, see above", flush=True)


if __name__ == "__main__":
    main()
