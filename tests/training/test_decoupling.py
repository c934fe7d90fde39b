# SPDX-License-Identifier: Apache-2.0
"""Decoupled representation: the terms, whom their gradients reach, and that what is shipped is what was trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fusion_samples import SMALL, TPF, samples
from toy import BuildSampler

from modaltrack import models
from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.decoupling import frozen_scores, tokens_inside, uniformity
from modaltrack.training.loop import train
from modaltrack.training.objective import Tracking, batch_losses, build_objective
from modaltrack.training.optim import build_optimizer, set_training_mode
from modaltrack.training.recipe import Group, Recipe
from modaltrack.training.start import export
from modaltrack.vision import normalise

RECIPE = Recipe(
    "drf", "tpf-tiny", {**TPF, "projection": True}, modalities=("thermal",),
    trainable=(Group("adapter"), Group("", 0.1)), objective="decoupled", batch=4, lr=1e-3,
)  # fmt: skip
CPU = torch.device("cpu")


def built(recipe=RECIPE, noise=0.05):
    torch.manual_seed(0)
    model = models.create(recipe.model, **recipe.model_options)
    objective = build_objective(recipe, model)
    build_optimizer(model, recipe)
    set_training_mode(model, recipe)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():  # off the start, where r and n are parallel
        for parameter in [*model.parameters(), *objective.extra.parameters()]:
            parameter.add_(noise * torch.randn(parameter.shape, generator=g))
    return model, objective


def terms_of(model, objective, recipe=RECIPE, batch=None):
    values = batch_losses(objective, model, recipe, batch or samples(), CPU)
    return dict(zip(objective.terms, values.unbind()))


def reached(model, objective, value):
    """Rooms of the model, and "P_n", that a term's gradient reaches."""
    for parameter in [*model.parameters(), *objective.extra.parameters()]:
        parameter.grad = None
    value.backward(retain_graph=True)
    found = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    own = objective.extra.weight.grad
    return found | ({"P_n"} if own is not None and own.abs().max() > 0 else set())


def test_whom_the_gradients_reach():
    recipe = replace(RECIPE, objective_options={"separate": 0.1})
    model, objective = built(recipe)
    terms = terms_of(model, objective, recipe)
    assert reached(model, objective, terms["irrelevant"]) == {"P_n"}
    body = {"adapter", "patch_embed", "pos_template", "pos_search", "blocks", "norm"}
    for name in ("orthogonal", "rebuilt", "separate"):
        assert reached(model, objective, terms[name]) == body | {"projection", "P_n"}, name
    for name in ("giou", "l1", "focal"):
        found = reached(model, objective, terms[name])
        assert found == body | {"projection", "head"}, name
    assert reached(model, objective, terms["total"]) == body | {"projection", "head", "P_n"}


def test_the_total_is_the_weighted_sum():
    recipe = replace(RECIPE, objective_options={"irrelevant": 0.2, "orthogonal": 0.3, "rebuilt": 0.4, "separate": 0.5})
    model, objective = built(recipe)
    terms = {k: float(v.detach()) for k, v in terms_of(model, objective, recipe).items()}
    task = 2 * terms["giou"] + 5 * terms["l1"] + terms["focal"]
    more = 0.2 * terms["irrelevant"] + 0.3 * terms["orthogonal"] + 0.4 * terms["rebuilt"] + 0.5 * terms["separate"]
    assert terms["total"] == pytest.approx(task + more, rel=1e-5)
    assert objective.terms[:4] == Tracking.terms
    assert "separate" not in build_objective(RECIPE, model).terms


def test_the_terms_by_hand():
    model, objective = built(replace(RECIPE, objective_options={"separate": 1.0}))
    batch, f = samples(), torch.randn(4, 16, 32, generator=torch.Generator().manual_seed(5))
    parts = {k: float(v.detach()) for k, v in objective.parts(model, f, batch).items()}
    r, n = f @ model.projection.weight.T, f @ objective.extra.weight.T
    cos = lambda a, b: (a * b).sum(2) / (a.norm(dim=2) * b.norm(dim=2))  # noqa: E731
    assert parts["orthogonal"] == pytest.approx(float((cos(r, n) ** 2).mean().detach()), rel=1e-4)
    assert parts["rebuilt"] == pytest.approx(float(((f - r - n) ** 2).sum(2).mean().detach()) / 32, rel=1e-4)
    inside = tokens_inside(batch.box, 16)
    away = cos(n, f).abs()[inside].mean() + cos(r, f).abs()[~inside].mean()
    assert parts["separate"] == pytest.approx(float(away.detach()), rel=1e-4)
    logits = frozen_scores(model, n)
    p = logits.softmax(1).detach()
    kl = (1 / 16 * torch.log(1 / 16 / p)).sum(1).mean()
    assert parts["irrelevant"] == pytest.approx(float(kl), abs=1e-5)


def test_it_starts_as_the_plain_tracker():
    """P_r is the identity and P_n a tenth of it: the tracking terms are those without the objective."""
    model, objective = built(noise=0.0)
    terms = terms_of(model, objective)
    plain = replace(RECIPE, objective="tracking")
    wanted = batch_losses(Tracking(plain, model), model, plain, samples(), CPU)
    for name, value in zip(Tracking.terms[1:], wanted[1:]):
        assert torch.allclose(terms[name], value), name
    assert float(terms["orthogonal"].detach()) == pytest.approx(1, abs=1e-5)  # parallel
    bare = models.create("tpf-tiny", **TPF)
    assert not (set(bare.state_dict()) ^ set(model.state_dict())) - {"projection.weight"}
    models.start_from(model, bare)
    batch = samples()
    images = [{m: normalise(x / 255) for m, x in part.items()} for part in (batch.template, batch.search)]
    assert torch.equal(model.eval()(*images).score_map, bare.eval()(*images).score_map)


