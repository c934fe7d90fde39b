# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from tests.reference.fill import draw, reference, values

from modaltrack import models
from modaltrack.models import ainet
from modaltrack.models.ainet import Difference
from modaltrack.models.authors import ainet_variant
from modaltrack.models.parts import mamba, order_fusion
from modaltrack.models.parts.order_fusion import OrderFusion

SMALL = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16, "template_size": 64, "search_size": 128}
BINS = (16, 12, 8, 4)
SHARED = SMALL | {"fusion_blocks": (0, 1, 2, 3), "order_bins": BINS}


@pytest.fixture(scope="module")
def published():
    ref = reference("ainet")
    seed = ref["meta"]["seed"]
    state = {name: torch.from_numpy(np.asarray(values(name, shape, seed))) for name, shape in ref["names"]}
    model, report = models.from_authors("ainet", state)
    images = [torch.from_numpy(draw(r, (2, 6, s, s), seed)[:1]) for r, s in (("template", 128), ("search", 256))]
    with torch.inference_mode():  # the first of two samples: half of the time
        prediction = model(*({"rgb": image[:, :3], "thermal": image[:, 3:]} for image in images))
    return ref, state, model, report, prediction


def test_the_published_numbers(published):
    ref, _, _, _, prediction = published
    for name in ("score_map", "size_map", "offset_map"):
        error = np.abs(getattr(prediction, name).numpy() - ref[f"infer_{name}"][:1]).max()
        print(name, error)
        assert error < 1e-4
    assert prediction.score_map.argmax() == ref["infer_score_map"][0].argmax()
    np.testing.assert_allclose(prediction.boxes.numpy(), ref["infer_pred_boxes"][:1, 0], atol=1e-4)
    theirs = ref["infer_features_every_16th_token_and_32nd_channel"][:1]
    error = np.abs(prediction.features[:, ::16, ::32].numpy() - theirs).max() / ref["infer_features_rms"]
    print("features", error)
    assert error < 1e-4


def test_every_published_tensor_has_its_place(published):
    ref, state, model, report, _ = published
    assert report.complete
    assert sorted(report.unused) == ["backbone.cls_token", "backbone.pos_embed"]
    assert len(report.matched) + 2 == len(ref["names"])
    unused = sum(state[name].numel() for name in report.unused)
    assert sum(p.numel() for p in model.parameters()) + unused == 135_978_001  # docs/methods/ainet.md 7
    assert model.config == models.config_of("ainet-base")


def test_variants_are_recognised(published):
    state = dict(published[1])
    assert ainet_variant(state) == {"template_size": 128, "search_size": 256}
    state["backbone.pos_embed_z"] = torch.empty(1, 144, 768)
    state["backbone.pos_embed_x"] = torch.empty(1, 576, 768)
    with pytest.warns(UserWarning, match="dropped_tokens=64"):
        assert ainet_variant(state) == ainet.VARIANTS["384"]
    fewer = {k: v for k, v in published[1].items() if not k.startswith("backbone.cross_mamba.11.")}
    with pytest.raises(ValueError, match="fuses 11 layers"):
        models.from_authors("ainet", fewer)


def build(name="ainet-base", noise=0.1, **overrides):
    torch.manual_seed(0)
    model = models.create(name, **SHARED | overrides).eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(noise * torch.randn(parameter.shape, generator=g))
    return model


def images(model, batch=2, keys=("rgb", "thermal")):
    g = torch.Generator().manual_seed(2)
    sizes = (model.config.template_size, model.config.search_size)
    return [{key: torch.randn(batch, 3, size, size, generator=g) for key in keys} for size in sizes]


@pytest.mark.parametrize(("dropped", "kept"), [(None, 576), (0, 720), (64, 656)])
@torch.inference_mode()
def test_384_pixels_with_template_tokens_dropped_or_kept(dropped, kept):
    model = build(**ainet.VARIANTS["384"], depth=2, fusion_blocks=(0, 1), dropped_tokens=dropped)
    lengths = []
    model.order_fusion.register_forward_pre_hook(lambda _, inputs: lengths.extend(m.shape[1] for m in inputs[0]))
    prediction = model(*images(model, 1))
    assert lengths == [kept, kept]
    assert prediction.score_map.shape == (1, 1, 24, 24)
    assert prediction.features.shape == (1, 576, 32)


