# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from modaltrack import models
from modaltrack.frame import Modality

SMALL = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16, "template_size": 64, "search_size": 128}


def build(**overrides):
    torch.manual_seed(0)
    options = SMALL | {"fusion_blocks": (1, 3), "elimination_blocks": (1, 2)} | overrides
    model = models.create("sdstrack-base", **options).eval()
    g = torch.Generator().manual_seed(1)
    images = [{k: torch.randn(2, 3, s, s, generator=g) for k in ("rgb", "depth")} for s in (64, 128)]
    return model, images


def masks(value):
    return {
        role: {k: torch.full((2, n), value) for k in ("rgb", "depth")} for role, n in (("template", 16), ("search", 64))
    }


def test_without_masks_both_paths_are_the_plain_one():
    model, images = build()
    clean, masked, stages = model.masked_pair(*images, masks(False))
    plain = model(*images)
    assert len(stages) == 2
    for prediction in (clean, masked):
        # the plain path skips the template's part of the last fusion: same numbers
        torch.testing.assert_close(prediction.size_map, plain.size_map, rtol=0, atol=1e-6)
        torch.testing.assert_close(prediction.features, plain.features, rtol=0, atol=1e-5)
    torch.testing.assert_close(stages[1][0], stages[1][1], rtol=0, atol=0)
    assert stages[0][0].shape == (4, 16 + 45, 32)  # 0.7 of 64 search tokens, both streams


def test_masked_everywhere_nothing_of_the_image_is_left():
    model, (template, search) = build()
    _, one, _ = model.masked_pair(template, search, masks(True))
    _, two, _ = model.masked_pair({k: -v for k, v in template.items()}, {k: -v for k, v in search.items()}, masks(True))
    torch.testing.assert_close(one.score_map, two.score_map, rtol=0, atol=0)


def test_a_masked_pair_needs_both():
    model, (template, search) = build()
    with pytest.raises(ValueError, match="rgb"):
        model.masked_pair({"rgb": template["rgb"]}, {"rgb": search["rgb"]}, masks(False))


def test_elimination_matters_and_keep_rate_overrides():
    model, images = build()
    full = model(*images, keep_rate=1.0)
    assert not torch.equal(full.score_map, model(*images).score_map)
    torch.testing.assert_close(build(elimination_blocks=())[0](*images).score_map, full.score_map, rtol=0, atol=1e-6)


def test_stochastic_depth_is_for_training_only():
    model, images = build(drop_path=0.5)
    assert torch.equal(model(*images).score_map, model(*images).score_map)
    model.train()
    assert not torch.equal(model(*images).score_map, model(*images).score_map)


def test_the_mlp_of_the_rgb_stream_has_no_stochastic_depth():
    """Published: where every change that may be dropped is, an RGB stream still gets M(n), and X's gets nothing."""
    model, _ = build(drop_path=0.5, elimination_blocks=())
    model.train()
    for block in model.stack:
        block.drop_path.forward = torch.zeros_like
    tokens, block = torch.randn(4, 80, 32), model.stack[2]
    after, _ = model.block_of_streams(2, tokens, model.search_positions(tokens), [Modality.RGB, Modality.DEPTH], 1.0)
    torch.testing.assert_close(after[:2], (tokens + block.mlp(block.norm2(tokens)))[:2])
    torch.testing.assert_close(after[2:], tokens[2:], rtol=0, atol=0)


def test_wrong_settings_are_told():
    for name in ("stem", "adapter_init", "x_stem_init", "head_norm"):
        with pytest.raises(ValueError, match=name):
            build(**{name: "nonsense"})