def test_what_is_shipped_is_what_was_trained(tmp_path):
    """P_r goes with the weights, and the head reads it at test time too."""
    model, _ = built()
    model.eval()
    models.save_model(model, tmp_path / "drf.safetensors", {"licence": "Apache-2.0"}, dtype=torch.float32)
    again = models.load_model(tmp_path / "drf.safetensors", device="cpu")
    batch = samples()
    images = [{m: normalise(x / 255) for m, x in part.items()} for part in (batch.template, batch.search)]
    with torch.no_grad():
        ours, theirs = model(*images), again(*images)
        assert torch.equal(ours.score_map, theirs.score_map)
        again.projection.weight.copy_(torch.eye(32))
        assert not torch.allclose(again(*images).offset_map, ours.offset_map, atol=1e-4)


@pytest.mark.parametrize("stage", ["experts", "decoupled"])
def test_a_resumed_run_is_an_unbroken_one(stage, tmp_path):
    """P_n is part of what a run keeps, and the shipped weights are the averaged ones with their P_r."""
    recipe = replace(RECIPE, steps=3, save_every=1, log_every=1, warmup=1, ema=0.5, schedule="constant")
    if stage == "experts":
        recipe = replace(recipe, objective=stage, trainable=(Group("adapter"),), model_options=TPF)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe, whole, "cpu", make_sampler=BuildSampler())
    train(recipe, broken, "cpu", steps=2, make_sampler=BuildSampler())
    card = train(recipe, broken, "cpu", "must", make_sampler=BuildSampler())
    assert card["totals"]["restarts"] == 1
    a, b = (load_checkpoint(folder / "checkpoint.safetensors").tensors for folder in (whole, broken))
    assert set(a) == set(b)
    assert any(name.startswith("extra.") for name in a) == (stage == "decoupled")
    assert all(torch.equal(a[k], b[k]) for k in a)
    shipped = models.load_model(export(whole), device="cpu")
    if stage == "decoupled":
        wanted = a["average.projection.weight"]
        assert not torch.equal(wanted, torch.eye(32))
        torch.testing.assert_close(shipped.projection.weight, wanted, rtol=1e-3, atol=1e-4)  # stored as fp16


def test_batch_norms_of_the_head_do_not_see_the_irrelevant_part():
    recipe = replace(RECIPE, model_options={**RECIPE.model_options, "head_norm": "batch"})
    model, _ = built(recipe)
    before = {k: v.clone() for k, v in model.head.state_dict().items()}
    logits = frozen_scores(model, torch.randn(4, 16, 32))
    assert logits.shape == (4, 16)
    assert all(torch.equal(v, before[k]) for k, v in model.head.state_dict().items())


def test_uniformity():
    assert float(uniformity(torch.full((3, 7), 2.5))) == pytest.approx(0, abs=1e-6)
    peaked = torch.zeros(1, 4)
    peaked[0, 0] = 3.0
    p = peaked.softmax(1)
    assert float(uniformity(peaked)) == pytest.approx(float((0.25 * (0.25 / p).log()).sum()), rel=1e-5)


def test_tokens_inside_a_box():
    inside = tokens_inside(torch.tensor([[0.25, 0.0, 0.5, 0.5], [0.9, 0.9, 0.05, 0.05]]), 16)
    assert inside[0].nonzero()[:, 0].tolist() == [1, 2, 5, 6]
    assert not inside[1].any()


def test_a_later_template_reaches_the_model():
    model, objective = built()
    batch = samples()
    images = [{m: normalise(x / 255) for m, x in part.items()} for part in (batch.template, batch.search)]
    seen = {}

    def spy(*args, memory=None, **options):
        seen["memory"] = memory
        return model(*args, memory=memory, **options)

    spy.head, spy.projection, spy.num_templates = model.head, model.projection, model.num_templates
    objective(spy, batch, *images, None)
    assert seen["memory"] is None
    objective(spy, replace(batch, memory=samples(seed=3).template), *images, None)
    torch.testing.assert_close(seen["memory"]["rgb"], normalise(samples(seed=3).template["rgb"] / 255))


@pytest.mark.parametrize("name", ["sdstrack-tiny", "ostrack-tiny"])
def test_it_works_with_other_methods(name):
    options = {**SMALL, "projection": True} | ({"fusion_blocks": (1,)} if name == "sdstrack-tiny" else {})
    two = ("thermal",) if name == "sdstrack-tiny" else ()
    recipe = replace(RECIPE, model=name, model_options=options, modalities=two, trainable=(Group(""),))
    model, objective = built(recipe)
    batch = samples()
    if not two:
        batch.template.pop("thermal")
        batch.search.pop("thermal")
        batch.present = None
    terms = terms_of(model, objective, recipe, batch)
    assert reached(model, objective, terms["irrelevant"]) == {"P_n"}
    assert "projection" in reached(model, objective, terms["total"])


def test_wrong_settings_are_told():
    with pytest.raises(ValueError, match="projection to true"):
        built(replace(RECIPE, model_options=TPF))
    with pytest.raises(ValueError, match="no option 'tau'"):
        built(replace(RECIPE, objective_options={"tau": 1.0}))
    with pytest.raises(ValueError, match="at least 0"):
        built(replace(RECIPE, objective_options={"rebuilt": -1.0}))
