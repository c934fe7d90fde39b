# SPDX-License-Identifier: Apache-2.0
"""Groups, schedule and running average."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import RECIPE, Toy

from modaltrack.training.optim import Average, build_optimizer, epoch, keep_rate, progress, rate, set_training_mode
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


def test_a_short_run_warms_up_for_a_fifth() -> None:
    recipe = replace(RECIPE, steps=50, warmup=100, schedule="constant")
    assert [rate(recipe, step, 0.0) for step in (0, 4, 9, 40)] == [0.1, 0.5, 1.0, 1.0]


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


# docs/methods/ostrack.md 6: epoch -> keep rate, and search tokens that are left after each of three eliminations of 256
ELIMINATION = {
    1: (1.0, (256, 256, 256)), 3: (1.0, (256, 256, 256)), 4: (1.0, (256, 256, 256)), 5: (0.997, (256, 256, 256)),
    6: (0.989, (254, 252, 250)), 8: (0.956, (245, 235, 225)), 10: (0.907, (233, 212, 193)),
    12: (0.850, (218, 186, 159)), 14: (0.793, (203, 161, 128)), 15: (0.767, (197, 152, 117)),
    16: (0.744, (191, 143, 107)), 18: (0.711, (183, 131, 94)), 20: (0.700, (180, 126, 89)), 40: (0.7, (180, 126, 89)),
}  # fmt: skip


@pytest.mark.parametrize("number", ELIMINATION)
def test_elimination_follows_the_published_table(number: int) -> None:
    recipe = replace(RECIPE, batch=64, epoch_samples=60_000, elimination_epochs=(4, 20))
    middle = int((number - 0.5) * 60_000 / 64)
    assert epoch(recipe, middle) == number
    found = keep_rate(recipe, middle, 0.7)
    expected, counts = ELIMINATION[number]
    assert found == pytest.approx(expected, abs=6e-4)
    left = 256
    for count in counts:
        left = math.ceil(found * left)
        assert left == count


def test_elimination_without_a_schedule_is_the_models_own() -> None:
    assert keep_rate(RECIPE, 0, 0.7) is None


def test_the_rate_drops_to_a_tenth_by_epochs() -> None:
    recipe = replace(RECIPE, batch=10, epoch_samples=100, warmup=0, schedule="step", drop_epoch=2)
    assert [epoch(recipe, step) for step in (0, 9, 10, 19, 20)] == [1, 1, 2, 2, 3]
    assert [rate(recipe, step, 0) for step in (0, 19, 20, 40)] == pytest.approx([1, 1, 0.1, 0.01])


def test_an_objectives_own_module_learns_at_the_full_rate_beside_the_models_groups() -> None:
    extra = torch.nn.Linear(2, 3)
    recipe = replace(RECIPE, trainable=(Group("head", 0.1),))
    groups = build_optimizer(Toy(), recipe, extra).param_groups
    found = {name: (g["lr_scale"], g["weight_decay"]) for g in groups for name in g["names"]}
    assert found["extra.weight"] == (1.0, 0.05)
    assert found["extra.bias"] == (1.0, 0.0)
    assert found["head.weight"] == (0.1, 0.05)
    with pytest.raises(ValueError, match="freezes every parameter"):
        build_optimizer(Toy(), replace(RECIPE, trainable=(Group("", 0.0),)), extra)
