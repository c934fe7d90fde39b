# SPDX-License-Identifier: Apache-2.0
"""What people type at ``track``, what a second run into the same folder does, and what a broken one leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from modaltrack import cli
from modaltrack.commands.track_words import complaint, with_whole_boxes
from modaltrack.sources import read_boxes


class Run:
    def __init__(self, cameras: Path, weights: Path, out: Path) -> None:
        self.cameras, self.weights, self.out = cameras, weights, out

    def __call__(self, *more: str, rgb: str = "") -> int:
        words = ["track", "--rgb", rgb or str(self.cameras / "rgb"), "--model", str(self.weights), "--device", "cpu"]
        return cli.main([*words, "--out", str(self.out), *more])

    @property
    def names(self) -> set[str]:
        return {p.name for p in self.out.iterdir()}

    @property
    def document(self) -> dict:
        return json.loads((self.out / "result.json").read_text())


@pytest.fixture
def run(cameras: Path, random_weights: Path, tmp_path: Path) -> Run:
    return Run(cameras, random_weights, tmp_path / "out")


@pytest.mark.parametrize(
    "box",
    [
        ["20,20,16,12"],
        ["20 20 16 12"],
        ["[20, 20, 16, 12]"],
        ["(20 20 16 12)"],
        ["20;20;16;12"],
        ["20", "20", "16", "12"],
        ["20,", "20,", "16,", "12"],
        ["[20,", "20,", "16,", "12]"],
        ["20.0", "20", "1.6e1", "12."],
    ],
)
def test_a_box_is_understood_however_it_is_written(run: Run, box: list[str]) -> None:
    assert run("--box", *box, "--max-frames", "1", "--no-video") == 0
    np.testing.assert_array_equal(read_boxes(run.out / "boxes.txt"), [[20, 20, 16, 12]])


def test_two_boxes_of_four_words_each_are_two_targets(run: Run) -> None:
    words = ["--box", "20", "20", "16", "12", "--box", "-3", "5", "30", "18", "--max-frames", "1", "--no-video"]
    assert run(*words) == 0
    np.testing.assert_array_equal(read_boxes(run.out / "boxes-2.txt"), [[-3, 5, 30, 18]])


def test_words_after_a_whole_box_are_left_alone() -> None:
    assert with_whole_boxes(["--box", "1,2,3,4", "clip.mp4"]) == ["--box=1,2,3,4", "clip.mp4"]
    assert with_whole_boxes(["--box", "1", "2", "3", "4", "5"]) == ["--box=1,2,3,4", "5"]
    assert with_whole_boxes(["--box", "--no-video"]) == ["--box", "--no-video"]
    assert with_whole_boxes(["--rgb", "0", "--fps", "25"]) == ["--rgb", "0", "--fps", "25"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--bbox", "1,2,3,4"], "the option is --box"),
        (["--init_box=1,2,3,4"], "the option is --box"),
        (["--ir", "x"], "the option is --thermal"),
        (["--events", "x"], "the option is --event"),
        (["--weights", "x"], "the option is --model"),
        (["--video", "clip.mp4"], "--rgb clip.mp4"),
        (["--video=clip.mp4"], "--rgb clip.mp4"),
        (["clip.mp4", "--box", "1,2,3,4"], "'clip.mp4' stands alone"),
        (["--box=1,2,3,4", "clip.mp4"], "'clip.mp4' stands alone"),
        (["--no-video", "clip.mp4"], "'clip.mp4' stands alone"),
    ],
)
def test_words_of_other_programs_get_an_answer(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["track", *words, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_options_of_its_own_get_no_complaint() -> None:
    words = ["--rgb", "a", "--thermal=b", "--box", "-3,5,9,9", "--video", "--no-video", "--max-frames", "3"]
    assert complaint(with_whole_boxes(words)) == ""


def test_nothing_of_an_earlier_run_stays_beside_the_next(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One target with a video, then two targets, then one without a video; a stranger's file is left alone."""
    box = ("--box", "20,20,16,12")
    assert run(*box, "--max-frames", "3") == 0
    assert capsys.readouterr().err == ""
    (run.out / "notes.txt").write_text("mine")
    assert run.document["files"] == ["video.mp4", "boxes.txt", "result.json"]
    assert run(*box, "--box", "5,5,10,10", "--max-frames", "3") == 0
    assert "warning: " in (said := capsys.readouterr().err)
    assert "holds an earlier run (boxes.txt, result.json, video.mp4), which is replaced when this one ends" in said
    assert run.names == {"video.mp4", "boxes-1.txt", "boxes-2.txt", "result.json", "notes.txt"}
    assert run(*box, "--max-frames", "2", "--no-video") == 0
    assert run.names == {"boxes.txt", "result.json", "notes.txt"}
    assert run.document["files"] == ["boxes.txt", "result.json"]
    assert len(run.document["frames"]) == 2


