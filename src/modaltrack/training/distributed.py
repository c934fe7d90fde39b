# SPDX-License-Identifier: Apache-2.0
"""The little that training needs of several processes: who am I, and the mean of all gradients."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all: its rank, how many there are, its number on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if any (its environment variables): gloo on CPU, nccl on CUDA."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    ranks = Ranks(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: list[nn.Parameter], values: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """Replace every gradient by its mean over all ranks, and return the mean of ``values`` (N,), in one message.

    One flat message instead of DistributedDataParallel: these models are small, and parameters that get a gradient
    on some ranks only (a sensor missing there) need no special care. What has none anywhere keeps none.
    """
    if ranks.world == 1:
        return values
    has = [p.grad is not None for p in parameters]
    flat = [p.grad.flatten() if p.grad is not None else torch.zeros_like(p).flatten() for p in parameters]
    flags = torch.tensor(has, dtype=torch.float32, device=values.device)
    message = torch.cat([*flat, flags, values.float()])
    distributed.all_reduce(message)
    sizes = [p.numel() for p in parameters]
    pieces = message.split([*sizes, len(has), values.numel()])
    anywhere = (pieces[-2] > 0).tolist()
    for parameter, piece, used in zip(parameters, pieces[:-2], anywhere):
        parameter.grad = (piece / ranks.world).view_as(parameter) if used else None
    return pieces[-1] / ranks.world


def take_from_first(tensors: Iterable[torch.Tensor], ranks: Ranks) -> None:
    """Replace tensors, in place, by the first rank's."""
    if ranks.world > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def same_everywhere(value: float, device: torch.device, ranks: Ranks) -> float:
    """The first rank's value, on every rank (clocks and signals differ between processes)."""
    if ranks.world == 1:
        return value
    message = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(message, 0)
    return float(message.item())
