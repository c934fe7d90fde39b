# SPDX-License-Identifier: Apache-2.0
"""Selective scan (S6, the recurrence inside Mamba): exact, stable and quick without any compiled extension.

    h_t = exp(delta_t A) * h_{t-1} + delta_t u_t B_t,   y_t = sum over n of C_t h_t + D u_t,   h_{-1} = 0

Legend: B batch, D channels, N states, L steps, G groups; R rows (one per item and group), T steps of a block.
Every exponent is <= 0 for A <= 0 and decays are only ever multiplied, never divided by, so nothing can overflow.
Source: Gu and Dao, arXiv 2312.00752; after spec selective_scan.md 1, 4, 5. docs/selective_scan.md explains the use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BACKENDS = ("auto", "blocked", "loop", "triton", "mamba_ssm")
BLOCK = 8  # steps worked on together: with N = 16 the states kept for the backward pass take twice the room of u
_STEP_FLOATS = 32768  # of one step worked on together: a block of them fits a CPU's cache, and one step one thread


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    channels_last: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Scan ``u`` with input-dependent steps and matrices; differentiable in all tensors, in float32 (or float64).

    u, delta, z (B, D, L); A (D, N), negative; B, C (B, N, L), or (B, G, N, L) for G groups of D / G channels each;
    D, delta_bias (D,). With ``channels_last``: u, delta, z (B, L, D) and B, C (B, L, N) or (B, L, G, N), which saves
    transpositions. A, D and delta_bias may have a leading batch dimension, so that scans with parameters of their own
    can be stacked along the batch. Steps are ``delta + delta_bias``, through softplus if ``delta_softplus``; the
    result is gated by SiLU(z) if there is a z. Returns the shape and dtype of u.

    backend: "blocked" runs anywhere; "loop" is the plain loop over time that tests compare with; "triton" is a kernel
    for GPUs; "mamba_ssm" is that package's kernel, if it can be imported; "auto" takes triton on GPUs where it can be
    imported and else blocked. ValueError for shapes that do not fit and backends that are not there.
    """
    if not channels_last:
        u, delta, B, C = (x.transpose(1, -1) for x in (u, delta, B, C))  # (B, L, D), (B, L, N) or (B, L, N, G)
        if B.ndim == 4:
            B, C = B.transpose(2, 3), C.transpose(2, 3)
        z = None if z is None else z.transpose(1, 2)
    _check(u, delta, A, B, C, D, z, delta_bias)
    kind = torch.float64 if u.dtype == torch.float64 else torch.float32
    with torch.autocast(u.device.type, enabled=False):  # half precision loses the state: spec 4
        skip, gate, dtype = (None if D is None else _per_item(D.to(kind))), z, u.dtype
        u, delta, A, B, C = (x.to(kind) for x in (u, delta, A, B, C))
        if delta_bias is not None:
            delta = delta + _per_item(delta_bias.to(kind))
        if delta_softplus:
            delta = F.softplus(delta)
        y = _by_rows(choose(backend, u.device), u, delta, A, B, C)  # (B, L, D)
        if skip is not None:
            y = torch.addcmul(y, u, skip)
        if gate is not None:
            y = y * F.silu(gate.to(kind))
    y = y.to(dtype)
    return y if channels_last else y.transpose(1, 2)


Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]  # u, delta (R, L, D), A (R, N, D), B, C (R, L, N)


def choose(backend: str, device: torch.device) -> Scan:
    """The function behind a backend's name; ValueError if it does not exist or cannot run here."""
    if backend == "auto":
        backend = "triton" if device.type == "cuda" and find_spec("triton") is not None else "blocked"
    if backend == "triton":
        if find_spec("triton") is None:
            raise ValueError('backend is "triton", but triton cannot be imported; install it or use "blocked".')
        from modaltrack.models.parts.selective_scan_triton import INTERPRETED, scan_triton

        if device.type != "cuda" and not INTERPRETED:
            raise ValueError(f'backend is "triton", but the tensors are on {device}; use "blocked" there.')
        return scan_triton
    if backend == "mamba_ssm":
        return _mamba_ssm()
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}.")
    return scan_loop if backend == "loop" else scan_blocked