def orders(count=3, tokens=2, order_grad="none"):
    torch.manual_seed(3)
    return OrderFusion(16, count, BINS, order_grad, False), torch.randn(2, count * tokens, 16)


@torch.no_grad()
def test_three_orders_go_in_and_one_comes_out(monkeypatch):
    fusion, hidden = orders()
    seen = []

    def nothing(branches, ordered):
        seen.append(ordered)
        return ordered.clone()

    monkeypatch.setattr(order_fusion, "scan_branches", nothing)
    logits = torch.tensor([[0.3, -0.1, 0.2], [1.0, 2.0, -3.0]])
    out = fusion.scan(hidden, logits)
    x, z = fusion.in_proj(hidden).chunk(2, 2)
    # a scan that changes nothing: whatever was rearranged has to be back in its place
    torch.testing.assert_close(out, fusion.out_proj(x * torch.nn.functional.silu(z)), rtol=0, atol=1e-6)
    there, back, moved = seen[0].unflatten(2, (3, 2))  # (B, M, n, I) each
    x = x.unflatten(1, (3, 2))
    assert torch.equal(there, x)
    assert torch.equal(back, x[:, [2, 1, 0]])  # maps reversed, tokens inside them not
    assert torch.equal(moved[0], x[0, [1, 2, 0]])  # the smallest number first, for each sample by itself
    assert torch.equal(moved[1], x[1, [2, 0, 1]])


@torch.no_grad()
def test_the_predicted_order_acts_through_its_own_branch_only():
    fusion, hidden = orders()
    one, two = torch.tensor([[0.0, 1, 2]]).repeat(2, 1), torch.tensor([[2.0, 0, 1]]).repeat(2, 1)
    assert not torch.equal(fusion.scan(hidden, one), fusion.scan(hidden, two))
    for parameter in fusion.branches[2].conv.parameters():
        parameter.zero_()  # u = SiLU(0) = 0
    assert torch.equal(fusion.scan(hidden, one), fusion.scan(hidden, two))


@torch.no_grad()
def test_without_the_scans_the_normalised_maps_are_summed():
    fusion, _ = orders()
    fusion.out_proj.weight.zero_()
    maps = [torch.randn(2, 5, 16) for _ in range(3)]
    expected = fusion.norm_out(sum(fusion.norm_map(m) for m in maps))
    torch.testing.assert_close(fusion(maps), expected, rtol=0, atol=1e-6)


def test_three_branches_are_one_scan(monkeypatch):
    fusion, hidden = orders()
    rows = []
    scan = mamba.selective_scan
    monkeypatch.setattr(mamba, "selective_scan", lambda u, *a, **k: rows.append(u.shape[0]) or scan(u, *a, **k))
    logits = torch.randn(2, 3)
    with torch.no_grad():
        together = mamba.scan_branches(list(fusion.branches), torch.randn(3, 2, 6, 32, generator=torch.manual_seed(5)))
        assert rows == [6]
        alone = [
            mamba.scan_branches([branch], x[None])[0]
            for branch, x in zip(fusion.branches, torch.randn(3, 2, 6, 32, generator=torch.manual_seed(5)))
        ]
        torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-6)
        fusion.scan(hidden, logits)
    assert rows == [6, 2, 2, 2, 6]


def test_samples_that_fill_the_caches_go_one_by_one_and_give_the_same(monkeypatch):
    layer = OrderFusion(32, 3, (64, 32, 16, 8), "none", False).eval()
    maps = [torch.randn(5, 7, 32) for _ in range(3)]
    calls = []
    whole = layer.fuse
    monkeypatch.setattr(layer, "fuse", lambda part: calls.append(len(part[0])) or whole(part))
    with torch.inference_mode():
        together = layer(maps)
        monkeypatch.setattr(order_fusion, "_LARGE", 2 * 3 * 7 * 32 * 2 * 4)
        apart = layer(maps)
    assert calls == [5, 2, 2, 1]
    torch.testing.assert_close(apart, together, rtol=1e-5, atol=1e-6)


