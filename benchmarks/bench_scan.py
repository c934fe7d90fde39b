# SPDX-License-Identifier: Apache-2.0
"""The selective scan beside plain loops over time, and its error against a loop in float64.

    python benchmarks/bench_scan.py --clock cpu

Three forms run in turns in one process, so that a busy machine slows all of them: the blocked scan, the loop that the
published Python reference is (all decays first, then one step after the other) and a sparing loop, which computes the
decays of a step when it gets there. The ratio is the median over the rounds. Random inputs; steps around softplus(0),
decays 1 .. N as AINet has them.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from modaltrack.models.parts.selective_scan import selective_scan


def inputs(batch: int, channels: int, length: int, states: int, scale: float = 1.0) -> list[Tensor]:
    """u, delta (B, D, L), A (D, N), B and C (B, N, L)."""
    g = torch.Generator().manual_seed(0)
    u, raw = (torch.randn(batch, channels, length, generator=g) for _ in range(2))
    b, c = (torch.randn(batch, states, length, generator=g) for _ in range(2))
    return [u, F.softplus(0.3 * raw) * scale, -torch.arange(1.0, states + 1).repeat(channels, 1), b, c]


def published_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """What the reference in Python of the published kernel does, (B, D, L, N) tensors first."""
    decay = torch.exp(torch.einsum("bdl,dn->bdln", delta, A))
    write = torch.einsum("bdl,bnl,bdl->bdln", delta, B, u)
    h, steps = A.new_zeros(u.shape[0], *A.shape), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + write[:, :, t]
        steps.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    return torch.stack(steps, 2)


def timed(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """Milliseconds of one call."""
    start = clock()
    function()
    return (clock() - start) * 1e3


def main() -> None:
    """Print one line per length, then the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[320, 3072])
    parser.add_argument("--channels", type=int, default=1536)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backward", action="store_true", help="also time forward and backward together")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"], help="cpu: for a busy machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, torch {torch.__version__}, "
        f"{options.clock} clock, batch {options.batch}, {options.channels} channels, {options.states} states, "
        f"median of {options.rounds} rounds in turns, ms"
    )
    print(f"{'length':>6} {'blocked':>9} {'published loop':>16} {'sparing loop':>16}")
    for length in options.lengths:
        given = inputs(options.batch, options.channels, length, options.states)
        forms: dict[str, Callable[[], object]] = {
            "blocked": lambda given=given: selective_scan(*given, backend="blocked"),
            "published": lambda given=given: published_loop(*given),
            "sparing": lambda given=given: selective_scan(*given, backend="loop"),
        }
        with torch.inference_mode():
            forms["blocked"]()
            rounds = [{name: timed(form, clock) for name, form in forms.items()} for _ in range(options.rounds)]
        row = f"{length:6} {statistics.median(r['blocked'] for r in rounds):9.1f}"
        for name in ("published", "sparing"):
            ratio = statistics.median(r[name] / r["blocked"] for r in rounds)
            row += f" {statistics.median(r[name] for r in rounds):8.1f} ({ratio:4.1f}x)"
        print(row, flush=True)
        if options.backward:
            leaves = [x.clone().requires_grad_() for x in given]
            times = [
                timed(lambda leaves=leaves: selective_scan(*leaves, backend="blocked").sum().backward(), clock)
                for _ in range(options.rounds)
            ]
            print(f"       forward and backward together {statistics.median(times):.1f} ms")
    for scale in (1.0, 60.0):
        given = inputs(1, 256, 1000, options.states, scale)
        exact = published_loop(*(x.double() for x in given))
        error = (selective_scan(*given, backend="blocked") - exact).abs().max() / exact.abs().max()
        print(f"steps of {scale:g} x softplus(0 +- 0.3): error {error:.1e} of the largest value in float64")


if __name__ == "__main__":
    main()
