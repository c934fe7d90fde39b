# SPDX-License-Identifier: Apache-2.0
"""Groups, schedule and running average."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import RECIPE, Toy

from modaltrack.training.optim import Average, build_optimizer, progress, rate, set_training_mode
from modaltrack.training.recipe import Group


def test_the_first_group_that_matches_wins_and_the_rest_is_frozen() -> None:
    model = Toy()
    recipe = replace(RECIPE, trainable=(Group("adapter", 1.0), Group("stem", 0.0), Group("head|stem", 0.1, 0.5)))
    optimizer = build_optimizer(model, recipe)
    groups = {tuple(g["names"]): (g["lr_scale"], g["weight_decay"]) for g in optimizer.param_groups}
    assert groups == {
        ("adapter.weight",): (1.0, 0.05),
        ("adapter.bias",): (1.0, 0.0),
        ("head.weight",): (0.1, 0.5),
        ("head.bias",): (0.1, 0.0),
    }
    assert not model.stem.weight.requires_grad
    assert not model.unused.weight.requires_grad


def test_patterns_without_a_parameter_and_frozen_models_are_errors() -> None:
    with pytest.raises(ValueError, match=r"patterns \['adaptor'\] of recipe toy match no parameter"):
        build_optimizer(Toy(), replace(RECIPE, trainable=(Group("adaptor"), Group(""))))
    with pytest.raises(ValueError, match="freezes every parameter"):
        build_optimizer(Toy(), replace(RECIPE, trainable=(Group("", 0.0),)))


def test_schedule_warms_up_and_ends_at_one_percent() -> None:
    recipe = replace(RECIPE, steps=1000, warmup=100)
    assert rate(recipe, 0, 0) == pytest.approx(0.01, rel=1e-3)
    assert rate(recipe, 49, 0) == pytest.approx(0.5, rel=0.01)
    assert rate(recipe, 500, 0) == pytest.approx(0.505)
    assert rate(recipe, 1000, 0) == pytest.approx(0.01)
    assert rate(replace(recipe, schedule="constant"), 999, 0) == 1.0


@given(st.integers(0, 1000), st.floats(0, 200))
def test_progress_is_the_larger_share(step: int, elapsed: float) -> None:
    recipe = replace(RECIPE, steps=1000, warmup=0, time_budget_s=100.0)
    assert progress(recipe, step, elapsed) == max(step / 1000, elapsed / 100)
    assert 0.01 <= rate(recipe, step, elapsed) <= 1
    assert rate(recipe, step, elapsed) <= rate(replace(recipe, time_budget_s=None), step, elapsed)


def test_average_follows_weights_and_statistics_but_not_frozen_weights() -> None:
    model = Toy(batchnorm=True)
    build_optimizer(model, replace(RECIPE, trainable=(Group("head|norm"),)))
    average = Average(model, 0.9)
    before = {k: v.clone() for k, v in average.model.state_dict().items()}
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.add_(1)
    average.update(1_000_000)
    after = average.model.state_dict()
    assert torch.allclose(after["head.weight"], before["head.weight"] + 0.1, atol=1e-6)
    assert torch.allclose(after["norm.running_mean"], before["norm.running_mean"] + 0.1, atol=1e-6)
    assert torch.equal(after["stem.weight"], before["stem.weight"])
    assert after["norm.num_batches_tracked"] == 1
    average.update(0)  # early: mostly the live weights
    assert torch.allclose(average.model.head.weight, model.head.weight, atol=0.1 * 0.9 + 1e-6)


def test_frozen_batch_norms_stay_in_evaluation_mode() -> None:
    model = Toy(batchnorm=True)
    build_optimizer(model, RECIPE)
    set_training_mode(model, RECIPE)
    assert model.norm.training
    set_training_mode(model, replace(RECIPE, eval_batchnorm=True))
    assert not model.norm.training
    assert model.training
    recipe = replace(RECIPE, trainable=(Group("head"),))
    build_optimizer(model, recipe)
    set_training_mode(model, recipe)
    assert not model.norm.training
