# SPDX-License-Identifier: Apache-2.0
"""The batch of step n, as a pure function of (recipe, seed, n, rank)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.training.recipe import IMAGES, Recipe
from modaltrack.training.samplers import PairRequest, Sampler, SamplerBuilder, sampler_builder

REPLACEMENT = (
    1 << 40
)  # replacements of failed draws live far beyond any step, so they never meet another step's samples


@dataclass(slots=True)
class Batch:
    """Samples of one part of a step.

    Images are uint8, as a camera's are: what the trained model will see.

    Attributes:
        template, search: sensor -> (B, 3, h, w) uint8.
        box: (B, 4) float32 xywh, 0..1 of the search crop.
        visible: (B,).
        present: sensor -> (B,) bool, or None for a single-stream batch.
        memory: the second template, like ``template``; None where the recipe has one template.
        failed: what went wrong in draws that were replaced, one by one draw.
        replaced: the same for single samples.
    """

    template: dict[str, torch.Tensor]
    search: dict[str, torch.Tensor]
    box: torch.Tensor
    visible: torch.Tensor
    present: dict[str, torch.Tensor] | None
    memory: dict[str, torch.Tensor] | None = None
    failed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""

        def move(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {key: value.to(device, non_blocking=True) for key, value in tensors.items()}

        return Batch(
            move(self.template),
            move(self.search),
            self.box.to(device),
            self.visible.to(device),
            None if self.present is None else move(self.present),
            None if self.memory is None else move(self.memory),
            self.failed,
            self.replaced,
        )


def _bytes(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0, 1).mul(255).round_().to(torch.uint8).contiguous()


def _of(images: Mapping[Any, torch.Tensor], sensor: str) -> torch.Tensor:
    return _bytes(images[Modality(sensor)])  # a Modality is a str, equal to its value


@dataclass
class BatchSource:
    """``source(step)`` -> the parts (one per accumulation) of this rank's share of a step's batch.

    The samples of a step are shards 0..S-1, each drawn with indices of its own; a rank takes its contiguous share of
    the shards. Which second sensor a step has, which samples lose a sensor and which image
    a single-stream sample shows are drawn from (seed, step, shard) alone.
    """

    recipe: Recipe
    template_size: int
    search_size: int
    rank: int = 0
    world: int = 1
    device: str = "cpu"
    build_sampler: SamplerBuilder | None = None  # None = the one for the recipe's data
    template_factor: float = 2.0
    search_factor: float = 4.0

    def __post_init__(self) -> None:
        parts = self.world * self.recipe.accumulation
        self.shard = self.recipe.shard or self.recipe.batch // parts
        if self.shard < 1 or self.recipe.batch % self.shard or (self.recipe.batch // self.shard) % parts:
            raise ValueError(
                f"A batch of {self.recipe.batch} in shards of {self.shard} cannot be split over {self.world} "
                f"process(es) x {self.recipe.accumulation} part(s): choose a batch that is a multiple of "
                f"shard x processes x accumulation."
            )
        self.shards = self.recipe.batch // self.shard
        self.mix = {m: self.recipe.input_mix.get(m, 0.0) for m in IMAGES} if self.recipe.input_mix else {"rgb": 1.0}
        self.mix = {m: share for m, share in self.mix.items() if share}
        self.build = self.build_sampler or sampler_builder(self.recipe)
        self.calls = 1 if self.recipe.modalities else len(self.mix)  # draws per shard
        self._sampler: Sampler | None = None

    def __call__(self, step: int) -> list[Batch]:
        share = self.shards // self.world
        batches = [self._shard(step, k) for k in range(self.rank * share, (self.rank + 1) * share)]
        per_part = share // self.recipe.accumulation
        return [_join(batches[i : i + per_part]) for i in range(0, share, per_part)]

    def _shard(self, step: int, shard: int) -> Batch:
        failed: list[str] = []
        index = (step * self.shards + shard) * self.calls
        for attempt in range(self.recipe.max_bad_batches + 1):
            try:
                batch = self._draw(step, shard, index + attempt * REPLACEMENT)
            except Exception as error:  # noqa: BLE001 - any failure of a sampler costs one batch, is reported and counted
                failed.append(f"step {step}, shard {shard}: {type(error).__name__}: {error}")
                continue
            batch.failed = failed
            return batch
        raise RuntimeError(f"Gave up after {len(failed)} failed draws; the last was {failed[-1]}")

    def _draw(self, step: int, shard: int, index: int) -> Batch:
        recipe = self.recipe
        of_step = np.random.default_rng((recipe.seed, 1, step))  # equal on all ranks: one second sensor per step
        of_shard = np.random.default_rng((recipe.seed, 2, step, shard))
        if recipe.modalities:
            return self._joint(_second_sensors(recipe, of_step), index, of_shard)
        shares = np.array(list(self.mix.values()))
        counts = of_shard.multinomial(self.shard, shares / shares.sum())
        drawn = [self._single(m, int(n), index + i) for i, (m, n) in enumerate(zip(self.mix, counts)) if n]
        return _join(drawn)

    @property
    def sampler(self) -> Sampler:
        """Built when first used: in the rendering process, if there is one."""
        if self._sampler is None:
            recipe = self.recipe
            sensors = ("rgb", *recipe.modalities) if recipe.modalities else tuple(self.mix)
            calls = self.shards * self.calls
            asked = PairRequest(
                sensors, self.template_size, self.search_size, recipe.seed, self.device, calls,
                self.template_factor, self.search_factor,
            )  # fmt: skip
            self._sampler = self.build(asked)
        return self._sampler

    def _single(self, image: str, count: int, index: int) -> Batch:
        pairs = self.sampler.sample(count, index, (image,))
        return Batch(
            {"rgb": _of(pairs.template, image)},
            {"rgb": _of(pairs.search, image)},
            pairs.box.float(),
            pairs.visible.float(),
            None,
            None if pairs.memory is None else {"rgb": _of(pairs.memory, image)},
            replaced=list(pairs.failed),
        )

    def _joint(self, others: Sequence[str], index: int, random: np.random.Generator) -> Batch:
        """Samples that RGB and these others see at once."""
        sensors = ("rgb", *others)
        pairs = self.sampler.sample(self.shard, index, sensors)
        everywhere = torch.ones(self.shard, dtype=torch.bool, device=pairs.box.device)
        known = {str(m): has for m, has in (pairs.present or {}).items()}
        present = {m: known.get(m, everywhere).to(torch.bool) for m in sensors}
        return Batch(
            {m: _of(pairs.template, m) for m in sensors},
            {m: _of(pairs.search, m) for m in sensors},
            pairs.box.float(),
            pairs.visible.float(),
            without_some(present, self.recipe.modality_dropout, random),
            None if pairs.memory is None else {m: _of(pairs.memory, m) for m in sensors},
            replaced=list(pairs.failed),
        )


def _second_sensors(recipe: Recipe, random: np.random.Generator) -> Sequence[str]:
    """The sensors beside RGB that a step has: one drawn for pairs, several for more, all for ``together`` 0."""
    if recipe.together == 2:
        return (recipe.modalities[int(random.integers(len(recipe.modalities)))],)
    count = (recipe.together or len(recipe.modalities) + 1) - 1
    chosen = random.choice(len(recipe.modalities), count, replace=False)
    return [recipe.modalities[int(k)] for k in sorted(chosen)]


def without_some(
    present: Mapping[str, torch.Tensor], share: float, random: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Take sensors away from a share of the samples, never the last one.

    Of two sensors either goes with equal chance; of more, what stays is any smaller set, all equally likely.

    Args:
        present: sensor -> (B,) bool, what each sample has.
        share: probability that a sample loses something, where it has every sensor.
        random: what draws; how many numbers it draws does not depend on ``present``.
    """
    sensors = list(present)
    here = torch.stack([present[m] for m in sensors])  # (S, B)
    samples = here.shape[1]
    drop = torch.from_numpy(random.random(samples) < share)
    if len(sensors) == 2:
        first_goes = torch.from_numpy(random.random(samples) < 0.5)
        kept = torch.stack([~first_goes, first_goes])
    else:
        sets = torch.from_numpy(random.integers(1, max(2, 2 ** len(sensors) - 1), samples))  # bits: any set but all
        kept = torch.stack([(sets >> k) % 2 == 1 for k in range(len(sensors))])
    left = here & kept.to(here.device)
    drop = drop.to(here.device) & left.any(0)
    here = torch.where(drop, left, here)
    return dict(zip(sensors, here))


