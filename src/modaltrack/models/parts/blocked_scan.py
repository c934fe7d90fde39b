# SPDX-License-Identifier: Apache-2.0
"""The selective scan in blocks of steps: the engine of ``selective_scan`` wherever there is no kernel for it.

Legend: R rows (each with one A, B and C), r rows of a tile, L steps, T steps of a block (n in the last one),
D channels, N states. Every exponent is <= 0 for A <= 0, and decays are only ever multiplied.
Source: docs/selective_scan.md 1 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx

from modaltrack.models.parts.cores import on_cores, scripted

BLOCK = 8  # steps worked on together: with N = 16 the states kept for the backward pass take twice the room of u
_STEP_FLOATS = 32768  # of one step worked on together: a block of them fits a core's cache
_BLOCK_FLOATS = 131072  # of a block, where nothing is kept for a backward pass: small steps make longer blocks
_TURNED_FLOATS = 12288  # of one step whose inputs have to be turned first: small copies take memory that is there
_PART_FLOATS = 2048  # of one step at least on a core of its own: below, calling the operations takes the time
_TASK_FLOATS = 2**21  # of a whole scan on a core of its own: below, starting a thread takes the time


def is_taped(*tensors: Tensor | None) -> bool:
    """Whether autograd has to know what is done with these."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def scan_blocked(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Exponentials and products of ``BLOCK`` steps at once, only the recurrence itself step by step.

    Source: docs/selective_scan.md 5.
    """
    inputs = (u, delta, A, B, C)
    return _Blocked.apply(*inputs) if is_taped(*inputs) else forward_blocked(*inputs)


def _tiles(A: Tensor, length: int, turned: bool = False) -> list[tuple[slice, slice]]:
    """Rows and channels that are worked on together; enough of them for every core where that is worth it."""
    count, states, channels = A.shape
    rows = max(1, _STEP_FLOATS // (states * channels))
    groups = [slice(r, min(r + rows, count)) for r in range(0, count, rows)]
    cores = torch.get_num_threads() if A.device.type == "cpu" else 1
    parts = 1
    if len(groups) % cores and A.numel() * length > cores * _TASK_FLOATS:
        parts = max(1, min(cores, rows * states * channels // _PART_FLOATS))
    width = -(-channels // parts)
    if turned:
        width = max(1, min(width, _TURNED_FLOATS // states))
    return list(product(groups, [slice(c, min(c + width, channels)) for c in range(0, channels, width)]))


def _near(x: Tensor) -> Tensor:
    """x (R, L, D), or a copy where the channels lie apart: row by row, as torch turns matrices four times as fast."""
    if x.stride(2) == 1:
        return x
    copy = torch.empty_like(x, memory_format=torch.contiguous_format)
    for into, row in zip(copy, x):
        into.copy_(row)
    return copy


def forward_blocked(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor | None = None,
    bias: Tensor | None = None,
    softplus: bool = False,
    kept: Tensor | None = None,
) -> Tensor:
    """y (R, L, D); ``kept`` (ceil(L / T), R, N, D) receives the state before each block.

    Where nothing is differentiated, bias, softplus and skip are done here too, while a block is in the cache.
    """
    B, C = _near(B), _near(C)
    y = torch.empty_like(u, memory_format=torch.contiguous_format)

    def work(rows: slice, channels: slice) -> None:
        a = A[rows, :, channels].contiguous()
        steps = BLOCK if kept is not None else max(BLOCK, min(4 * BLOCK, _BLOCK_FLOATS // a.numel()))
        of_rows = [None if x is None else x[rows, channels] for x in (skip, bias)]
        near = [_near(x[rows, :, channels]) for x in (u, delta)]
        in_time = [x.transpose(0, 1) for x in (*near, y[rows, :, channels])]
        matrices = [x[rows].transpose(0, 1) for x in (B, C)]
        states = None if kept is None else kept[:, rows, :, channels]
        scripted(_forward_tile)(*in_time, a, *matrices, *of_rows, softplus, states, steps)

    _run(work, A, u.shape[1], u.stride(2) != 1)
    return y


def _states_into(decay: Tensor, state: Tensor, d: Tensor, write: Tensor, A: Tensor, B: Tensor, before: Tensor) -> None:
    """Decays and states (n, r, N, D) of one block from d, write (n, r, D), B (n, r, N) and the state before it."""
    torch.mul(d.unsqueeze(2), A, out=decay)
    decay.exp_()
    torch.mul(B.unsqueeze(3), write.unsqueeze(2), out=state)
    state[0].addcmul_(decay[0], before)
    for t in range(1, d.shape[0]):
        state[t].addcmul_(decay[t], state[t - 1])


def _forward_tile(
    u: Tensor,
    delta: Tensor,
    y: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor | None,
    bias: Tensor | None,
    softplus: bool,
    kept: Tensor | None,
    steps: int,
) -> None:
    """u, delta, y (L, r, D), A (r, N, D), B and C (L, r, N), skip and bias (r, D), ``steps`` at once; into y, kept."""
    length = u.shape[0]
    decays = torch.empty([steps, A.shape[0], A.shape[1], A.shape[2]], dtype=A.dtype, device=A.device)
    states = torch.empty_like(decays)
    before = torch.zeros_like(A)
    for k in range(0, length, steps):
        n = min(steps, length - k)
        if kept is not None:
            kept[k // steps].copy_(before)
        d, x, b, c = delta[k : k + n], u[k : k + n], B[k : k + n], C[k : k + n]
        out = y[k : k + n]
        if bias is not None:
            d = d + bias
        if softplus:
            d = F.softplus(d)
        decay, state = decays[:n], states[:n]
        _states_into(decay, state, d, d * x, A, b, before)
        before.copy_(state[n - 1])
        if d.shape[1] == 1:
            torch.bmm(c, state.squeeze(1), out=out)  # (n, 1, N) @ (n, N, D)
        else:
            out.copy_(torch.matmul(c.unsqueeze(2), state).squeeze(2))
        if skip is not None:
            out.addcmul_(x, skip)


def _run(work: Callable[[slice, slice], object], A: Tensor, length: int, turned: bool = False) -> None:
    tasks = [partial(work, *tile) for tile in _tiles(A, length, turned)]
    if A.device.type != "cpu":
        for task in tasks:
            task()
    elif A.numel() * length < _TASK_FLOATS:
        on_cores([lambda: [task() for task in tasks]])
    else:
        on_cores(tasks)


class _Blocked(torch.autograd.Function):
    """Keeps one state per block and computes the others again on the way back (docs/selective_scan.md 1)."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        kept = A.new_empty(-(-u.shape[1] // BLOCK), *A.shape)
        ctx.save_for_backward(u, delta, B, C, A, kept)
        return forward_blocked(u, delta, A, B, C, kept=kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: BackwardCFunction, grad: Tensor) -> tuple[Tensor, ...]:
        *near, A, kept = cast(
            tuple[Tensor, ...], ctx.saved_tensors
        )  # read once: activation checkpointing computes them for one reading
        u, delta, B, C, grad = (_near(x) for x in (*near, grad))
        # contiguous, so that blocks are views
        du, ddelta, dA = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, delta, A))
        starts = sorted({channels.start for _, channels in _tiles(A, u.shape[1])})
        dB, dC = (x.new_empty(len(starts), *x.shape) for x in (B, C))  # of each part of the channels

        def work(rows: slice, channels: slice) -> None:
            part = starts.index(channels.start)
            wide = [x[rows, :, channels].transpose(0, 1) for x in (u, delta, grad, du, ddelta)]
            matrices = [x[rows].transpose(0, 1) for x in (B, C, dB[part], dC[part])]
            a, states = A[rows, :, channels].contiguous(), kept[:, rows, :, channels]
            dA[rows, :, channels] = scripted(_backward_tile)(*wide, *matrices, a, states, BLOCK)

        _run(work, A, u.shape[1])
        dB, dC = (x[0] if len(starts) == 1 else x.sum(0) for x in (dB, dC))
        return du, ddelta, dA, dB, dC


