# SPDX-License-Identifier: Apache-2.0
"""Every way a weight file can be wrong has its own sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modaltrack import models

TINY = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 16}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.safetensors"
    models.save_model(models.create("ostrack-tiny", **TINY), path, {"licence": "Apache-2.0"})
    return path


def rewrite(path, change=lambda tensors: None, card=None):
    _, old = models.read_weights(path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, None if card == {} else {"card": json.dumps(card or old)})


def test_not_found(tmp_path):
    with pytest.raises(ValueError, match="no weight file"):
        models.load_model(tmp_path / "none.safetensors")


def test_cut_short(path):
    data = path.read_bytes()
    for end in (100, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match="cut short"):
            models.load_model(path)


def test_not_safetensors(path):
    path.write_bytes(b"hello, this is not a weight file at all")
    with pytest.raises(ValueError, match="not a safetensors"):
        models.load_model(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_not_opened(tmp_path, zipped):
    path = tmp_path / "a.pth"
    torch.save({"net": {}}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="pickle"):
        models.load_model(path)


def test_without_card(path):
    rewrite(path, card={})
    with pytest.raises(ValueError, match="card"):
        models.load_model(path)


def test_nan(path):
    rewrite(path, lambda tensors: tensors["norm.weight"].fill_(float("nan")))
    with pytest.raises(ValueError, match=r"norm\.weight"):
        models.load_model(path)


def test_wrong_shape_and_missing(path):
    rewrite(path, lambda tensors: tensors.update({"norm.weight": torch.ones(7, dtype=torch.float16)}))
    with pytest.raises(ValueError, match=r"norm\.weight is \(7,\) instead of \(32,\)"):
        models.load_model(path)
    rewrite(path, lambda tensors: tensors.pop("norm.weight"))
    with pytest.raises(ValueError, match=r"norm\.weight is missing"):
        models.load_model(path)


def test_unknown_model_in_the_card(path):
    rewrite(path, card={"method": "ostrak", "size": "tiny"})
    with pytest.raises(ValueError, match="did you mean ostrack-tiny"):
        models.load_model(path)


def test_unknown_names():
    with pytest.raises(ValueError, match="did you mean"):
        models.load_model("sdtrack-tiny")
    with pytest.raises(ValueError, match="did you mean"):
        models.create("sdtrack-tiny")
    with pytest.raises(ValueError, match="No weights come with ostrack-base"):
        models.load_model("ostrack-base")
    with pytest.raises(ValueError, match="no setting colour"):
        models.create("ostrack-tiny", colour=1)


def test_a_shipped_name_is_suggested_once():
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - counted below
        models.load_model("srtrack-tini")
    assert str(raised.value).count("srtrack-tiny") == 1


def test_nothing_is_written_when_a_weight_is_not_finite(tmp_path):
    model = models.create("ostrack-tiny", **TINY)
    model.norm.weight.data[0] = float("inf")
    with pytest.raises(ValueError, match=r"norm\.weight"):
        models.save_model(model, tmp_path / "a.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_a_foreign_gpu_is_told(path):
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no GPU"):
            models.load_model(path, device="cuda")


def test_header_length_may_look_like_a_pickle(tmp_path):
    """A file begins with its header's length: a first byte of 0x80, a pickle's, is chance (and has happened to us)."""
    path, model = tmp_path / "w.safetensors", models.create("ostrack-tiny", dim=32, depth=1, heads=1, head_channels=8)
    for filler in range(300):
        models.save_model(model, path, {"name": "w", "note": "x" * filler})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert models.load_model(path, device="cpu").card["name"] == "w"


def test_what_was_frozen_is_read_from_the_base(tmp_path):
    model = models.create("srtrack-tiny")
    models.start_from(model, models.load_model("ostrack-tiny", device="cpu"))
    with torch.no_grad():
        model.blocks_x[2].mlp.fc1.weight.mul_(2)
    whole, rest = tmp_path / "whole.safetensors", tmp_path / "rest.safetensors"
    models.save_model(model, whole, {})
    models.save_model(model, rest, {}, base="ostrack-tiny")
    stored, card = models.read_weights(rest)
    assert "blocks_x.2.mlp.fc1.weight" in stored
    assert not {"blocks_x.1.mlp.fc1.weight", "cross_blocks.0.mlp.fc1.weight", "head.score.0.0.weight"} & set(stored)
    assert rest.stat().st_size < whole.stat().st_size / 10
    a, b = models.load_model(whole, device="cpu").state_dict(), models.load_model(rest, device="cpu").state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    card["base"]["sha256"] = "0" * 64
    rewrite(rest, card=card)
    with pytest.raises(ValueError, match="another ostrack-tiny"):
        models.load_model(rest)
    with pytest.raises(ValueError, match="under the name nothing"):
        models.save_model(model, rest, {}, base="nothing")


def test_the_docs_hold_the_table_of_what_the_weights_reach(capsys: pytest.CaptureFixture[str]) -> None:
    from modaltrack.cli import main

    assert main(["models", "results", "--markdown"]) == 0
    docs = Path(__file__).resolve().parents[2] / "docs" / "models.md"
    told = "modaltrack models results --markdown, and paste it"
    assert capsys.readouterr().out.strip() in docs.read_text(encoding="utf-8"), told


def test_a_table_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack.cli import main

    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["models", "results"]) == 0
    assert "…" not in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["models", "results"]) == 0
    assert "…" in capsys.readouterr().out


def test_cards_of_different_clips_make_different_tables() -> None:
    from modaltrack.models.measured import on_real_clips, on_scenes

    cards = {
        "a": {
            "measured": {"scenes-1 test, 40 clips": {"rgb": {"success": 0.5}}, "real clips, success": {"c rgb": 0.1}}
        },
        "b": {"measured": {"real clips, success": {"c rgb": 0.3, "c depth": 0.5, "c rgb+depth": 0.7}}},
        "c": {},
    }
    ((what, columns, rows),) = on_scenes(cards)
    assert (what, columns) == ("scenes-1 test, 40 clips", ("sensors", "a"))
    assert rows == [("hours of training", "0.0"), ("rgb", "0.500")]
    columns, rows = on_real_clips(cards)
    assert columns == ("clip and sensors", "a", "b")
    assert rows == [
        ("c rgb", "0.100", "0.300"),
        ("c depth", "–", "0.500"),
        ("c both", "–", "0.700"),
        ("mean, RGB alone", "0.100", "0.300"),
        ("mean, X alone", "–", "0.500"),
        ("mean, both", "–", "0.700"),
    ]
    cards["b"]["measured"]["scenes-1 test, 16 clips"] = {"rgb": {"success": 0.6}}
    assert [(what, columns[1:]) for what, columns, _ in on_scenes(cards)] == [
        ("scenes-1 test, 40 clips", ("a",)),
        ("scenes-1 test, 16 clips", ("b",)),
    ]


def test_status_and_pictures_of_cards() -> None:
    from modaltrack.models.measured import STATUS, on_status, picture_licences

    numbers = {"frames": 9, "auroc": 0.9, "tracking where off": 0.1}
    columns, rows = on_status({"a": {"measured": {STATUS: numbers}}, "b": {"measured": {}}, "c": {}})
    assert columns == ("", "a")
    assert rows[:3] == [
        ("frames", "9"),
        ("AUROC of the score", "0.900"),
        ("expected calibration error", "–"),
    ]
    assert ("tracking, box off", "0.100") in rows
    free, not_free = {"name": "a", "commercial": True}, {"name": "b", "commercial": False}
    assert picture_licences({"data": [free]}) == "free to use"
    assert picture_licences({"data": [free, not_free]}) == "non-commercial"
    assert picture_licences({"name": "x"}) == "rendered"
    assert picture_licences({}) == ""
