# SPDX-License-Identifier: Apache-2.0
"""Recipes, the command line, and a real tiny model from start to weights file."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy import BuildSampler

from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.command import cli_main, parse
from modaltrack.training.held_out import held_out_losses
from modaltrack.training.loop import train
from modaltrack.training.recipe import Group, Recipe
from modaltrack.training.recipes import get_recipe
from modaltrack.training.start import build_model, export, start_weights

SMALL = {"dim": 48, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}


def test_fields_are_options() -> None:
    words = ["sdstrack-tiny-scenes", "--out", "o", "--lr", "0.1", "--modalities", "depth", "--trainable.1.lr", "0.1"]
    options = parse([*words, "--model-options", "drop_path", "0.1", "--amp", "none", "--no-export"])
    assert options.recipe.lr == 0.1
    assert options.recipe.modalities == ("depth",)
    assert options.recipe.trainable[1].lr == 0.1
    assert options.recipe.model_options == {"drop_path": 0.1}
    assert options.out == Path("o")
    assert not options.export
    assert parse(["ostrack-tiny-scenes", "--out", "o"]).recipe == get_recipe("ostrack-tiny-scenes")
    mix = parse(["ostrack-tiny-scenes", "--out", "o", "--input-mix.depth", "0.5"]).recipe.input_mix
    assert mix["depth"] == 0.5


def test_mistakes_on_the_command_line_are_told(capsys) -> None:
    assert cli_main(["ostrack-huge", "--out", "o"]) == 2
    assert "no recipe called 'ostrack-huge'; did you mean ostrack-base-rgb or" in capsys.readouterr().err
    assert cli_main(["ostrack-tiny-scenes", "--out", "o", "--batch", "0"]) == 2
    assert "batch is 0" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        cli_main(["ostrack-tiny-scenes", "--out", "o", "--learning-rat", "1"])
    assert left.value.code == 2
    assert "learning-rat" in capsys.readouterr().err
    assert cli_main([]) == 2
    assert cli_main(["list"]) == 0
    told = capsys.readouterr().out
    assert "sdstrack-tiny-scenes" in told
    assert max(map(len, told.splitlines())) <= 120
    assert cli_main(["sdstrack-base-lasher", "--out", "o"]) == 2
    assert "OSTrack_ep0300.pth.tar" in capsys.readouterr().err
    assert not Path("o").exists()
    assert cli_main(["ostrack-tiny-scenes", "--out", "o", "--memory", "0.001"]) == 2
    assert "One sample of ostrack-tiny-scenes needs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modalities": ("sonar",)}, "sonar"),
        ({"modalities": ("rgb", "depth")}, "leave rgb out"),
        ({"modalities": ("depth",), "input_mix": {"rgb": 1.0}}, "single-stream"),
        ({"input_mix": {"rgb": 0.0}}, "not all 0"),
        ({"ema": 1.0}, "ema"),
        ({"lr": 0.0}, "lr > 0"),
    ],
)
def test_recipes_that_make_no_sense_are_errors(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(Recipe("r", "ostrack-tiny"), **change)


def test_listing_recipes_needs_no_torch() -> None:
    code = "import sys, modaltrack.training.command as c; c.cli_main(['list']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_base_then_two_sensors_then_weights_that_load(tmp_path: Path) -> None:
    from modaltrack.models import load_model

    frozen_base = (Group("adapters|fusions|patch_embed_x"), Group("norm"), Group("", 0.0))
    common = {"steps": 2, "batch": 4, "log_every": 1, "warmup": 0, "amp": "none", "workers": 0, "time_budget_s": None}
    base = replace(get_recipe("ostrack-tiny-scenes"), model_options=SMALL, **common)
    train(base, tmp_path / "base", "cpu", threads=1, make_sampler=BuildSampler())
    first = export(tmp_path / "base", thresholds={"tracking": 0.5, "lost": 0.2})
    both = replace(
        get_recipe("sdstrack-tiny-scenes"),
        model_options={**SMALL, "fusion_blocks": (1,)}, start_from=str(first), objective="masked-published",
        trainable=frozen_base, **common,
    )  # fmt: skip
    card = train(both, tmp_path / "both", "cpu", threads=1, make_sampler=BuildSampler())
    names = list(load_model(first).state_dict())
    assert card["start"]["copied"] == len(names) + sum(n.startswith("patch_embed.") for n in names)  # X's stem too
    assert all(n.startswith(("adapters.", "fusions.")) for n in card["start"]["fresh"])
    model = load_model(export(tmp_path / "both"), device="cpu")
    base_weights = load_model(first, device="cpu").state_dict()
    frozen = [n for n in base_weights if not n.startswith("norm.")]
    assert all(torch.equal(model.state_dict()[n], base_weights[n]) for n in frozen)
    assert not torch.equal(model.norm.weight, base_weights["norm.weight"])
    assert model.card["name"] == "sdstrack-tiny-scenes"
    assert model.card["encodings"].keys() == {"rgb", "thermal", "depth", "event"}
    assert model.card["steps"] == 2
    assert load_model(first).card["thresholds"] == {"tracking": 0.5, "lost": 0.2}


def small_sdstrack(out: Path, sampler: BuildSampler) -> None:
    """The real recipe at a small size; importable by name: the killed run has a process of its own."""
    recipe = replace(
        get_recipe("sdstrack-tiny-scenes"), model_options={**SMALL, "fusion_blocks": (1,)}, start_from=None,
        steps=4, batch=4, save_every=2, log_every=1, workers=0, time_budget_s=None,
    )  # fmt: skip
    train(recipe, out, "cpu", threads=1, make_sampler=sampler)


def test_the_real_recipe_killed_and_restarted_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    small_sdstrack(whole, BuildSampler())
    code = f"import test_train_command as t; t.small_sdstrack(t.Path({str(broken)!r}), t.BuildSampler(kill_at=3))"
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, env=here, timeout=240, check=False)
    assert killed.returncode == -signal.SIGKILL
    halfway = load_checkpoint(broken / "checkpoint.safetensors")
    assert halfway.rest["totals"]["step"] == 2
    small_sdstrack(broken, BuildSampler())
    wanted, found = (load_checkpoint(folder / "checkpoint.safetensors") for folder in (whole, broken))
    for part in ("model", "average", "optimizer"):
        assert all(torch.equal(found.part(part)[name], tensor) for name, tensor in wanted.part(part).items())
    assert any(not torch.equal(halfway.part("model")[n], t) for n, t in wanted.part("model").items())


def test_the_loss_before_and_after_on_the_same_pairs(tmp_path: Path) -> None:
    recipe = Recipe("r", "ostrack-tiny", SMALL, steps=12, batch=8, warmup=0, lr=3e-3, ema=0.0, save_every=20)
    train(recipe, tmp_path, "cpu", threads=1, make_sampler=BuildSampler())
    before, after = held_out_losses(recipe, tmp_path, 2, BuildSampler())
    assert after < before - 0.1
    assert held_out_losses(replace(recipe, start_from=str(tmp_path)), tmp_path, 2, BuildSampler())[0] == after


def test_weights_of_another_size_are_no_start(tmp_path: Path) -> None:
    recipe = Recipe("r", "ostrack-tiny", SMALL, steps=1, batch=2, trainable=(Group(""),))
    train(recipe, tmp_path, "cpu", threads=1, make_sampler=BuildSampler())
    start_weights(build_model(recipe), str(tmp_path))
    with pytest.raises(ValueError, match="is no start for OSTrack"):
        start_weights(build_model(replace(recipe, model_options={**SMALL, "dim": 96})), str(tmp_path))


def test_the_docs_hold_the_table_of_recipes(capsys) -> None:
    assert cli_main(["list", "--markdown"]) == 0
    docs = Path(__file__).resolve().parents[2] / "docs" / "training.md"
    assert capsys.readouterr().out in docs.read_text(encoding="utf-8"), "modaltrack train list --markdown, and paste it"
