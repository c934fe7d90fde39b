# SPDX-License-Identifier: Apache-2.0
"""The grid holds together: names exist, and every run can be built and finds the parameters it speaks of."""

from dataclasses import replace
from pathlib import Path

import pytest

from modaltrack.study.folder import Settings, StudyFolder
from modaltrack.study.measuring import conditions
from modaltrack.study.plan import _OWN, CLAIMS, GAP, MAIN, MEASURES, RUNS, run_of
from modaltrack.study.running import NotAvailableError, recipe_of

SETTINGS = Settings()
TRAINED = [run for run in RUNS.values() if run.weights is None]


def test_ids_are_unique_and_claims_name_runs_and_measures() -> None:
    assert len(_OWN) == len(RUNS), "two rows of one id"
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        for name, measure in (claim.first, claim.second):
            assert run_of(name).measured, claim.id
            assert measure in {*MEASURES, GAP}, claim.id
        assert claim.reason, claim.id
    assert all(run_of(name) for name in MAIN)
    with pytest.raises(ValueError, match="no run 'nothing'"):
        run_of("nothing")


def test_a_stage_comes_before_the_run_that_starts_from_it() -> None:
    names = list(RUNS)
    starts = [(run.id, run.start) for run in RUNS.values() if run.start]
    assert starts
    assert all(names.index(start) < names.index(name) for name, start in starts)


def test_every_measure_is_measured() -> None:
    known = ("rgb", "thermal", "depth", "event")
    measured = {c.name for group in conditions(known, templates=2) for c in group}
    assert {name for names in MEASURES.values() for name in names} <= measured
    assert [c.name for group in conditions(("rgb",)) for c in group] == list(known)
    one = {c.name for group in conditions(known) for c in group}
    assert not any("first template" in name for name in one)


@pytest.mark.parametrize("run", TRAINED, ids=lambda run: run.id)
def test_every_run_has_a_model_and_parameters_that_learn(run, tmp_path: Path) -> None:
    from modaltrack.models import create
    from modaltrack.training.optim import build_optimizer

    recipe = recipe_of(run, StudyFolder(tmp_path), Settings(steps=200, batch=8), seed=3)
    assert (recipe.steps, recipe.batch, recipe.seed) == (round(200 * run.share), 8, 3)
    assert recipe.time_budget_s is None
    third = recipe_of(run, StudyFolder(tmp_path), Settings(steps=200, batch=8, rate=1 / 3), seed=3)
    assert third == replace(recipe, lr=third.lr)
    assert third.lr == pytest.approx(recipe.lr / 3)
    model = create(recipe.model, **recipe.model_options)
    groups = build_optimizer(model, recipe).param_groups
    learning = {name for group in groups for name in group["names"]}
    assert learning
    if run.freeze:
        assert not any(name.startswith(run.freeze) for name in learning)


@pytest.mark.parametrize("run", TRAINED, ids=lambda run: run.id)
def test_every_run_exists_at_the_laptop_size_and_leaves_its_stem_alone(run, tmp_path: Path) -> None:
    settings = Settings(steps=200, batch=8, size="laptop")
    recipe = recipe_of(run, StudyFolder(tmp_path), settings, seed=3)
    assert recipe.model.endswith("-laptop")
    assert recipe.start_from == "ostrack-laptop" or run.start in str(recipe.start_from)
    assert (recipe.data, recipe.time_budget_s) == ({}, None)
    learning = _learning(run.id, tmp_path, settings)
    assert learning
    assert not any(".backbone." in name or ".match." in name for name in learning)
    if run.freeze:
        assert not any(name.startswith(run.freeze) for name in learning)


def test_a_study_has_one_of_the_sizes() -> None:
    assert Settings(size="laptop").sized("ostrack-tiny") == "ostrack-laptop"
    with pytest.raises(ValueError, match="size is 'huge'; give tiny or laptop"):
        Settings(size="huge")


def _learning(name: str, tmp_path: Path, settings: Settings = SETTINGS) -> set[str]:
    from modaltrack.models import create
    from modaltrack.training.optim import build_optimizer

    recipe = recipe_of(run_of(name), StudyFolder(tmp_path), settings, seed=0)
    model = create(recipe.model, **recipe.model_options)
    return {n for group in build_optimizer(model, recipe).param_groups for n in group["names"]}


def test_the_baselines_of_sdstrack_train_what_they_say(tmp_path: Path) -> None:
    adapters = _learning("sdstrack-adapters", tmp_path)
    assert {n.split(".")[0] for n in adapters} == {"adapters", "fusions", "patch_embed_x", "norm"}
    full = _learning("sdstrack-full", tmp_path)
    assert not any(n.startswith("adapters") for n in full)
    assert {n.split(".")[2] for n in full if n.startswith("fusions")} == {"attention_gate", "mlp_gate"}
    assert any(n.startswith("blocks") for n in full)
    frozen = _learning("sdstrack-frozen", tmp_path)
    assert not any(n.startswith(("blocks", "adapters", "patch_embed.")) for n in frozen)
    assert any(n.startswith("head") for n in frozen)


def test_what_does_not_exist_is_not_available(tmp_path: Path) -> None:
    from dataclasses import replace

    run = run_of("sdstrack")
    for broken in (
        replace(run, recipe="nobody-scenes"),
        replace(run, fields={"nothing": 1}),
        replace(run, options={"nothing": 1}),
    ):
        with pytest.raises(NotAvailableError, match=r"nobody-scenes|nothing"):
            recipe_of(broken, StudyFolder(tmp_path), Settings(), seed=0)


def test_the_fixed_order_asks_no_predictor() -> None:
    import torch

    from modaltrack.models.parts.order_fusion import OrderFusion

    torch.manual_seed(0)
    fusion = OrderFusion(16, 3, (16, 8, 8, 4), "fixed", False).eval()
    assert not any(p.requires_grad for p in fusion.order.parameters())
    maps = [torch.randn(2, 4, 16) for _ in range(3)]
    before = fusion(maps)
    torch.nn.init.normal_(fusion.order.last.weight, std=9)
    assert torch.equal(fusion(maps), before)
    fusion.order_grad = "none"
    torch.nn.init.zeros_(fusion.order.last.weight)
    with torch.no_grad():
        fusion.order.last.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    assert torch.equal(fusion(maps), before)
    with torch.no_grad():
        fusion.order.last.bias.copy_(torch.tensor([2.0, 0.0, 1.0]))
    assert not torch.equal(fusion(maps), before)
