# SPDX-License-Identifier: Apache-2.0
"""SRTrack against the published implementation's numbers, and what makes it SRTrack at small width."""

import numpy as np
import pytest
import torch
from tests.reference.fill import draw, reference, values

from modaltrack import models
from modaltrack.models.authors import our_name, srtrack_variant
from modaltrack.models.srtrack import VARIANTS, from_rgb_tracker
from modaltrack.training.losses import box_losses

SMALL = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16, "template_size": 64, "search_size": 128}
# of the authors' networks (docs/methods/srtrack.md 1.1), each less the class token, which nothing reads
COUNTS = {"256": 206_365_317, "384": 206_672_517, "dropmae": 206_674_053, "lora": 207_741_573}


@pytest.fixture(scope="module")
def published():
    """Reference and prediction; the weights (0.8 GB) are gone when it returns."""
    ref = reference("srtrack")
    seed = ref["meta"]["seed"]
    state = {name: torch.from_numpy(np.asarray(values(name, shape, seed))) for name, shape in ref["names"]}
    model, report = models.from_authors("srtrack", state)
    assert report.complete
    assert list(report.unused) == ["backbone.cls_token"]
    images = [
        torch.from_numpy(draw(role, (2, 6, size, size), seed)) for role, size in (("template", 128), ("search", 256))
    ]
    with torch.inference_mode():
        return ref, model(*({"rgb": image[:, :3], "event": image[:, 3:]} for image in images))


def test_maps_and_features_are_the_published_ones(published):
    ref, prediction = published
    for name in ("score_map", "size_map", "offset_map"):
        error = np.abs(getattr(prediction, name).numpy() - ref[f"infer_{name}"]).max()
        print(name, error)
        assert error < 1e-4
    np.testing.assert_array_equal(
        prediction.score_map.flatten(1).argmax(1).numpy(), ref["infer_score_map"].reshape(2, -1).argmax(1)
    )
    np.testing.assert_allclose(prediction.boxes.numpy(), ref["infer_pred_boxes"][:, 0], atol=1e-4)
    theirs = ref["infer_features_every_16th_token_and_32nd_channel"][:, 4:]  # four of the twenty are the template's
    error = np.abs(prediction.features[:, ::16, ::32].numpy() - theirs).max() / ref["infer_features_rms"]
    print("features", error)
    assert error < 1e-4


def test_the_loss_is_the_published_one(published):
    ref, prediction = published
    total = box_losses(prediction, torch.tensor(ref["meta"]["search_box_xywh"]))["total"].item()
    print("loss", total / float(ref["train_total"]) - 1)
    assert total == pytest.approx(float(ref["train_total"]), rel=1e-3)