def test_the_convolution_looks_back_and_never_ahead():
    torch.manual_seed(0)
    branch, x = mamba.Branch(8, 1), torch.randn(2, 9, 8)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (3, 0))
    expected = torch.nn.functional.silu(branch.conv(padded)).transpose(1, 2)
    torch.testing.assert_close(branch.look_back(x), expected, rtol=0, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(branch.look_back(x), expected, rtol=0, atol=1e-6)


def test_steps_start_as_published_or_as_mamba_does():
    assert torch.equal(mamba.Branch(8, 1).dt_proj.bias, torch.zeros(8))
    step = torch.nn.functional.softplus(mamba.Branch(800, 1, keep_step_init=True).dt_proj.bias)
    assert 0.9e-3 < step.min() < 2e-3
    assert 0.05 < step.max() < 0.11


@torch.no_grad()
def test_equal_streams_exchange_what_the_norm_alone_says():
    torch.manual_seed(0)
    difference = Difference(16, False)
    torch.nn.init.normal_(difference.norm.bias)
    torch.nn.init.normal_(difference.mamba.out_proj.weight)
    share = difference.mamba(difference.norm.bias.expand(2, 6, -1)).tanh()
    for _ in range(2):
        tokens = torch.randn(2, 6, 16)
        rgb, x = difference.exchange(torch.cat([tokens, tokens])).chunk(2)
        torch.testing.assert_close(rgb, tokens + share * tokens, rtol=0, atol=1e-6)
        assert torch.equal(rgb, x)
    one, two = torch.randn(2, 6, 16), torch.randn(2, 6, 16)
    share = difference.mamba(difference.norm(one - two)).tanh()
    rgb, x = difference.exchange(torch.cat([one, two])).chunk(2)
    torch.testing.assert_close(rgb, one + share * two, rtol=0, atol=1e-6)
    torch.testing.assert_close(x, two + share * one, rtol=0, atol=1e-6)  # the same share, and one as it was


def test_the_order_predictor_learns_only_when_asked():
    predictions, gradients = [], []
    for order_grad in ("none", "ste"):
        model = build(order_grad=order_grad)
        prediction = model(*images(model))
        prediction.score_map.sum().backward()
        predictions.append(prediction.score_map.detach())
        gradients.append([p.grad for p in model.order_fusion.order.parameters()])
    torch.testing.assert_close(*predictions, rtol=0, atol=1e-6)
    assert all(g is None for g in gradients[0])
    assert all(g is not None and g.abs().sum() > 0 for g in gradients[1])


@torch.inference_mode()
def test_one_sensor_is_one_stream_without_exchange(monkeypatch):
    model = build()
    template, search = images(model)
    monkeypatch.setattr(Difference, "exchange", None)  # would fail if it were called
    rgb = model({"rgb": template["rgb"]}, {"rgb": search["rgb"]})
    x = model({"depth": template["rgb"]}, {"depth": search["rgb"]})
    torch.testing.assert_close(rgb.score_map, x.score_map, rtol=0, atol=0)  # the weights are shared
    assert "one sensor" in model.missing_policy


@torch.inference_mode()
def test_a_tiny_one_starts_as_its_base():
    torch.manual_seed(0)
    base = models.create("ostrack-tiny", **SMALL).eval()
    model = models.create("ainet-tiny", **SHARED).eval()
    report = models.start_from(model, base)
    assert not report.unexpected
    assert all(name.startswith(("differences.", "order_fusion.", "gate")) for name in report.missing)
    template, search = images(model, keys=("rgb",))
    alone = base(template, search)
    keys = [{"rgb": v["rgb"], "event": v["rgb"]} for v in (template, search)]
    for given in ((template, search), keys):
        torch.testing.assert_close(model(*given).size_map, alone.size_map, rtol=0, atol=0.02)


def test_wrong_settings_are_told():
    for name, value in (
        ("order_grad", "some"),
        ("dropped_tokens", 17),
        ("fusion_blocks", (4,)),
        ("elimination_blocks", (1,)),
    ):
        with pytest.raises(ValueError, match=name):
            build(**{name: value})
