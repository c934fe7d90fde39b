# SPDX-License-Identifier: Apache-2.0
"""The selective scan as one loop operator: what compilers and exporters see instead of the engine for CPUs.

The loop runs over blocks of steps, so a graph holds one block whatever the length (ONNX: one ``Scan``).
Legend as in ``selective_scan``: R rows, L steps, T steps of a block, D channels, N states.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 8  # of a block: few enough for its states to stay in a core's cache, enough to make the loop's own cost small


def scan_compact(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """u, delta (R, L, D), A (R, N, D), B, C (R, L, N) -> y (R, L, D), as ``scan_loop``."""
    from torch._higher_order_ops import scan  # public as torch.scan one day; imports the compiler
    from torch._higher_order_ops.scan import scan_op

    length = u.shape[1]
    blocks = -(-length // STEPS)

    def blocked(x: Tensor) -> Tensor:
        """(R, L, ...) -> (L / T, T, R, ...); a step of zeros leaves the state as it is."""
        return F.pad(x.transpose(0, 1), (0, 0, 0, 0, 0, blocks * STEPS - length)).unflatten(0, (blocks, STEPS))

    def block(h: Tensor, A: Tensor, u: Tensor, delta: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """State and A (R, N, D) and inputs (T, R, ...) of a block -> the state behind it and A, y (T, R, D).

        A is carried: OpenVINO reads no ``Scan`` whose body takes a tensor from outside.
        """
        decay = torch.exp(delta.unsqueeze(2) * A)  # (T, R, N, D)
        write = B.unsqueeze(3) * (delta * u).unsqueeze(2)
        states = []
        for t in range(STEPS):
            h = decay[t] * h + write[t]
            states.append(h)
        return h.clone(), A.clone(), (C.unsqueeze(2) @ torch.stack(states)).squeeze(2)

    def paired(carried: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        *carried_on, y = block(*carried, *inputs)
        return tuple(carried_on), y

    carried, inputs = (torch.zeros_like(A), A), tuple(blocked(x) for x in (u, delta, B, C))
    if torch.compiler.is_dynamo_compiling():
        _, y = scan(paired, carried, inputs)
    else:  # an exporter's trace: ``scan`` would first have the compiler trace the body, which takes seconds
        *_, y = scan_op(block, list(carried), list(inputs), additional_inputs=())
    return y.flatten(0, 1)[:length].transpose(0, 1)
