# SPDX-License-Identifier: Apache-2.0
"""One GPU, at most nine minutes: networks, compiled networks, the step, the scan's kernel, a training step.

    python benchmarks/cuda_speed.py --json cuda.json                 # on a machine with CUDA
    python benchmarks/cuda_speed.py --device cpu --minutes 3         # the same script tried without one

Every measurement is a row that is printed (and written) when it is done. Each kind of measurement has a share of the
time, measurements are begun only while it lasts, and what is left out is said; the whole ends after --minutes whatever
happens, since a watch in a thread of its own ends the process.

* forward: a network call in float32 (TF32 off) and under bfloat16 autocast, batches 1 to 64, frames/s and memory;
* compiled: the same under torch.compile(fullgraph=True), seconds of compiling apart, largest difference of the maps;
* step: crop, network and box for 1, 8 and 64 targets in one 720p frame, each;
* scan: the Triton kernel against the blocked form and the plain loop;
* training: samples/s of a training step and the share of matrix products in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modaltrack import models
from modaltrack.frame import Frame, Modality
from modaltrack.models.parts.selective_scan import selective_scan
from modaltrack.tracking import Policy, start, step

SHARES = {"forward": 0.3, "compiled": 0.25, "step": 0.1, "scan": 0.1, "training": 0.2}
NETWORKS = ["modaltrack-laptop", "ostrack-base", "sdstrack-base", "smstracker-base", "tpf-base", "ainet-base"]
BOTH = (Modality.RGB, Modality.THERMAL)


class Book:
    """Rows as they come, printed and written."""

    def __init__(self, file: Path | None, facts: dict[str, Any]) -> None:
        self.file, self.facts, self.rows = file, facts, list[dict[str, Any]]()

    def add(self, kind: str, **row: object) -> None:
        """Keep a row."""
        self.rows.append({"kind": kind, **{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}})
        print(json.dumps(self.rows[-1]), flush=True)
        if self.file is not None:
            self.file.write_text(json.dumps({**self.facts, "rows": self.rows}, indent=1) + "\n")


def seconds(call: Callable[[], Any], device: torch.device, repeats: int = 10, most: float = 4.0) -> float:
    """Median seconds of a call behind two that warm up; fewer repetitions where they take long."""
    spent: list[float] = []
    began = time.perf_counter()
    while len(spent) < repeats + 2 and (len(spent) < 2 or time.perf_counter() - began < most):
        before = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(time.perf_counter() - before)
    return statistics.median(spent[2:] or spent[-1:])


def network(name: str, batch: int, device: torch.device) -> tuple[Any, list[Any]]:
    """A model with drawn weights and its images."""
    torch.manual_seed(0)
    model = models.create(name).eval().to(device)
    sensors = [m for m in BOTH if m in model.config.modalities]
    sizes = (model.config.template_size, model.config.search_size)
    return model, [{m: torch.randn(batch, 3, s, s, device=device) for m in sensors} for s in sizes]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context of a precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def forward(device: torch.device, names: list[str]) -> Iterator[dict[str, Any]]:
    """Network calls in two precisions, batches 1, 8 and 64 of all models before those between."""
    for batch in (1, 64, 8, 2, 4, 16, 32):
        for name in names:
            for precision in ("fp32", "bf16"):
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                model, images = network(name, batch, device)
                with torch.inference_mode(), autocast(device, precision):
                    spent = seconds(lambda: model(*images), device)  # noqa: B023 - called at once
                row = {"model": name, "batch": batch, "precision": precision, "ms": 1e3 * spent, "fps": batch / spent}
                memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
                yield {**row, "memory_mb": memory}


def compiled(device: torch.device, names: list[str]) -> Iterator[dict[str, Any]]:
    """Compiled against eager, with the difference of the maps."""
    for name in names:
        model, images = network(name, 1, device)
        torch.compiler.reset()
        with torch.inference_mode():
            eager = model(*images)
            plain = seconds(lambda: model(*images), device)  # noqa: B023
            fast = torch.compile(model, fullgraph=True)
            began = time.perf_counter()
            made = fast(*images)
            first = time.perf_counter() - began
            spent = seconds(lambda: fast(*images), device)  # noqa: B023
        off = max(float((a - b).abs().max()) for a, b in zip(eager[:3], made[:3]))
        row = {"model": name, "batch": 1, "eager_ms": 1e3 * plain, "ms": 1e3 * spent, "ratio": spent / plain}
        yield {**row, "compile_seconds": first, "map_difference": off}


def steps(device: torch.device, names: list[str]) -> Iterator[dict[str, Any]]:
    """Crop, network and box of 1, 8 and 64 targets in one frame, each."""
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    for name in names:
        model, _ = network(name, 1, device)
        frame = Frame({m: image for m in BOTH if m in model.config.modalities})
        policy = Policy.of(model, second_look=1.0, redetect=0, lost_search_growth=1.0)
        alone = 0.0
        for count in (1, 8, 64):
            places = np.random.default_rng(1).uniform((100, 100), (1000, 500), (count, 2))
            state = start(model, frame, np.concatenate([places, np.full((count, 2), 60.0)], 1))
            spent = seconds(lambda: step(model, state, frame, policy), device) / count  # noqa: B023
            alone = alone or spent
            yield {"model": name, "targets": count, "ms_each": 1e3 * spent, "ratio": spent / alone}


def scans(device: torch.device, names: list[str]) -> Iterator[dict[str, Any]]:
    """The kernels of the selective scan, forwards and with gradients."""
    kernels = (["triton"] if device.type == "cuda" else []) + ["blocked", "loop"]
    for length in (320, 3072):
        shapes = ((1, length, 1536), (1, length, 1536), (1536, 16), (1, length, 16), (1, length, 16))
        u, delta, a, b, c = (torch.randn(shape, device=device) for shape in shapes)
        a, delta = -a.abs(), delta.abs()
        for backward in (False, True):
            for kernel in kernels:
                if kernel == "loop" and length > 320:
                    continue

                def call(kernel: str = kernel, backward: bool = backward) -> None:
                    given = [x.clone().requires_grad_(backward) for x in (u, delta, a, b, c)]  # noqa: B023
                    made = selective_scan(*given, backend=kernel, channels_last=True)
                    if backward:
                        made.sum().backward()

                spent = seconds(call, device)
                yield {"length": length, "backward": backward, "kernel": kernel, "ms": 1e3 * spent}


def training(device: torch.device, names: list[str]) -> Iterator[dict[str, Any]]:
    """Training steps, by the script that measures them, each in a process with a limit of its own."""
    script = Path(__file__).with_name("bench_training.py")
    for amp in ("bf16", "none"):
        words = ["--one", "sdstrack-tiny-scenes", "--batch", "32", "--steps", "4", "--workers", "0", "--amp", amp]
        words += ["--threads", "4" if device.type == "cuda" else "1", "--device", str(device)]
        done = subprocess.run(
            [sys.executable, str(script), *words], capture_output=True, text=True, timeout=90, check=False
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        said = done.stderr.strip().splitlines()[-1:] or ["nothing was printed"]
        yield json.loads(lines[-1]) if lines else {"amp": amp, "failed": said[0][:200]}


PARTS: dict[str, Callable[[torch.device, list[str]], Iterator[dict[str, Any]]]] = {
    "forward": forward,
    "compiled": compiled,
    "step": steps,
    "scan": scans,
    "training": training,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--models", nargs="+", default=NETWORKS)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    book = Book(options.json, {"device": f"{device} ({where})", "torch": torch.__version__})
    print(json.dumps(book.facts), flush=True)
    began, total = time.monotonic(), 60 * options.minutes
    watch = threading.Timer(total, lambda: (print("the time is up", flush=True), os._exit(3)))
    watch.daemon = True
    watch.start()
    end = began
    for kind in options.parts:
        end += total * 0.95 * SHARES[kind] / sum(SHARES[k] for k in options.parts)
        rows = PARTS[kind](device, options.models)
        while True:
            if time.monotonic() > end:
                print(f"{kind}: the rest is left out, its time is up", flush=True)
                break
            try:
                row = next(rows)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - what one machine cannot do must not end the rest
                book.add(kind, failed=f"{type(error).__name__}: {str(error)[:300]}")
                break
            book.add(kind, **row)
    watch.cancel()


if __name__ == "__main__":
    main()