def authors_shapes(variant):
    """Names and shapes of the authors' checkpoint of a variant, without any memory behind them.

    Source: docs/methods/srtrack.md 3.
    """
    shapes = {name: tuple(shape) for name, shape in reference("srtrack")["names"]}
    if variant in ("384", "dropmae"):
        shapes |= {"backbone.pos_embed_z": (1, 144, 768), "backbone.pos_embed_x": (1, 576, 768)}
    if variant == "dropmae":
        shapes |= {f"backbone.temporal_pos_embed_{role}": (1, 1, 768) for role in "zx"}
    if variant == "lora":
        for stem in [name.removesuffix("qkv.weight") for name in shapes if name.endswith("attn.qkv.weight")]:
            shapes |= {f"{stem}qkv.lora_A": (8, 768), f"{stem}qkv.lora_B": (2304, 8)}
            shapes |= {f"{stem}proj.lora_A": (16, 768), f"{stem}proj.lora_B": (768, 16)}
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(("variant", "entries"), [("256", 437), ("384", 437), ("dropmae", 439), ("lora", 549)])
def test_every_variant_is_recognised_and_has_a_place_for_every_tensor(variant, entries):
    theirs = authors_shapes(variant)
    assert len(theirs) == entries
    settings = srtrack_variant(theirs)
    with torch.device("meta"):
        model = models.create("srtrack-base", **settings)
    assert model.config == models.config_of("srtrack-base", **VARIANTS[variant])
    ours = {our_name("srtrack", name): tensor.shape for name, tensor in theirs.items()}
    del ours[None]  # the class token
    assert ours == {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert sum(p.numel() for p in model.parameters()) == COUNTS[variant] - 768


def test_an_rgb_tracker_becomes_a_two_branch_checkpoint():
    names = dict(reference("ostrack")["names"])
    names.pop("backbone.pos_embed", None)
    rgb = {name: torch.empty(shape, device="meta") for name, shape in names.items()}
    two = from_rgb_tracker(rgb)
    assert {name: list(tensor.shape) for name, tensor in two.items()} == dict(reference("srtrack")["names"])
    norm = "attn.qkv.weight"
    for j, i in enumerate((2, 5, 8, 11)):
        assert two[f"backbone.blocks_cross.{j}.{norm}"] is rgb[f"backbone.blocks.{i}.{norm}"]
    for branch in ("rgb", "event"):
        assert two[f"backbone.blocks_{branch}.7.{norm}"] is rgb[f"backbone.blocks.7.{norm}"]
        assert two[f"backbone.norm_{branch}.bias"] is rgb["backbone.norm.bias"]
    large = authors_shapes("dropmae")
    positions = {name: large[name] for name in large if "pos_embed" in name}
    assert srtrack_variant(from_rgb_tracker(rgb, positions)) == VARIANTS["384"]  # no temporal vectors from there
    assert srtrack_variant(from_rgb_tracker(rgb | positions)) == VARIANTS["dropmae"]
    with pytest.raises(ValueError, match="pos_embed_z"):
        from_rgb_tracker(rgb, {})


def build(name="srtrack-base", noise=0.1, **overrides):
    torch.manual_seed(0)
    options = SMALL | ({"fusion_blocks": (1, 3)} if name.startswith("srtrack") else {}) | overrides
    model = models.create(name, **options).eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(noise * torch.randn(parameter.shape, generator=g))
    return model


def images(batch=2, keys=("rgb", "depth")):
    g = torch.Generator().manual_seed(2)
    return [{key: torch.randn(batch, 3, size, size, generator=g) for key in keys} for size in (64, 128)]


def close(a, b, tolerance=1e-5):
    for field in ("score_map", "size_map", "offset_map"):
        torch.testing.assert_close(getattr(a, field), getattr(b, field), rtol=0, atol=tolerance)


@pytest.mark.parametrize("options", [{}, {"lora_ranks": (2, 3)}, {"fuse_gate_init": 1e-2}])
def test_a_copy_of_an_rgb_tracker_starts_as_that_tracker_in_each_branch(options):
    base = build("ostrack-base", elimination_blocks=())
    model = build(noise=0, fusion_blocks=(), **options)
    report = models.start_from(model, base)
    assert all("lora" in name for name in report.missing)
    template, search = images(keys=("rgb",))
    alone = base(template, search)
    for key in ("rgb", "event"):
        close(model({key: template["rgb"]}, {key: search["rgb"]}), alone)
    both = ({"rgb": x["rgb"], "event": x["rgb"]} for x in (template, search))
    close(model(*both), alone)
    model = build(noise=0, **options)
    report = models.start_from(model, base)
    assert all("lora" in name or "gate" in name for name in report.missing)
    first = dict(model.cross_blocks[1].named_parameters())
    assert torch.equal(first["mlp.fc1.weight"], base.blocks[3].mlp.fc1.weight)


def test_the_tiny_size_starts_close_to_its_base():
    base = build("ostrack-tiny", noise=0)
    model = build("srtrack-tiny", noise=0, fusion_blocks=(1, 3))
    models.start_from(model, base)
    template, search = images(keys=("rgb",))
    alone = base(template, search)
    both = [{"rgb": x["rgb"], "event": x["rgb"]} for x in (template, search)]
    for pair in ((template, search), both):
        torch.testing.assert_close(model(*pair).size_map, alone.size_map, rtol=0, atol=0.02)
        assert not torch.equal(model(*pair).size_map, alone.size_map)  # the gate is nearly closed, not closed


def test_low_rank_layers_say_what_their_merged_weights_say():
    low, plain = build(lora_ranks=(2, 3)), build()
    merged = {k: v.clone() for k, v in low.state_dict().items() if "lora" not in k}
    for name, tensor in low.state_dict().items():
        if name.endswith("lora_A"):
            change = low.state_dict()[name.replace("lora_A", "lora_B")] @ tensor
            assert change.abs().max() > 0.01
            merged[name.replace("lora_A", "weight")] += change / tensor.shape[0]
    plain.load_state_dict(merged)
    with torch.inference_mode():
        close(low(*images()), plain(*images()))
    close(low(*images()), plain(*images()))


def test_temporal_vectors_are_further_positions():
    with_them, without = build(temporal_positions=True), build()
    state = {k: v.clone() for k, v in with_them.state_dict().items()}
    for role in ("template", "search"):
        vector = state.pop(f"temporal_{role}")
        assert vector.abs().max() > 0.01
        state[f"pos_{role}"] += vector
    without.load_state_dict(state)
    close(with_them(*images()), without(*images()))


def test_the_sensors_meet_in_the_fusion_blocks_only():
    """Without fusion the output is the mean of what both branches say, so each one's change adds to the other's."""
    template, search = images(batch=1)
    other = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(3))
    for stages, mixed in (((), False), ((1,), True)):
        model = build(fusion_blocks=stages)
        a = model(template, search).features
        b = model(template, {**search, "rgb": other}).features
        c = model(template, {**search, "depth": other}).features
        d = model(template, {"rgb": other, "depth": other}).features
        assert ((d - b - c + a).abs().max() > 1e-3) == mixed


@pytest.mark.parametrize(("missing", "broken"), [("depth", "_x."), ("rgb", "")])
def test_a_missing_sensor_leaves_its_branch_untouched(missing, broken):
    model = build()
    template, search = images()
    present = {missing: torch.tensor([False, False])}
    before = model(template, search, present)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            branch = name.split(".")[0]
            if (branch in ("patch_embed_x", "blocks_x", "norm_x")) if broken else branch in ("patch_embed", "blocks"):
                parameter.fill_(float("nan"))
    close(model(template, search, present), before, 0)
    assert model(template, search).score_map.isnan().any()
    assert "fusion" in model.missing_policy


def test_wrong_settings_are_told():
    for options in ({"elimination_blocks": (1,)}, {"fusion_blocks": (1, 9)}, {"lora_ranks": (0, 1)}):
        with pytest.raises(ValueError, match=r"elimination_blocks|fusion_blocks|rank"):
            build(**options)
