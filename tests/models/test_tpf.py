# SPDX-License-Identifier: Apache-2.0
"""TPF's design (docs/methods/tpf.md 2)."""

import pytest
import torch

from modaltrack import models
from modaltrack.models.parts.fusion_adapter import LAYOUTS, FusionAdapter
from modaltrack.models.parts.vim import VimBlock

SMALL = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 64, "search_size": 128}
SMALL |= {"pfa_channels": 16}


def build(name="tpf-tiny", **overrides):
    torch.manual_seed(0)
    return models.create(name, **SMALL | overrides).eval()


def pictures(size, batch=2, seed=0, keys=("rgb", "thermal")):
    g = torch.Generator().manual_seed(seed)
    return {k: torch.randn(batch, 3, size, size, generator=g) for k in keys}


def disturbed(model):
    """No weight stays at the zero it began with."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    return model


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [64, 128, 256])
@torch.inference_mode()
def test_a_fresh_adapter_returns_the_exact_average(layout, size):
    torch.manual_seed(0)
    adapter = FusionAdapter(64 if size == 128 else 16, layout=layout).eval()
    images = pictures(size, batch=1)
    fused = adapter(images["rgb"], images["thermal"])
    assert torch.equal(fused, (images["rgb"] + images["thermal"]) / 2)
    disturbed(adapter)
    assert not torch.equal(adapter(images["rgb"], images["thermal"]), fused)
    adapter.restart()
    assert torch.equal(adapter(images["rgb"], images["thermal"]), fused)


def test_the_adapter_has_the_size_of_the_design():
    adapter = FusionAdapter()
    assert 0.2e6 < sum(p.numel() for p in adapter.parameters()) < 0.4e6
    assert sum(p.numel() for p in adapter.blocks[0].parameters()) == pytest.approx(41e3, rel=0.1)


@torch.inference_mode()
def test_samples_do_not_leak_into_each_other():
    adapter = disturbed(FusionAdapter(16)).eval()
    a, b = pictures(64, batch=3).values()
    whole = adapter(a, b)
    for i in range(3):
        torch.testing.assert_close(adapter(a[i : i + 1], b[i : i + 1]), whole[i : i + 1], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_a_vim_block_reads_in_both_directions():
    torch.manual_seed(0)
    block = VimBlock(16)
    tokens = torch.randn(1, 12, 16)
    before = block(tokens)
    tokens[0, 6, :8] += 1
    moved = (block(tokens) - before).abs().amax(2)[0] > 1e-7
    assert moved.all()
    # what each direction makes of the row is what the other makes of the row turned round
    block.back.load_state_dict(block.forth.state_dict())
    torch.testing.assert_close(block(tokens.flip(1)), block(tokens).flip(1), rtol=0, atol=1e-6)


@torch.inference_mode()
def test_a_vim_block_follows_the_definition_step_by_step():
    """Every token by hand, in float64, from the equations of docs/methods/tpf.md 2.2."""
    torch.manual_seed(0)
    block = VimBlock(16, states=4).double()
    x = torch.randn(2, 9, 16).double()
    u, gate = block.in_proj(block.norm(x)).chunk(2, 2)
    total = torch.zeros(2, 9, 32).double()
    for part, order in ((block.forth, range(9)), (block.back, range(8, -1, -1))):
        state, seen = torch.zeros(2, 32, 4).double(), []
        for t in order:
            seen = [*seen, u[:, t]][-4:]
            taps = part.conv.weight[:, 0, -len(seen) :]  # (I, taps)
            v = torch.nn.functional.silu((torch.stack(seen, 2) * taps).sum(2) + part.conv.bias)
            step, write, read = part.x_proj(v).split([1, 4, 4], 1)
            step = torch.nn.functional.softplus(part.dt_proj(step))
            state = (-part.A_log.exp() * step[..., None]).exp() * state + (step * v)[..., None] * write[:, None]
            total[:, t] += (state * read[:, None]).sum(2) + part.skip * v
    expected = x + block.out_proj(total / 2 * torch.nn.functional.silu(gate))
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_two_templates():
    model = disturbed(build())
    template, later, search = pictures(64), pictures(64, seed=5), pictures(128)
    first = model(template, search)
    same = model(template, search, memory=template)
    torch.testing.assert_close(first.score_map, same.score_map, rtol=0, atol=1e-6)  # frame 1: the first one twice
    both = model(template, search, memory=later)
    assert (both.offset_map - first.offset_map).abs().max() > 1e-2
    # the two share their positions and attention has no order: which is which is of no consequence
    torch.testing.assert_close(model(later, search, memory=template).score_map, both.score_map, rtol=0, atol=1e-5)
    one = disturbed(build(num_templates=1))
    assert torch.equal(one(template, search, memory=later).score_map, one(template, search).score_map)
    with pytest.raises(ValueError, match="later template is of rgb"):
        model(template, search, memory={"rgb": later["rgb"]})


@torch.inference_mode()
def test_missing_sensors_with_a_later_template():
    model = disturbed(build())
    template, later, search = (pictures(s, batch=3, seed=i) for i, s in enumerate((64, 64, 128)))
    present = {"rgb": torch.tensor([True, True, False]), "thermal": torch.tensor([True, False, True])}
    mixed = model(template, search, present, memory=later)
    for row, keys in enumerate((("rgb", "thermal"), ("rgb",), ("thermal",))):
        images = [{k: part[k][row : row + 1] for k in keys} for part in (template, search, later)]
        alone = model(images[0], images[1], memory=images[2])
        torch.testing.assert_close(alone.score_map, mixed.score_map[row : row + 1], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_one_sensor_is_the_tracker_alone():
    """Nothing is fed twice: with one image the adapter does nothing, whatever its weights."""
    model = disturbed(build())
    for key in ("rgb", "event"):
        images = pictures(128, keys=(key,))
        assert model.fused_image(images) is images[key]
    with pytest.raises(ValueError, match="at most one other"):
        model.fused_image(pictures(64, keys=("rgb", "depth", "event")))
    assert "adapter is skipped" in model.missing_policy


@torch.inference_mode()
def test_it_starts_as_the_one_stream_tracker_on_the_average():
    torch.manual_seed(0)
    small = {k: v for k, v in SMALL.items() if k != "pfa_channels"}
    base = models.create("ostrack-tiny", **small).eval()
    model = build(num_templates=1)
    report = models.start_from(model, base)
    assert all(name.startswith("adapter.") for name in report.missing)
    template, search = pictures(64), pictures(128)
    mean = [{"rgb": (p["rgb"] + p["thermal"]) / 2} for p in (template, search)]
    torch.testing.assert_close(model(template, search).size_map, base(*mean).size_map, rtol=0, atol=1e-6)
    two = build()
    models.start_from(two, base)
    assert two(template, search).size_map.isfinite().all()


def test_wrong_settings_are_told():
    for name, value in (("pfa_layout", "x"), ("pfa_norm", "x"), ("pfa_channels", 12), ("num_templates", 3)):
        with pytest.raises(ValueError, match=name):
            build(**{name: value})
    with pytest.raises(ValueError, match="elimination_blocks"):
        build(elimination_blocks=(1,))


def test_the_two_sizes_are_registered():
    base, tiny = models.config_of("tpf-base"), models.config_of("tpf-tiny")
    assert (base.template_size, base.search_size, base.num_templates) == (128, 256, 2)
    assert (tiny.template_size, tiny.search_size, tiny.num_templates) == (64, 128, 2)


@pytest.mark.parametrize("sensors", [("rgb", "thermal"), ("rgb",)])
def test_the_fused_image_can_be_seen(tmp_path, cameras, sensors):
    """``modaltrack track --show fused``: a second video with one picture per frame; fresh, it is the average."""
    import av
    import numpy as np

    from modaltrack import cli

    models.save_model(build(), tmp_path / "tpf.safetensors", {"licence": "Apache-2.0"})
    words = ["track", "--box", "20,20,16,12", "--model", str(tmp_path / "tpf.safetensors"), "--device", "cpu"]
    for sensor in sensors:
        words += [f"--{sensor}", str(cameras / sensor)]
    assert cli.main([*words, "--show", "fused", "--out", str(tmp_path / "out")]) == 0
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"video.mp4", "fused.mp4", "boxes.txt", "result.json"}
    with av.open(str(tmp_path / "out" / "fused.mp4")) as file:
        pictures = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    assert len(pictures) == 6
    assert pictures[0].shape == (256, 256, 3)
    inside = np.median(pictures[0][112:144, 112:144].reshape(-1, 3), axis=0)  # the target, stored as (220, 200, 40)
    expected = [220, 200, 40] if len(sensors) == 1 else [220, 210, 130]  # its thermal image is 220 everywhere
    np.testing.assert_allclose(inside, expected, atol=12)
