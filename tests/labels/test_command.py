# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from modaltrack.cli import main


@pytest.fixture(scope="module")
def tracked(cameras: Path, random_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    words = ["track", "--rgb", str(cameras / "rgb"), "--box", "20,20,16,12", "--box", "30,20,16,12"]
    assert main([*words, "--model", str(random_weights), "--out", str(folder), "--no-video"]) == 0
    return folder


def test_a_run_is_written_in_each_format(tracked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads((tracked / "result.json").read_text())["size"] == [96, 64]
    for form, place in (("cvat", "a.xml"), ("coco", "a.json"), ("mot", "seq")):
        where = tmp_path / place
        assert main(["results", "labels", str(tracked), "--to", form, "--out", str(where), "--category", "car"]) == 0
        assert where.exists()
        assert "2 targets in 6 frames" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["categories"] == [{"id": 1, "name": "car"}]
    assert main(["results", "labels", str(tracked), "--to", "mot", "--out", str(tmp_path / "seq")]) == 1
    assert "there already" in capsys.readouterr().err


def test_a_place_to_write_is_needed(tracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "labels", str(tracked)]) == 1
    assert "--out PATH" in capsys.readouterr().err