def _check(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, bias: Tensor | None
) -> None:
    """Every shape against that of u (B, L, D) and A; the message names shapes as (B, L, ...) whatever the layout."""
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"u has the shape {tuple(u.shape)} as (batch, length, channels); expected 3 sizes above 0.")
    batch, length, channels = u.shape
    states, groups = A.shape[-1], B.shape[2] if B.ndim == 4 else 1
    if channels % groups:
        raise ValueError(f"B has {groups} groups and u {channels} channels; expected a multiple of the groups.")
    matrix = (batch, length, groups, states) if B.ndim == 4 else (batch, length, states)
    same, vector = (batch, length, channels), (channels,)
    for name, x, shape, stacked in (
        ("delta", delta, same, False),
        ("z", z, same, False),
        ("A", A, (channels, states), True),
        ("B", B, matrix, False),
        ("C", C, matrix, False),
        ("D", D, vector, True),
        ("delta_bias", bias, vector, True),
    ):
        fits = x is None or tuple(x.shape) == shape or (stacked and tuple(x.shape) == (batch, *shape))
        if not fits:
            assert x is not None
            raise ValueError(f"{name} has the shape {tuple(x.shape)}; with this u and A it has to be {shape}.")
        if x is not None and x.device != u.device:
            raise ValueError(f"{name} is on {x.device} and u on {u.device}; move them to one device.")


def _per_item(vector: Tensor) -> Tensor:
    """(D,) or (B, D) -> something that broadcasts over (B, L, D)."""
    return vector if vector.ndim == 1 else vector[:, None]


