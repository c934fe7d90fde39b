# SPDX-License-Identifier: Apache-2.0
"""The released weight blend, digit by digit, and what its other modes promise."""

import numpy as np
import pytest
import torch
from tests.reference.fill import reference

from modaltrack.models import create
from modaltrack.training.data import Batch
from modaltrack.training.distributed import Ranks
from modaltrack.training.prior import rgb_tracker
from modaltrack.training.recipe import Recipe
from modaltrack.training.significance import SignificanceBlend, order, prior_significance, rank, spread_prior
from modaltrack.training.step import Stepper

NAMES = "abc"


@pytest.fixture(scope="module")
def ref():
    return reference("srtrack")


def parameters(ref, step=0):
    return [torch.nn.Parameter(torch.tensor(ref[f"significance_step{step}_{name}_theta_prev"])) for name in NAMES]


def test_three_published_steps(ref):
    weights = parameters(ref)
    optimizer = torch.optim.AdamW(weights, lr=1e-2, weight_decay=1e-4)
    blend = SignificanceBlend(weights, mode="published")
    worst = 0.0
    for step in range(3):
        get = lambda name, kind: ref[f"significance_step{step}_{name}_{kind}"]  # noqa: B023, E731
        for name, weight in zip(NAMES, weights):
            weight.grad = torch.tensor(get(name, "raw_grad"))
        torch.nn.utils.clip_grad_norm_(weights, 0.1)
        for name, weight in zip(NAMES, weights):
            np.testing.assert_allclose(weight.grad, get(name, "clipped_grad"), rtol=0, atol=1e-6)
        blend.step(optimizer)
        for name, weight, last in zip(NAMES, weights, blend.state_dict()["last"]):
            worst = max(worst, np.abs(weight.detach().numpy() - get(name, "theta_new")).max())
            np.testing.assert_allclose(last, get(name, "grads_keep_after"), rtol=1e-5)
    print("largest difference of a weight", worst)
    assert worst < 1e-5


class Given(torch.nn.Module):
    """A model whose gradients are given: as an objective it returns their product with the weights."""

    terms = ("total",)
    extra = None
    config = None

    def __init__(self, ref):
        super().__init__()
        self.ref, self.count = ref, 0
        for name, weight in zip(NAMES, parameters(ref)):
            setattr(self, name, weight)

    def __call__(self, *_):
        raw = [torch.tensor(self.ref[f"significance_step{self.count}_{name}_raw_grad"]) for name in NAMES]
        self.count += 1
        return {"total": sum((getattr(self, name) * g).sum() for name, g in zip(NAMES, raw))}


def test_three_published_steps_of_the_training_loop(ref, monkeypatch):
    model = Given(ref)
    monkeypatch.setattr("modaltrack.training.step.build_objective", lambda *_: model)
    recipe = Recipe(
        "given", "given", lr=1e-2, weight_decay=1e-4, decay_vectors=True, clip=0.1, warmup=0, schedule="constant",
        ema=0.0, significance="published",
    )  # fmt: skip
    stepper = Stepper(recipe, model, torch.device("cpu"), Ranks())
    stepper.begin(None)
    batch = Batch({}, {}, torch.zeros(1, 4), torch.ones(1), None)
    worst = 0.0
    for step in range(3):
        stepper([batch], step, 0.0)
        for name in NAMES:
            expected = ref[f"significance_step{step}_{name}_theta_new"]
            worst = max(worst, np.abs(getattr(model, name).detach().numpy() - expected).max())
    print("largest difference of a weight", worst)
    assert worst < 1e-5


@pytest.mark.parametrize(("mode", "kind"), [("published", "literal"), ("ranked", "ranked")])
def test_shares_of_both_readings(ref, mode, kind):
    blend = SignificanceBlend([], mode=mode)
    for step in range(3):
        for name in NAMES:
            significance = torch.tensor(ref[f"significance_step{step}_{name}_significance"])
            expected = ref[f"significance_step{step}_{name}_momentum_{kind}"]
            np.testing.assert_allclose(blend.shares(significance), expected, rtol=0, atol=1e-6)


