# SPDX-License-Identifier: Apache-2.0
"""The batch of step n, as a pure function of (recipe, seed, n, rank)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.training.recipe import IMAGES, Recipe

if TYPE_CHECKING:
    from modaltrack.scenes.pairs import Pairs

REPLACEMENT = (
    1 << 40
)  # replacements of failed draws live far beyond any step, so they never meet another step's samples


class Sampler(Protocol):
    """Draws pairs of some sensors; the answer depends only on how it was built and on the arguments."""

    def sample(self, batch: int, step: int, modalities: Sequence[str]) -> Pairs: ...


class SamplerBuilder(Protocol):
    """Builds the sampler of these sensors for crops of these sizes; ``calls`` = draws per training step."""

    def __call__(
        self, modalities: tuple[str, ...], template: int, search: int, seed: int, device: str, calls: int
    ) -> Sampler: ...


CAST_STEPS = 250  # training steps for which the scenes keep one cast of actors; drawing a new one costs seconds


OF_SCENES = ("centre_jitter", "scale_jitter", "misalign_pixels")  # augmentations that they do not take


def scenes_sampler(
    modalities: tuple[str, ...],
    template: int,
    search: int,
    seed: int,
    device: str,
    calls: int,
    *,
    changes: Mapping[str, float] | None = None,
    **options: Any,
) -> Sampler:
    """The sampler of the synthetic scenes.

    Args:
        changes: augmentations on top; none of the published ones is on.
    """
    from modaltrack.scenes.pairs import PairSampler
    from modaltrack.training.augment import UNCHANGED, AugmentedScenes

    refused = [name for name in OF_SCENES if name in (changes or {})]
    if refused:
        raise ValueError(f"Rendered scenes take no {refused[0]}: leave it out, or train on a data set.")
    how = UNCHANGED.changed(changes or {})
    if how.misalign_share:
        options["misalignment"] = how.misalign_share
    sampler = PairSampler(modalities, template, search, seed, device, stage_steps=CAST_STEPS * calls, **options)
    return AugmentedScenes(sampler, how) if changes else sampler


def data_sampler(
    modalities: tuple[str, ...],
    template: int,
    search: int,
    seed: int,
    device: str,
    calls: int,
    *,
    recipe: Recipe,
    **options: Any,
) -> Sampler:
    """The sampler of the recipe's data sets."""
    from modaltrack.training.augment import Augmentation
    from modaltrack.training.benchmark_pairs import BenchmarkPairs, open_data

    how = Augmentation().changed(recipe.augment)
    return BenchmarkPairs(open_data(recipe), template, search, seed, how, **options)


def sampler_builder(recipe: Recipe, template_factor: float = 2.0, search_factor: float = 4.0) -> SamplerBuilder:
    """What builds the sampler that the recipe's data ask for, with crops of these factors."""
    options: dict[str, Any] = {
        "templates": recipe.templates,
        "template_factor": template_factor,
        "search_factor": search_factor,
    }
    if not recipe.data:
        return partial(scenes_sampler, changes=recipe.augment, **options)
    names = ("modalities", "input_mix", "data", "data_root", "augment")  # the rest is none of a sampler's business
    chosen = Recipe(name="", model="", **{name: getattr(recipe, name) for name in names})
    return partial(data_sampler, recipe=chosen, **options)


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
        self.build: SamplerBuilder = self.build_sampler or sampler_builder(
            self.recipe, self.template_factor, self.search_factor
        )
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
            second = recipe.modalities[int(of_step.integers(len(recipe.modalities)))]
            return self._pair(second, index, of_shard)
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
            self._sampler = self.build(
                sensors, self.template_size, self.search_size, recipe.seed, self.device, self.shards * self.calls
            )
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

    def _pair(self, second: str, index: int, random: np.random.Generator) -> Batch:
        both = ("rgb", second)
        pairs = self.sampler.sample(self.shard, index, both)
        everywhere = torch.ones(self.shard, dtype=torch.bool, device=pairs.box.device)
        known = {str(m): has for m, has in (pairs.present or {}).items()}
        present = {m: known.get(m, everywhere).to(torch.bool) for m in both}
        drop = torch.from_numpy(random.random(self.shard) < self.recipe.modality_dropout)
        drop_rgb = torch.from_numpy(random.random(self.shard) < 0.5)
        drop, drop_rgb = drop.to(everywhere.device), drop_rgb.to(everywhere.device)
        drop = drop & present["rgb"] & present[second]  # never take the last sensor away
        present = {"rgb": present["rgb"] & ~(drop & drop_rgb), second: present[second] & ~(drop & ~drop_rgb)}
        return Batch(
            {m: _of(pairs.template, m) for m in both},
            {m: _of(pairs.search, m) for m in both},
            pairs.box.float(),
            pairs.visible.float(),
            present,
            None if pairs.memory is None else {m: _of(pairs.memory, m) for m in both},
            replaced=list(pairs.failed),
        )


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
