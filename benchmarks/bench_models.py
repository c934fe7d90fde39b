# SPDX-License-Identifier: Apache-2.0
"""How long a model takes per frame, beside the plain matrix products of the same shapes in a bare loop.

    python benchmarks/bench_models.py --models sdstrack-base --batches 1 8 --threads 2

The two are timed in turns, so that a busy machine slows both; their ratio means more than either number. A frame is the
crops of every modality from a 1280 x 720 image and one forward pass, both in float32 unless --precision says bf16. The
bare loop has the products of linear layers, of convolutions written as products (those of single channels left out) and
the two of every attention. "scan" is the part of the frame spent in selective_scan; the last column leaves it out.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from modaltrack import models, vision
from modaltrack.frame import Modality
from modaltrack.models import Model, Prediction
from modaltrack.models.parts import mamba, state_space
from modaltrack.models.parts.selective_scan import selective_scan
from modaltrack.models.registry import METHODS

SIZE = (720, 1280)


Shape = tuple[int, int, int, int]  # matrices of a batch, rows, inner size, columns


class Products(TorchDispatchMode):
    """Writes down the shapes of all matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[Shape] = []

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        name, out = func._schema.name, func(*args, **(kwargs or {}))
        if name in ("aten::addmm", "aten::mm"):
            a, b = args[1:3] if name == "aten::addmm" else args[:2]
            self.shapes.append((1, a.shape[0], a.shape[1], b.shape[1]))
        elif name == "aten::linear":  # inference mode hands linear layers over whole
            x, weight = args[:2]
            self.shapes.append((1, x.shape[:-1].numel(), x.shape[-1], weight.shape[0]))
        elif "conv" in name and isinstance(out, Tensor) and args[1].shape[1] > 1:
            weight = args[1]
            self.shapes.append((1, out.shape[0] * out.shape[2:].numel(), weight[0].numel(), weight.shape[0]))
        elif "scaled_dot_product" in name:
            (batch, heads, rows, width), columns = args[0].shape, args[1].shape[2]
            self.shapes += [(batch * heads, rows, width, columns), (batch * heads, rows, columns, width)]
        return out


class ScanTime:
    """How long ``run`` has spent in the selective scan, in milliseconds; only one of these at a time."""

    def __init__(self, run: Callable[[], Any], clock: Callable[[], float]) -> None:
        self.run, self.clock, self.spent = run, clock, 0.0

    def timed(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        start = self.clock()
        result = selective_scan(*args, **kwargs)
        self.spent += (self.clock() - start) * 1e3
        return result

    def __call__(self) -> float:
        """Run once; returns the part of the scans."""
        self.spent = 0.0
        with ExitStack() as stack:
            for module in (mamba, state_space):  # all that call it
                stack.enter_context(patch.object(module, "selective_scan", self.timed))
            self.run()
        return self.spent


def frame_of(model: Model, batch: int, device: str, dtype: torch.dtype) -> Callable[[], Any]:
    """A function that crops, normalises and runs the model once."""
    config = model.config
    keys = [m for m in config.modalities if m in (Modality.RGB, Modality.THERMAL)]
    images = {m: np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8) for m in keys}
    template = {m: torch.randn(batch, 3, config.template_size, config.template_size, device=device) for m in keys}
    box = np.array([600.0, 300.0, 80.0, 60.0])

    def run() -> Prediction:
        with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
            search = {}
            for m in keys:
                crops = [vision.crop(images[m], box, config.search_factor, config.search_size)[0] for _ in range(batch)]
                search[m] = vision.normalise(vision.to_tensor(crops).to(device))
            return model(template, search).boxes.cpu()  # reading the result waits for a GPU

    return run


def products_of(run: Callable[[], Any], dtype: torch.dtype, device: str) -> tuple[Callable[[], None], float]:
    """A bare loop over the matrix products in ``run``, each with operands of its own, and their GMACs."""
    with Products() as seen:
        run()
    draw = partial(torch.randn, device=device, dtype=dtype)
    pairs = [
        (draw(m, k), draw(n, k).t()) if count == 1 else (draw(count, m, k), draw(count, n, k).mT)
        for count, m, k, n in seen.shapes
    ]

    def bare() -> None:
        with torch.inference_mode():
            for x, w in pairs:
                torch.matmul(x, w)
            if device == "cuda":
                torch.cuda.synchronize()

    return bare, sum(count * m * k * n for count, m, k, n in seen.shapes) / 1e9


def in_turns(run: ScanTime, bare: Callable[[], Any], rounds: int) -> list[tuple[float, float, float]]:
    """Milliseconds of a frame, of the scans in it and of the bare loop in every round, after two of warming up."""
    times = []
    for _ in range(rounds + 2):
        start = run.clock()
        scan = run()
        middle = run.clock()
        bare()
        times.append(((middle - start) * 1e3, scan, (run.clock() - middle) * 1e3))
    return times[2:]


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
    print(
        f"{'model':16} {'batch':>5} {'search':>6} {'GMACs':>7} {'frame':>16} {'scan':>7} {'bare products':>16} "
        f"{'ratio':>6} {'without scan':>12}"
    )
    for name in options.models:
        for batch in options.batches:
            torch.manual_seed(0)
            model = models.create(name).eval().to(options.device)
            run = frame_of(model, batch, options.device, dtype)
            bare, macs = products_of(run, dtype, options.device)
            rounds = in_turns(ScanTime(run, clock), bare, options.rounds)
            frame, scan, products = zip(*rounds)
            whole = statistics.median(f / b for f, _, b in rounds)
            rest = statistics.median((f - s) / b for f, s, b in rounds)
            columns = [f"{statistics.median(t) / batch:.1f} ({min(t) / batch:.1f})" for t in (frame, products)]
            print(
                f"{name:16} {batch:5} {model.config.search_size:6} {macs / batch:7.2f} {columns[0]:>16} "
                f"{statistics.median(scan) / batch:7.1f} {columns[1]:>16} {whole:6.2f} {rest:12.2f}"
            )


if __name__ == "__main__":
    main()