def test_the_ranked_blend_of_each_step(ref):
    for step in range(3):
        # every stored ranked result starts from the published run's weights
        weights = parameters(ref, step)
        blend = SignificanceBlend(weights, mode="ranked")
        if step:
            last = [torch.tensor(ref[f"significance_step{step - 1}_{name}_grads_keep_after"]) for name in NAMES]
            blend.load_state_dict({"last": last})
        for name, weight in zip(NAMES, weights):
            weight.grad = torch.tensor(ref[f"significance_step{step}_{name}_clipped_grad"])
        blend.step(Jump(weights, [ref[f"significance_step{step}_{name}_theta_adamw"] for name in NAMES]))
        for name, weight in zip(NAMES, weights):
            expected = ref[f"significance_step{step}_{name}_theta_new_ranked"]
            np.testing.assert_allclose(weight.detach(), expected, rtol=0, atol=1e-6)


class Jump(torch.optim.Optimizer):
    """An optimiser whose step is known in advance."""

    def __init__(self, weights, targets):
        super().__init__(weights, {})
        self.targets = targets

    def step(self, closure=None):
        for weight, target in zip(self.param_groups[0]["params"], self.targets):
            weight.data.copy_(torch.as_tensor(target))


def test_more_significant_elements_move_less():
    weight = torch.nn.Parameter(torch.zeros(5))
    weight.grad = torch.tensor([3.0, -1.0, 0.5, -4.0, 2.0])
    SignificanceBlend([weight]).step(Jump([weight], [torch.ones(5)]))
    torch.testing.assert_close(weight.detach(), torch.tensor([0.45, 0.65, 0.75, 0.35, 0.55]))


def test_the_prior_takes_over_with_kappa():
    gradient, prior = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([9.0, 0.1, 5.0, 0.2])
    moved = {}
    for kappa in (0.0, 0.9, 1.0):
        weight = torch.nn.Parameter(torch.zeros(4))
        weight.grad = gradient.clone()
        blend = SignificanceBlend([weight], mode="two-significance", prior=[prior])
        blend.step(Jump([weight], [torch.ones(4)]), kappa)
        moved[kappa] = weight.detach()
    assert moved[0.0].argsort().tolist() == [3, 2, 1, 0]
    assert moved[1.0].argsort().tolist() == prior.argsort(descending=True).tolist()
    torch.testing.assert_close(moved[0.9], moved[1.0])


def test_the_prior_is_the_mean_squared_gradient():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    unused = torch.nn.Parameter(torch.ones(3))
    losses = ((weight * x).sum() for x in (torch.tensor([1.0, 0.0]), torch.tensor([3.0, 2.0])))
    found = prior_significance(losses, [weight, unused])
    torch.testing.assert_close(found, [torch.tensor([5.0, 2.0]), torch.zeros(3)])
    assert weight.grad is None
    with pytest.raises(ValueError, match="at least one"):
        prior_significance([], [weight])


def test_copies_share_the_prior_of_what_they_were_copied_from():
    small = {"dim": 8, "depth": 3, "heads": 2, "head_channels": 16}
    base = create("ostrack-tiny", **small)
    model = create("srtrack-tiny", **small, fusion_blocks=(1,))
    prior = {name: torch.full_like(p, float(i)) for i, (name, p) in enumerate(base.named_parameters())}
    names = [name for name, _ in model.named_parameters()]
    spread = dict(zip(names, spread_prior(prior, model, names)))
    weight = "attn.qkv.weight"
    for name in (f"blocks.1.{weight}", f"blocks_x.1.{weight}", f"cross_blocks.0.{weight}"):
        assert torch.equal(spread[name], prior[f"blocks.1.{weight}"])
    assert not spread["cross_blocks.0.mlp_gate"].any()