def _join(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]

    def cat(parts: list[dict[str, torch.Tensor] | None]) -> dict[str, torch.Tensor] | None:
        known = [part for part in parts if part is not None]
        assert len(known) in (0, len(parts))
        return {m: torch.cat([part[m] for part in known]) for m in known[0]} if known else None

    template, search = cat([b.template for b in batches]), cat([b.search for b in batches])
    assert template is not None
    assert search is not None
    return Batch(
        template,
        search,
        torch.cat([b.box for b in batches]),
        torch.cat([b.visible for b in batches]),
        cat([b.present for b in batches]),
        cat([b.memory for b in batches]),
        [message for b in batches for message in b.failed],
        [message for b in batches for message in b.replaced],
    )


Arrays = dict[str, NDArray[Any]]
Messages = list[dict[str, list[str]]]


def to_plain(batches: Sequence[Batch]) -> tuple[Arrays, Messages]:
    """Batches as named arrays (``0.search.rgb``) and what they have to tell, for a pipe or a file."""
    arrays: Arrays = {}
    for i, batch in enumerate(batches):
        arrays[f"{i}.box"], arrays[f"{i}.visible"] = batch.box.cpu().numpy(), batch.visible.cpu().numpy()
        for name in ("template", "search", "present", "memory"):
            for sensor, tensor in (getattr(batch, name) or {}).items():
                arrays[f"{i}.{name}.{sensor}"] = tensor.cpu().numpy()
    return arrays, [{"failed": batch.failed, "replaced": batch.replaced} for batch in batches]


def from_plain(arrays: Mapping[str, NDArray[Any]], messages: Messages) -> list[Batch]:
    """The inverse of ``to_plain``."""
    batches = []
    for i, message in enumerate(messages):
        named: dict[str, dict[str, torch.Tensor]] = {}
        for key, array in arrays.items():
            part, name, *sensor = key.split(".")
            if part == str(i):
                named.setdefault(name, {})[sensor[0] if sensor else ""] = torch.from_numpy(array)
        box, visible = named["box"][""], named["visible"][""]
        batch = Batch(named["template"], named["search"], box, visible, named.get("present"), named.get("memory"))
        batch.failed, batch.replaced = message["failed"], message["replaced"]
        batches.append(batch)
    return batches
