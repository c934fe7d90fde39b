# SPDX-License-Identifier: Apache-2.0
"""What runs start from: other people's RGB trackers, and the baselines' choice of what learns."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy import BuildSampler

from modaltrack import models
from modaltrack.training.adaptation import adapt, additions, as_adapted, merged
from modaltrack.training.loop import train
from modaltrack.training.optim import build_optimizer
from modaltrack.training.recipe import Group, Recipe
from modaltrack.training.recipes.starts import DROPTRACK_384, OSTRACK_256
from modaltrack.training.start import build_model, export, start_weights

SMALL = {"dim": 48, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
TWO = {**SMALL, "fusion_blocks": (1,)}


def as_published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its tensors under the names of an OSTrack's checkpoint."""
    names = {}
    for name, tensor in model.state_dict().items():
        theirs = re.sub(r"head\.(\w+)\.4\.", r"box_head.conv5_\1.", name)
        theirs = re.sub(
            r"head\.(\w+)\.(\d)\.(conv|norm)\.",
            lambda m: f"box_head.conv{int(m[2]) + 1}_{m[1]}.{0 if m[3] == 'conv' else 1}.",
            theirs,
        )
        theirs = {"pos_template": "pos_embed_z", "pos_search": "pos_embed_x"}.get(theirs, theirs)
        names[theirs if theirs.startswith("box_head") else f"backbone.{theirs}"] = tensor
    return {**names, "backbone.cls_token": torch.zeros(1, 1, 48)}


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    base = models.create("ostrack-base", **SMALL)
    torch.save({"epoch": 300, "net": as_published(base)}, tmp_path / OSTRACK_256)
    return tmp_path / OSTRACK_256, base


@pytest.mark.parametrize("method", ["ostrack", "sdstrack", "srtrack", "smstracker", "ainet", "tpf"])
def test_an_authors_checkpoint_is_a_start_for_every_method(method: str, published) -> None:
    path, base = published
    options = {**SMALL, **({"fusion_blocks": (1,)} if method in ("sdstrack", "srtrack", "ainet") else {})}
    model = models.create(f"{method}-base", **options)
    report = start_weights(model, str(path))
    mine = model.state_dict()
    assert all(torch.equal(mine[name], tensor) for name, tensor in base.state_dict().items())
    assert report["copied"] >= len(base.state_dict())
    if method == "srtrack":
        assert torch.equal(mine["blocks_x.1.attn.qkv.weight"], mine["blocks.1.attn.qkv.weight"])
        assert report["fresh"] == []


def test_positions_of_a_droptrack_are_resized_and_its_frame_vectors_folded_in(tmp_path: Path) -> None:
    large = models.create("ostrack-base", **{**SMALL, "template_size": 48, "search_size": 96})
    state = as_published(large)
    state["backbone.temporal_pos_embed_z"] = torch.full((1, 1, 48), 0.5)
    state["backbone.temporal_pos_embed_x"] = torch.full((1, 1, 48), -0.5)
    state["backbone.pos_embed_z"] = torch.full((1, 9, 48), 2.0)
    torch.save({"net": state}, tmp_path / DROPTRACK_384)
    ainet = models.create("ainet-base", **TWO)
    start_weights(ainet, str(tmp_path / DROPTRACK_384))
    assert torch.allclose(ainet.pos_template, torch.full((1, 4, 48), 2.5))
    table = large.pos_search.detach()[0].T.reshape(1, 48, 6, 6)
    wanted = torch.nn.functional.interpolate(table, (4, 4), mode="bilinear", align_corners=False)
    assert torch.allclose(ainet.pos_search.detach(), wanted.flatten(2).transpose(1, 2) - 0.5)
    with_room = models.create("srtrack-base", **TWO, temporal_positions=True)
    start_weights(with_room, str(tmp_path / DROPTRACK_384))
    assert torch.allclose(with_room.pos_template, torch.full((1, 4, 48), 2.0))
    assert torch.all(with_room.temporal_search == -0.5)


def test_positions_may_come_from_a_second_file(tmp_path: Path, published) -> None:
    other = models.create("ostrack-base", **SMALL)
    frames = {f"backbone.temporal_pos_embed_{role}": torch.ones(1, 1, 48) for role in "zx"}  # not added here
    torch.save({"net": as_published(other) | frames}, tmp_path / DROPTRACK_384)
    model = models.create("srtrack-base", **TWO)
    report = start_weights(model, str(published[0]), positions_from=str(tmp_path / DROPTRACK_384))
    assert torch.equal(model.pos_search, other.pos_search)
    assert torch.equal(model.norm.weight, published[1].norm.weight)
    assert DROPTRACK_384 in report["from"]


def test_a_vision_transformer_of_mae_starts_the_backbone(tmp_path: Path, published) -> None:
    tracker = {k: v for k, v in as_published(published[1]).items() if "pos_embed" not in k and "box_head" not in k}
    state = {k.removeprefix("backbone."): v for k, v in tracker.items()}
    torch.save({"model": {**state, "pos_embed": torch.ones(1, 197, 48)}}, tmp_path / "mae_pretrain_vit_base.pth")
    model = models.create("ostrack-base", **SMALL)
    report = start_weights(model, str(tmp_path / "mae_pretrain_vit_base.pth"))
    assert torch.allclose(model.pos_search, torch.ones(1, 16, 48))
    assert all(name.startswith("head.") for name in report["fresh"])


