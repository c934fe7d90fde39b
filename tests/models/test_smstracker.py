# SPDX-License-Identifier: Apache-2.0
"""SMSTracker against its authors' numbers (drawn weights, see tests/reference), and what is ours in it."""

import re
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.reference.fill import draw, reference, values

from modaltrack import models
from modaltrack.models.authors import our_name, smstracker_variant
from modaltrack.models.parts.drop_key import attend_dropping_keys
from modaltrack.models.parts.score_mask import ScoreMaskFusion, keep_larger, pool_pairs

SMALL = {"dim": 32, "depth": 12, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
# docs/methods/smstracker.md 1.7
PARAMETERS = {1: 105_642_885, 2: 116_404_101, 3: 127_165_317, 4: 137_926_533, 6: 159_448_965}
UNUSED = 152_064  # the class token and the old positions, which ours does not have


def names(count):
    """Names and shapes of a checkpoint with ``count`` interactions; the file lists those of one."""
    for name, shape in reference("smstracker")["names"]:
        first = re.fullmatch(r"(backbone\.(?:cross|channel_attn)_mamba\.)0(\..+)", name)
        yield from ([(f"{first[1]}{j}{first[2]}", shape) for j in range(count)] if first else [(name, shape)])


@cache
def drawn(name, shape):
    return torch.from_numpy(np.asarray(values(name, shape, 1)))


def small(**overrides):
    torch.manual_seed(0)
    model = models.create("smstracker-base", **SMALL | overrides).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    g = torch.Generator().manual_seed(1)
    return model, [{k: torch.randn(2, 3, s, s, generator=g) for k in ("rgb", "depth")} for s in (32, 64)]


@pytest.mark.parametrize(("count", "sample"), [(1, 0), (3, 1)])  # one sample each: half of the time, the same sums
@torch.inference_mode()
def test_the_authors_numbers(count, sample):
    ref = reference("smstracker")
    state = {name: drawn(name, tuple(shape)) for name, shape in names(count)}
    model, report = models.from_authors("smstracker", state)
    assert report.complete
    assert set(report.unused) == {"backbone.cls_token", "backbone.pos_embed"}
    assert model.config.interactions == count
    images = []
    for role, size in (("template", 128), ("search", 256)):
        image = torch.from_numpy(draw(role, (2, 6, size, size), ref["meta"]["seed"]))[[sample]]
        images.append({"rgb": image[:, :3], "thermal": image[:, 3:]})
    prediction = model(*images)
    for name in ("score_map", "size_map", "offset_map"):
        error = np.abs(getattr(prediction, name).numpy() - ref[f"sigma{count}_{name}"][[sample]]).max()
        print(count, name, error)
        assert error < 1e-4
    assert prediction.score_map.argmax() == ref[f"sigma{count}_score_map"][sample].argmax()
    np.testing.assert_allclose(prediction.boxes.numpy(), ref[f"sigma{count}_pred_boxes"][[sample], 0], atol=1e-4)
    theirs = ref[f"sigma{count}_features_every_16th_token_and_32nd_channel"][[sample], 4:]  # four are the template's
    error = np.abs(prediction.features[:, ::16, ::32].numpy() - theirs).max() / ref[f"sigma{count}_features_rms"]
    print(count, "features", error)
    assert error < 1e-4


@pytest.mark.parametrize("count", PARAMETERS)
def test_every_published_tensor_has_its_place(count):
    with torch.device("meta"):
        model = models.create("smstracker-base", interactions=count)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[count] - UNUSED
    ours = {our_name("smstracker", name): tuple(shape) for name, shape in names(count)}
    unused = ours.pop(None)
    assert unused is not None
    assert ours == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("count", PARAMETERS)
def test_interactions_come_after_evenly_spread_blocks(count):
    model, images = small(interactions=count)
    seen, positions = [], []
    for i, block in enumerate(model.blocks):
        block.norm1.register_forward_hook(lambda *_, i=i: seen.append(i))
    for pair in model.interactions:
        pair.concat.register_forward_hook(lambda *_: positions.append(seen[-1] + 1))
    model(*images)
    assert positions == [12 // count * (j + 1) for j in range(count)]


def test_settings_that_cannot_be_are_told():
    for name, value in (("interactions", 5), ("interactions", 0), ("merge", "mean"), ("interaction_init", "big")):
        with pytest.raises(ValueError, match=name):
            small(**{name: value})
    with pytest.raises(ValueError, match="elimination_blocks"):
        small(elimination_blocks=(3,))


def test_the_variant_is_read_off_the_tensors():
    def tensors(count):
        return {name: torch.empty(shape, device="meta") for name, shape in names(count)}

    for count in (1, 2, 3, 6):
        found = {"interactions": count, "template_size": 128, "search_size": 256}
        assert smstracker_variant(tensors(count)) == found
    with pytest.warns(UserWarning, match="blocks 3, 6, 9 and 12"):
        assert smstracker_variant(tensors(4))["interactions"] == 4
    larger = tensors(1) | {"backbone.pos_embed_x": torch.empty(1, 576, 768, device="meta")}
    assert smstracker_variant(larger)["search_size"] == 384
    strange = (
        "score_in_layer.attn.proj.bias",
        "patch_embed_modal.proj.bias",
        "score.conv1.weight",
        "score.0.norm.bias",
    )
    for name in strange:
        with pytest.raises(ValueError, match="before its publication"):
            smstracker_variant(tensors(1) | {f"backbone.{name}": torch.empty(1)})
    old = tensors(1)
    del old["backbone.score.norm.weight"]
    with pytest.raises(ValueError, match="no norm"):
        smstracker_variant(old)


def test_the_published_merge_is_the_maximum_of_neighbouring_features():
    answers = torch.randn(6, 10, 8)  # three samples of RGB, three of X
    stacked = torch.stack([answers[:3].flatten(1), answers[3:].flatten(1)], 1)  # (3, 2, 80)
    torch.testing.assert_close(pool_pairs(answers, 3), F.max_pool1d(stacked, 2).reshape(3, 10, 8), rtol=0, atol=0)
    only_x = answers.clone()
    only_x[3:] += 1
    changed = (pool_pairs(only_x, 3) != pool_pairs(answers, 3)).all(2)
    assert changed.tolist() == [[False] * 5 + [True] * 5] * 3


def test_the_own_merge_stays_in_place_and_treats_both_sensors_alike():
    answers = torch.randn(4, 6, 8)
    torch.testing.assert_close(keep_larger(answers, 2), answers.view(2, 2, 6, 8).amax(0), rtol=0, atol=0)
    for merge, same in (("max", True), ("published", False)):
        torch.manual_seed(0)
        score = ScoreMaskFusion(8, 2, merge, 0.1, 0.1).eval()
        tokens = torch.randn(4, 6, 8)
        mixed = score(tokens, 4)
        torch.testing.assert_close(mixed, score(tokens, 6)[:, -4:])  # fewer rows are asked for, none is another
        assert torch.allclose(mixed, score(tokens.roll(2, 0), 4)) == same


def test_keys_are_dropped_for_each_query_and_head_by_itself():
    torch.manual_seed(0)
    q = torch.zeros(2, 3, 40, 64)
    seen = attend_dropping_keys(q, q, torch.eye(40, 64).expand(2, 3, 40, 64), 0.25)[..., :40] > 0  # v tells the keys
    assert abs(1 - seen.float().mean() - 0.25) < 0.02
    assert seen.float().mean((0, 1, 2)).min() > 0  # no column goes as a whole
    assert not torch.equal(seen[:, 0], seen[:, 1])
    weights = attend_dropping_keys(q, q, torch.ones(2, 3, 40, 64), 0.25)
    torch.testing.assert_close(weights, torch.ones_like(weights))  # what is left adds up to one


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_a_query_without_any_key_stays_finite(kind):
    q, k, v = (torch.randn(1, 2, 6, 8).to(kind).requires_grad_() for _ in range(3))
    out = attend_dropping_keys(q, k, v, 1.0)
    torch.testing.assert_close(out, v.mean(2, keepdim=True).expand_as(out), rtol=0.02, atol=0.01)
    out.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_dropping_is_for_training_only():
    model, images = small(drop_path=0.0, score_dropout=0.0)
    torch.testing.assert_close(model(*images).size_map, model(*images).size_map, rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(*images).features, model(*images).features)
    still, _ = small(drop_path=0.0, score_dropout=0.0, drop_key=0.0)
    features = still(*images).features
    still.train().head.eval()  # batch norms behave differently in training by design
    torch.testing.assert_close(still(*images).features, features, rtol=0, atol=1e-4)


def test_a_lone_sensor_runs_its_stream_and_nothing_else():
    model, (template, search) = small(interactions=2)
    alone = model({"depth": template["depth"]}, {"depth": search["depth"]})
    assert "alone" in model.missing_policy
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("score.", "interactions.")):
                parameter.fill_(float("nan"))
    again = model({"rgb": template["depth"]}, {"rgb": search["depth"]})  # both sensors share all weights of a stream
    torch.testing.assert_close(again.features, alone.features, rtol=0, atol=0)


def test_a_tiny_one_starts_as_its_base():
    torch.manual_seed(0)
    sizes = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16}
    base = models.create("ostrack-tiny", **sizes).eval()
    model = models.create("smstracker-tiny", **sizes).eval()
    report = models.start_from(model, base)
    assert all(name.startswith(("score.", "interaction", "mixed_gate")) for name in report.missing)
    template, search = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 128, 128)
    alone = base({"rgb": template}, {"rgb": search})
    for key in ("rgb", "event"):
        same = model({key: template}, {key: search})
        torch.testing.assert_close(same.size_map, alone.size_map, rtol=0, atol=1e-6)
    both = model({"rgb": template, "event": template}, {"rgb": search, "event": search})
    torch.testing.assert_close(both.size_map, alone.size_map, rtol=0, atol=0.01)  # the gate is nearly closed


def test_the_published_start():
    torch.manual_seed(0)
    pair = models.create("smstracker-base", **SMALL | {"dim": 96, "heads": 3}).interactions[0]
    assert not pair.cross.rgb.dt_proj.bias.any()  # the backbone's initialiser overwrites Mamba's here ...
    steps = F.softplus(pair.concat.dt_bias.detach())  # ... and not here
    assert 1e-3 * 0.99 < steps.min() < 5e-3
    assert 5e-2 < steps.max() < 0.101
    assert abs(pair.cross.x.out_proj.weight.std() - 0.02) < 2e-3
    torch.testing.assert_close(pair.concat.A_log.exp()[[0, -1]], torch.arange(1.0, 5).expand(2, 4))
