# SPDX-License-Identifier: Apache-2.0
"""Batches are a pure function of recipe and step, and split over processes without a sample lost."""

import queue
from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from toy import RECIPE, BuildSampler, Toy

from modaltrack.scenes import PairSampler
from modaltrack.training.data import BatchSource, from_plain, to_plain
from modaltrack.training.objective import Tracking, batch_losses
from modaltrack.training.prefetch import Prefetcher
from modaltrack.training.recipe import Recipe
from modaltrack.vision import normalise


def source(recipe: Recipe = RECIPE, rank: int = 0, world: int = 1, **build) -> BatchSource:
    return BatchSource(recipe, 8, 16, rank, world, build_sampler=BuildSampler(**build))


def test_a_step_has_the_same_samples_whenever_it_is_asked_for() -> None:
    a, b = source(), source()
    b(0), b(7)
    first, again = a(3)[0], b(3)[0]
    assert first.search.keys() == again.search.keys()
    assert all(torch.equal(first.search[m], again.search[m]) for m in first.search)
    assert all(torch.equal(first.present[m], again.present[m]) for m in first.present)
    assert first.search["rgb"].dtype == torch.uint8


def test_ranks_and_parts_share_out_the_samples_of_one_process() -> None:
    recipe = replace(RECIPE, shard=2)
    whole = source(recipe)(5)[0]
    ranks = [source(recipe, r, 2)(5)[0] for r in (0, 1)]
    parts = source(replace(recipe, accumulation=2))(5)
    for pieces in (ranks, parts):
        assert torch.equal(torch.cat([p.box for p in pieces]), whole.box)
        assert torch.equal(torch.cat([p.search["rgb"] for p in pieces]), whole.search["rgb"])
        assert torch.equal(torch.cat([p.present["rgb"] for p in pieces]), whole.present["rgb"])


def test_a_batch_that_cannot_be_split_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"8 in shards of 2 cannot be split over 3 process"):
        source(replace(RECIPE, shard=2), world=3)


def test_every_second_sensor_is_drawn_and_alone_in_its_batch() -> None:
    drawn = [set(source()(step)[0].search) for step in range(20)]
    assert all(len(sensors) == 2 and "rgb" in sensors for sensors in drawn)
    assert set().union(*drawn) == {"rgb", "thermal", "depth"}


def test_modality_dropout_takes_one_sensor_and_never_both() -> None:
    recipe = replace(RECIPE, batch=400, modality_dropout=0.3)
    batch = source(recipe)(0)[0]
    rgb, second = (batch.present[m] for m in batch.present)
    assert (rgb | second).all()
    assert (~rgb).float().mean() == pytest.approx(0.15, abs=0.06)
    assert (~second).float().mean() == pytest.approx(0.15, abs=0.06)


def test_input_mix_feeds_other_sensors_as_rgb() -> None:
    recipe = replace(RECIPE, modalities=(), batch=200, input_mix={"rgb": 0.5, "event": 0.5})
    asked = []

    class Noting:
        def sample(self, batch, step, modalities):
            asked.append((batch, step, modalities))
            return BuildSampler()(modalities, 8, 16, 0, "cpu", 1).sample(batch, step, modalities)

    made = BatchSource(recipe, 8, 16, build_sampler=lambda *_: Noting())(3)[0]
    assert made.search.keys() == {"rgb"}
    assert made.present is None
    assert sum(n for n, _, _ in asked) == 200
    assert {m for _, _, m in asked} == {("rgb",), ("event",)}
    assert {step for _, step, _ in asked} == {6, 7}  # scenes of their own
    assert 70 < asked[0][0] < 130


def test_a_dead_rendering_process_is_an_error() -> None:
    prefetcher = Prefetcher(source(), 0, 4)
    prefetcher.workers = 1
    prefetcher.queues = [queue.Queue()]
    prefetcher.processes = [SimpleNamespace(is_alive=lambda: False, exitcode=-9)]
    with pytest.raises(RuntimeError, match=r"process 0 died \(exit code -9\) before step 2"):
        prefetcher._receive(2)
    prefetcher.queues[0].put("OSError: unplugged")
    with pytest.raises(RuntimeError, match="process 0 failed: OSError: unplugged"):
        prefetcher._receive(2)


@pytest.fixture(scope="module")
def scenes() -> PairSampler:
    return PairSampler(("rgb", "depth"), 8, 16, 3, num_actors=8, num_canvases=1)


def with_templates(scenes: PairSampler, count: int) -> PairSampler:
    """The same cast, which takes seconds to draw."""
    copied = copy(scenes)
    copied.templates = count
    return copied


def test_two_templates_come_from_between_and_change_nothing_else(scenes: PairSampler) -> None:
    for count, step in ((16, 0), (5, 4)):
        one, two = scenes.sample(count, step), with_templates(scenes, 2).sample(count, step)
        assert one.memory is None
        for m in ("rgb", "depth"):
            assert torch.equal(one.template[m], two.template[m])
            assert torch.equal(one.search[m], two.search[m])
            assert two.memory[m].shape == two.template[m].shape
        assert torch.equal(one.box, two.box)
        same = torch.stack([(two.memory[m] == two.template[m]).flatten(1).all(1) for m in two.memory])
        assert not same.all()
        assert (same[0] == same[1]).all()  # the sensors of a sample look at the same instant


def test_a_tenth_of_second_templates_equal_the_first(scenes: PairSampler) -> None:
    same = []
    for step in range(3):
        pairs = with_templates(scenes, 2).sample(64, step, ("rgb",))
        same.append((pairs.memory["rgb"] == pairs.template["rgb"]).flatten(1).all(1))
    assert 0.04 < torch.cat(same).float().mean() < 0.3  # and those whose target nobody can see


def test_the_second_template_reaches_models_that_take_one(scenes: PairSampler) -> None:
    recipe = replace(RECIPE, modalities=("depth",), templates=2, batch=2)
    batch = BatchSource(recipe, 8, 16, build_sampler=lambda *_: with_templates(scenes, 2))(0)[0]
    assert {m: x.shape for m, x in batch.memory.items()} == {m: x.shape for m, x in batch.template.items()}
    assert torch.equal(from_plain(*to_plain([batch]))[0].memory["depth"], batch.memory["depth"])
    given = []

    class Model(Toy):
        def forward(self, template, search, present=None, memory=None):
            given.append(memory)
            return super().forward(template, search, present)

    for count in (1, 2):
        model = Model()
        model.num_templates = count
        batch_losses(Tracking(recipe, model), model, recipe, batch, torch.device("cpu"))
    assert given[0] is None
    assert torch.equal(given[1]["rgb"], normalise(batch.memory["rgb"].float() / 255))
