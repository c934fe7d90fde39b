# SPDX-License-Identifier: Apache-2.0
"""Whole evaluations: what is written, what survives, what is said. No torch except where a model runs."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.toy import make_clips

from modaltrack import cli
from modaltrack.evaluation import BenchmarkSpec, TrackerSpec, evaluate, load_tasks
from modaltrack.evaluation.store import ResultFolder
from modaltrack.frame import Clip
from modaltrack.sources import read_boxes
from modaltrack.truth.own import Scene

LENGTHS = {"a": 5, "b": 9, "c": 7, "d": 1}
STEADY = TrackerSpec("steady", tracker="tests.evaluation.toy:Steady")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sequences of 5, 9, 7 and 1 frames. Not to be written to."""
    return make_clips(tmp_path_factory.mktemp("clips"), LENGTHS)


def words(clips: Path, out: Path, *more: str, tracker: str = "Steady") -> list[str]:
    start = ["eval", "--benchmark", "folder", "--data", str(clips), "--out", str(out)]
    return [*start, "--tracker", f"tests.evaluation.toy:{tracker}", *more]


def check_whole(folder: Path, lengths: dict[str, int] = LENGTHS) -> set[str]:
    """Every file that is visible is complete; -> the finished sequences."""
    finished = set()
    for file in folder.glob("[!.]*.txt"):  # pathlib's * takes hidden names, too
        name = file.stem.removesuffix("_time").removesuffix("_confidence")
        text = file.read_text()
        assert text.endswith("\n")
        assert len(text.splitlines()) == lengths[name], file
        if file.stem == name:
            assert read_boxes(file).shape == (lengths[name], 4)
            assert (folder / f"{name}_time.txt").exists()
            finished.add(name)
    if (folder / "run.json").exists():
        run = json.loads((folder / "run.json").read_text())
        assert run["finished"] <= len(finished)
    return finished


def test_what_is_written(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words(clips, tmp_path)) == 0
    folder = tmp_path / "Steady" / "folder"
    assert check_whole(folder) == set(LENGTHS)
    boxes = read_boxes(folder / "a.txt")
    np.testing.assert_allclose(boxes, [[10 + i, 10, 16, 12] for i in range(5)])
    assert np.loadtxt(folder / "b_confidence.txt").tolist() == [1.0] + [0.5] * 8
    assert (np.loadtxt(folder / "b_time.txt") >= 0).all()
    run = json.loads((folder / "run.json").read_text())
    assert run["complete"] is True
    assert run["failures"] == []
    assert run["speed"]["frames"] == sum(LENGTHS.values())
    assert run["speed"]["frames_per_second_tracker"] > run["speed"]["frames_per_second_end_to_end"]
    printed = capsys.readouterr().out
    assert "4 sequences done" in printed
    assert "in the tracker alone" in printed
    assert not list(folder.glob("*partial*"))