def _by_rows(scan: Scan, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Every group of every item becomes a row with one B and C: (B, L, G * D) -> (R, L, D) and back."""
    batch, _, channels = u.shape
    groups = B.shape[2] if B.ndim == 4 else 1
    A = A.expand(batch, -1, -1).unflatten(1, (groups, channels // groups)).flatten(0, 1).transpose(1, 2)  # (R, N, D)
    if B.ndim == 4:
        u, delta = (x.unflatten(2, (groups, -1)).transpose(1, 2).flatten(0, 1) for x in (u, delta))
        B, C = (x.transpose(1, 2).flatten(0, 1) for x in (B, C))  # (R, L, N)
    y = scan(u, delta, A, B, C)
    return y.unflatten(0, (batch, groups)).transpose(1, 2).flatten(2) if B.shape[0] != batch else y


def scan_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The definition, step by step, on rows; autograd keeps every state."""
    h = torch.zeros_like(A)  # (R, N, D)
    steps = []
    for t in range(u.shape[1]):
        decay = torch.exp(delta[:, t, None] * A)
        h = decay * h + B[:, t, :, None] * (delta[:, t] * u[:, t])[:, None]
        steps.append((C[:, t, :, None] * h).sum(1))
    return torch.stack(steps, 1)


def scan_blocked(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Exponentials and products of ``BLOCK`` steps at once, only the recurrence itself step by step (spec 5.1)."""
    inputs = (u, delta, A, B, C)
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        return _Blocked.apply(*inputs)
    return _forward(*inputs, None)


class _Room:
    """Working memory of a tile of rows, reused by all blocks: (T, r, N, D) buffers and their single steps."""

    def __init__(self, like: Tensor, count: int) -> None:
        self.buffers = [like.new_empty(BLOCK, *like.shape) for _ in range(count)]
        self.steps = [buffer.unbind(0) for buffer in self.buffers]


def _tiles(A: Tensor) -> list[slice]:
    rows = max(1, _STEP_FLOATS // (A.shape[1] * A.shape[2]))
    return [slice(r, min(r + rows, A.shape[0])) for r in range(0, A.shape[0], rows)]


def _blocks(rows: slice, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Blocks (n, r, D) of tensors (R, L, D), in time; views, unless the channels lie apart."""
    split = [x[rows].transpose(0, 1).split(BLOCK) for x in tensors]
    return [tuple(v if v.stride(2) == 1 else v.contiguous() for v in views) for views in zip(*split)]


def _states(room: _Room, d: Tensor, x: Tensor, A: Tensor, b: Tensor, before: Tensor) -> Tensor:
    """Decays and states of one block into the room's first two buffers; the state before it -> its last state."""
    n = d.shape[0]
    torch.mul(d[:, :, None], A, out=room.buffers[0][:n]).exp_()  # (n, r, N, D)
    torch.mul(b[..., None], (d * x)[:, :, None], out=room.buffers[1][:n])
    for decay, state in zip(room.steps[0][:n], room.steps[1]):
        before = state.addcmul_(decay, before)
    return before


def _forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, kept: Tensor | None) -> Tensor:
    """y (R, L, D); ``kept`` (ceil(L / T), R, N, D) receives the state before each block."""
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    for rows in _tiles(A):
        a = A[rows].contiguous()
        room, before = _Room(a, 2), torch.zeros_like(a)
        for k, (d, x, b, c, out) in enumerate(_blocks(rows, delta, u, B, C, y)):
            if kept is not None:
                kept[k, rows] = before
            before.copy_(_states(room, d, x, a, b, before))
            states = room.buffers[1][: d.shape[0]]
            if d.shape[1] == 1:
                torch.bmm(c, states[:, 0], out=out)  # (n, 1, N) @ (n, N, D)
            else:
                out.copy_(torch.matmul(c[:, :, None], states)[:, :, 0])
    return y


class _Blocked(torch.autograd.Function):
    """Keeps one state per block and computes the others again on the way back (spec 1, Gradients)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        kept = A.new_empty(-(-u.shape[1] // BLOCK), *A.shape)
        ctx.save_for_backward(u, delta, A, B, C, kept)
        return _forward(u, delta, A, B, C, kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, kept = ctx.saved_tensors
        du, ddelta, dB, dC = (x.new_empty(x.shape) for x in (u, delta, B, C))  # contiguous, so that blocks are views
        dA = A.new_zeros(A.shape)
        for rows in _tiles(A):
            a = A[rows].contiguous()
            room = _Room(a, 3)
            later = torch.zeros_like(a)  # what reaches the last state of this block from the next one
            blocks = enumerate(_blocks(rows, delta, u, B, C, grad, du, ddelta, dB, dC))
            for k, (d, x, b, c, g, to_u, to_delta, to_b, to_c) in reversed(list(blocks)):
                n, before = d.shape[0], kept[k, rows]
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
                torch.mul(s, d, out=to_u)
                decay.mul_(back)  # becomes the gradient of the exponents: through exp, and then times the state before
                decay[0].mul_(before)
                decay[1:].mul_(state[:-1])
                torch.mul(decay, a, out=state)
                to_delta.copy_(torch.addcmul(state.sum(2), s, x))
                dA[rows] += decay.mul_(d[:, :, None]).sum(0)
        return du, ddelta, dA, dB, dC


def _mamba_ssm() -> Scan:
    """The kernel of the mamba_ssm package; rows become its groups, because it knows one A per channel only."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # type: ignore[import-not-found]
    except ImportError as error:
        found = "is broken" if "mamba_ssm" in sys.modules or find_spec("mamba_ssm") else "is not installed"
        raise ValueError(f'backend is "mamba_ssm", which {found} ({error}); use "auto".') from None

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        flat = [x.transpose(1, 2).flatten(0, 1)[None].contiguous() for x in (u, delta)]  # (1, R * D, L)
        matrices = [x.transpose(1, 2)[None].contiguous() for x in (B, C)]  # (1, R, N, L)
        y = selective_scan_fn(*flat, A.transpose(1, 2).flatten(0, 1).contiguous(), *matrices)
        return y[0].unflatten(0, (u.shape[0], -1)).transpose(1, 2)

    return scan