@pytest.mark.parametrize("older", ["{", "[]", '{"frames": []}', '{"files": 3}'])
def test_an_earlier_run_without_a_list_of_its_files_is_known_by_their_names(run: Run, older: str) -> None:
    run.out.mkdir()
    for name in ("boxes-1.txt", "boxes-2.txt", "fused.mp4", "boxes-of-mine.txt"):
        (run.out / name).write_text("old")
    (run.out / "result.json").write_text(older)
    assert run("--box", "20,20,16,12", "--max-frames", "1", "--no-video") == 0
    assert run.names == {"boxes.txt", "result.json", "boxes-of-mine.txt"}


def test_a_run_that_fails_leaves_the_earlier_one_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--box", "20,20,16,12", "--max-frames", "3") == 0
    before = {p.name: p.read_bytes() for p in run.out.iterdir()}
    from modaltrack.sinks import box_file

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(box_file, "write_file", full)
    assert run("--box", "30,20,16,12", "--max-frames", "2") == 1
    assert {p.name: p.read_bytes() for p in run.out.iterdir()} == before


def test_sigterm_keeps_what_is_done_as_ctrl_c_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack.tracking import ModelEngine

    step = ModelEngine.step

    def terminated(self: ModelEngine, *given: object) -> object:
        signal.raise_signal(signal.SIGTERM)
        return step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelEngine, "step", terminated)
    before = signal.getsignal(signal.SIGTERM)
    assert run("--box", "20,20,16,12") == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert run.names == {"boxes.txt", "result.json", "video.mp4"}
    assert len(run.document["frames"]) == 2
    assert run.document["complete"] is False


def test_sigterm_before_the_first_frame_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack import runtime

    monkeypatch.setattr(runtime, "load_model", lambda *given, **named: signal.raise_signal(signal.SIGTERM))
    assert run("--box", "20,20,16,12") == 130
    assert run.names == set()


def test_a_folder_whose_name_is_no_utf8_is_tracked_to_the_end(run: Run, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xca\xd3\xc6\xb5"  # GBK, as unpacked from a zip made on a Chinese Windows
    try:
        shutil.copytree(os.fsencode(run.cameras / "rgb"), folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert run("--box", "20,20,16,12", rgb=os.fsdecode(folder)) == 0
    assert run.names == {"boxes.txt", "result.json", "video.mp4"}
    assert run.document["sources"]["rgb"].endswith("\udcca\udcd3\u01b5")  # two of the bytes happen to be UTF-8


def test_what_a_killed_run_left_is_removed_by_the_next(run: Run) -> None:
    assert run("--box", "20,20,16,12", "--max-frames", "2") == 0
    left = run.out / ".run.0a1b2c3d.partial"
    left.mkdir()
    (left / ".video.4e5f6a7b.partial.mp4").write_bytes(b"half")
    assert run("--box", "20,20,16,12", "--max-frames", "2") == 0
    assert run.names == {"boxes.txt", "result.json", "video.mp4"}


def test_messages_to_a_file_that_is_there_are_refused_before_any_work(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert run("--box", "20,20,16,12", "--jsonl", str(tmp_path / "rows.jsonl")) == 1
    assert "rows.jsonl is there already" in capsys.readouterr().err
    assert not run.out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--udp", "nowhere"], "is not HOST:PORT"),
        (["--udp", "127.0.0.1:5005", "--dead-band", "1.5"], "The dead band is 1.5"),
        (["--dead-band", "0.1"], "belongs to the messages"),
    ],
)
def test_options_of_messages_that_cannot_be(
    run: Run, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--box", "20,20,16,12", *words) == 1
    assert sentence in capsys.readouterr().err
    assert not run.out.exists()
