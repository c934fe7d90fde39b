# SPDX-License-Identifier: Apache-2.0
"""A live clip is recorded and comes back as it was: the same images in the same instants, and so the same boxes."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sources.fake_camera import HttpCamera

from modaltrack.cli import main
from modaltrack.frame import Frame, Modality
from modaltrack.sources import LivePolicy, SourceWarning, open_clip, open_recording
from modaltrack.sources import recording as recording_module
from modaltrack.sources.notices import Notices
from modaltrack.sources.recording import Recording

RGB, THERMAL = Modality.RGB, Modality.THERMAL


def live(specs: dict[str, str], folder: Path, wanted: Callable[[Frame], bool], **options: Any) -> list[Frame]:
    """The frames of a recorded live clip up to the first that is wanted; at most 400."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        clip = open_clip(specs, record=folder, **options)
        with closing(clip.frames()) as frames:
            seen = list(itertools.islice(_until(frames, wanted), 400))
    assert wanted(seen[-1])
    return seen


def _until(frames: Iterator[Frame], wanted: Callable[[Frame], bool]) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        if wanted(frame):
            return


def assert_same(replayed: list[Frame], seen: list[Frame]) -> None:
    assert len(replayed) == len(seen)
    for one, other in zip(replayed, seen, strict=True):
        assert (one.index, one.time, one.missing) == (other.index, other.time, other.missing)
        assert list(one.images) == list(other.images)
        for modality, image in other.images.items():
            np.testing.assert_array_equal(one.images[modality], image)


