# SPDX-License-Identifier: Apache-2.0
"""Every verb in a temporary folder, in this process except where the process itself is what is tested."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from modaltrack import cli
from modaltrack.sources import read_boxes

BOX = "20,20,16,12"


def in_a_new_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_no_help_imports_torch_or_numpy() -> None:
    code = (
        "import sys\nfrom modaltrack import cli\n"
        "assert cli.main(['--help']) == 0\n"
        "for verb in cli.COMMANDS:\n"
        "    assert cli.main([verb, '--help']) == 0, verb\n"
        "heavy = {'torch', 'numpy', 'cv2', 'av', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = in_a_new_process(code)
    assert done.returncode == 0, done.stderr


def test_help_imports_little() -> None:
    """What --help takes is nearly all imports; counted, since seconds are another number on every machine."""
    code = (
        "import sys\nfrom modaltrack import cli\nbefore = len(sys.modules)\n"
        "assert cli.main(['--help']) == 0\nprint(len(sys.modules), before, file=sys.stderr)"
    )
    done = in_a_new_process(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[0]) < 200  # 112 with Python 3.11


def test_import_is_lazy_and_the_face_is_whole() -> None:
    done = in_a_new_process("import sys, modaltrack; dir(modaltrack); assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
    import modaltrack

    for name in modaltrack.__all__:
        assert getattr(modaltrack, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trak'"):
        _ = modaltrack.trak


def test_version_and_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    assert "modaltrack 0." in printed
    for verb in cli.COMMANDS:
        assert f"  {verb}" in printed


@pytest.mark.parametrize("video", [True, False])
def test_track_writes_all_it_promises(
    cameras: Path, random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], video: bool
) -> None:
    words = ["track", "--rgb", str(cameras / "rgb"), "--thermal", str(cameras / "thermal"), "--box", BOX]
    words += ["--model", str(random_weights), "--device", "cpu", "--out", str(tmp_path / "out")]
    words += ["--truth", str(cameras / "truth.txt")] + ([] if video else ["--no-video"])
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    assert "6 frames" in printed.out
    assert "success" in printed.out
    assert printed.err == ""
    names = {"boxes.txt", "result.json"} | ({"video.mp4"} if video else set())
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    boxes = read_boxes(tmp_path / "out" / "boxes.txt")
    assert boxes.shape == (6, 4)
    np.testing.assert_array_equal(boxes[0], [20, 20, 16, 12])
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["card"]["licence"] == "Apache-2.0"
    assert len(document["frames"]) == 6
    assert document["frames"][5]["present"] == ["rgb", "thermal"]
    assert document["speed"]["frames_per_second_tracker"] > 0
    assert document["speed"]["seconds"]["total"] > document["speed"]["seconds"]["tracker"] > 0
    assert document["versions"]["torch"]
    if video:
        with av.open(str(tmp_path / "out" / "video.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == 6


def test_track_follows_several_targets_through_one_sensor(cameras: Path, random_weights: Path, tmp_path: Path) -> None:
    words = ["track", "--thermal", str(cameras / "thermal"), "--box", BOX, "--box", "5,5,10,10", "--max-frames", "3"]
    assert cli.main([*words, "--model", str(random_weights), "--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"boxes-1.txt", "boxes-2.txt", "result.json", "video.mp4"}
    assert len(read_boxes(tmp_path / "boxes-2.txt")) == 3
    assert len(json.loads((tmp_path / "result.json").read_text())["frames"][0]["targets"]) == 2


def test_the_camera_password_is_not_written_down() -> None:
    from modaltrack.sources.notices import without_login

    assert without_login("rtsp://me:secret@10.0.0.5/stream?a=b@c") == "rtsp://10.0.0.5/stream?a=b@c"
    assert without_login("videos/a@b.mp4") == "videos/a@b.mp4"


def test_a_box_can_be_drawn_where_there_is_a_window(
    cameras: Path, random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modaltrack.commands import box_input

    monkeypatch.setattr(box_input, "why_no_window", lambda: "")
    monkeypatch.setattr(box_input, "ask_box", lambda image: np.array([20.0, 20.0, 16.0, 12.0]))
    words = ["track", "--rgb", str(cameras / "rgb"), "--model", str(random_weights), "--out", str(tmp_path)]
    assert cli.main([*words, "--no-video"]) == 0
    np.testing.assert_array_equal(read_boxes(tmp_path / "boxes.txt")[0], [20, 20, 16, 12])


def test_a_live_source_ends_well_with_the_first_ctrl_c() -> None:
    from modaltrack.commands.stopping import stop_signal

    before = signal.getsignal(signal.SIGINT)
    with stop_signal() as stopped:
        signal.raise_signal(signal.SIGINT)  # of this thread: one of the process may come late to it
        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def interrupt_step(monkeypatch: pytest.MonkeyPatch, number: int, signals: int) -> None:
    """Ctrl-C while the given step of the tracker runs, so many times."""
    from modaltrack.tracking import ModelEngine

    step, count = ModelEngine.step, []

    def interrupted(self: ModelEngine, *given: object) -> object:
        count.append(1)
        for _ in range(signals if len(count) == number else 0):
            signal.raise_signal(signal.SIGINT)
        return step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelEngine, "step", interrupted)


def test_ctrl_c_in_a_file_keeps_what_is_done_and_says_that_it_is_not_all(
    cameras: Path,
    random_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt_step(monkeypatch, 3, signals=1)
    words = ["track", "--rgb", str(cameras / "rgb"), "--box", BOX, "--model", str(random_weights)]
    assert cli.main([*words, "--out", str(tmp_path)]) == 130
    assert "warning: Stopped after 4 of 6 frames; what was done is kept" in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"boxes.txt", "result.json", "video.mp4"}
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["complete"] is False
    assert len(document["frames"]) == len(read_boxes(tmp_path / "boxes.txt")) == 4
    with av.open(str(tmp_path / "video.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_the_second_ctrl_c_leaves_nothing_half_written(
    cameras: Path, random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_step(monkeypatch, 3, signals=2)
    words = ["track", "--rgb", str(cameras / "rgb"), "--box", BOX, "--model", str(random_weights)]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 130
    assert list((tmp_path / "out").iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No source"):
        cli.main(["track", "--debug", "--out", str(tmp_path)])


def test_score_of_two_files(cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", str(cameras / "truth.txt"), str(cameras / "truth.txt")]) == 0
    printed = capsys.readouterr().out
    assert "0.9524" in printed
    assert "6 of 6 frames" in printed


def test_doctor_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for part in ("torch", "cpu", "aedat", "H.264", "window"):
        assert part in printed


def test_models_lists_every_registered_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modaltrack.models import list_models

    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["models"]) == 0
    printed = capsys.readouterr().out
    for name in list_models():
        assert name in printed


def test_models_show_prints_the_card(random_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "show", str(random_weights)]) == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "Apache-2.0"


def test_train_lists_its_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "list"]) == 0
    assert "sdstrack-tiny-scenes" in capsys.readouterr().out


def test_demo_in_small(random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--length", "5", "--out", str(tmp_path / "demo"), "--model", str(random_weights)]
    assert cli.main(words) == 0
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {"video.mp4", "boxes.txt", "result.json"}
    printed = capsys.readouterr().out
    for row in ("rgb + thermal", "rgb + depth", "rgb + event", "frames/s", "Each camera goes dark", "Look at"):
        assert row in printed
    scores = json.loads((tmp_path / "demo" / "result.json").read_text())["scores"]
    assert len(scores) == 8
    assert all(0 <= s["success"] <= 1 for s in scores)


def test_the_cameras_of_the_demo_fail_in_turn_and_never_all() -> None:
    from modaltrack.commands.demo import with_outages, with_sensors
    from modaltrack.frame import Clip, Frame, Modality

    image = np.zeros((8, 8, 3), np.uint8)
    clip = with_outages(Clip("c", [Frame(dict.fromkeys(Modality, image), index=i) for i in range(75)]), tuple(Modality))
    seen = [tuple(f.images) for f in clip.frames]
    assert seen[0] == tuple(Modality)
    assert {m for m in Modality if any(m not in now for now in seen)} == set(Modality)
    assert min(map(len, seen)) == len(Modality) - 1
    alone = with_sensors(clip, (Modality.RGB,))
    assert {tuple(f.missing) for f in alone.frames if not f.images} == {(Modality.RGB,)}


def test_the_demo_says_where_to_look() -> None:
    from modaltrack.commands.demo import best_alone, what_to_look_at
    from modaltrack.frame import Clip, Modality, Result

    boxes = np.array([[10.0, 10, 20, 20]] * 4)
    lost = boxes + np.array([[0.0] * 4, [0] * 4, [90, 0, 0, 0], [90, 0, 0, 0]])
    clip = Clip("c", [], boxes)
    said = what_to_look_at(clip, Result("c", boxes), Result("c", lost), "thermal", True)
    assert "Look at frame 2: thermal alone (blue) has left the target" in said
    assert "in 2 of 4 frames" in said
    assert "how close thermal" in what_to_look_at(clip, Result("c", boxes), Result("c", boxes), "thermal", False)
    scored = [((Modality.RGB,), (0.3, 0.1)), ((Modality.DEPTH,), (0.5, 0.1)), (tuple(Modality), (0.9, 0.1))]
    assert best_alone(scored) == 1


def test_a_preview_without_a_display_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack.commands import preview

    monkeypatch.setattr(preview, "why_no_window", lambda: "there is no display")
    with pytest.warns(UserWarning, match="there is no display"), preview.Preview(True) as window:
        window.show(np.zeros((4, 4, 3), np.uint8))
    with preview.Preview(False) as window:
        window.show(np.zeros((4, 4, 3), np.uint8))


def test_scenes_in_small(tmp_path: Path) -> None:
    assert cli.main(["scenes", "--clips", "1", "--length", "3", "--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"video.mp4", "sheet.png"}


def test_bench_in_small(random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--frames", "6", "--rounds", "2", "--size", "160x128", "--targets", "3", "--no-base"]
    words += ["--model", str(random_weights), "--json", str(tmp_path / "bench.json")]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    for part in ("decode", "crop", "model", "decode box", "crop + model + box", "end to end", "threads", "3 targets"):
        assert part in printed
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["conditions"]["image"] == "160x128"
    rows = {row["part"]: row for row in written["rows"]}
    assert rows["end to end"]["rounds"] == rows["model"]["rounds"] == 2
    assert all(row["fps"] > 0 for row in written["rows"])


def test_bench_says_what_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--frames", "5"], "--frames is 5"),
        (["--size", "9999999"], "give WIDTHxHEIGHT"),
        (["--size", "20x30000"], "give WIDTHxHEIGHT"),
        (["--nanotrack", str(tmp_path / "nano_backbone.onnx")], "is not there; NanoTrack is two files"),
    ):
        assert cli.main(["bench", *words]) == 1
        assert said in capsys.readouterr().err


def test_networks_that_opencvs_nanotrack_cannot_run(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = shared.parent / "pretrained" / "nanotrack_v3_backbone.onnx"
    if not backbone.is_file():
        pytest.skip("NanoTrack's published networks are not here")
    assert cli.main(["bench", "--nanotrack", str(backbone)]) == 1
    error = capsys.readouterr().err
    assert "cannot run nanotrack_v3_backbone.onnx" in error
    assert "models import" in error
    assert error.strip().count("\n") == 0


@pytest.mark.parametrize(("runtime", "precision"), [("openvino", "bf16"), ("onnx", "fp32")])
def test_nanotrack_beside_an_int8_model(
    runtime: str, precision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has nothing that int8 makes faster, and is no reason to end a measurement."""
    import modaltrack.runtime
    from modaltrack.commands.bench import Options, contenders

    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(modaltrack.runtime, "load_model", lambda *words: asked.append(words))
    options = Options(nanotrack=Path("nano.safetensors"), runtime=runtime, precision="int8")  # type: ignore[arg-type]
    assert [name for name, _ in contenders(options)] == ["nano"]
    assert asked == [(Path("nano.safetensors"), options.device, runtime, precision)]
    assert f"it runs in {precision}" in capsys.readouterr().out


def test_trackers_that_this_opencv_lacks_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modaltrack.commands.bench import Options, contenders
    from modaltrack.evaluation import adapters

    def lacking(kind: str) -> None:
        raise ValueError(f"This OpenCV has no tracker {kind}")

    monkeypatch.setattr(adapters, "make_opencv", lambda kind: lacking(kind) if kind == "CSRT" else object())
    assert [name for name, _ in contenders(Options(against="opencv"))] == ["OpenCV KCF"]
    assert "OpenCV CSRT is left out: This OpenCV has no tracker CSRT" in capsys.readouterr().out
