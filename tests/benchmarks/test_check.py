# SPDX-License-Identifier: Apache-2.0
"""``modaltrack data``: what a whole and a broken download look like, resuming, paths, and that no torch is needed."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks import mini

from modaltrack.benchmarks import check_benchmark, config_file, find_root, open_benchmark
from modaltrack.benchmarks.check import Finding, memory_file
from modaltrack.cli import main


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MODALTRACK_DATA", "MODALTRACK_LASHER", "MODALTRACK_MV_RGBT", "MODALTRACK_RGBT210"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = main(["data", "check", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_whole_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.build("trackingnet", tmp_path / "data")
    code, facts = checked(capsys, "trackingnet", str(root), "--split", "test", "--deep")
    assert facts["broken"] == []
    assert facts["found"] == 2
    assert facts["frames"] == 2 * mini.LENGTH
    assert (code, facts["whole"]) == (1, False)  # 511 are expected
    assert facts["expected"] == 511


def test_the_whole_of_a_small_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.build("gtot", tmp_path / "data", count=50, length=2)
    assert main(["data", "check", "gtot", str(root)]) == 0
    assert "Whole: frames and annotation agree in every sequence" in capsys.readouterr().out


def break_it(root: Path) -> dict[str, str]:
    """Break five clips of RGBT210, each in its own way: name -> words that its finding must have."""
    names = mini.names_of("rgbt210", 6)
    mini.text(root / names[0] / "init.txt", mini.rows(4))
    (root / names[1] / "visible" / "00002v.jpg").write_bytes(b"")
    image = root / names[2] / "infrared" / "00003i.jpg"
    image.write_bytes(image.read_bytes()[:200])
    mini.text(root / names[3] / "init.txt", ["1,2,3,4", "1,2,x,4"])
    (root / names[4] / "init.txt").unlink()
    said = ["6 images and 4 boxes", "1 rgb image is empty", "cannot be decoded", "line 2", "There is no annotation"]
    return dict(zip(names, said, strict=False))


def test_every_broken_clip_is_named_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.build("rgbt210", tmp_path / "data", count=6)
    expected = break_it(root)
    code, facts = checked(capsys, "rgbt210", str(root), "--deep")
    found = {f["name"]: " ".join(f["problems"]) for f in facts["broken"]}
    assert code == 1
    assert found.keys() == expected.keys()
    for name, words in expected.items():
        assert words in found[name]
    assert len(facts["missing"]) == 204
    assert main(["data", "check", "rgbt210", str(root), "--deep"]) == 1
    table = capsys.readouterr().out
    assert "5 broken" in table
    assert all(name in table for name in expected)


def test_images_are_decoded_only_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.build("rgbt210", tmp_path / "data", count=6)
    names = list(break_it(root))
    _, facts = checked(capsys, "rgbt210", str(root))
    assert names[2] not in [f["name"] for f in facts["broken"]]


def test_a_check_that_was_stopped_goes_on(tmp_path: Path) -> None:
    root = mini.build("rgbt210", tmp_path / "data", count=4)
    memory = tmp_path / "memory.jsonl"

    def run(stop_after: int | None = None) -> list[bool]:
        remembered: list[bool] = []

        def said(finding: Finding, known: bool) -> None:
            remembered.append(known)
            if len(remembered) == stop_after:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            check_benchmark(open_benchmark("rgbt210", root, quiet=True), memory=memory, said=said)
        return remembered

    assert run(stop_after=2) == [False, False]
    with memory.open("a") as file:
        file.write('{"name": "half a li')  # killed in the middle of a line
    assert run() == [True, True, False, False]
    assert run() == [True] * 4
    mini.text(root / mini.names_of("rgbt210")[0] / "init.txt", mini.rows(3))
    assert run() == [False, True, True, True]


def test_an_earlier_shallow_look_does_not_serve_a_deep_one(tmp_path: Path) -> None:
    root = mini.build("rgbt210", tmp_path / "data")
    names = mini.names_of("rgbt210")
    (root / names[0] / "visible" / "00001v.jpg").write_bytes(b"no picture")
    opened = open_benchmark("rgbt210", root, quiet=True)
    memory = memory_file(opened)
    assert all(f.ok for f in check_benchmark(opened, memory=memory))
    deep = check_benchmark(opened, deep=True, memory=memory)
    assert "cannot be decoded" in deep[0].problems[0]
    assert not check_benchmark(opened, memory=memory)[0].ok  # and is remembered


def test_images_of_two_sizes_are_told(tmp_path: Path) -> None:
    root = mini.build("rgbt210", tmp_path / "data")
    first = mini.names_of("rgbt210")[0]
    mini.write(root / first / "visible" / "00002v.jpg", mini.picture(1, height=20, width=30))
    finding = check_benchmark(open_benchmark("rgbt210", root, quiet=True), deep=True)[0]
    assert finding.problems == ["The rgb images differ in size (30x20, 48x36)."]


def test_where_a_benchmark_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("told", "variable", "all/lasher", "toml", "root/LasHeR"):
        (tmp_path / place).mkdir(parents=True)
    own = f'[data]\nlasher = "{(tmp_path / "toml").as_posix()}"\n'
    assert config_file() == tmp_path / "config" / "modaltrack" / "config.toml"
    mini.text(config_file(), f'[data]\nroot = "{(tmp_path / "root").as_posix()}"\n')
    assert find_root("LasHeR") == tmp_path / "root" / "LasHeR"
    mini.text(config_file(), own)
    assert find_root("LasHeR") == tmp_path / "toml"
    monkeypatch.setenv("MODALTRACK_DATA", str(tmp_path / "all"))
    assert find_root("LasHeR") == tmp_path / "all" / "lasher"
    monkeypatch.setenv("MODALTRACK_LASHER", str(tmp_path / "variable"))
    assert find_root("LasHeR") == tmp_path / "variable"
    assert find_root("LasHeR", tmp_path / "told") == tmp_path / "told"


def test_list_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    listed = capsys.readouterr().out
    assert main(["data", "info", "VisEvent"]) == 0
    told = capsys.readouterr().out
    assert "lasher" in listed
    assert "test 245" in listed
    assert "absent_label.txt (0 = absent)" in told
    assert "no list ships" in told  # the 500 training names
    assert main(["data", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {r["name"] for r in rows} >= {"gtot", "coesot", "coco"}
    assert main(["data", "info", "lasher", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train"] == 979


def test_neither_torch_nor_opencv_is_imported_for_truth() -> None:
    imports = "import sys, modaltrack.benchmarks, modaltrack.commands.data"
    code = f"{imports}; print('torch' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_boxes_of_a_checked_clip_are_counted(tmp_path: Path) -> None:
    root = mini.build("depthtrack", tmp_path / "data")
    finding = check_benchmark(open_benchmark("depthtrack", root, quiet=True))[0]
    assert (finding.boxes, finding.absent, finding.frames) == (6, 3, {"rgb": 6, "depth": 6})
    mini.text(root / finding.name / "groundtruth.txt", ["nan,nan,nan,nan"] * 6)
    again = check_benchmark(open_benchmark("depthtrack", root, quiet=True))[0]
    assert again.problems == ["The target is absent in every frame."]
    assert np.isnan(open_benchmark("depthtrack", root, quiet=True)[0].boxes).all()


def test_coco_is_checked_by_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.build("coco", tmp_path / "data")
    code, facts = checked(capsys, "coco", str(root), "--deep")
    assert (code, facts["broken"], facts["boxes"]) == (0, [], mini.LENGTH)
    (root / "images" / "train2017" / "000000000002.jpg").unlink()
    code, facts = checked(capsys, "coco", str(root))
    assert (code, facts["broken"][0]["problems"]) == (1, ["1 rgb image is missing: 000000000002.jpg."])


def test_a_clip_that_cannot_be_read_does_not_end_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.build("mv-rgbt", tmp_path / "data", count=3)
    mini.text(root / "sequence_02" / "flag.txt", "depth")
    _, facts = checked(capsys, "mv-rgbt", str(root))
    assert [f["name"] for f in facts["broken"]] == ["sequence_02"]
    assert facts["found"] == 3