def test_the_instants_come_back_with_their_images_and_their_gaps(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with HttpCamera(20) as rgb, HttpCamera(7) as thermal:
        thermal.size = (24, 32)
        steps = iter(range(10**6))

        def wanted(frame: Frame) -> bool:  # both, thermal silent, both again
            thermal.stalled = next(steps) >= 6 and not stalled
            if frame.missing == {THERMAL} and thermal.stalled:
                stalled.append(frame.index)
            return bool(stalled) and not frame.missing

        stalled: list[int] = []
        seen = live({"rgb": rgb.url, "thermal": thermal.url}, folder, wanted, policy=LivePolicy(stall=0.3))
    assert stalled
    replay = open_recording(folder)
    assert len(replay) == len(seen)
    assert_same(list(replay), seen)
    assert_same(list(replay), seen)  # it can be iterated again
    about = json.loads((folder / "recording.json").read_text())
    assert about["complete"]
    assert about["instants"] == len(seen)
    assert about["videos"]["rgb"]["pictures"] >= sum(RGB in f.images for f in seen)  # dropped ones are kept, too


def test_a_homography_is_kept_and_can_be_replaced(tmp_path: Path) -> None:
    align = {"thermal": [[1.0, 0.0, 5.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]]}
    with HttpCamera(20) as rgb, HttpCamera(20) as thermal:
        specs = {"rgb": rgb.url, "thermal": thermal.url}
        seen = live(specs, tmp_path / "kept", lambda f: f.index > 3 and not f.missing, align=align)
    assert_same(list(open_recording(tmp_path / "kept")), seen)
    plain = list(open_recording(tmp_path / "kept", align={}))
    assert not np.array_equal(plain[-1].images[THERMAL], seen[-1].images[THERMAL])
    np.testing.assert_array_equal(plain[-1].images[THERMAL][:-3, :-5], seen[-1].images[THERMAL][3:, 5:])


def test_the_boxes_of_a_replay_are_those_of_the_live_run(tmp_path: Path, random_weights: Path) -> None:
    words = ["track", "--model", str(random_weights), "--no-video", "--box", "10,8,20,16"]
    with HttpCamera(15) as rgb, HttpCamera(6) as thermal:
        sources = ["--rgb", rgb.url, "--thermal", thermal.url, "--stall", "0.5"]
        kept = ["--record", str(tmp_path / "kept"), "--max-frames", "12", "--out", str(tmp_path / "live")]
        assert main([*words, *sources, *kept]) == 0
    assert main([*words, "--replay", str(tmp_path / "kept"), "--out", str(tmp_path / "again")]) == 0
    text = (tmp_path / "live" / "boxes.txt").read_text()
    assert len(text.splitlines()) == 12
    assert (tmp_path / "again" / "boxes.txt").read_text() == text
    rows = [json.loads((tmp_path / name / "result.json").read_text())["frames"] for name in ("live", "again")]
    assert rows[0] == rows[1]  # times, scores, status and present sensors, too
    assert len({row["targets"][0]["score"] for row in rows[0]}) > 6  # the images did matter


class Shot:
    def __init__(self, number: int, raw: np.ndarray) -> None:
        self.number, self.raw, self.arrived = number, raw, 0.0


def recording(folder: Path) -> Recording:
    return Recording(folder, RGB, {RGB: "camera 0"}, {}, {}, 1.0, Notices())


@pytest.mark.parametrize("kind", ["grey", "wide grey", "colour"])
def test_every_kind_of_image_is_kept_without_loss(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    shape, top, form = {
        "grey": ((33, 47), 255, np.uint8),
        "wide grey": ((33, 47), 65535, np.uint16),
        "colour": ((33, 47, 3), 255, np.uint8),
    }[kind]
    made = [rng.integers(0, top, shape).astype(form) for _ in range(4)]
    kept = recording(tmp_path / "kept")
    for number, raw in enumerate(made, start=1):
        shot = Shot(number, raw)
        kept.picture(RGB, shot)
        kept.instant(number / 10, {RGB: shot})
    kept.close()
    found = [raw for _, raw in open_recording(tmp_path / "kept").sources[RGB].reader.frames()]
    assert len(found) == 4
    for one, other in zip(found, made, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_an_encoder_that_is_behind_leaves_images_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First those that no instant uses; 2 may wait, and 4 that are used."""
    monkeypatch.setattr(recording_module, "WAITING", 2)
    monkeypatch.setattr(recording_module, "USED_WAITING", 4)
    work = recording_module._SensorFile._work
    monkeypatch.setattr(recording_module._SensorFile, "_work", lambda self: None)  # an encoder that does not begin yet
    kept = recording(tmp_path / "kept")
    shots = [Shot(number, np.full((32, 32), 20 * number, np.uint8)) for number in range(1, 9)]
    for shot in shots:
        kept.picture(RGB, shot)
        if shot.number > 3:
            kept.instant(shot.number / 10, {RGB: shot})
    file = kept._files[RGB]
    file._thread = threading.Thread(target=work, args=(file,))
    file._thread.start()
    kept.close()
    lines = [json.loads(line)["images"] for line in (tmp_path / "kept" / "instants.jsonl").read_text().splitlines()]
    assert lines == [{"rgb": 2}, {"rgb": 3}, {"rgb": None}, {"rgb": None}, {"rgb": None}]
    with pytest.warns(SourceWarning, match="leaves out images") as caught:
        kept._notices.speak()
    assert any("3 of 5 recorded instants" in str(w.message) for w in caught)
    assert json.loads((tmp_path / "kept" / "recording.json").read_text())["videos"] == {
        "rgb": {"pictures": 4, "left_out": 4}
    }
    with pytest.warns(SourceWarning, match="was left out of the recording"):
        frames = list(open_recording(tmp_path / "kept"))
    assert [frame.images[RGB][0, 0, 0] for frame in frames[:2]] == [80, 100]


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

        def flush(self) -> None: ...

        def close(self) -> None: ...

    kept = recording(tmp_path / "kept")
    for number in (1, 2, 3):
        if number == 2:
            kept._list.close()
            kept._list = Full()  # type: ignore[assignment]
        shot = Shot(number, np.full((32, 32), 50 * number, np.uint8))
        kept.picture(RGB, shot)
        kept.instant(number / 10, {RGB: shot})
    kept.close()
    with pytest.warns(SourceWarning, match="No space left on device.; tracking goes on"):
        kept._notices.speak()
    assert len(list(open_recording(tmp_path / "kept"))) == 1
    assert not json.loads((tmp_path / "kept" / "recording.json").read_text())["complete"]


def test_ctrl_c_leaves_a_whole_recording_and_whole_files(tmp_path: Path, random_weights: Path) -> None:
    words = [sys.executable, "-m", "modaltrack", "track", "--model", str(random_weights), "--box", "10,8,20,16"]
    with HttpCamera(15) as rgb, HttpCamera(6) as thermal:
        words += ["--rgb", rgb.url, "--thermal", thermal.url, "--record", str(tmp_path / "kept"), "--jsonl", "-"]
        with subprocess.Popen(
            [*words, "--out", str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            live = [json.loads(run.stdout.readline()) for _ in range(4)]
            run.send_signal(signal.SIGINT)
            more, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    live += [json.loads(line) for line in more.splitlines()]
    assert (tmp_path / "out" / "video.mp4").is_file()
    frames = list(open_recording(tmp_path / "kept"))
    assert [sorted(frame.images) for frame in frames] == [message["present"] for message in live]
    assert json.loads((tmp_path / "kept" / "recording.json").read_text())["complete"]


def test_who_closes_second_waits_until_the_files_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(tmp_path / "kept", RGB, {RGB: "a"}, {}, {}, 1.0, Notices())
    busy, on, finish = threading.Event(), threading.Event(), recording._finish

    def slowly() -> None:
        busy.set()
        on.wait(60)
        finish()

    monkeypatch.setattr(recording, "_finish", slowly)
    first, second = threading.Thread(target=recording.close), threading.Thread(target=recording.close)
    first.start()
    assert busy.wait(60)
    second.start()
    second.join(0.1)
    assert recording.closed
    assert second.is_alive()
    on.set()
    for thread in (first, second):
        thread.join(60)
        assert not thread.is_alive()
    assert not (tmp_path / "kept").exists()


def test_a_clip_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be opened"):
        list(open_clip({"rgb": "http://127.0.0.1:9/nobody"}, record=tmp_path / "kept"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    made = recording(tmp_path / "kept")
    for number in (1, 2, 3):
        shot = Shot(number, np.full((32, 32), 50 * number, np.uint8))
        made.picture(RGB, shot)
        made.instant(number / 10, {RGB: shot})
    made.close()
    return tmp_path / "kept"


def test_what_a_killed_run_left_is_read_up_to_the_cut(kept: Path) -> None:
    file = kept / "instants.jsonl"
    file.write_text(file.read_text()[:-20])
    with pytest.warns(SourceWarning, match="ends within a line"):
        assert len(list(open_recording(kept))) == 2
    with file.open("a") as stream:
        stream.write("\n" + json.dumps({"time": 1, "images": {"rgb": 9}}) + "\n")
    with pytest.raises(ValueError, match=r"line 3: it is no instant"):
        open_recording(kept)


def test_an_image_that_is_gone_is_said(kept: Path) -> None:
    with (kept / "instants.jsonl").open("a") as stream:
        stream.write(json.dumps({"time": 1, "images": {"rgb": 9}}) + "\n")
    with pytest.warns(SourceWarning, match="not in its video"):
        frames = list(open_recording(kept))
    assert frames[-1].missing == {RGB}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: shutil.rmtree(f), "holds no recording.json"),
        (lambda f: (f / "recording.json").write_text("{}"), "does not describe a recording"),
        (lambda f: (f / "recording.json").write_text("no"), "is no JSON object"),
        (lambda f: (f / "instants.jsonl").unlink(), "lacks instants.jsonl"),
        (lambda f: (f / "instants.jsonl").write_text(""), "holds no instant"),
        (lambda f: (f / "rgb.mkv").unlink(), "lacks rgb.mkv"),
        (lambda f: (f / "rgb.mkv").write_bytes(b"no"), "cannot be opened"),
    ],
)
def test_a_broken_recording_is_one_sentence(kept: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(kept)
    with pytest.raises(ValueError, match=said):
        open_recording(kept)


def test_a_folder_that_holds_something_is_not_recorded_into(kept: Path) -> None:
    with pytest.raises(ValueError, match=r"holds instants.jsonl already"):
        recording(kept)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rgb", "{cameras}/rgb", "--record", "{tmp}/x"], "--record keeps cameras"),
        (["--rgb", "0", "--record", "{cameras}"], "already"),
        (["--rgb", "0", "--record", "{tmp}/out"], "a folder of its own"),
        (["--replay", "{cameras}"], "holds no recording.json"),
        (["--replay", "{kept}", "--rgb", "0"], "--rgb and --replay exclude"),
        (["--replay", "{kept}", "--offset", "rgb=1"], "--offset and --replay exclude"),
        (["--replay", "{kept}", "--stall", "1"], "--stall and --replay exclude"),
    ],
)
def test_options_that_exclude_one_another(
    words: list[str], said: str, cameras: Path, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(cameras=cameras, kept=kept, tmp=tmp_path) for word in words]
    assert main(["track", "--box", "1,1,9,9", "--out", str(tmp_path / "out"), *filled]) == 1
    assert said in capsys.readouterr().err


ABOUT = {"format": recording_module.FORMAT, "sensors": {"rgb": {}}, "reference": "rgb"}
DAMAGE = {
    "deep": ("recording.json", "[" * 10**5),
    "reference": ("recording.json", json.dumps({**ABOUT, "reference": ["rgb"]})),
    "scale of text": ("recording.json", json.dumps({**ABOUT, "depth_scale": "x"})),
    "scale of nothing": ("recording.json", json.dumps({**ABOUT, "depth_scale": float("nan")})),
    "homographies": ("recording.json", json.dumps({**ABOUT, "homographies": 5})),
    "sensor": ("recording.json", json.dumps({**ABOUT, "sensors": {"rgb": {}, "sonar": {}}})),
    "no time": ("instants.jsonl", '{"time": NaN, "images": {"rgb": 0}}\n{}'),
    "endless": ("instants.jsonl", '{"time": 0, "images": {"rgb": 1e999}}\n{}'),
    "a list": ("instants.jsonl", '{"time": [0], "images": {"rgb": 0}}\n{}'),
    "deep instants": ("instants.jsonl", "[" * 10**5 + "\n{}"),
    "no text": ("instants.jsonl", "\udcff\n{}"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_recording_is_one_sentence_that_names_the_file(tmp_path: Path, kind: str) -> None:
    kept = recording(tmp_path / "kept")
    shot = Shot(1, np.zeros((32, 48, 3), np.uint8))
    kept.picture(RGB, shot)
    kept.instant(0.1, {RGB: shot})
    kept.close()
    name, content = DAMAGE[kind]
    (tmp_path / "kept" / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=name) as caught:
        open_recording(tmp_path / "kept")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
