# SPDX-License-Identifier: Apache-2.0
"""``modaltrack train RECIPE --data FOLDER``: from ten pictures in a folder to weights, and what it says otherwise."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toy import RECIPE, make_toy

from modaltrack import models
from modaltrack.training.command import cli_main, parse
from modaltrack.training.data import BatchSource
from modaltrack.training.fingerprint import fingerprint
from modaltrack.training.loop import train
from modaltrack.training.record import read_log
from modaltrack.training.samplers import PairRequest, folders_of, sampler_builder
from modaltrack.training.sheet import TILE


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Ten pictures of a bright disc on noise, with boxes."""
    folder, rng, lines = tmp_path_factory.mktemp("own"), np.random.default_rng(0), []
    (folder / "images").mkdir()
    for n in range(10):
        image = rng.integers(0, 120, (90, 120, 3), np.uint8)
        x, y, r = (int(v) for v in (rng.integers(30, 90), rng.integers(30, 60), rng.integers(12, 25)))
        cv2.circle(image, (x, y), r, (40, 220, 240), -1)
        cv2.imwrite(str(folder / f"images/{n}.jpg"), image)
        lines.append(f"{n}.jpg {x - r} {y - r} {2 * r} {2 * r} disc")
    (folder / "boxes.txt").write_text("\n".join(lines))
    return folder


def recipe(folder: Path, **changes):
    return replace(RECIPE, modalities=(), modality_dropout=0.0, data={str(folder): 1.0}, **changes)


def test_a_run_on_ten_pictures_learns(pictures: Path, tmp_path: Path) -> None:
    card = train(recipe(pictures, steps=60, batch=8, lr=2e-2), tmp_path, "cpu", threads=1, make_model=make_toy)
    assert card["finished"]
    assert card["data"] == {"pictures": {"pictures": 10, "targets": 0, "records": card["data"]["pictures"]["records"]}}
    losses = [line["losses"]["total"] for line in read_log(tmp_path) if "losses" in line]
    assert np.mean(losses[-15:]) < 0.8 * np.mean(losses[:5])


def test_two_hundred_steps_of_a_recipe_from_the_command_line(pictures: Path, tmp_path: Path, capsys) -> None:
    words = ["ostrack-tiny-scenes", "--data", str(pictures), "--out", str(tmp_path), "--steps", "200", "--batch", "1"]
    words += ["--input-mix.thermal", "0", "--input-mix.depth", "0", "--input-mix.event", "0"]
    words += ["--workers", "0", "--amp", "none", "--log-every", "10", "--threads", "1", "--time-budget-s", "None"]
    assert cli_main(words) == 0
    losses = [line["losses"]["total"] for line in read_log(tmp_path) if "losses" in line]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert models.load_model(tmp_path / "ostrack-tiny-scenes.safetensors", "cpu").config.search_size == 128


def test_batches_are_a_function_of_recipe_and_step(pictures: Path) -> None:
    a, b = (BatchSource(recipe(pictures), 16, 32) for _ in range(2))
    a(0)
    first, again = a(4)[0], b(4)[0]
    assert (first.search["rgb"] == again.search["rgb"]).all()
    assert (first.box == again.box).all()
    assert (first.search["rgb"] != a(5)[0].search["rgb"]).any()
    assert (BatchSource(recipe(pictures, seed=1), 16, 32)(4)[0].search["rgb"] != first.search["rgb"]).any()


def test_what_changes_the_samples_changes_the_fingerprint(pictures: Path, tmp_path: Path) -> None:
    before = fingerprint(recipe(pictures))
    (tmp_path / "images").symlink_to(pictures / "images")
    (tmp_path / "boxes.txt").write_text((pictures / "boxes.txt").read_text().replace("0.jpg ", "0.jpg 1", 1))
    assert fingerprint(recipe(tmp_path)) != before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"FOLDER": 2.0}}, "has the weight 2.0; folders are drawn from alike"),
        ({"data": {"FOLDER": 1.0, "lasher": 1.0}}, "on benchmarks or on folders of pictures, not on both"),
        ({"augment": {"sparkle": 1.0}}, "There is no augmentation 'sparkle' of pictures: choose among"),
        ({"templates": 2}, "Pictures give one template"),
    ],
)
def test_what_pictures_cannot_give_is_one_sentence(pictures: Path, changes, says: str) -> None:
    data = {k.replace("FOLDER", str(pictures)): v for k, v in changes.get("data", {"FOLDER": 1.0}).items()}
    wrong = replace(recipe(pictures), **{**changes, "data": data})
    with pytest.raises(ValueError, match=says):
        sampler_builder(wrong)(PairRequest(("rgb",), 16, 32, 0, "cpu", 1))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no folder"):
        fingerprint(recipe(tmp_path / "none"))


