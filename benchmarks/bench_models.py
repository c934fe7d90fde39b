# SPDX-License-Identifier: Apache-2.0
"""How long a model takes per frame, beside the plain matrix products of the same shapes in a bare loop.

    python benchmarks/bench_models.py --models sdstrack-base --batches 1 8 --threads 2

The two are timed in turns, so that a busy machine slows both; their ratio means more than either number. A frame is the
crops of every modality from a 1280 x 720 image and one forward pass, both in float32 unless --precision says bf16.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from modaltrack import models, vision
from modaltrack.frame import Modality
from modaltrack.models.registry import METHODS

SIZE = (720, 1280)


class Products(TorchDispatchMode):
    """Writes down the shapes of all matrix products of linear layers: rows, inner size, columns."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in ("aten::addmm", "aten::mm"):
            a, b = args[1:3] if name == "aten::addmm" else args[:2]
            self.shapes.append((a.shape[0], a.shape[1], b.shape[1]))
        elif name == "aten::linear":  # inference mode hands linear layers over whole
            x, weight = args[:2]
            self.shapes.append((x.shape[:-1].numel(), x.shape[-1], weight.shape[0]))
        return func(*args, **(kwargs or {}))


def frame_of(model: Any, batch: int, device: str, dtype: torch.dtype) -> Callable[[], Any]:
    """A function that crops, normalises and runs the model once."""
    config = model.config
    keys = [m for m in config.modalities if m in (Modality.RGB, Modality.THERMAL)]
    images = {m: np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8) for m in keys}
    template = {m: torch.randn(batch, 3, config.template_size, config.template_size, device=device) for m in keys}
    box = np.array([600.0, 300.0, 80.0, 60.0])

    def run() -> Any:
        with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
            search = {}
            for m in keys:
                crops = [vision.crop(images[m], box, config.search_factor, config.search_size)[0] for _ in range(batch)]
                search[m] = vision.normalise(vision.to_tensor(crops).to(device))
            return model(template, search).boxes.cpu()  # reading the result waits for a GPU

    return run


def products_of(run: Callable[[], Any], dtype: torch.dtype, device: str) -> tuple[Callable[[], None], float]:
    """A bare loop over the linear layers' products in ``run``, each with weights of its own, and their GMACs."""
    with Products() as seen:
        run()
    pairs = [
        (torch.randn(m, k, device=device, dtype=dtype), torch.randn(n, k, device=device, dtype=dtype))
        for m, k, n in seen.shapes
    ]

    def bare() -> None:
        with torch.inference_mode():
            for x, w in pairs:
                torch.mm(x, w.t())
            if device == "cuda":
                torch.cuda.synchronize()

    return bare, sum(m * k * n for m, k, n in seen.shapes) / 1e9


def in_turns(functions: list[Callable[[], Any]], rounds: int, clock: Callable[[], float]) -> list[list[float]]:
    """Milliseconds of every function in every round, after two rounds of warming up."""
    times: list[list[float]] = [[] for _ in functions]
    for i in range(rounds + 2):
        for function, into in zip(functions, times):
            start = clock()
            function()
            if i >= 2:
                into.append((clock() - start) * 1e3)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models",
        nargs="+",
        default=[f"{method}-{size}" for size in ("tiny", "base") for method in METHODS],
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--clock", default="wall", choices=["wall", "cpu"], help="cpu: time spent by this process, for a busy machine"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or platform.machine()
    print(
        f"{options.device} ({where}), {options.threads} threads, {options.precision}, torch {torch.__version__}, "
        f"images {SIZE[1]}x{SIZE[0]}, {options.clock} clock, "
        f"median of {options.rounds} rounds (fastest in brackets), ms per frame"
    )
    print(f"{'model':16} {'batch':>5} {'search':>6} {'GMACs':>7} {'frame':>16} {'bare products':>16} {'ratio':>6}")
    for name in options.models:
        for batch in options.batches:
            torch.manual_seed(0)
            model = models.create(name).eval().to(options.device)
            run = frame_of(model, batch, options.device, dtype)
            bare, linear = products_of(run, dtype, options.device)
            with FlopCounterMode(display=False) as counter:
                run()
            macs = counter.get_total_flops() / 2e9
            # the bare loop lacks convolutions and attention: it is scaled to the work of the whole model
            frame, products = in_turns([run, bare], options.rounds, clock)
            products = [t * macs / linear for t in products]
            ratio = statistics.median(a / b for a, b in zip(frame, products))
            shown = [f"{statistics.median(t) / batch:.1f} ({min(t) / batch:.1f})" for t in (frame, products)]
            print(
                f"{name:16} {batch:5} {model.config.search_size:6} {macs / batch:7.2f} {shown[0]:>16} {shown[1]:>16} "
                f"{ratio:6.2f}"
            )


if __name__ == "__main__":
    main()
