# SPDX-License-Identifier: Apache-2.0
"""The selective scan as a Triton kernel: one program per row and group of channels, the state in registers.

Imported only where it is asked for; triton comes with torch's own GPU wheels, nothing has to be compiled beforehand.
Legend: R rows, L steps, D channels, N states, T steps between two kept states, P programs along the channels.
Source: docs/selective_scan.md 5. With TRITON_INTERPRET=1 set before the import it also runs, slowly, on a CPU.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # triton decides when kernels are defined, that is now
CHANNELS, KEEP = 16, 16


@triton.jit
def _forward_kernel(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, y, kept, rows, L, D, N,
    WIDTH: tl.constexpr, STATES: tl.constexpr, KEEP_EVERY: tl.constexpr, KEPT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    n = tl.arange(0, STATES)
    in_d, in_n = d < D, n < N
    both = in_n[:, None] & in_d[None, :]
    place = n[:, None] * D + d[None, :]
    a = tl.load(A + row * N * D + place, mask=both, other=0.0)  # (STATES, WIDTH)
    h = tl.zeros([STATES, WIDTH], dtype=a.dtype)
    for t in range(L):
        if KEPT and t % KEEP_EVERY == 0:
            tl.store(kept + ((t // KEEP_EVERY) * rows + row) * N * D + place, h, mask=both)
        at_d, at_n = (row * L + t) * D + d, (row * L + t) * N + n
        step = tl.load(delta + at_d, mask=in_d, other=0.0)
        x = tl.load(u + at_d, mask=in_d, other=0.0)
        b = tl.load(B + at_n, mask=in_n, other=0.0)
        c = tl.load(C + at_n, mask=in_n, other=0.0)
        h = tl.exp(step[None, :] * a) * h + b[:, None] * (step * x)[None, :]
        tl.store(y + at_d, tl.sum(c[:, None] * h, axis=0), mask=in_d)


@triton.jit
def _backward_kernel(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, grad, kept, scratch, du, ddelta, dA, dB, dC, rows, L, D, N,
    WIDTH: tl.constexpr, STATES: tl.constexpr, KEEP_EVERY: tl.constexpr,
):  # fmt: skip
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    d = part * WIDTH + tl.arange(0, WIDTH)
    n = tl.arange(0, STATES)
    in_d, in_n = d < D, n < N
    both = in_n[:, None] & in_d[None, :]
    place = n[:, None] * D + d[None, :]
    a = tl.load(A + row * N * D + place, mask=both, other=0.0)
    sum_a = tl.zeros([STATES, WIDTH], dtype=a.dtype)
    later = tl.zeros([STATES, WIDTH], dtype=a.dtype)
    mine = scratch + row * KEEP_EVERY * N * D  # the states before each step of one block
    blocks = (L + KEEP_EVERY - 1) // KEEP_EVERY
    for i in range(blocks):
        k = blocks - 1 - i
        first = k * KEEP_EVERY
        count = tl.minimum(KEEP_EVERY, L - first)
        h = tl.load(kept + (k * rows + row) * N * D + place, mask=both, other=0.0)
        for j in range(count):
            tl.store(mine + j * N * D + place, h, mask=both)
            at_d, at_n = (row * L + first + j) * D + d, (row * L + first + j) * N + n
            step = tl.load(delta + at_d, mask=in_d, other=0.0)
            x = tl.load(u + at_d, mask=in_d, other=0.0)
            b = tl.load(B + at_n, mask=in_n, other=0.0)
            h = tl.exp(step[None, :] * a) * h + b[:, None] * (step * x)[None, :]
        tl.debug_barrier()  # what was written to the scratch is read below
        for m in range(count):
            j = count - 1 - m
            at_d, at_n = (row * L + first + j) * D + d, (row * L + first + j) * N + n
            step = tl.load(delta + at_d, mask=in_d, other=0.0)
            x = tl.load(u + at_d, mask=in_d, other=0.0)
            g = tl.load(grad + at_d, mask=in_d, other=0.0)
            b = tl.load(B + at_n, mask=in_n, other=0.0)
            c = tl.load(C + at_n, mask=in_n, other=0.0)
            before = tl.load(mine + j * N * D + place, mask=both, other=0.0)
            decay = tl.exp(step[None, :] * a)
            state = decay * before + b[:, None] * (step * x)[None, :]
            back = c[:, None] * g[None, :] + later
            later = decay * back
            exponent = later * before
            s = tl.sum(back * b[:, None], axis=0)
            tl.store(du + at_d, s * step, mask=in_d)
            tl.store(ddelta + at_d, tl.sum(exponent * a, axis=0) + s * x, mask=in_d)
            at_part = (part.to(tl.int64) * rows * L + row * L + first + j) * N + n
            tl.store(dC + at_part, tl.sum(state * g[None, :], axis=1), mask=in_n)
            tl.store(dB + at_part, tl.sum(back * (step * x)[None, :], axis=1), mask=in_n)
            sum_a += exponent * step[None, :]
        tl.debug_barrier()  # before the scratch is written again
    tl.store(dA + row * N * D + place, sum_a, mask=both)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, keep: bool) -> Tensor:
        (rows, length, channels), states = u.shape, A.shape[1]
        kept = A.new_empty(-(-length // KEEP) if keep else 0, rows, states, channels)
        y = torch.empty_like(u)
        with _on(u):
            _forward_kernel[(rows, triton.cdiv(channels, CHANNELS))](
                u, delta, A, B, C, y, kept, rows, length, channels, states,
                CHANNELS, triton.next_power_of_2(states), KEEP, keep,
            )  # fmt: skip
        ctx.save_for_backward(u, delta, A, B, C, kept)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: BackwardCFunction, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, delta, A, B, C, kept = cast(tuple[Tensor, ...], ctx.saved_tensors)
        (rows, length, channels), states = u.shape, A.shape[1]
        parts = triton.cdiv(channels, CHANNELS)
        du, ddelta, dA = torch.empty_like(u), torch.empty_like(u), torch.empty_like(A)
        dB, dC = (B.new_empty(parts, *B.shape) for _ in range(2))  # summed afterwards: the same in every run
        with _on(u):
            _backward_kernel[(rows, parts)](
                u, delta, A, B, C, grad.contiguous(), kept, A.new_empty(rows, KEEP, states, channels),
                du, ddelta, dA, dB, dC, rows, length, channels, states,
                CHANNELS, triton.next_power_of_2(states), KEEP,
            )  # fmt: skip
        return du, ddelta, dA, dB.sum(0), dC.sum(0), None


def _on(x: Tensor) -> AbstractContextManager[Any]:
    """Launch on the GPU of ``x``, not on the current one."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def scan_triton(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """u, delta (R, L, D), A (R, N, D), B, C (R, L, N) -> y (R, L, D) of one dtype; differentiable in all of them."""
    inputs = [x.contiguous() for x in (u, delta, A, B, C)]
    return _Scan.apply(*inputs, torch.is_grad_enabled() and any(x.requires_grad for x in inputs))