def test_augmentations_are_the_fields_of_the_composition_and_the_shares(pictures: Path) -> None:
    asked = PairRequest(("rgb",), 16, 32, 0, "cpu", 1)
    plain = sampler_builder(recipe(pictures))(asked)
    turned = sampler_builder(recipe(pictures, augment={"turn": 90.0, "grey": 1.0, "rendered": 0.5}))(asked)
    assert turned.how.turn == 90.0
    assert turned.how.degradation.grey == 1.0
    assert turned.how.zoom == plain.how.zoom
    assert (turned.shares.rendered, turned.shares.clips) == (0.5, plain.shares.clips)


def test_names_of_benchmarks_stay_benchmarks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lasher").mkdir()
    (tmp_path / "mine").mkdir()
    assert folders_of(replace(RECIPE, data={"lasher": 1.0})) == []
    assert folders_of(replace(RECIPE, data={"./lasher": 1.0})) == [Path("lasher")]
    assert folders_of(replace(RECIPE, data={"mine": 1.0})) == [Path("mine")]
    with pytest.raises(ValueError, match="Nor is there a folder nothing: give the path of yours"):
        folders_of(replace(RECIPE, data={"nothing": 1.0}))


def test_the_weight_of_a_folder_may_be_left_out() -> None:
    words = ["ostrack-tiny-scenes", "--data", "a/b", "--out", "x"]
    assert parse(words).recipe.data == {"a/b": 1.0}
    assert parse(["ostrack-tiny-scenes", "--data", "a", "c/d", "--out", "x"]).recipe.data == {"a": 1.0, "c/d": 1.0}
    # a recipe that names data of its own takes others all the same
    assert parse(["modaltrack-laptop-pictures", "--data", "mine", "--out", "x"]).recipe.data == {"mine": 1.0}
    assert parse(["modaltrack-laptop-pictures", "--out", "x"]).recipe.data == {"pictures": 1.0}
    assert parse(["ostrack-tiny-scenes", "--data", "lasher", "2", "visevent", "0.5", "--out", "x"]).recipe.data == {
        "lasher": 2.0,
        "visevent": 0.5,
    }


def test_pictures_are_seen_by_all_sensors_of_the_recipe(pictures: Path) -> None:
    many = replace(recipe(pictures), modalities=("thermal", "depth", "event"), together=0, batch=2)
    (batch,) = BatchSource(many, 16, 32)(3)
    assert list(batch.search) == ["rgb", "thermal", "depth", "event"]
    assert all(len(torch.unique(batch.search[m])) > 1 for m in batch.search)
    pairs = replace(many, together=2)
    assert {tuple(BatchSource(pairs, 16, 32)(step)[0].search) for step in range(8)} == {
        ("rgb", "thermal"),
        ("rgb", "depth"),
        ("rgb", "event"),
    }


def test_the_sheet_shows_what_the_model_will_see(pictures: Path, tmp_path: Path, capsys) -> None:
    words = ["ostrack-tiny-scenes", "--data", str(pictures), "--input-mix.thermal", "0", "--input-mix.depth", "0"]
    words += ["--input-mix.event", "0", "--sheet", str(tmp_path / "sheet.png")]
    assert cli_main(words) == 0
    assert "48 pairs" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    assert sheet.shape == (6 * (TILE + 4), 8 * (TILE + TILE // 2 + 4), 3)
    shown = replace(parse([*words[:-2], "--out", "x"]).recipe, batch=48)
    batch = BatchSource(shown, 64, 128)(0)[0]
    crop = batch.search["rgb"][0].permute(1, 2, 0).numpy()
    drawn = sheet[:TILE, TILE // 2 : TILE // 2 + TILE].astype(int)
    wanted = cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_AREA)
    assert (np.abs(drawn - wanted).sum(2) < 3).mean() > 0.9  # all but the box
    assert not (tmp_path / "x").exists()


def test_a_sheet_of_another_kind_and_a_run_without_a_folder_are_errors(pictures: Path, tmp_path: Path, capsys) -> None:
    start = ["ostrack-tiny-scenes", "--data", str(pictures)]
    assert cli_main([*start, "--sheet", str(tmp_path / "sheet.gif")]) == 2
    assert "suffix '.gif'; give one of .jpg" in capsys.readouterr().err
    assert cli_main(start) == 2
    assert "give --out DIR" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