def test_wrong_files_are_told_in_one_sentence(tmp_path: Path, published) -> None:
    model = models.create("sdstrack-base", **TWO)
    with pytest.raises(ValueError, match=r"There is no file .*OSTrack_ep0300.*model zoo.*--start-from FILE\.$"):
        start_weights(model, "somewhere/" + OSTRACK_256)
    with pytest.raises(ValueError, match="SHA-256"):
        start_weights(model, str(published[0]), sha256="0" * 64)
    start_weights(model, str(published[0]), sha256=hashlib.sha256(published[0].read_bytes()).hexdigest())
    torch.save({"net": {"fc.weight": torch.zeros(2)}}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"no RGB tracker to start from: it holds 1 tensors.*fc\.weight"):
        start_weights(model, str(tmp_path / "resnet.pth"))


def test_a_part_only(tmp_path: Path, published) -> None:
    model = models.create("ostrack-base", **SMALL)
    fresh = model.pos_search.clone()
    report = start_weights(model, str(published[0]), only=r"blocks\.")
    assert torch.equal(model.blocks[0].attn.qkv.weight, published[1].blocks[0].attn.qkv.weight)
    assert torch.equal(model.pos_search, fresh)
    assert not [name for name in report["fresh"] if name.startswith("blocks.")]
    with pytest.raises(ValueError, match="No tensor"):
        start_weights(model, str(published[0]), only="nothing")


RECIPE = Recipe("r", "sdstrack-tiny", TWO, modalities=("thermal",), steps=2, batch=2, warmup=0, ema=0.0, lr=0.05)


def learning(adaptation: str, recipe: Recipe = RECIPE) -> set[str]:
    recipe = replace(recipe, adaptation=adaptation)
    model = adapt(build_model(recipe), recipe)
    build_optimizer(model, as_adapted(recipe, model))
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_which_parameters_learn_under_each_adaptation() -> None:
    names = {name for name, _ in build_model(RECIPE).named_parameters()}
    assert learning("recipe", replace(RECIPE, trainable=(Group("norm"),))) == {"norm.weight", "norm.bias"}
    assert learning("full") == names
    assert learning("head") == {name for name in names if name.startswith("head.")}
    assert learning("adapters") == {n for n in names if n.startswith(("adapters.", "fusions.", "patch_embed_x."))}
    lora = learning("lora")
    assert len(lora) == 2 * 2 * 2  # A and B of qkv and proj in two blocks
    assert all("attn" in name and "lora_" in name for name in lora)
    branches = replace(RECIPE, model="srtrack-tiny")
    assert {"blocks_x", "cross_blocks"} <= {name.split(".")[0] for name in learning("adapters", branches)}
    assert len(learning("lora", branches)) == 2 * 2 * 5  # two branches of two blocks and a fusion block
    with pytest.raises(ValueError, match="adds nothing"):
        learning("adapters", Recipe("r", "ostrack-tiny", SMALL))
    with pytest.raises(ValueError, match="not built on an OSTrack"):
        additions(torch.nn.Linear(2, 2))


def test_a_low_rank_run_ships_plain_weights_that_answer_the_same(tmp_path: Path) -> None:
    recipe = replace(RECIPE, adaptation="lora", lora_rank=4)
    train(recipe, tmp_path, "cpu", threads=1, make_sampler=BuildSampler())
    with pytest.raises(ValueError, match="adaptation lora -> full"):
        train(replace(recipe, adaptation="full"), tmp_path, "cpu", threads=1, make_sampler=BuildSampler())
    from modaltrack.training.checkpoint import load_checkpoint

    trained = load_checkpoint(tmp_path / "checkpoint.safetensors").part("average")
    model = adapt(build_model(recipe), recipe)
    model.load_state_dict(trained)
    plain = build_model(recipe)
    plain.load_state_dict(merged(trained))
    torch.manual_seed(0)
    template, search = ({m: torch.randn(2, 3, size, size) for m in ("rgb", "thermal")} for size in (32, 64))
    with torch.no_grad():
        wanted, found = model.eval()(template, search), plain.eval()(template, search)
    assert torch.allclose(wanted.score_map, found.score_map, atol=1e-6)
    assert torch.allclose(wanted.boxes, found.boxes, atol=1e-5)
    change = "blocks.0.attn.qkv.parametrizations.weight."
    assert trained[f"{change}0.lora_B"].abs().max() > 0
    assert not torch.equal(trained[f"{change}original"], plain.state_dict()["blocks.0.attn.qkv.weight"])
    loaded = models.load_model(export(tmp_path), device="cpu")
    assert loaded.state_dict().keys() == plain.state_dict().keys()
    start_weights(build_model(RECIPE), str(tmp_path))  # a run of it is a start for another