def test_edges():
    assert rank(torch.tensor([7.0])).tolist() == [0]
    torch.testing.assert_close(rank(torch.tensor([[5.0, 1.0], [3.0, 3.0]])), torch.tensor([[1, 0], [1 / 3, 2 / 3]]))
    weight, frozen, idle = (torch.nn.Parameter(torch.ones(3), requires_grad=flag) for flag in (True, False, True))
    weight.grad = torch.zeros(3)  # nothing is significant: the largest significance is zero
    blend = SignificanceBlend([weight, frozen, idle], mode="published")
    assert len(blend.parameters) == 2
    blend.step(Jump([weight, idle], [torch.zeros(3), torch.zeros(3)]))
    assert weight.isfinite().all()
    assert idle.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "best"}, "expected one of"),
        ({"low": 0.7}, "low <= high"),
        ({"mode": "two-significance"}, "needs a prior"),
        ({"prior": [torch.ones(2)]}, "ignores a prior"),
        ({"mode": "two-significance", "prior": [torch.ones(3)]}, "of its shape"),
    ],
)
def test_wrong_settings_are_told(options, words):
    with pytest.raises(ValueError, match=words):
        SignificanceBlend([torch.nn.Parameter(torch.ones(2))], **options)


def test_wrong_use_is_told():
    weight = torch.nn.Parameter(torch.ones(2))
    blend = SignificanceBlend([weight])
    with pytest.raises(ValueError, match="kappa"):
        blend.step(torch.optim.SGD([weight], 0.1), kappa=0.5)
    with pytest.raises(ValueError, match="other parameters"):
        blend.load_state_dict({"last": [torch.zeros(3)]})
    with pytest.raises(ValueError, match="at least 1"):
        SignificanceBlend([weight], every=0)


def test_the_quick_order_is_the_stable_one():
    torch.manual_seed(0)
    for values in (torch.rand(5000), torch.randint(0, 9, (5000,)) / 7, torch.rand(5000) ** 60, torch.zeros(7)):
        assert torch.equal(order(values), values.argsort(stable=True))
    assert order(torch.rand(6, 5).t()).shape == (30,)


def test_shares_hold_between_two_rankings_and_read_the_step_before():
    gradients = [torch.tensor(g) for g in ([1.0, 2, 3], [3.0, 2, 1], [9.0, 1, 1], [1.0, 1, 9], [1.0, 5, 1])]
    moved = []
    weight = torch.nn.Parameter(torch.zeros(3))
    blend = SignificanceBlend([weight], every=2)
    for number, gradient in enumerate(gradients):
        weight.data.zero_()
        weight.grad = gradient
        blend.step(Jump([weight], [torch.ones(3)]), number=number)
        moved.append(weight.detach().clone())
    assert torch.equal(moved[0], moved[1])
    assert torch.equal(moved[2], moved[3])
    # squares of steps 1 and 2: 9 + 81, 4 + 1, 1 + 1; of steps 3 and 4: 1 + 1, 1 + 25, 81 + 1
    assert moved[2].argsort(descending=True).tolist() == [2, 1, 0]
    assert moved[4].argsort(descending=True).tolist() == [0, 1, 2]


def test_what_has_no_prior_is_ranked_by_its_gradients():
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([3.0, 1.0, 2.0])
    blend = SignificanceBlend([weight], mode="two-significance", prior=[torch.zeros(3)])
    blend.step(Jump([weight], [torch.ones(3)]), kappa=1.0)
    assert weight.detach().argsort(descending=True).tolist() == [1, 2, 0]


def test_the_rgb_tracker_of_a_model_is_the_one_it_started_from():
    small = {"dim": 16, "depth": 2, "heads": 2, "head_channels": 8}
    model = create("sdstrack-tiny", **small, fusion_blocks=(1,)).eval()
    base = rgb_tracker(model).eval()
    images = [{"rgb": torch.randn(1, 3, size, size)} for size in (64, 128)]
    with torch.no_grad():
        torch.testing.assert_close(base(*images).score_map, model(*images).score_map)
    assert all(p.data_ptr() != q.data_ptr() for p, q in zip(base.parameters(), model.parameters()))
