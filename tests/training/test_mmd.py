# SPDX-License-Identifier: Apache-2.0
"""The discrepancy of two sensors' features, by depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusion_samples import SMALL, TPF, blobs

from modaltrack import models
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.training.mmd import SCALES, _run, clip_pairs, mmd2, mmd_by_depth
from modaltrack.vision import normalise

OPTIONS = {
    "ainet-tiny": {**SMALL, "fusion_blocks": (0, 1)},
    "modaltrack-tiny": SMALL,
    "ostrack-tiny": SMALL,
    "sdstrack-tiny": {**SMALL, "fusion_blocks": (1,)},
    "smstracker-tiny": {**SMALL, "interactions": 1},
    "srtrack-tiny": {**SMALL, "fusion_blocks": (1,)},
    "tpf-tiny": TPF,
}
DEPTHS = ["pixel", "embedding", "block 1", "block 2"]


def built(name, **more):
    torch.manual_seed(0)
    model = models.create(name, **{**OPTIONS[name], **more}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model


def pairs(count=6, other=None):
    made = []
    for seed in range(2):
        images = [{m: blobs(count, 3, side, side, seed=10 * seed + i) for i, m in enumerate(("rgb", "thermal"))}
                  for side in (32, 64)]  # fmt: skip
        for part in images:
            part["thermal"] = part["rgb"].clone() if other == "same" else 1 - 0.5 * part["thermal"]
        made.append((images[0], images[1]))
    return made


def test_zero_for_two_samples_of_one_distribution():
    g = torch.Generator().manual_seed(0)
    found = [mmd2(torch.randn(200, 8, generator=g), torch.randn(200, 8, generator=g)) for _ in range(12)]
    assert abs(np.mean(found)) < 2e-3  # unbiased: below zero as often as above
    assert min(found) < 0 < max(found)
    apart = [mmd2(torch.randn(200, 8, generator=g), torch.randn(200, 8, generator=g) + shift) for shift in (0.3, 1, 3)]
    assert apart == sorted(apart)
    assert apart[0] > 10 * abs(np.mean(found))
    spread = mmd2(torch.randn(200, 8, generator=g), 2 * torch.randn(200, 8, generator=g))
    assert spread > 0.02  # not only means count


def test_the_definition_by_hand():
    g = torch.Generator().manual_seed(1)
    p, q = torch.randn(5, 3, generator=g).double(), torch.randn(4, 3, generator=g).double() + 1
    both = torch.cat([p, q])
    z = (both - both.mean(0)) / both.std(0)
    squared = [[float(((a - b) ** 2).sum()) for b in z] for a in z]
    median = sorted(squared[i][j] for i in range(9) for j in range(i + 1, 9))[17]
    k = [[sum(np.exp(-d / (s * median)) for s in SCALES) for d in row] for row in squared]
    own = np.mean([k[i][j] for i in range(5) for j in range(5) if i != j])
    own += np.mean([k[i][j] for i in range(5, 9) for j in range(5, 9) if i != j])
    assert mmd2(p, q) == pytest.approx(own - 2 * np.mean([k[i][j] for i in range(5) for j in range(5, 9)]), abs=1e-9)
    assert mmd2(1000 * p + 3, 1000 * q + 3) == pytest.approx(mmd2(p, q), abs=1e-9)
    with pytest.raises(ValueError, match="one width"):
        mmd2(p, q[:, :2])


@pytest.mark.parametrize("name", OPTIONS)
def test_every_method_can_be_measured(name):
    model = built(name)
    found = mmd_by_depth(model, pairs(), "thermal", tokens=120)
    expected = {
        "ostrack-tiny": {"alone"},
        "modaltrack-tiny": {"alone"},
        "tpf-tiny": {"alone", "fused with rgb", "fused with thermal"},
    }
    assert set(found) == expected.get(name, {"alone", "together"})
    for depths in found.values():
        assert list(depths) == DEPTHS
        assert all(np.isfinite(v) for v in depths.values())
    assert found["alone"]["pixel"] > 0.05  # one is the other's negative
    assert mmd_by_depth(model, pairs(), "thermal", tokens=120) == found
    assert mmd_by_depth(model, pairs(), "thermal", tokens=120, seed=1) != found
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert hooks == 0


@pytest.mark.parametrize("name", ["ostrack-tiny", "tpf-tiny", "smstracker-tiny", "ainet-tiny"])
def test_no_gap_between_equal_images_on_shared_weights(name):
    found = mmd_by_depth(built(name), pairs(12, "same"), "thermal", tokens=300)
    for comparison, depths in found.items():
        if comparison == "alone":
            assert max(abs(v) for v in depths.values()) < 0.02, depths


def test_every_method_of_the_registry_is_in_the_list():
    assert {name for name in models.list_models() if name.endswith("-tiny")} == set(OPTIONS)


@torch.inference_mode()
def test_the_tokens_are_those_of_the_depth():
    """Of the plain tracker, walked by hand."""
    model = built("ostrack-tiny")
    template, search = ({"rgb": normalise(p["rgb"])} for p in pairs()[0])
    heard = _run(model, template, search)
    tokens = model.embed(model.patch_embed, template["rgb"], search["rgb"])
    assert torch.equal(heard["embedding"][0], tokens[:, model.num_template :])
    for i in range(2):
        block = model.stack[i]
        tokens = tokens + block.attn(block.norm1(tokens))[0]
        tokens = tokens + block.mlp(block.norm2(tokens))
        torch.testing.assert_close(heard[f"block {i + 1}"][0], tokens[:, model.num_template :], rtol=0, atol=1e-5)
    assert torch.equal(heard["pixel"][0][:, 0], search["rgb"][:, :, :16, :16].flatten(1))


@pytest.mark.parametrize("name", ["sdstrack-tiny", "srtrack-tiny"])
@torch.inference_mode()
def test_streams_are_told_apart(name):
    """Before anything is exchanged, the streams of both sensors are those of each alone."""
    model = built(name)
    template, search = ({m: normalise(i) for m, i in p.items()} for p in pairs()[0])
    both = _run(model, template, search)
    for k, m in enumerate(("rgb", "thermal")):
        alone = _run(model, {m: template[m]}, {m: search[m]})
        for depth in ("embedding", "block 1"):
            streams = both[depth] if len(both[depth]) == 2 else both[depth][0].chunk(2)
            torch.testing.assert_close(streams[k], alone[depth][0], rtol=0, atol=1e-5)


def test_elimination_is_switched_off():
    model = built("ostrack-tiny", elimination_blocks=(0,), keep_rate=0.5)
    found = mmd_by_depth(model, pairs(), "thermal", tokens=120)
    assert list(found["alone"]) == DEPTHS


def test_crops_of_clips():
    rng = np.random.default_rng(0)
    frames = []
    for i in range(12):
        images = {m: rng.integers(0, 255, (60, 80, 3), dtype=np.uint8) for m in (Modality.RGB, Modality.THERMAL)}
        if i == 3:
            del images[Modality.THERMAL]
        frames.append(Frame(images, i / 30, i))
    boxes = np.tile([20.0, 15.0, 20.0, 16.0], (12, 1))
    boxes[5] = np.nan
    config = models.config_of("ostrack-tiny", **SMALL)
    made = list(clip_pairs([Clip("a", frames, boxes), Clip("b", frames)], "thermal", config, 100, batch=4))
    assert [len(search["rgb"]) for _, search in made] == [4, 4, 2]  # 12 frames less one without a box, one without X
    assert made[0][0]["thermal"].shape == (4, 3, 32, 32)
    assert made[0][1]["rgb"].shape == (4, 3, 64, 64)
    few = list(clip_pairs([Clip("a", frames, boxes)], "thermal", config, 3, batch=4))
    assert [len(search["rgb"]) for _, search in few] == [3]
    assert torch.equal(few[0][1]["rgb"], made[0][1]["rgb"][:3])
    with pytest.raises(ValueError, match="no pairs"):
        mmd_by_depth(built("ostrack-tiny"), [], "thermal")
