# SPDX-License-Identifier: Apache-2.0
"""The Ray executor on a local cluster of two workers, of which one is killed."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'modaltrack[ray]'")

from tests.evaluation.toy import make_clips

from modaltrack import cli
from modaltrack.sources import read_boxes


def command(data: Path, out: Path, tracker: str) -> list[str]:
    line = ["eval", "--benchmark", "folder", "--data", str(data), "--out", str(out), "--executor", "ray"]
    return [*line, "--ray-workers", "2", "--tracker", f"tests.evaluation.toy:{tracker}"]


def test_nothing_is_lost_or_doubled_when_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lengths = {f"s{i:02d}": 8 for i in range(16)}
    data, log = make_clips(tmp_path / "data", lengths, ("rgb",)), tmp_path / "log"
    monkeypatch.setenv("TOY_LOG", str(log))
    monkeypatch.setenv("TOY_SECONDS", "0.05")
    killed = []

    def kill_one() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            lines = log.read_text().splitlines() if log.exists() else []
            if len(lines) >= 5:
                killed.append(int(lines[-1].split()[1]))
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    code = cli.main(command(data, tmp_path / "out", "Steady"))
    killer.join()
    assert code == 0, capsys.readouterr()
    assert killed
    folder = tmp_path / "out" / "Steady" / "folder"
    for name, length in lengths.items():
        assert read_boxes(folder / f"{name}.txt")[:, 0].tolist() == [10 + i for i in range(length)]
    workers = [int(line.split()[1]) for line in log.read_text().splitlines()]
    assert len(set(workers)) == 3  # two, and the one that took the place of the killed
    assert len(workers) == len(lengths) + 1  # only the sequence that it was at was run twice
    assert "16 sequences done" in capsys.readouterr().out


def test_a_sequence_that_kills_its_workers_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_clips(tmp_path / "data", {"a": 3, "b": 9, "c": 3}, ("rgb",))
    monkeypatch.setenv("TOY_DEADLY", "1")
    assert cli.main(command(data, tmp_path / "out", "Deadly")) == 1
    printed = capsys.readouterr().out
    assert "2 sequences done" in printed
    assert "b, opening: 3 workers died while they ran this sequence." in printed
