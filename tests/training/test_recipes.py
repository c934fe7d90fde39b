# SPDX-License-Identifier: Apache-2.0
"""The recipes against the tables of docs/methods, copied by hand."""

import re
from dataclasses import replace

import pytest

from modaltrack.benchmarks import find
from modaltrack.frame import Modality
from modaltrack.training.adaptation import as_adapted
from modaltrack.training.augment import Augmentation
from modaltrack.training.objective import OBJECTIVES
from modaltrack.training.optim import build_optimizer, epoch, rate
from modaltrack.training.recipe import Recipe
from modaltrack.training.recipes import RECIPES, get_recipe
from modaltrack.training.recipes.pictures import KEPT
from modaltrack.training.recipes.starts import PUBLISHED
from modaltrack.training.start import build_model

BASE_NAMES = ("pos_template", "pos_search", "patch_embed", "blocks", "norm", "head")
SMALL = {"dim": 16, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
SMALLER = {"sdstrack": {"fusion_blocks": (1,)}, "srtrack": {"fusion_blocks": (1,)}}
SMALLER["ainet"] = {"fusion_blocks": (1,), "order_bins": (8, 8, 8, 8)}

# docs/methods/sdstrack.md 4: epochs, batch, steps in an epoch, rate of new parts, rate of the final norm
SDSTRACK = {
    "sdstrack-base-lasher": (40, 64, 937, 1e-4, 1e-5),
    "sdstrack-base-depthtrack": (15, 64, 937, 5e-5, 5e-6),
    "sdstrack-base-visevent": (50, 64, 937, 1e-4, 1e-5),
    "sdstrack-base-lasher-paper": (40, 64, 937, 6e-5, 6e-6),
    "sdstrack-base-depthtrack-paper": (15, 64, 937, 3e-5, 3e-6),
    "sdstrack-base-visevent-paper": (50, 64, 937, 6e-5, 6e-6),
}
# docs/methods/srtrack.md 4.1: data sets, epochs, batch, drop, template, search, search factor, centre and scale jitter
SRTRACK = {
    "srtrack-base-lasher": (("lasher",), 30, 80, 48, 128, 256, 4.0, 3.0, 0.25),
    "srtrack-base-depthtrack": (("depthtrack",), 20, 80, 48, 128, 256, 4.0, 3.0, 0.25),
    "srtrack-base-coesot": (("coesot",), 30, 80, 20, 128, 256, 4.0, 3.0, 0.25),
    "srtrack-base-384-lasher": (("lasher",), 16, 56, 48, 192, 384, 4.0, 3.0, 0.25),
    "srtrack-base-384-depthtrack": (("depthtrack",), 20, 56, 48, 192, 384, 4.0, 3.0, 0.25),
    "srtrack-base-dropmae-lasher": (("lasher",), 20, 56, 48, 192, 384, 5.0, 4.5, 0.5),
    "srtrack-base-dropmae-depthtrack": (("depthtrack",), 20, 56, 48, 192, 384, 5.0, 4.5, 0.5),
    "srtrack-base-dropmae-coesot": (("coesot",), 30, 56, 48, 192, 384, 5.0, 4.5, 0.5),
    "srtrack-base-dropmae-rgbx": (("visevent", "depthtrack", "lasher"), 40, 56, 48, 192, 384, 5.0, 4.5, 0.5),
}
# docs/methods/srtrack.md 4.2, in the order of its groups
SRTRACK_RATES = {
    "srtrack-base-lasher": (1e-6, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6),
    "srtrack-base-lasher-listed": (1e-6, 5e-5, 5e-5, 1e-4, 1e-4, 5e-5),
    "srtrack-base-fe108-listed": (1e-6, 1e-5, 5e-5, 2e-5, 1e-4, 5e-5),
}
SRTRACK_PARTS = ("norm", "patch_embed", "patch_embed_x", "blocks", "blocks_x", "cross_blocks")
# docs/methods/smstracker.md 3.2: seed
SMSTRACKER = {"smstracker-base-lasher": 3407, "smstracker-base-depthtrack": 3407, "smstracker-base-visevent": 114_514}
# docs/methods/tpf.md 6: epochs, rate, clip, templates, what learns and at what rate
TPF = {
    "tpf-base-judge-lasher": (15, 1e-4, 0.1, 1, {"head": 1e-4, "blocks": 1e-5}),
    "tpf-base-mad-lasher": (5, 2e-4, 1.0, 1, {"adapter": 2e-4}),
    "tpf-base-drf-lasher": (15, 1e-4, 0.1, 2, {"adapter": 1e-4, "head": 1e-4, "blocks": 1e-5, "projection": 1e-4}),
}
LAPTOP = [name for name in RECIPES if "-laptop-" in name]
ON_SCENES = [name for name in RECIPES if name.endswith("-scenes") and name not in LAPTOP]
ON_DATA = [name for name in RECIPES if name not in ON_SCENES + LAPTOP]


def rates(recipe: Recipe) -> dict[str, float]:
    """Learning rate of each part of a small model that learns; parts are the first words of parameters' names."""
    options = {**recipe.model_options, **SMALL, **SMALLER.get(recipe.model.split("-")[0], {})}
    model = build_model(replace(recipe, model_options=options))
    found: dict[str, float] = {}
    for group in build_optimizer(model, as_adapted(recipe, model)).param_groups:
        for name in group["names"]:
            lr, part = recipe.lr * group["lr_scale"], name.split(".")[0]
            if recipe.name.endswith(("-further", "-laptop-scenes")) and re.search(r"_gate|\.blend\.|\.rest\.", name):
                part += ", faster"
            assert found.setdefault(part, lr) == lr
    return found


def test_what_hardly_moved_learns_faster_when_a_method_is_trained_on() -> None:
    rates = {
        "sdstrack": ("fusions.*_gate", 6e-3),
        "srtrack": ("cross_blocks.*gate", 6e-3),
        "smstracker": ("mixed_gate", 6e-3),
        "tpf": (r"adapter\.(blend|rest)", 6e-3),
    }
    for name, parts in rates.items():
        recipe, (pattern, lr) = get_recipe(f"{name}-laptop-further"), parts
        groups = [group for group in recipe.trainable if group.pattern == pattern]
        assert [recipe.lr * group.lr for group in groups] == pytest.approx([lr])
        assert recipe.trainable.index(groups[0]) == 1  # the first pattern that fits counts


def epochs(recipe: Recipe) -> int:
    per_epoch = recipe.epoch_samples // recipe.batch
    assert recipe.steps % per_epoch == 0
    assert epoch(recipe, per_epoch - 1) == 1
    assert epoch(recipe, per_epoch) == 2
    return recipe.steps // per_epoch


@pytest.mark.parametrize("name", ON_DATA)
def test_recipes_on_data_sets_agree_in_what_the_family_shares(name: str) -> None:
    recipe, doc = get_recipe(name), RECIPES[name].__doc__ or ""
    assert recipe.name == name
    assert (recipe.giou, recipe.l1, recipe.focal, recipe.box_at) == (2.0, 5.0, 1.0, "peak")
    assert (recipe.weight_decay, recipe.decay_vectors, recipe.warmup, recipe.amp) == (1e-4, True, 0, "none")
    assert re.search(r"^Expect: .*?^Hardware: .*Time: ", doc, re.MULTILINE | re.DOTALL)
    how = Augmentation().changed(recipe.augment)
    assert (how.flip, how.crop_flip, how.brightness) == (0.5, 0.5, 0.2)
    assert how.greyscale == (0.0 if name.startswith(("sdstrack", "smstracker")) else 0.05)
    for data in recipe.data:
        row, split = find(data)
        assert split or any(s.startswith("train") for s in row.splits), data
        assert set(row.modalities) & {Modality(m) for m in recipe.modalities or ("rgb",)}, data
    assert recipe.start_sha256 is None  # none is published
    assert recipe.start_from in PUBLISHED or recipe.start_from.removeprefix("runs/") in RECIPES
    if recipe.start_from in PUBLISHED:
        assert "no hash" in " ".join(doc.split())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_of_a_model_and_says_what_it_is(name: str) -> None:
    recipe, doc = get_recipe(name), RECIPES[name].__doc__ or ""
    first, second = doc.strip().splitlines()[:2]
    assert first.endswith(".")
    assert len(first) <= 80  # a line of `modaltrack train list` with the name
    assert second == ""
    assert all(len(line) <= 120 for line in doc.splitlines())
    if name in LAPTOP:
        assert "one core" in doc
    if name in ON_SCENES:
        assert "two CPU cores" in doc
    assert recipe.objective in OBJECTIVES
    found = rates(recipe)
    own = [part for part in found if part not in BASE_NAMES]
    if not name.endswith(("-mad-lasher", "-mad-vtuav", "-mad-scenes", "-confidence")):
        kept = any(group.pattern == KEPT for group in recipe.trainable)  # the small model has no other blocks
        assert ("blocks" in found) == (not kept and not recipe.model.startswith("sdstrack-base"))
    assert bool(own) == (
        name.endswith("-confidence") or (not recipe.model.startswith("ostrack") and "judge" not in name)
    )


@pytest.mark.parametrize("name", SDSTRACK)
def test_sdstrack(name: str) -> None:
    of_epochs, batch, per_epoch, lr, of_norm = SDSTRACK[name]
    recipe = get_recipe(name)
    assert (epochs(recipe), recipe.batch, recipe.steps) == (of_epochs, batch, of_epochs * per_epoch)
    wanted = {"adapters": lr, "fusions": lr, "patch_embed_x": lr, "norm": of_norm}
    assert rates(recipe) == pytest.approx(wanted)
    assert (recipe.clip, recipe.elimination_epochs, recipe.schedule, recipe.seed) == (0.1, (4, 20), "constant", 0)
    assert recipe.objective == ("masked-aligned" if name.endswith("paper") else "masked-published")
    assert (recipe.eval_batchnorm, recipe.start_from) == (True, "OSTrack_ep0300.pth.tar")


@pytest.mark.parametrize("name", SRTRACK)
def test_srtrack(name: str) -> None:
    sets, of_epochs, batch, drop, template, search, factor, centre, scale = SRTRACK[name]
    for recipe in (get_recipe(name), get_recipe(f"{name}-listed")):
        assert recipe.data == dict.fromkeys(sets, 1.0)
        assert (epochs(recipe), recipe.batch, recipe.drop_epoch, recipe.schedule) == (of_epochs, batch, drop, "step")
        assert recipe.epoch_samples // batch == 80_000 // batch
        assert (recipe.clip, recipe.seed, recipe.eval_batchnorm) == (0.1, 2023, True)
        assert (recipe.significance, recipe.significance_every) == ("published", 1)
        config = build_model(
            replace(recipe, model_options={**recipe.model_options, "dim": 16, "heads": 2, "depth": 12})
        ).config
        assert (config.template_size, config.search_size, config.search_factor) == (template, search, factor)
        assert config.temporal_positions == ("dropmae" in name)
        assert (recipe.augment["centre_jitter"], recipe.augment["scale_jitter"]) == (centre, scale)
        start = "DropTrack_k700_800E_alldata" if "dropmae" in name else "OSTrack_ep0300"
        assert recipe.start_from == f"{start}.pth.tar"
        assert (recipe.start_positions_from == "DropTrack_k700_800E_alldata.pth.tar") == ("384" in name)


@pytest.mark.parametrize("name", SRTRACK_RATES)
def test_rates_of_srtrack(name: str) -> None:
    wanted = dict(zip(SRTRACK_PARTS, SRTRACK_RATES[name]))
    assert rates(get_recipe(name)) == pytest.approx({**wanted, "norm_x": wanted["norm"]})


@pytest.mark.parametrize("name", SMSTRACKER)
def test_smstracker(name: str) -> None:
    recipe = get_recipe(name)
    assert (epochs(recipe), recipe.batch, recipe.epoch_samples // 128, recipe.drop_epoch) == (30, 128, 468, 24)
    new = dict.fromkeys(("score", "interactions", "interaction_norm"), 4e-4)
    assert rates(recipe) == pytest.approx({**new, "blocks": 4e-5, "norm": 4e-5})
    assert (recipe.clip, recipe.seed, recipe.eval_batchnorm) == (0.0, SMSTRACKER[name], True)
    last = recipe.steps - 1
    assert rate(recipe, last, 0.0) == pytest.approx(0.1)
    assert rate(recipe, 24 * 468 - 1, 0.0) == 1.0


@pytest.mark.parametrize("name", ["ainet-base-lasher", "ainet-base-vtuav"])
def test_ainet(name: str) -> None:
    recipe = get_recipe(name)
    assert (epochs(recipe), recipe.batch, recipe.steps, recipe.drop_epoch) == (15, 16, 15 * 3750, 10)
    found = rates(recipe)
    assert (found["order_fusion"], found["head"]) == (1e-4, 1e-4)
    assert {found[part] for part in found if part not in ("order_fusion", "head")} == {1e-4 * 0.1}
    assert {"differences", "patch_embed", "pos_search"} <= found.keys()
    assert (recipe.clip, recipe.start_from) == (0.1, "DropTrack_k700_800E_alldata.pth.tar")


@pytest.mark.parametrize("name", TPF)
def test_tpf(name: str) -> None:
    of_epochs, lr, clip, templates, parts = TPF[name]
    recipe = get_recipe(name)
    assert (epochs(recipe), recipe.batch, recipe.lr, recipe.clip) == (of_epochs, 32, lr, clip)
    assert (recipe.templates, recipe.model_options["num_templates"]) == (templates, templates)
    found = rates(recipe)
    assert {part: found[part] for part in parts} == pytest.approx(parts)
    assert ("adapter" in found) == ("adapter" in parts)
    if "mad" in name:
        assert set(found) == {"adapter"}
        assert recipe.schedule == "cosine"
    if "drf" in name:
        assert recipe.drop_epoch == 10
        weights = dict.fromkeys(("irrelevant", "orthogonal", "rebuilt"), 0.1)
        assert (recipe.objective, recipe.objective_options) == ("decoupled", weights)


def test_ostrack() -> None:
    recipe = get_recipe("ostrack-base-rgb")
    assert (epochs(recipe), recipe.batch, recipe.drop_epoch, recipe.lr) == (300, 128, 240, 4e-4)
    found = rates(recipe)
    assert (found["head"], found["blocks"]) == pytest.approx((4e-4, 4e-5))


def test_recipes_of_two_sensors_on_scenes_share_base_data_and_budget() -> None:
    names = [f"{method}-tiny-scenes" for method in ("sdstrack", "srtrack", "smstracker", "ainet", "tpf")]
    fields = ("start_from", "modalities", "steps", "batch", "time_budget_s", "lr", "seed", "modality_dropout", "ema")
    assert len({tuple(getattr(get_recipe(name), field) for field in fields) for name in names}) == 1
    stages = [get_recipe(f"tpf-tiny-{stage}-scenes") for stage in ("mad", "drf")]
    assert sum(stage.steps for stage in stages) == get_recipe("tpf-tiny-scenes").steps
    assert sum(stage.time_budget_s for stage in stages) == get_recipe("tpf-tiny-scenes").time_budget_s
    for name in names:  # what the RGB tracker has not learns at the full rate, the base below it
        found = rates(get_recipe(name))
        assert {found[part] for part in found if part not in BASE_NAMES} == {6e-4}
        assert {found[part] for part in BASE_NAMES} == {6e-4 * 0.4}
