# SPDX-License-Identifier: Apache-2.0
"""``Branch``'s convolution and steps for CPUs, where no gradient is recorded: written into memory that is there.

The same numbers as ``Branch.look_back`` and ``Branch.controls``; here so that the equations stay readable there.
Legend as in ``mamba``: B batch, L tokens, I inner width, K branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.parts.cores import on_cores, scripted

WINDOW = 4  # tokens of Mamba's convolution, the token itself last
_PIECE = 65536  # numbers worked on together: they fit a core's cache


class OneBranch(Protocol):
    """What is read of a ``Branch``."""

    conv: nn.Conv1d
    dt_proj: nn.Linear

    def projected(self, u: Tensor) -> tuple[Tensor, ...]:
        """The narrow form of the steps, and the matrices B and C."""


def is_buffered(x: Tensor) -> bool:
    """Whether this module serves sequences like ``x``."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    return plain and not (torch.is_grad_enabled() or torch.compiler.is_compiling())


def side_by_side(branches: Sequence[OneBranch], ordered: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sequences (K, B, L, I) -> inputs and steps of the scan (K * B, L, I), matrices B and C (K * B, L, S).

    Branches lie side by side from the start: nothing is copied together. ``ordered`` is used up: it takes the steps.
    """
    inputs, matrices = torch.empty_like(ordered), []
    for branch, x, u in zip(branches, ordered, inputs):
        weight, bias = branch.conv.weight, branch.conv.bias
        assert bias is not None
        look_back(x, weight[:, 0].t().contiguous(), bias, u)
        rank, write, read = branch.projected(u)
        to = branch.dt_proj
        torch.addmm(to.bias, rank.flatten(0, 1), to.weight.t(), out=x.view(-1, x.shape[2]))
        matrices.append((write, read))
    write, read = (torch.cat(tensors) for tensors in zip(*matrices))
    return inputs.flatten(0, 1), ordered.flatten(0, 1), write, read


def look_back(x: Tensor, taps: Tensor, bias: Tensor, out: Tensor) -> None:
    """Convolution and SiLU of x (B, L, I) on all cores, into ``out``; taps (WINDOW, I), bias (I,)."""
    cores = torch.get_num_threads()
    ends = [k * x.shape[1] // cores for k in range(cores + 1)]
    length = max(1, _PIECE // x.shape[2])
    on_cores([partial(scripted(_between), x, taps, bias, out, *pair, length) for pair in pairwise(ends)])


def _between(x: Tensor, taps: Tensor, bias: Tensor, out: Tensor, first: int, last: int, length: int) -> None:
    """Tokens ``first`` to ``last`` of x (B, L, I) in pieces of ``length`` that stay in the cache, into ``out``."""
    taken = taps.shape[0]
    for b in range(x.shape[0]):
        for start in range(first, last, length):
            stop = min(start + length, last)
            piece = out[b, start:stop]
            torch.addcmul(bias, x[b, start:stop], taps[taken - 1], out=piece)
            for back in range(1, taken):
                begin = max(start, back)  # before the first token there is nothing
                if begin < stop:
                    out[b, begin:stop].addcmul_(x[b, begin - back : stop - back], taps[taken - 1 - back])
            F.silu(piece, inplace=True)
