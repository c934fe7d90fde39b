# SPDX-License-Identifier: Apache-2.0
"""The selective scan in blocks of steps: the engine of ``selective_scan`` wherever there is no kernel for it.

Legend: R rows (each with one A, B and C), r rows of a tile, L steps, T steps of a block (n in the last one),
D channels, N states. Every exponent is <= 0 for A <= 0, and decays are only ever multiplied.
Source: spec selective_scan.md 1 (gradients) and 5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from modaltrack.models.parts.cores import on_cores

BLOCK = 8  # steps worked on together: with N = 16 the states kept for the backward pass take twice the room of u
_STEP_FLOATS = 32768  # of one step worked on together: a block of them fits a core's cache
_PART_FLOATS = 6144  # of one step at least on a core of its own: below, calling the operations takes the time
_TASK_FLOATS = 2**21  # of a whole scan on a core of its own: below, starting a thread takes the time


def is_taped(*tensors: Tensor | None) -> bool:
    """Whether autograd has to know what is done with these."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def scan_blocked(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Exponentials and products of ``BLOCK`` steps at once, only the recurrence itself step by step (spec 5.1)."""
    inputs = (u, delta, A, B, C)
    return _Blocked.apply(*inputs) if is_taped(*inputs) else forward_blocked(*inputs)


class _Room:
    """Working memory of a tile of rows, reused by all blocks: (T, r, N, D) buffers and their single steps."""

    def __init__(self, like: Tensor, count: int) -> None:
        self.buffers = [like.new_empty(BLOCK, *like.shape) for _ in range(count)]
        self.steps = [buffer.unbind(0) for buffer in self.buffers]


def _tiles(A: Tensor, length: int) -> list[tuple[slice, slice]]:
    """Rows and channels that are worked on together; enough of them for every core where that is worth it."""
    count, states, channels = A.shape
    rows = max(1, _STEP_FLOATS // (states * channels))
    groups = [slice(r, min(r + rows, count)) for r in range(0, count, rows)]
    cores = torch.get_num_threads() if A.device.type == "cpu" else 1
    parts = 1
    if len(groups) % cores and A.numel() * length > cores * _TASK_FLOATS:
        parts = max(1, min(cores, rows * states * channels // _PART_FLOATS))
    width = -(-channels // parts)
    return list(product(groups, [slice(c, min(c + width, channels)) for c in range(0, channels, width)]))


def _blocks(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Blocks (n, r, D) of tensors (r, L, D), in time; views, unless the channels lie apart."""
    split = [x.transpose(0, 1).split(BLOCK) for x in tensors]
    return [tuple(v if v.stride(2) == 1 else v.contiguous() for v in views) for views in zip(*split)]


def _states(room: _Room, d: Tensor, x: Tensor, A: Tensor, b: Tensor, before: Tensor) -> Tensor:
    """Decays and states of one block into the room's first two buffers; the state before it -> its last state."""
    n = d.shape[0]
    torch.mul(d[:, :, None], A, out=room.buffers[0][:n]).exp_()  # (n, r, N, D)
    torch.mul(b[..., None], (d * x)[:, :, None], out=room.buffers[1][:n])
    for decay, state in zip(room.steps[0][:n], room.steps[1]):
        before = state.addcmul_(decay, before)
    return before


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
    y = torch.empty_like(u, memory_format=torch.contiguous_format)

    def work(rows: slice, channels: slice) -> None:
        a = A[rows, :, channels].contiguous()
        of_rows = [None if x is None else x[rows, channels] for x in (skip, bias)]
        room, before = _Room(a, 2), torch.zeros_like(a)
        tensors = (*(x[rows, :, channels] for x in (delta, u)), B[rows], C[rows], y[rows, :, channels])
        for k, (d, x, b, c, out) in enumerate(_blocks(*tensors)):
            if kept is not None:
                kept[k, rows, :, channels] = before
            d = d if of_rows[1] is None else d + of_rows[1]
            d = F.softplus(d) if softplus else d
            before.copy_(_states(room, d, x, a, b, before))
            states = room.buffers[1][: d.shape[0]]
            if d.shape[1] == 1:
                torch.bmm(c, states[:, 0], out=out)  # (n, 1, N) @ (n, N, D)
            else:
                out.copy_(torch.matmul(c[:, :, None], states)[:, :, 0])
            if of_rows[0] is not None:
                out.addcmul_(x, of_rows[0])

    _run(work, A, u.shape[1])
    return y


def _run(work: Callable[[slice, slice], object], A: Tensor, length: int) -> None:
    tasks = [partial(work, *tile) for tile in _tiles(A, length)]
    if A.device.type != "cpu":
        for task in tasks:
            task()
    elif A.numel() * length < _TASK_FLOATS:
        on_cores([lambda: [task() for task in tasks]])
    else:
        on_cores(tasks)


class _Blocked(torch.autograd.Function):
    """Keeps one state per block and computes the others again on the way back (spec 1, Gradients)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        kept = A.new_empty(-(-u.shape[1] // BLOCK), *A.shape)
        ctx.save_for_backward(u, delta, A, B, C, kept)
        return forward_blocked(u, delta, A, B, C, kept=kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, kept = ctx.saved_tensors
        # contiguous, so that blocks are views
        du, ddelta, dA = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, delta, A))
        starts = sorted({channels.start for _, channels in _tiles(A, u.shape[1])})
        dB, dC = (x.new_empty(len(starts), *x.shape) for x in (B, C))  # of each part of the channels

        def work(rows: slice, channels: slice) -> None:
            a = A[rows, :, channels].contiguous()
            room = _Room(a, 3)
            later = torch.zeros_like(a)  # what reaches the last state of this block from the next one
            sum_a = torch.zeros_like(a)
            part = starts.index(channels.start)
            inputs = (*(x[rows, :, channels] for x in (delta, u)), B[rows], C[rows], grad[rows, :, channels])
            results = (*(x[rows, :, channels] for x in (du, ddelta)), dB[part, rows], dC[part, rows])
            blocks = list(enumerate(_blocks(*inputs, *results)))
            for k, (d, x, b, c, g, to_u, to_delta, to_b, to_c) in reversed(blocks):
                n, before = d.shape[0], kept[k, rows, :, channels]
                _states(room, d, x, a, b, before)
                decay, state, back = (buffer[:n] for buffer in room.buffers)
                torch.mul(c[..., None], g[:, :, None], out=back)  # gradients of the states, (n, r, N, D)
                room.steps[2][n - 1].add_(later)
                for t in range(n - 2, -1, -1):
                    room.steps[2][t].addcmul_(room.steps[0][t + 1], room.steps[2][t + 1])
                torch.mul(decay[0], back[0], out=later)
                to_c.copy_(torch.matmul(state, g[..., None])[..., 0])
                to_b.copy_(torch.matmul(back, (d * x)[..., None])[..., 0])
                s = torch.matmul(b[:, :, None], back)[:, :, 0]  # (n, r, D)
                to_u.copy_(s * d)
                decay.mul_(back)  # becomes the gradient of the exponents: through exp, and then times the state before
                decay[0].mul_(before)
                decay[1:].mul_(state[:-1])
                torch.mul(decay, a, out=state)
                to_delta.copy_(torch.addcmul(state.sum(2), s, x))
                sum_a += decay.mul_(d[:, :, None]).sum(0)
            dA[rows, :, channels] = sum_a

        _run(work, A, u.shape[1])
        dB, dC = (x[0] if len(starts) == 1 else x.sum(0) for x in (dB, dC))
        return du, ddelta, dA, dB, dC
