# SPDX-License-Identifier: Apache-2.0
"""A toy model and a toy sampler, so that the loop's tests take seconds. Importable by name: processes are spawned."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from modaltrack.models.prediction import Prediction
from modaltrack.training.recipe import Group, Recipe
from modaltrack.training.samplers import PairRequest
from modaltrack.vision.response import decode

CELLS = 4


@dataclass(frozen=True)
class ToyConfig:
    template_size: int = 8
    search_size: int = 16
    template_factor: float = 2.0
    search_factor: float = 4.0
    stride: int = 4
    modalities: tuple[str, ...] = ("rgb", "thermal", "depth", "event")


class Toy(nn.Module):
    """Three convolutions over whatever images are present; uses dropout, so that randomness is tested too."""

    def __init__(self, batchnorm: bool = False, drop: float = 0.1) -> None:
        super().__init__()
        self.config, self.drop = ToyConfig(), drop
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.adapter = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.BatchNorm2d(8) if batchnorm else nn.Identity()
        self.head = nn.Conv2d(8, 5, 3, padding=1)
        self.unused = nn.Linear(2, 2)

    def forward(self, template, search, present=None):
        total = 0.0
        for m, image in search.items():
            stem = self.stem if m == "rgb" else self.adapter
            x = stem(image) + stem(template[m]).mean((2, 3), keepdim=True)
            if present is not None:
                x = x * present[m].view(-1, 1, 1, 1)
            total = total + x
        x = nn.functional.dropout(torch.relu(self.norm(total)), self.drop, self.training)
        score, size, offset = self.head(x).float().split((1, 2, 2), 1)
        score, size = score.sigmoid().clamp(1e-4, 1 - 1e-4), size.sigmoid()
        return Prediction(score, size, offset, decode(score, size, offset)[0])


@dataclass
class ToyPairs:
    template: dict
    search: dict
    box: torch.Tensor
    visible: torch.Tensor
    present: dict | None
    memory: dict | None = None
    failed: tuple[str, ...] = ()


@dataclass
class ToySampler:
    """A bright square on noise. fail_at: index that cannot be drawn; kill_at: index at which the process dies."""

    modalities: tuple[str, ...]
    template: int
    search: int
    seed: int
    fail_at: int | None = None
    kill_at: int | None = None

    def sample(self, batch: int, step: int, modalities=None) -> ToyPairs:
        if step == self.fail_at:
            raise OSError("the disk is full")
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        random = torch.Generator().manual_seed(self.seed * 1000 + step % 999_983)
        box = torch.rand(batch, 4, generator=random) * 0.4 + 0.1
        centre = box[:, :2] + box[:, 2:] / 2
        grid = (torch.arange(self.search) + 0.5) / self.search
        near = (grid[None] - centre[:, :1]).abs() < 0.15, (grid[None] - centre[:, 1:]).abs() < 0.15
        spot = (near[1][:, :, None] & near[0][:, None, :]).float()[:, None]
        sensors = modalities or self.modalities
        search = {m: (spot + 0.2 * torch.rand(batch, 3, self.search, self.search, generator=random)) / 1.2
                  for m in sensors}  # fmt: skip
        template = {m: torch.rand(batch, 3, self.template, self.template, generator=random) for m in sensors}
        return ToyPairs(template, search, box, torch.ones(batch), None)


@dataclass
class BuildSampler:
    """Picklable: a spawned process builds its own samplers."""

    fail_at: int | None = None
    kill_at: int | None = None

    def __call__(self, asked: PairRequest) -> ToySampler:
        return ToySampler(*asked[:4], self.fail_at, self.kill_at)


def make_toy(recipe: Recipe) -> Toy:
    return Toy(**recipe.model_options)


RECIPE = Recipe(
    name="toy", model="toy", modalities=("thermal", "depth"), steps=6, batch=8, lr=1e-2, warmup=2, ema=0.9,
    modality_dropout=0.5, log_every=1, save_every=3, trainable=(Group("adapter", 1.0), Group("", 0.5)),
)  # fmt: skip


def run_toy(out: str | Path, build: BuildSampler | None = None, **changes) -> dict:
    """Train the toy on one thread."""
    from modaltrack.training.loop import train

    options = {k: changes.pop(k) for k in ("resume", "threads", "batch_cache") if k in changes}
    if "drop" in changes:
        changes["model_options"] = {"drop": changes.pop("drop")}
    return train(
        replace(RECIPE, **changes), out, "cpu", **{"threads": 1, **options},
        make_model=make_toy, make_sampler=build or BuildSampler(),
    )  # fmt: skip