def test_a_model_in_lock_step_says_what_it_says_alone(
    clips: Path, tmp_path: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from modaltrack.models import load_model
    from modaltrack.sources import open_folder
    from modaltrack.tracking import track

    line = ["eval", "--benchmark", "folder", "--data", str(clips), "--out", str(tmp_path), "--device", "cpu"]
    assert cli.main([*line, "--model", str(random_weights), "--batch", "3"]) == 0, capsys.readouterr().err
    model = load_model(random_weights, device="cpu")
    for name in LENGTHS:
        reader, boxes = open_folder(clips / name, encodings={"rgb": "rgb", "thermal": "thermal"})
        assert boxes is not None
        alone = track(model, reader, boxes[0])
        np.testing.assert_allclose(read_boxes(tmp_path / "random" / "folder" / f"{name}.txt"), alone.boxes, atol=2e-3)
        scores = np.loadtxt(tmp_path / "random" / "folder" / f"{name}_confidence.txt", ndmin=1)
        np.testing.assert_allclose(scores, alone.scores, atol=1e-4)


def test_it_goes_on_where_it_was_stopped(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("TOY_LOG", str(log))
    assert cli.main(words(clips, tmp_path, "--only", "b,d")) == 0
    assert len(log.read_text().splitlines()) == 2
    before = (tmp_path / "Steady" / "folder" / "b.txt").stat().st_mtime_ns
    assert cli.main(words(clips, tmp_path)) == 0
    assert len(log.read_text().splitlines()) == 4
    assert (tmp_path / "Steady" / "folder" / "b.txt").stat().st_mtime_ns == before
    assert cli.main(words(clips, tmp_path)) == 0
    assert len(log.read_text().splitlines()) == 4
    assert "0 sequences done, 4 were finished before" in capsys.readouterr().out
    assert json.loads((tmp_path / "Steady" / "folder" / "run.json").read_text())["complete"] is True


def test_a_cut_file_is_said_and_run_again(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words(clips, tmp_path)) == 0
    file = tmp_path / "Steady" / "folder" / "b.txt"
    whole = file.read_text()
    file.write_text("".join(line + "\n" for line in whole.splitlines()[:4]))
    capsys.readouterr()
    assert cli.main(words(clips, tmp_path)) == 0
    printed = capsys.readouterr()
    assert "warning: b has 4 boxes and 9 times; it is run again." in printed.err
    assert file.read_text() == whole


def test_a_broken_clip_is_recorded_and_the_rest_finished(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOY_BREAK", "45")  # reached by b, which is 9 frames long, and by nobody else
    assert cli.main(words(clips, tmp_path, tracker="Stumbling")) == 1
    folder = tmp_path / "Stumbling" / "folder"
    assert check_whole(folder) == {"a", "c", "d"}
    run = json.loads((folder / "run.json").read_text())
    (failure,) = run["failures"]
    assert (failure["name"], failure["frame"]) == ("b", 7)
    assert failure["error"] == "RuntimeError: the tracker has lost its nerve"
    assert "toy.py" in failure["trace"]
    assert run["complete"] is False
    assert "b, frame 7: RuntimeError" in capsys.readouterr().out
    monkeypatch.setenv("TOY_BREAK", "95")
    assert cli.main(words(clips, tmp_path, tracker="Stumbling")) == 0  # repaired: only b is left to do
    assert check_whole(folder) == set(LENGTHS)


def test_damaged_data_break_only_their_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_clips(tmp_path / "data", {"a": 4, "b": 4, "c": 4})
    for file in (root / "a" / "rgb").iterdir():
        file.write_bytes(b"no image")
    (root / "c" / "boxes.txt").write_text("nan,nan,nan,nan\n" * 4)
    assert cli.main(words(root, tmp_path / "out")) == 1
    assert check_whole(tmp_path / "out" / "Steady" / "folder", {"b": 4}) == {"b"}
    printed = capsys.readouterr().out
    assert "no annotated box to start from" in printed
    assert "2 broke" in printed


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_half_written_after_kill_9(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, data = tmp_path / "log", tmp_path / "data"
    lengths = {f"s{i:02d}": 6 for i in range(12)}
    make_clips(data, lengths, ("rgb",))
    command = [sys.executable, "-m", "modaltrack", *words(data, tmp_path / "out")]
    environment = os.environ | {"TOY_LOG": str(log), "TOY_SECONDS": "0.003", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0.02, 0.3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder = tmp_path / "out" / "Steady" / "folder"
    (folder / f".s00.{process.pid}.partial.txt").write_text("1,2")  # what the killed process may leave
    finished = check_whole(folder, lengths)
    begun = len(log.read_text().splitlines())
    assert len(finished) <= begun <= len(finished) + 1
    done = evaluate(STEADY, spec := BenchmarkSpec("folder", str(data)), load_tasks(spec), tmp_path / "other")
    assert len(done.done) == 12
    monkeypatch.setenv("TOY_LOG", str(log))
    assert cli.main(words(data, tmp_path / "out")) == 0
    assert f"{12 - len(finished)} sequences done, {len(finished)} were finished before" in capsys.readouterr().out
    assert len(log.read_text().splitlines()) == begun + 12 - len(finished)
    assert not list(folder.glob("*partial*"))
    for name in lengths:  # as if it had never been killed
        same = tmp_path / "other" / "steady" / "folder" / f"{name}.txt"
        assert (folder / f"{name}.txt").read_text() == same.read_text()


def test_images_before_the_target_comes_get_empty_rows(tmp_path: Path) -> None:
    root = make_clips(tmp_path / "data", {"late": 6})
    rows = (root / "late" / "boxes.txt").read_text().splitlines()
    (root / "late" / "boxes.txt").write_text("\n".join(["nan,nan,nan,nan"] * 2 + rows[2:]) + "\n")
    assert cli.main(words(root, tmp_path)) == 0
    folder = tmp_path / "Steady" / "folder"
    assert check_whole(folder, {"late": 6}) == {"late"}
    np.testing.assert_array_equal(read_boxes(folder / "late.txt")[:, 0], [np.nan, np.nan, 16, 17, 18, 19])


def test_the_manifest_and_the_reader_of_results_agree(clips: Path, tmp_path: Path) -> None:
    from modaltrack.results import check_manifest, read_results

    assert cli.main(words(clips, tmp_path)) == 0
    folder = tmp_path / "Steady" / "folder"
    assert check_manifest(folder) == []
    results = read_results(folder)
    assert set(results.sequences) == set(LENGTHS)
    assert results.problems == []
    one = results.sequences["b"]
    assert one.boxes.shape == (9, 4)
    assert len(one.seconds) == len(one.scores) == 9
    (folder / "b.txt").write_text("1,2,3,4\n")
    assert check_manifest(folder)


def test_a_benchmark_as_downloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from modaltrack.benchmarks import official_list
    from modaltrack.benchmarks.names import find

    names = official_list(find("lasher")[0], "test")[:2]
    root = make_clips(tmp_path / "LasHeR", dict.fromkeys(names, 4))
    for name in names:
        (root / name / "rgb").rename(root / name / "visible")
        (root / name / "thermal").rename(root / name / "infrared")
        text = (root / name / "boxes.txt").read_text()
        (root / name / "boxes.txt").unlink()
        for file in ("init", "visible", "infrared"):
            (root / name / f"{file}.txt").write_text(text)
    line = ["eval", "--benchmark", "lasher", "--data", str(root), "--out", str(tmp_path), "--sensors", "rgb"]
    assert cli.main([*line, "--tracker", "tests.evaluation.toy:Steady"]) == 0
    printed = capsys.readouterr()
    assert "2 sequences done" in printed.out
    assert "243 of 245 sequences" in printed.err
    for name in names:
        assert read_boxes(tmp_path / "Steady" / "lasher" / f"{name}.txt")[:, 0].tolist() == [10, 11, 12, 13]


def test_one_folder_holds_one_run(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words(clips, tmp_path, "--only", "d", "--name", "x")) == 0
    assert cli.main(words(clips, tmp_path, "--name", "x", "--sensors", "rgb")) == 1
    assert "holds results of another run (sensors: there [], now ['rgb'])" in capsys.readouterr().err
    with ResultFolder(tmp_path, "y", "folder", {}):
        assert cli.main(words(clips, tmp_path, "--name", "y")) == 1
    assert "Another run is writing into" in capsys.readouterr().err
    (tmp_path / "z" / "folder").mkdir(parents=True)
    (tmp_path / "z" / "folder" / "a.txt").write_text("1,2,3,4\n")
    assert cli.main(words(clips, tmp_path, "--name", "z")) == 1
    assert "without a run.json" in capsys.readouterr().err


def test_the_rendered_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    line = [
        "eval",
        "--benchmark",
        "scenes",
        "--clips",
        "2",
        "--length",
        "3",
        "--out",
        str(tmp_path),
        "--sensors",
        "rgb",
    ]
    assert cli.main([*line, "--tracker", "modaltrack.evaluation.adapters:MIL", "--only", "easy-000"]) == 0
    assert len(read_boxes(tmp_path / "MIL" / "scenes" / "easy-000.txt")) == 3
    assert "1 sequences done" in capsys.readouterr().out
    # as many clips and frames as were run, whichever folder above the results is named
    score = ["score", "--benchmark", "scenes", "--missing", "skip", "--per-sequence", "--json"]
    found: list[dict[str, Any]] = []
    for place in (tmp_path, tmp_path / "MIL" / "scenes"):
        assert cli.main([*score, str(place)]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert (found[0]["tracker"], found[0]["protocol"]) == ("MIL", "scenes")
    assert found[0]["per_sequence"]["easy-000"]["frames"] == 3
    assert cli.main(["score", str(tmp_path), "--benchmark", "scenes", "--truth", "x"]) == 1
    assert "beside its images" in capsys.readouterr().err


class Rendered(list[Clip]):
    """Stands for the rendered benchmark, which takes seconds per clip; counts how often a clip is asked for."""

    version = "scenes-0"
    asked = 0

    def __getitem__(self, index: int) -> Clip:  # type: ignore[override]
        self.asked += 1
        return super().__getitem__(index)


def test_truth_of_scenes_is_kept_and_a_damaged_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    boxes = np.array([[1.25, 2, 3, 4], [np.nan] * 4])
    made = Rendered([Clip("x", [], boxes, attributes=frozenset({"fast motion"}))] * 2)
    first = Scene(0, made, 2).truth()
    (file,) = tmp_path.rglob("easy-000.json")
    again = Scene(0, made, 2).truth()
    assert made.asked == 1
    np.testing.assert_array_equal(again.boxes, boxes)
    assert again.attributes == first.attributes == {"fast motion"}
    file.write_text("{")
    for _ in range(2):
        np.testing.assert_array_equal(Scene(0, made, 2).truth().boxes, boxes)
    assert made.asked == 2
    made.version = "scenes-1"  # type: ignore[misc]
    assert Scene(0, made, 2).truth().boxes.shape == (2, 4)
    assert made.asked == 3


def test_folders_are_scored_by_the_same_name(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words(clips, tmp_path)) == 0
    capsys.readouterr()
    assert cli.main(["score", str(tmp_path), "--benchmark", "folder", "--data", str(clips), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["scores"]) == {"PR", "NPR", "SR"}
    assert cli.main(["results", "check", str(tmp_path), "--benchmark", "folder", "--data", str(clips)]) == 0
    assert "No problems" in capsys.readouterr().out
    assert cli.main(["score", str(tmp_path), "--benchmark", "folder"]) == 1
    assert "needs --data ROOT" in capsys.readouterr().err


BAD = [
    (["--tracker", "toy"], "is not module:Class"),
    (["--tracker", "no.such.module:X"], "cannot be imported"),
    (["--tracker", "tests.evaluation.toy:Nobody"], "has no class 'Nobody'"),
    (["--tracker", "a:B", "--model", "c"], "Give one of --model NAME and --tracker"),
    (["--model", "c", "--images", "bgr"], "--images belongs to --tracker"),
    ([], "Give one of --model NAME and --tracker"),
    (["--tracker", "tests.evaluation.toy:Steady", "--sensors", "rgb,sonar"], "--sensors names 'sonar'"),
    (["--tracker", "tests.evaluation.toy:Steady", "--only", "nobody"], "has no sequence 'nobody'"),
    (["--tracker", "tests.evaluation.toy:Steady", "--batch", "0"], "give numbers of at least 1"),
    (["--tracker", "tests.evaluation.toy:Steady", "--name", "a/b"], "cannot be a file's name"),
    (["--tracker", "tests.evaluation.toy:Steady", "--clips", "0"], "give at least 2 of each"),
]


@pytest.mark.parametrize(("more", "sentence"), BAD, ids=[b[1] for b in BAD])
def test_bad_input_has_its_sentence(
    clips: Path, tmp_path: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["eval", "--benchmark", "folder", "--data", str(clips), "--out", str(tmp_path)]
    assert cli.main([*line, *more]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [("", "needs --data ROOT"), ("nowhere", "does not exist"), (".", "holds no sequences")],
)
def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, sentence: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load_tasks(BenchmarkSpec("folder", data))


def test_a_folder_may_be_one_clip_itself(clips: Path) -> None:
    assert [t.name for t in load_tasks(BenchmarkSpec("folder", str(clips / "b")))] == ["b"]


def test_absence_is_scored_where_the_truth_has_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = make_clips(tmp_path / "clips", {"a": 6})
    rows = (clips / "a" / "boxes.txt").read_text().splitlines()
    (clips / "a" / "boxes.txt").write_text("\n".join([*rows[:3], *["nan,nan,nan,nan"] * 2, rows[5]]) + "\n")
    assert cli.main(words(clips, tmp_path / "out")) == 0
    assert "absent frames 0.4" in capsys.readouterr().out
    run = json.loads((tmp_path / "out" / "Steady" / "folder" / "run.json").read_text())
    assert run["sessions"][-1]["lost_and_found"]["frames"] == 5
