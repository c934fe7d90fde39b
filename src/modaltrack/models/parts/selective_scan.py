# SPDX-License-Identifier: Apache-2.0
"""Selective scan (S6, the recurrence inside Mamba): exact, stable and quick without any compiled extension.

    h_t = exp(delta_t A) * h_{t-1} + delta_t u_t B_t,   y_t = sum over n of C_t h_t + D u_t,   h_{-1} = 0

Legend: B batch, D channels, N states, L steps, G groups; R rows (one per item and group), T steps of a block.
Every exponent is <= 0 for A <= 0 and decays are only ever multiplied, never divided by, so nothing can overflow.
Source: Gu and Dao, arXiv 2312.00752; docs/selective_scan.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from modaltrack.models.parts.blocked_scan import forward_blocked, is_taped, scan_blocked
from modaltrack.models.parts.compact_scan import scan_compact

BACKENDS = ("auto", "blocked", "loop", "triton", "mamba_ssm")


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

    u, delta, z (B, D, L); A (D, N), negative; B, C (B, N, L), or (B, G, N, L) for G groups of D / G channels each; D,
    delta_bias (D,). With ``channels_last``: u, delta, z (B, L, D) and B, C (B, L, N) or (B, L, G, N), which saves
    transpositions. A, D and delta_bias may have a leading batch dimension, so that scans with parameters of their own
    can be stacked along the batch. Steps are ``delta + delta_bias``, through softplus if ``delta_softplus``; the result
    is gated by SiLU(z) if there is a z.

    Args:
        backend: "blocked" runs anywhere; "loop" is the plain loop over time that tests compare with; "triton" is a
            kernel for GPUs; "mamba_ssm" is that package's kernel, if it can be imported; "auto" takes triton on GPUs
            where it can be imported and else blocked; where a graph is compiled or exported it is one loop operator
            (``compact_scan``).

    Returns:
        The shape and dtype of u.

    Raises:
        ValueError: for shapes that do not fit and backends that are not there.
    """
    if not channels_last:
        u, delta, B, C = (x.transpose(1, -1) for x in (u, delta, B, C))  # (B, L, D), (B, L, N) or (B, L, N, G)
        if B.ndim == 4:
            B, C = B.transpose(2, 3), C.transpose(2, 3)
        z = None if z is None else z.transpose(1, 2)
    _check(u, delta, A, B, C, D, z, delta_bias)
    kind = torch.float64 if u.dtype == torch.float64 else torch.float32
    scan, dtype = choose(backend, u.device), u.dtype
    with full_precision(u.device):  # half precision loses the state: docs/selective_scan.md 4
        u, delta, A, B, C = (x.to(kind) for x in (u, delta, A, B, C))
        D, delta_bias = (None if x is None else x.to(kind) for x in (D, delta_bias))
        if scan is scan_blocked and not is_taped(u, delta, A, B, C, D, delta_bias):
            y = _by_rows(partial(forward_blocked, softplus=delta_softplus), u, delta, A, B, C, D, delta_bias)
        else:
            delta = delta if delta_bias is None else delta + _per_item(delta_bias)
            delta = F.softplus(delta) if delta_softplus else delta
            y = _by_rows(scan, u, delta, A, B, C)  # (B, L, D)
            y = y if D is None else torch.addcmul(y, u, _per_item(D))
        y = y if z is None else y * F.silu(z.to(kind))
    y = y.to(dtype)
    return y if channels_last else y.transpose(1, 2)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast within; nothing at all where there is none, because exporters do not know contexts."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]  # u, delta (R, L, D), A (R, N, D), B, C (R, L, N)


def choose(backend: str, device: torch.device) -> Scan:
    """The function behind a backend's name.

    Raises:
        ValueError: if it does not exist or cannot run here.
    """
    if backend == "auto" and torch.compiler.is_compiling() and (device.type == "cpu" or torch.compiler.is_exporting()):
        return scan_compact
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


def _by_rows(
    scan: Callable[..., Tensor], u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *vectors: Tensor | None
) -> Tensor:
    """Every group of every item becomes a row with one B and C: (B, L, G * D) -> (R, L, D) and back.

    vectors, with one number per channel, become (R, D) and follow behind C.
    """
    batch, _, channels = u.shape
    groups = B.shape[2] if B.ndim == 4 else 1

    def rows_of(parameter: Tensor) -> Tensor:
        """(B, G * D, ...) -> (R, D, ...)"""
        return parameter.unflatten(1, (groups, channels // groups)).flatten(0, 1)

    A = rows_of(A.expand(batch, -1, -1)).transpose(1, 2)  # (R, N, D)
    per_row = [None if x is None else rows_of(x.expand(batch, -1)) for x in vectors]
    if B.ndim == 4:
        u, delta = (x.unflatten(2, (groups, -1)).transpose(1, 2).flatten(0, 1) for x in (u, delta))
        B, C = (x.transpose(1, 2).flatten(0, 1) for x in (B, C))  # (R, L, N)
    y = scan(u, delta, A, B, C, *per_row)
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
