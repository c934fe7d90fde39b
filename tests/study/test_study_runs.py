# SPDX-License-Identifier: Apache-2.0
"""A study's folder is shared, resumed and never confused; one miniature goes through all of it."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modaltrack import cli
from modaltrack.files import locked
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.study import clip_store
from modaltrack.study.clip_store import chosen, study_clips
from modaltrack.study.folder import Settings, StudyFolder, open_folder, read_json, write_json
from modaltrack.study.measuring import evaluate_missing
from modaltrack.study.plan import run_of
from modaltrack.study.running import Machine, recipe_of, state_of, train_missing

SMALL = Settings(steps=8, batch=2, clips=2, frames=3)


class FakeTraining:
    """Writes a card as training does. fails: runs that raise; stops: runs that are interrupted once."""

    def __init__(self, fails: tuple[str, ...] = (), stops: tuple[str, ...] = ()) -> None:
        self.fails, self.stops, self.seen = fails, set(stops), []

    def __call__(self, recipe: Any, folder: Path, *rest: Any, **more: Any) -> dict[str, Any]:
        self.seen.append(folder.name)
        if folder.name in self.fails:
            raise RuntimeError("the loss was not finite")
        card = {"finished": folder.name not in self.stops, "steps": recipe.steps}
        self.stops.discard(folder.name)
        write_json(folder / "card.json", card)
        return card


def train(path: Path, names: str, training: FakeTraining, seeds: tuple[int, ...] = (0,)) -> dict[str, str]:
    runs = [run_of(name) for name in names.split()]
    return train_missing(StudyFolder(path), SMALL, runs, seeds, Machine("cpu"), lambda text: None, training)


def test_finished_runs_are_skipped_and_seeds_come_one_after_the_other(tmp_path: Path) -> None:
    first = FakeTraining()
    states = train(tmp_path, "ostrack sdstrack tpf", first, (0, 1))
    assert first.seen == ["sdstrack-seed0", "tpf-seed0", "sdstrack-seed1", "tpf-seed1"]
    assert set(states) == {*first.seen, "ostrack-seed0"}
    again = FakeTraining()
    assert set(train(tmp_path, "sdstrack tpf", again, (0, 1)).values()) == {"finished"}
    assert again.seen == []


def test_a_run_that_fails_is_noted_the_others_go_on_and_it_is_tried_again(tmp_path: Path) -> None:
    training = FakeTraining(fails=("sdstrack-seed0",))
    assert train(tmp_path, "sdstrack tpf", training) == {"sdstrack-seed0": "failed", "tpf-seed0": "finished now"}
    assert "not finite" in state_of(StudyFolder(tmp_path), run_of("sdstrack"), 0)
    assert train(tmp_path, "sdstrack", FakeTraining()) == {"sdstrack-seed0": "finished now"}
    assert state_of(StudyFolder(tmp_path), run_of("sdstrack"), 0) == "finished"


def test_an_interrupted_run_ends_the_command_and_is_gone_on_with(tmp_path: Path) -> None:
    training = FakeTraining(stops=("sdstrack-seed0",))
    assert train(tmp_path, "sdstrack tpf", training)["sdstrack-seed0"] == "stopped"
    assert training.seen == ["sdstrack-seed0"]
    assert state_of(StudyFolder(tmp_path), run_of("sdstrack"), 0) == "at step 8"
    train(tmp_path, "sdstrack tpf", training)
    assert training.seen == ["sdstrack-seed0", "sdstrack-seed0", "tpf-seed0"]


def test_out_of_time_a_run_stops_and_the_same_command_goes_on(tmp_path: Path) -> None:
    import time

    from modaltrack.training import train as training

    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    try:
        from toy import BuildSampler
    finally:
        sys.path.pop(0)
    place, toy = StudyFolder(tmp_path), partial(training, make_sampler=BuildSampler())
    runs, machine = [run_of("sdstrack"), run_of("tpf")], Machine("cpu", 1, 0)
    settings = Settings(steps=2, batch=2, clips=2, frames=3)
    states = train_missing(place, settings, runs, (0,), machine, print, toy, until=time.monotonic())
    assert states == {"sdstrack-seed0": "stopped"}
    assert state_of(place, runs[0], 0) == "at step 0"
    states = train_missing(place, settings, runs[:1], (0,), machine, print, toy)
    assert states == {"sdstrack-seed0": "finished now"}
    late = evaluate_missing(place, settings, runs, (0,), lambda: 1 / 0, "cpu", until=time.monotonic())  # type: ignore[arg-type,return-value]
    assert late == {"sdstrack-seed0": "stopped", "tpf-seed0": "not trained"}


def test_a_second_stage_waits_for_the_first_and_starts_from_it(tmp_path: Path) -> None:
    assert train(tmp_path, "tpf-distilled", FakeTraining()) == {"tpf-distilled-seed0": "waits for tpf-stage-1"}
    training = FakeTraining()
    train(tmp_path, "tpf-distilled tpf-stage-1", training)
    assert training.seen == ["tpf-stage-1-seed0", "tpf-distilled-seed0"]
    second = recipe_of(run_of("tpf-distilled"), StudyFolder(tmp_path), SMALL, 0)
    assert second.start_from == str(tmp_path / "runs" / "tpf-stage-1-seed0")
    assert second.steps + recipe_of(run_of("tpf-stage-1"), StudyFolder(tmp_path), SMALL, 0).steps == SMALL.steps


def test_what_another_process_trains_is_left_to_it(tmp_path: Path) -> None:
    training = FakeTraining()
    with locked(tmp_path / "runs" / "sdstrack-seed0" / "lock") as mine:
        assert mine
        states = train(tmp_path, "sdstrack tpf", training)
    assert states["sdstrack-seed0"] == "in work elsewhere"
    assert training.seen == ["tpf-seed0"]


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from modaltrack.files import locked\n"
        "with locked(Path(sys.argv[1]) / 'lock') as mine: print(mine, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "True"
    with locked(tmp_path / "lock") as mine:
        assert not mine
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert str(other.pid) in (tmp_path / "lock").read_text()  # the file is left behind and locks nothing
    with locked(tmp_path / "lock") as mine:
        assert mine
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_a_folder_keeps_its_settings(tmp_path: Path) -> None:
    _, settings = open_folder(tmp_path, steps=300, clips=None)
    assert settings == Settings(steps=300)
    assert open_folder(tmp_path, steps=300)[1] == open_folder(tmp_path)[1] == settings
    with pytest.raises(ValueError, match="with steps 300, and steps 400 was given"):
        open_folder(tmp_path, steps=400)
    with pytest.raises(ValueError, match=r"with rate 1.0, and rate 0.5 was given"):
        open_folder(tmp_path, rate=0.5)
    with pytest.raises(ValueError, match="at least 2"):
        Settings(frames=1)


def test_a_folder_from_before_the_rate_has_the_whole_rate(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"steps": 300, "batch": 8, "clips": 4, "frames": 5}')
    assert open_folder(tmp_path, rate=1.0)[1] == Settings(300, 8, 4, 5, 1.0)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (128, 160, 3), dtype=np.uint8)


def clip(name: str, frames: int = 4) -> Clip:
    boxes = np.array([[50.0, 40, 30, 20]] * frames)
    boxes[1] = np.nan
    shown = [Frame({m: picture(10 * i + k) for k, m in enumerate(Modality)}, index=i) for i in range(frames)]
    return Clip(name, shown, boxes)


def test_clips_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack import scenes

    class Bench(list):  # type: ignore[type-arg]
        version = "scenes-test"

    monkeypatch.setattr(scenes, "benchmark", lambda **how: Bench(clip(f"clip {i}") for i in range(40)))
    said: list[str] = []
    once = study_clips(tmp_path, SMALL, said.append)
    assert [c.name for c in once] == ["clip 0", "clip 20"]
    assert len(said) == 2
    monkeypatch.setattr(clip_store, "_render", None)
    again = study_clips(tmp_path, SMALL, said.append)
    for a, b in zip(once, again, strict=True):
        assert len(a.frames) == SMALL.frames
        assert np.array_equal(a.boxes, b.boxes, equal_nan=True)
        assert np.isnan(a.boxes[1]).all()
        for i in (0, 2):
            assert all(np.array_equal(a.frames[i].images[m], b.frames[i].images[m]) for m in Modality)
    assert np.array_equal(once[1].frames[2].images[Modality.DEPTH], picture(22))


def test_who_finds_another_process_rendering_waits_and_takes_its_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from modaltrack import scenes

    class Bench(list):  # type: ignore[type-arg]
        version = "scenes-test"

    monkeypatch.setattr(scenes, "benchmark", lambda **how: Bench(clip(f"clip {i}") for i in range(40)))
    begun, render, said = threading.Event(), clip_store._render, []

    def slow(*what: Any) -> dict[str, Any]:
        begun.set()
        if threading.current_thread() is not other:
            other.join(0.2)  # it is at the lock by then, or comes to it later: both have to be right
        return render(*what)

    def second() -> None:
        begun.wait()
        found.append(study_clips(tmp_path, SMALL, said.append))

    monkeypatch.setattr(clip_store, "_render", slow)
    found: list[list[Clip]] = []
    other = threading.Thread(target=second)
    other.start()
    study_clips(tmp_path, SMALL, said.append)
    other.join()
    assert [c.name for c in found[0]] == ["clip 0", "clip 20"]
    assert len(said) == 2, "a clip was rendered twice"


def test_half_of_the_clips_are_hard() -> None:
    assert chosen(4) == [0, 10, 20, 30]
    assert chosen(40) == list(range(40))
    with pytest.raises(ValueError, match="even number"):
        chosen(5)


def test_a_miniature_from_training_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from modaltrack.study import measuring
    from modaltrack.training import train as training

    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    try:
        from toy import BuildSampler
    finally:
        sys.path.pop(0)
    small = {"SENSORS": ("depth",), "CORRUPTIONS": ("x dropped",), "GAP_DRAWS": 1, "GAP_TOKENS": 50}
    for name, value in small.items():
        monkeypatch.setattr(measuring, name, value)
    before = torch.get_num_threads()
    place, settings = open_folder(tmp_path, steps=2, batch=2, clips=2, frames=3)
    runs = [run_of("ostrack"), run_of("sdstrack")]
    toy = partial(training, make_sampler=BuildSampler())
    states = train_missing(place, settings, runs, (0,), Machine("cpu", before, 0), print, toy)
    assert states == {"ostrack-seed0": "finished", "sdstrack-seed0": "finished now"}
    clips = [clip("easy"), clip("hard")]
    assert evaluate_missing(place, settings, runs, (0,), lambda: clips, "cpu") == {
        "ostrack-seed0": "measured now",
        "sdstrack-seed0": "measured now",
    }
    data = read_json(tmp_path / "runs" / "sdstrack-seed0" / "evaluation.json")
    assert data is not None
    assert data["card"]["steps"] == 2
    assert len(data["conditions"]["rgb+depth | x dropped"]["success"]) == 2
    assert set(data["gap"]) == {"depth"}
    never = evaluate_missing(place, settings, runs, (0,), lambda: 1 / 0, "cpu")  # type: ignore[arg-type,return-value]
    assert set(never.values()) == {"measured"}
    assert cli.main(["study", "table", "--out", str(tmp_path)]) == 0
    assert "| sdstrack | 1 | 0." in (tmp_path / "study.md").read_text()
    assert torch.get_num_threads() == before


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "table", "--out", str(tmp_path), "--only", "nobody"]) == 1
    assert "no run 'nobody'" in capsys.readouterr().err
    assert cli.main(["study", "table", "--out", str(tmp_path), "--seeds", "one"]) == 1
    assert "--seeds" in capsys.readouterr().err
    with locked(tmp_path / "shared" / "runs" / "sdstrack-seed0" / "lock"):
        words = ["study", "run", "--out", str(tmp_path / "shared"), "--only", "sdstrack", "--seeds", "0"]
        assert cli.main(words) == 3
    assert "1 of 1 runs are not finished here" in capsys.readouterr().out
    assert cli.main(["study", "table", "--out", str(tmp_path / "new"), "--minutes", "-1"]) == 1
    assert "--minutes is -1; give more than 0" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert cli.main(["study", "--only", "list"]) == 0
    assert "sdstrack-masked" in capsys.readouterr().out
