# SPDX-License-Identifier: Apache-2.0
"""Threads and waiting are chosen by the program, before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from modaltrack import cli
from modaltrack.commands import threads

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "0"}


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cpu_quota", lambda: None)
    environment: dict[str, str] = {}
    threads.settle(environment=environment)
    assert environment == WAITING
    for own in ({"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME": "200"}):
        environment = dict(own)
        threads.settle(environment=environment)
        assert environment == own


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 64)
    for quota, expected in ((2.5, "2"), (0.5, "1"), (64.0, None), (None, None)):
        monkeypatch.setattr(threads, "cpu_quota", lambda quota=quota: quota)
        environment: dict[str, str] = {}
        threads.settle(environment=environment)
        assert environment.get("OMP_NUM_THREADS") == expected
        environment = {"OMP_NUM_THREADS": "7"}
        threads.settle(environment=environment)
        assert environment["OMP_NUM_THREADS"] == "7"


def test_both_kinds_of_limits_are_read(tmp_path: Path) -> None:
    assert threads.cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert threads.cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert threads.cpu_quota(tmp_path) == 2.5
    (tmp_path / "old" / "cpu").mkdir(parents=True)
    (tmp_path / "old" / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "old" / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert threads.cpu_quota(tmp_path / "old") is None
    (tmp_path / "old" / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    assert threads.cpu_quota(tmp_path / "old") == 0.5


def test_the_option_is_taken_out_of_every_command_line() -> None:
    assert threads.take_option(["a", "--threads", "3", "b"]) == (["a", "b"], 3)
    assert threads.take_option(["--threads=1"]) == ([], 1)
    assert threads.take_option(["a"]) == (["a"], None)


@pytest.mark.parametrize(
    "words", [["--threads"], ["--threads", "0"], ["--threads=x"], ["--threads", "1", "--threads=2"]]
)
def test_a_wrong_number_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", *words]) == 2
    assert "--threads" in capsys.readouterr().err


def test_the_command_settles_them_before_torch_is_there() -> None:
    """In a process of its own: torch reads the environment when it is imported."""
    code = (
        "import sys, os\n"
        "for name in [n for n in os.environ if n.startswith(('OMP_', 'GOMP_', 'MKL_', 'KMP_'))]: del os.environ[name]\n"
        "from modaltrack import cli\n"
        "assert 'torch' not in sys.modules\n"
        "cli.main(['doctor', '--threads', '1'])\n"
        "import torch\n"
        "assert torch.get_num_threads() == 1, torch.get_num_threads()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 threads of" in done.stdout
    assert "asleep while they wait" in done.stdout
    assert "[events]" in done.stdout or "aedat" in done.stdout
