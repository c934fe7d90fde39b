# SPDX-License-Identifier: Apache-2.0
"""Experts, what they teach, and to whom gradients flow (docs/methods/tpf.md 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_samples import SMALL, TPF, blobs, random, samples

from modaltrack import models
from modaltrack.training.experts import BUILTIN, Expert, build_experts
from modaltrack.training.experts.builtin import luminance, recolour
from modaltrack.training.experts.distillation import ExpertDistillation, distances, expert_weights, judging
from modaltrack.training.experts.filters import box_mean, gaussian, slope, smooth, ssim
from modaltrack.training.objective import batch_losses, build_objective, tracking_terms
from modaltrack.training.optim import build_optimizer, set_training_mode
from modaltrack.training.recipe import Group, Recipe
from modaltrack.vision import denormalise, normalise

RECIPE = Recipe(
    "mad", "tpf-tiny", TPF, modalities=("thermal",), trainable=(Group("adapter"),), objective="experts",
    batch=4, lr=3e-3,
)  # fmt: skip


def built(recipe=RECIPE, seed=0):
    torch.manual_seed(seed)
    model = models.create(recipe.model, **recipe.model_options)
    with torch.no_grad():
        model.head.ctr[4].bias.zero_()  # scores that tell images apart
        for parameter in model.head.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    objective = build_objective(recipe, model)
    optimizer = build_optimizer(model, recipe)
    set_training_mode(model, recipe)
    return model, objective, optimizer


def loss_of(model, objective, recipe=RECIPE, batch=None):
    values = batch_losses(objective, model, recipe, batch or samples(), torch.device("cpu"))
    return dict(zip(objective.terms, values.unbind()))


# -- experts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
@pytest.mark.parametrize("size", [(64, 64), (50, 37)])
def test_what_every_expert_promises(name, size):
    rgb, other = blobs(2, 3, *size), blobs(2, 3, *size, seed=1)
    (expert,) = build_experts(name)
    fused = expert(rgb, other)
    assert fused.shape == rgb.shape
    assert fused.dtype == torch.float32
    assert 0 <= fused.min() <= fused.max() <= 1
    assert (fused - rgb).abs().max() > 0.05
    torch.testing.assert_close(expert(rgb[1:], other[1:]), fused[1:], rtol=0, atol=1e-5)  # samples by themselves
    torch.testing.assert_close(expert(rgb, rgb), rgb, rtol=0, atol=2e-5)  # two equal images are their own fusion


def test_the_experts_do_what_their_names_say():
    rgb, other = blobs(1, 3, 64, 64), blobs(1, 3, 64, 64, seed=1)
    a, b = luminance(rgb), luminance(other)
    assert torch.equal(BUILTIN["average"](rgb, other), (rgb + other) / 2)
    colour = recolour(torch.maximum(a, b), rgb)
    assert torch.equal(BUILTIN["maximum"](rgb, other), colour)
    middle = recolour((a + b) / 2, rgb)
    inside = (middle > 0).all(1, keepdim=True) & (middle < 1).all(1, keepdim=True)
    torch.testing.assert_close(luminance(middle)[inside], ((a + b) / 2)[inside], rtol=0, atol=1e-6)
    # a lone bright spot of the other sensor on nothing: selection keeps it, the average halves it
    empty, spot = torch.full((1, 3, 64, 64), 0.2), torch.full((1, 3, 64, 64), 0.2)
    spot[..., 30:34, 30:34] = 0.9
    kept = {name: float(luminance(build_experts(name)[0](empty, spot))[0, 0, 31, 31]) for name in BUILTIN}
    assert kept["average"] == pytest.approx(0.55, abs=1e-5)
    assert kept["maximum"] == pytest.approx(0.9, abs=1e-5)
    for name in ("pyramid", "guided", "saliency"):
        assert kept[name] > 0.7, name


def test_a_network_of_the_user(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, share):\n"
        "        super().__init__()\n"
        "        self.share = torch.nn.Parameter(torch.tensor(share))\n"
        "        self.drop = torch.nn.Dropout(0.5)\n"
        "    def forward(self, rgb, other):\n"
        "        ours, theirs = rgb.mean(1, keepdim=True), other.mean(1, keepdim=True)\n"
        "        return self.drop(self.share * ours + (1 - self.share) * theirs)\n"
        "def net(weights='0.5'):\n"
        "    return Net(float(weights))\n"
        "def plain():\n"
        "    return lambda rgb, other: 3 * rgb\n"
        "def wrong():\n"
        "    return lambda rgb, other: rgb[:, :, :5]\n"
        "def broken():\n"
        "    return lambda rgb, other: rgb / 0 * 0\n"
        "def number():\n"
        "    return 3\n"
    )
    experts = build_experts(f"average, {file}:net@0.25,{file}:plain")
    assert [e.name for e in experts] == ["average", "net", "plain"]
    rgb, other = blobs(2, 3, 32, 32), blobs(2, 3, 32, 32, seed=1)
    y = 0.25 * rgb.mean(1, keepdim=True) + 0.75 * other.mean(1, keepdim=True)
    assert torch.allclose(experts[1](rgb, other), recolour(y, rgb))  # brightness gets RGB's colour; nothing drops
    assert not any(p.requires_grad for p in experts[1].fuse.parameters())
    assert not experts[1](rgb.clone().requires_grad_(), other).requires_grad  # and no gradient passes through
    assert experts[2](rgb, other).max() == 1
    for name, told in (("wrong", "answered with"), ("broken", "not finite")):
        with pytest.raises(ValueError, match=told):
            build_experts(f"{file}:{name}")[0](rgb, other)
    for entry, told in (
        ("nobody", "no expert called"), ("", "one or more"), ("average,average", "each once"),
        ("no_such_module_here:f", "no module"), (f"{tmp_path}/none.py:f", "no file"), (f"{file}:f", "no function"),
        (f"{file}:number", "returned int"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            build_experts(entry)


# -- distances -------------------------------------------------------------------------------------------------------


def test_filters_against_opencv():
    import cv2

    image = random(1, 1, 40, 56)
    plain = image[0, 0].numpy()
    np.testing.assert_allclose(box_mean(image, 4)[0, 0, 10:20, 10:20], cv2.blur(plain, (9, 9))[10:20, 10:20], atol=1e-6)
    blurred = cv2.GaussianBlur(plain, (11, 11), 1.5)
    np.testing.assert_allclose(smooth(image, gaussian(11, 1.5), True)[0, 0], blurred[5:-5, 5:-5], atol=1e-6)
    x, y = (cv2.Sobel(plain, cv2.CV_32F, *d, borderType=cv2.BORDER_REPLICATE) for d in ((1, 0), (0, 1)))
    np.testing.assert_allclose(slope(image)[0, 0], np.abs(x) + np.abs(y), atol=1e-5)
    assert torch.allclose(smooth(torch.ones(2, 3, 20, 20), gaussian(11, 1.5)), torch.ones(1))  # also at the borders


def test_ssim_by_hand():
    image, others = random(2, 3, 24, 20), random(4, 2, 3, 24, 20, seed=1)
    others[1] = image
    found = ssim(image, others)
    assert found.shape == (4, 2)
    assert torch.allclose(found[1], torch.ones(2))
    window = torch.outer(*[torch.tensor(gaussian(11, 1.5))] * 2)
    total, count = 0.0, 0
    a, b = image[1].double(), others[2, 1].double()
    for c in range(3):
        for i in range(14):
            for j in range(10):
                p, q = a[c, i : i + 11, j : j + 11], b[c, i : i + 11, j : j + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                common = (window * (p - mp) * (q - mq)).sum()
                top = (2 * mp * mq + 1e-4) * (2 * common + 9e-4)
                total, count = total + top / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)), count + 1
    assert float(found[2, 1]) == pytest.approx(float(total) / count, abs=1e-5)
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(random(1, 3, 10, 20), random(1, 1, 3, 10, 20))


def test_distances_are_zero_for_the_same_image_only():
    image = blobs(2, 3, 32, 32)
    targets = torch.stack([image, blobs(2, 3, 32, 32, seed=3)])
    for name, value in distances(image, targets).items():
        assert value.shape == (2, 2)
        assert torch.allclose(value[0], torch.zeros(2), atol=1e-6), name
        assert (value[1] > 0.05).all(), name


# -- distillation ----------------------------------------------------------------------------------------------------


def test_weights_go_to_the_expert_with_the_lowest_loss_as_tau_falls():
    losses = torch.tensor([[1.0, 3.0], [2.0, 1.5], [1.2, 9.0]])
    tops = []
    for tau in (5.0, 0.5, 0.05, 1e-4):
        weights = expert_weights(losses, tau)
        assert torch.allclose(weights.sum(0), torch.ones(2))
        assert weights.argmax(0).tolist() == [0, 1]
        tops.append(weights.amax(0))
    assert (torch.stack(tops).diff(dim=0) >= 0).all()
    assert torch.allclose(tops[-1], torch.ones(2))


def test_the_judge_weighs_every_sample_as_if_it_were_alone():
    model, objective, _ = built()
    batch = samples()
    batch.visible[2] = 0.0  # no target: an empty score map is right
    taught = [random(3, 4, 3, s, s, seed=s) for s in (32, 64)]
    losses = objective.judge_losses(model, *taught, batch)
    assert losses.shape == (3, 4)
    model.eval()
    for k in range(3):
        for i in range(4):
            alone = model({"rgb": normalise(taught[0][k, [i]])}, {"rgb": normalise(taught[1][k, [i]])})
            terms = tracking_terms(alone, RECIPE, batch.box[[i]], batch.visible[[i]])
            assert float(losses[k, i]) == pytest.approx(float(terms["total"]), abs=1e-4)


def test_only_the_adapter_learns():
    model, objective, _ = built()
    for part in ("blocks", "head"):
        getattr(model, part).eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    batch = samples()
    pairs = [{m: normalise(x / 255) for m, x in images.items()} for images in (batch.template, batch.search)]
    terms = objective(model, batch, *pairs, None)
    assert [m.training for m in model.modules()] == modes  # judging leaves them as they were
    terms["total"].backward()
    touched = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert touched
    assert all(n.startswith("adapter.") for n in touched)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    weights = [terms[f"w_{e.name}"] for e in objective.experts]
    assert float(sum(weights)) == pytest.approx(1, abs=1e-5)
    assert not any(w.requires_grad for w in weights)
    assert not terms["judge"].requires_grad
    unfrozen = replace(RECIPE, trainable=(Group(""),))
    model, objective, _ = built(unfrozen)
    with pytest.raises(ValueError, match="other parameters learn"):
        loss_of(model, objective, unfrozen)


def test_the_adapter_learns_the_expert_that_tracks_best():
    """With one expert, its image is what the adapter tends to; the loss falls."""
    recipe = replace(RECIPE, objective_options={"experts": "maximum"}, lr=1e-2)
    model, objective, optimizer = built(recipe)
    batch = samples()
    totals = []
    for _ in range(12):
        terms = loss_of(model, objective, recipe, batch)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        totals.append(float(terms["total"].detach()))
    assert totals[-1] < 0.9 * totals[0]
    assert min(totals[6:]) < min(totals[:6])


def test_a_fresh_adapter_is_the_average_expert():
    recipe = replace(RECIPE, objective_options={"experts": "average"})
    model, objective, _ = built(recipe)
    terms = loss_of(model, objective, recipe)
    assert float(terms["total"].detach()) == pytest.approx(0, abs=1e-4)


def test_samples_that_lack_a_sensor_do_not_count():
    model, objective, _ = built()
    some = {"rgb": torch.tensor([1, 1, 0, 1]).bool(), "thermal": torch.tensor([1, 0, 1, 1]).bool()}
    batch = samples(present=some)
    found = loss_of(model, objective, batch=batch)
    batch.search["rgb"][2], batch.search["thermal"][1], batch.box[1:3] = 0, 255, 0.1
    for name, value in loss_of(model, objective, batch=batch).items():
        assert float(value.detach()) == pytest.approx(float(found[name].detach()), rel=1e-4), name
    nobody = samples(present={"rgb": torch.zeros(4).bool(), "thermal": torch.ones(4).bool()})
    nothing = loss_of(model, objective, batch=nobody)["total"]
    assert float(nothing.detach()) == 0
    nothing.backward()  # a batch without pairs is a step without a gradient, not an error


def test_the_tracking_loss_through_the_frozen_tracker():
    recipe = replace(RECIPE, objective_options={"experts": "average", "mad_track_weight": 0.1})
    model, objective, _ = built(recipe)
    terms = loss_of(model, objective, recipe)
    assert objective.terms[-1] == "track"
    assert float(terms["total"]) == pytest.approx(0.1 * float(terms["track"]), abs=1e-4)
    terms["total"].backward()
    assert all(n.startswith("adapter.") for n, p in model.named_parameters() if p.grad is not None)
    batch = samples()
    both = model(*({m: normalise(x / 255) for m, x in images.items()} for images in (batch.template, batch.search)))
    wanted = tracking_terms(both, recipe, batch.box, batch.visible)["total"]
    assert float(terms["track"]) == pytest.approx(float(wanted), rel=1e-4)


def test_another_tracker_as_judge(tmp_path):
    torch.manual_seed(3)
    judge = models.create("ostrack-tiny", **SMALL)
    models.save_model(judge, tmp_path / "judge.safetensors", {"licence": "Apache-2.0"})
    recipe = replace(RECIPE, objective_options={"judge": str(tmp_path / "judge.safetensors")})
    model, objective, _ = built(recipe)
    own = loss_of(model, ExpertDistillation(RECIPE, model))
    other = loss_of(model, objective, recipe)
    assert not any(p.requires_grad for p in objective.judge.parameters())
    assert float(own["judge"]) != pytest.approx(float(other["judge"].detach()), rel=1e-3)
    models.save_model(models.create("ostrack-tiny", **SMALL | {"search_size": 128}), tmp_path / "big.safetensors", {})
    with pytest.raises(ValueError, match="reads crops"):
        built(replace(RECIPE, objective_options={"judge": str(tmp_path / "big.safetensors")}))


def test_judging_gives_every_part_its_mode_back():
    net = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm2d(2))
    net[1].eval()
    with judging(net):
        assert not net.training
        assert not net[0].training
    assert [m.training for m in net.modules()] == [True, True, False]


def test_wrong_settings_are_told():
    for options, told in (
        ({"tau": 0.0}, "tau"), ({"temperature": 1.0}, "no option 'temperature'"), ({"tau": "x"}, "give a number"),
        ({"experts": "nobody"}, "no expert"), ({"judge": 3.0}, "give a text"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            built(replace(RECIPE, objective_options=options))
    with pytest.raises(ValueError, match="fuses images"):
        built(
            replace(
                RECIPE, model="sdstrack-tiny", model_options={**SMALL, "fusion_blocks": (1,)}, trainable=(Group(""),)
            )
        )


def test_normalised_and_back():
    images = random(2, 3, 8, 8)
    torch.testing.assert_close(denormalise(normalise(images)), images, rtol=0, atol=1e-6)


def test_an_expert_is_any_function():
    (rgb, other) = random(1, 3, 16, 16), random(1, 3, 16, 16, seed=1)
    assert torch.equal(Expert("second", lambda a, b: b)(rgb, other), other)
