# SPDX-License-Identifier: Apache-2.0
"""The batch of step n, as a pure function of (recipe, seed, n, rank), rendered in place or ahead by other processes."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from modaltrack.frame import Modality
from modaltrack.training.recipe import IMAGES, Recipe

if TYPE_CHECKING:
    from modaltrack.scenes.pairs import Pairs

log = logging.getLogger(__name__)
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


def scenes_sampler(
    modalities: tuple[str, ...], template: int, search: int, seed: int, device: str, calls: int
) -> Sampler:
    """The sampler of the synthetic scenes."""
    from modaltrack.scenes.pairs import PairSampler

    return PairSampler(modalities, template, search, seed, device, stage_steps=CAST_STEPS * calls)


@dataclass(slots=True)
class Batch:
    """Samples of one part of a step. Images are uint8, as a camera's are: what the trained model will see.

    template, search: sensor -> (B, 3, h, w) uint8. box: (B, 4) float32 xywh, 0..1 of the search crop. visible: (B,).
    present: sensor -> (B,) bool, or None for a single-stream batch.
    failed: what went wrong in draws that were replaced.
    """

    template: dict[str, torch.Tensor]
    search: dict[str, torch.Tensor]
    box: torch.Tensor
    visible: torch.Tensor
    present: dict[str, torch.Tensor] | None
    failed: list[str] = field(default_factory=list)

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
            self.failed,
        )


def _bytes(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0, 1).mul(255).round_().to(torch.uint8).contiguous()


def _of(images: Mapping[Any, torch.Tensor], sensor: str) -> torch.Tensor:
    return images[Modality(sensor)]  # a Modality is a str, equal to its value


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
    build_sampler: SamplerBuilder = scenes_sampler

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
            except Exception as error:  # noqa: BLE001 - any failure of a sampler costs one batch, is told and counted
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
            self._sampler = self.build_sampler(
                sensors, self.template_size, self.search_size, recipe.seed, self.device, self.shards * self.calls
            )
        return self._sampler

    def _single(self, image: str, count: int, index: int) -> Batch:
        pairs = self.sampler.sample(count, index, (image,))
        return Batch(
            {"rgb": _bytes(_of(pairs.template, image))},
            {"rgb": _bytes(_of(pairs.search, image))},
            pairs.box.float(),
            pairs.visible.float(),
            None,
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
            {m: _bytes(_of(pairs.template, m)) for m in both},
            {m: _bytes(_of(pairs.search, m)) for m in both},
            pairs.box.float(),
            pairs.visible.float(),
            present,
        )


def _join(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    present = None
    if first.present is not None:
        present = {m: torch.cat([b.present[m] for b in batches if b.present]) for m in first.present}
    return Batch(
        {m: torch.cat([b.template[m] for b in batches]) for m in first.template},
        {m: torch.cat([b.search[m] for b in batches]) for m in first.search},
        torch.cat([b.box for b in batches]),
        torch.cat([b.visible for b in batches]),
        present,
        [message for b in batches for message in b.failed],
    )


def _to_plain(batch: Batch) -> dict[str, Any]:
    def arrays(tensors: Mapping[str, torch.Tensor] | None) -> dict[str, Any] | None:
        return None if tensors is None else {str(key): value.numpy() for key, value in tensors.items()}

    return {
        "template": arrays(batch.template),
        "search": arrays(batch.search),
        "box": batch.box.numpy(),
        "visible": batch.visible.numpy(),
        "present": arrays(batch.present),
        "failed": batch.failed,
    }


def _from_plain(plain: dict[str, Any]) -> Batch:
    def tensors(arrays: dict[str, Any] | None) -> dict[str, torch.Tensor] | None:
        return None if arrays is None else {key: torch.from_numpy(value) for key, value in arrays.items()}

    template, search = tensors(plain["template"]), tensors(plain["search"])
    assert template is not None
    assert search is not None
    box, visible = torch.from_numpy(plain["box"]), torch.from_numpy(plain["visible"])
    return Batch(template, search, box, visible, tensors(plain["present"]), plain["failed"])


def _render(source: BatchSource, first: int, stride: int, last: int, out: Any) -> None:
    """Body of a rendering process: steps first, first + stride, ... in order, blocked while the queue is full."""
    torch.set_num_threads(1)
    try:
        for step in range(first, last, stride):
            out.put([_to_plain(batch) for batch in source(step)])
    except KeyboardInterrupt:
        return
    except Exception as error:  # noqa: BLE001 - carried to the trainer, which raises it
        out.put(f"{type(error).__name__}: {error}")


class Prefetcher:
    """Iterates over ``source(step)`` for step in [first, last), in step order whatever the number of ``workers``.

    workers = 0 renders in place; otherwise that many processes render, ``ahead`` steps each, with one thread each:
    enough to train on through the seconds that a new cast of actors takes (about 3 MB a step for the tiny models).
    Batches travel as uint8 through pipes, so no shared memory is needed. Use as a context manager.
    """

    def __init__(self, source: BatchSource, first: int, last: int, workers: int = 0, ahead: int = 32) -> None:
        self.source, self.first, self.last, self.workers = source, first, last, workers
        self.processes: list[Any] = []
        self.queues: list[Any] = []
        if workers:
            import multiprocessing

            context = multiprocessing.get_context("spawn")  # fork after OpenMP has started threads may hang
            for worker in range(workers):
                self.queues.append(context.Queue(maxsize=ahead))
                work = (source, first + worker, workers, last, self.queues[-1])
                self.processes.append(context.Process(target=_render, args=work, daemon=True))
                self.processes[-1].start()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(timeout=5)
        for waiting in self.queues:
            waiting.cancel_join_thread()
            waiting.close()

    def __iter__(self) -> Iterator[list[Batch]]:
        for step in range(self.first, self.last):
            yield self._receive(step) if self.workers else self.source(step)

    def _receive(self, step: int) -> list[Batch]:
        worker = (step - self.first) % self.workers
        process, waiting = self.processes[worker], self.queues[worker]
        while True:
            try:
                received = waiting.get(timeout=2.0)
                break
            except queue.Empty:
                if not process.is_alive():
                    time.sleep(0.1)  # its last words may still be in the pipe
                    if waiting.empty():
                        raise RuntimeError(
                            f"The rendering process {worker} died (exit code {process.exitcode}) before step {step}."
                        ) from None
        if isinstance(received, str):
            raise RuntimeError(f"The rendering process {worker} failed: {received}")
        return [_from_plain(plain) for plain in received]
