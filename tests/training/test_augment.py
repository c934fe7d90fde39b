# SPDX-License-Identifier: Apache-2.0
"""Changes of pairs: each where it is meant to be, boxes with the images, the same numbers every time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.painted import build, pairs_of, target

from modaltrack.scenes.pairs import Pairs, PairSampler
from modaltrack.training.augment import DRAWS, KINDS, LUMA, UNCHANGED, Augmentation, AugmentedScenes, augment, spoil
from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import PairRequest, scenes_sampler


def pairs(count: int = 64, memory: bool = False) -> Pairs:
    random = torch.Generator().manual_seed(0)
    images = {
        name: {m: torch.rand(count, 3, 8, 8, generator=random) * 0.7 for m in ("rgb", "depth")}
        for name in ("template", "search", "memory")
    }
    box = torch.rand(count, 4, generator=random) * 0.4
    everywhere = torch.ones(count, dtype=torch.bool)
    present = dict.fromkeys(("rgb", "depth"), everywhere)
    made = Pairs(images["template"], images["search"], box, torch.ones(count), present)
    return dataclasses.replace(made, memory=images["memory"]) if memory else made


def changed(given: Pairs, seed: int = 0, **how: float) -> Pairs:
    randoms = [np.random.default_rng((seed, k)) for k in range(len(given.box))]
    return augment(given, UNCHANGED.changed(how), randoms)


def rows_equal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b).flatten(1).all(1)


def test_nothing_is_changed_unless_asked_for() -> None:
    given, made = pairs(memory=True), changed(pairs(memory=True))
    for name in ("template", "search", "memory"):
        assert all(torch.equal(getattr(given, name)[m], getattr(made, name)[m]) for m in ("rgb", "depth"))
    assert torch.equal(given.box, made.box)


def test_the_defaults_are_the_published_numbers() -> None:
    how = Augmentation()
    assert (how.centre_jitter, how.scale_jitter, how.greyscale, how.flip, how.crop_flip) == (3.0, 0.25, 0.05, 0.5, 0.5)
    assert (how.brightness, how.misalign_pixels, how.misalign_share, how.corrupt) == (0.2, 0.0, 0.0, 0.0)


def test_greyscale_is_for_rgb_alone() -> None:
    given = pairs(400)
    made = changed(given, greyscale=0.25)
    assert torch.equal(given.search["depth"], made.search["depth"])
    grey = rows_equal(made.search["rgb"][:, :1], made.search["rgb"][:, 1:2])
    assert grey.float().mean() == pytest.approx(0.25, abs=0.06)
    assert torch.equal(grey, rows_equal(made.template["rgb"][:, :1], made.template["rgb"][:, 2:]))  # both images
    luma = sum(w * given.search["rgb"][:, k] for k, w in enumerate(LUMA))
    assert torch.allclose(made.search["rgb"][grey][:, 1], luma[grey], atol=1e-6)
    assert rows_equal(made.search["rgb"], given.search["rgb"])[~grey].all()


def test_a_joint_flip_mirrors_everything() -> None:
    given = pairs(200, memory=True)
    made = changed(given, flip=0.5)
    turned = ~rows_equal(made.search["rgb"], given.search["rgb"])
    assert turned.float().mean() == pytest.approx(0.5, abs=0.12)
    for name in ("template", "search", "memory"):
        for m in ("rgb", "depth"):
            before, after = getattr(given, name)[m], getattr(made, name)[m]
            assert torch.equal(after[turned], before[turned].flip(-1))
            assert torch.equal(after[~turned], before[~turned])
    x, y, w, h = given.box.unbind(1)
    assert torch.equal(made.box[turned], torch.stack([1 - x - w, y, w, h], 1)[turned])
    assert torch.equal(made.box[~turned], given.box[~turned])


def test_a_crop_flips_by_itself_but_its_sensors_together() -> None:
    given = pairs(400)
    made = changed(given, crop_flip=0.5)
    flipped = {
        (name, m): ~rows_equal(getattr(made, name)[m], getattr(given, name)[m])
        for name in ("template", "search") for m in ("rgb", "depth")
    }  # fmt: skip
    assert torch.equal(flipped["search", "rgb"], flipped["search", "depth"])
    assert torch.equal(flipped["template", "rgb"], flipped["template", "depth"])
    assert (flipped["search", "rgb"] ^ flipped["template", "rgb"]).float().mean() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(made.box[:, 0] != given.box[:, 0], flipped["search", "rgb"])
    both = changed(given, flip=1.0, crop_flip=1.0)  # twice is not at all
    assert torch.equal(both.search["rgb"], given.search["rgb"])
    assert torch.equal(both.box, given.box)


def test_brightness_is_one_factor_for_all_sensors_of_a_crop() -> None:
    given = pairs(200)
    made = changed(given, brightness=0.2)
    factors = [made.search[m].flatten(1).sum(1) / given.search[m].flatten(1).sum(1) for m in ("rgb", "depth")]
    assert torch.allclose(factors[0], factors[1], atol=1e-4)
    assert factors[0].min() < 0.83
    assert factors[0].max() > 1.17
    assert ((factors[0] >= 0.799) & (factors[0] <= 1.201)).all()
    of_template = made.template["rgb"].flatten(1).sum(1) / given.template["rgb"].flatten(1).sum(1)
    assert not torch.allclose(of_template, factors[0], atol=0.05)
    bright = dataclasses.replace(given, search={m: x / 0.7 for m, x in given.search.items()})
    assert changed(bright, brightness=1.0).search["rgb"].max() == 1


def test_a_second_template_that_is_the_first_stays_so() -> None:
    given = pairs(memory=True)
    memory = {m: torch.where(torch.arange(64).view(-1, 1, 1, 1) < 20, given.template[m], given.memory[m])
              for m in ("rgb", "depth")}  # fmt: skip
    made = changed(dataclasses.replace(given, memory=memory), crop_flip=0.5, brightness=0.2)
    same = rows_equal(made.memory["rgb"], made.template["rgb"])
    assert same.tolist() == [k < 20 for k in range(64)]


def test_a_spoilt_sensor_is_one_of_the_search_crop() -> None:
    given = pairs(300)
    made = changed(given, corrupt=0.4)
    hit = {m: ~rows_equal(made.search[m], given.search[m]) for m in ("rgb", "depth")}
    assert not (hit["rgb"] & hit["depth"]).any()
    assert (hit["rgb"] | hit["depth"]).float().mean() == pytest.approx(0.4, abs=0.08)
    assert min(hit["rgb"].sum(), hit["depth"].sum()) > 30
    assert torch.equal(made.template["rgb"], given.template["rgb"])
    for kind in KINDS:
        image = spoil(given.search["rgb"][0], kind, torch.full((5,), 0.5))
        assert image.shape == (3, 8, 8)
        assert not torch.equal(image, given.search["rgb"][0])
        assert torch.equal(image, spoil(given.search["rgb"][0], kind, torch.full((5,), 0.5)))
        assert 0 <= image.min() <= image.max() <= 1


def test_changes_are_the_same_every_time_and_do_not_touch_one_another() -> None:
    full = {"greyscale": 0.3, "flip": 0.5, "crop_flip": 0.5, "brightness": 0.2, "corrupt": 0.3}
    a, b = changed(pairs(), **full), changed(pairs(), **full)
    assert all(torch.equal(a.search[m], b.search[m]) for m in ("rgb", "depth"))
    assert not torch.equal(a.search["rgb"], changed(pairs(), seed=1, **full).search["rgb"])
    assert torch.equal(a.box, changed(pairs(), flip=0.5, crop_flip=0.5).box)
    assert DRAWS >= 16  # what a sample draws is fixed


def test_a_shift_of_the_second_sensor_is_as_large_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = build("lasher", tmp_path, monkeypatch)

    def shifts(**how: float) -> np.ndarray:
        drawn = pairs_of(root, "lasher", **how).sample(32, 0, ("rgb", "thermal"))
        size = drawn.box[:, 2:].prod(1).sqrt().numpy()
        at = {m: np.stack([target(image)[:2] for image in drawn.search[m].numpy()]) for m in ("rgb", "thermal")}
        return (at["thermal"] - at["rgb"]) / size[:, None]  # in roots of the target's area

    assert np.abs(shifts()).max() < 0.1
    assert shifts(misalign_share=0.15).std() == pytest.approx(0.15, abs=0.05)
    assert shifts(misalign_pixels=3.0).std() == pytest.approx(3 / 18, abs=0.06)  # targets of about 18 pixels


def test_rendered_scenes_take_the_changes_that_are_named() -> None:
    flipped, plain = Recipe(name="", model="", augment={"flip": 1.0}), Recipe(name="", model="")
    built = scenes_sampler(PairRequest(("rgb", "depth"), 16, 32, 0, "cpu", 1), flipped)
    assert isinstance(built, AugmentedScenes)
    built.scenes.num_actors, built.scenes.num_canvases = 8, 1
    mirrored, straight = built.sample(6, 0, ("rgb", "depth")), built.scenes.sample(6, 0, ("rgb", "depth"))
    assert torch.equal(mirrored.search["depth"], straight.search["depth"].flip(-1))
    assert torch.allclose(mirrored.box[:, 0], 1 - straight.box[:, 0] - straight.box[:, 2])
    assert isinstance(
        scenes_sampler(PairRequest(("rgb",), 16, 32, 0, "cpu", 1), plain), PairSampler
    )  # nothing on top, no detour