def _backward_tile(
    u: Tensor,
    delta: Tensor,
    grad: Tensor,
    du: Tensor,
    ddelta: Tensor,
    B: Tensor,
    C: Tensor,
    dB: Tensor,
    dC: Tensor,
    A: Tensor,
    kept: Tensor,
    steps: int,
) -> Tensor:
    """The tensors of ``_forward_tile`` and their gradients; into du, ddelta, dB, dC; returns that of A."""
    length = u.shape[0]
    buffer = torch.empty([3, steps, A.shape[0], A.shape[1], A.shape[2]], dtype=A.dtype, device=A.device)
    later = torch.zeros_like(A)  # what reaches the last state of this block from the next one
    sum_a = torch.zeros_like(A)
    for k in range((length - 1) // steps, -1, -1):
        start, stop = k * steps, min((k + 1) * steps, length)
        n = stop - start
        d, x, g = delta[start : start + n], u[start : start + n], grad[start : start + n]
        b, c, before = B[start : start + n], C[start : start + n], kept[k]
        decay, state, back = buffer[0, :n], buffer[1, :n], buffer[2, :n]
        write = d * x
        _states_into(decay, state, d, write, A, b, before)
        torch.mul(c.unsqueeze(3), g.unsqueeze(2), out=back)  # gradients of the states, (n, r, N, D)
        back[n - 1].add_(later)
        for t in range(n - 2, -1, -1):
            back[t].addcmul_(decay[t + 1], back[t + 1])
        torch.mul(decay[0], back[0], out=later)
        dC[start:stop].copy_(torch.matmul(state, g.unsqueeze(3)).squeeze(3))
        dB[start:stop].copy_(torch.matmul(back, write.unsqueeze(3)).squeeze(3))
        s = torch.matmul(b.unsqueeze(2), back).squeeze(2)  # (n, r, D)
        du[start:stop].copy_(s * d)
        decay.mul_(back)  # becomes the gradient of the exponents: through exp, and then times the state before
        decay[0].mul_(before)
        decay[1:].mul_(state[: n - 1])
        torch.mul(decay, A, out=state)
        ddelta[start:stop].copy_(torch.addcmul(state.sum(2), s, x))
        sum_a += decay.mul_(d.unsqueeze(2)).sum(0)
    return sum_a
