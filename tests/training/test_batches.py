# SPDX-License-Identifier: Apache-2.0
"""Batches are a pure function of recipe and step, and split over processes without a sample lost."""

import queue
from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy import RECIPE, BuildSampler, Toy

from modaltrack.scenes import PairSampler
from modaltrack.training.data import BatchSource, from_plain, to_plain, without_some
from modaltrack.training.distributed import Ranks
from modaltrack.training.objective import Tracking, batch_losses
from modaltrack.training.prefetch import Prefetcher
from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import PairRequest
from modaltrack.training.step import Stepper
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
            return BuildSampler()(PairRequest(modalities, 8, 16, 0, "cpu", 1)).sample(batch, step, modalities)

    made = BatchSource(recipe, 8, 16, build_sampler=lambda _: Noting())(3)[0]
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
    batch = BatchSource(recipe, 8, 16, build_sampler=lambda _: with_templates(scenes, 2))(0)[0]
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


def test_dropout_never_takes_the_last_sensor_of_a_sample() -> None:
    """Also where the sampler itself lacks one: then there is nothing to take."""
    known = {"rgb": torch.tensor([True, True, False] * 200), "thermal": torch.tensor([True, False, True] * 200)}
    left = without_some(known, 1.0, np.random.default_rng(0))
    assert (left["rgb"] | left["thermal"]).all()
    assert not (left["rgb"] & left["thermal"]).any()
    assert left["rgb"][1::3].all()
    assert left["thermal"][2::3].all()
    assert left["rgb"][0::3].float().mean() == pytest.approx(0.5, abs=0.1)


def test_of_four_sensors_any_set_is_left_and_never_none() -> None:
    sensors = ("rgb", "thermal", "depth", "event")
    everything = {m: torch.ones(3000, dtype=torch.bool) for m in sensors}
    left = without_some(everything, 0.6, np.random.default_rng(1))
    sets = [tuple(bool(left[m][i]) for m in sensors) for i in range(3000)]
    counts = {s: sets.count(s) for s in set(sets)}
    assert len(counts) == 15
    assert (False,) * 4 not in counts
    assert counts.pop((True,) * 4) / 3000 == pytest.approx(0.4, abs=0.04)
    assert min(counts.values()) / 3000 == pytest.approx(0.6 / 14, abs=0.02)


@pytest.mark.parametrize(("together", "count"), [(2, 2), (3, 3), (4, 4), (0, 4)])
def test_a_sample_has_as_many_sensors_as_the_recipe_says(together: int, count: int) -> None:
    recipe = replace(RECIPE, modalities=("thermal", "depth", "event"), together=together, modality_dropout=0.0)
    drawn = [source(recipe)(step)[0] for step in range(12)]
    assert all(next(iter(b.search)) == "rgb" and len(b.search) == len(b.template) == count for b in drawn)
    assert all(b.present is not None and b.present.keys() == b.search.keys() for b in drawn)
    assert len({tuple(b.search) for b in drawn}) == (1 if count == 4 else 3)
    assert set().union(*(b.search for b in drawn)) == {"rgb", "thermal", "depth", "event"}


def test_more_sensors_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"together is 4: give 2 to 3"):
        replace(RECIPE, together=4)


def test_a_step_in_parts_has_the_gradient_of_the_whole() -> None:
    """AdamW does not care for the gradient's length, clipping does: it has to be the mean over parts, not their sum."""
    recipe = replace(RECIPE, shard=2, clip=0.0, modality_dropout=0.0, model_options={"drop": 0.0})
    seen = {}
    for parts in (1, 4):
        torch.manual_seed(3)
        stepper = Stepper(recipe, Toy(drop=0.0), torch.device("cpu"), Ranks())
        batches = source(replace(recipe, accumulation=parts))(2)
        assert len(batches) == parts
        seen[parts] = stepper(batches, 2, 0.0)
    torch.testing.assert_close(seen[4], seen[1], rtol=1e-4, atol=1e-6)
    assert seen[1][-1] > 1e-3
