# SPDX-License-Identifier: Apache-2.0
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modaltrack.files import (
    Partial,
    locked,
    parse_json,
    prepare_folder,
    read_json,
    remove_abandoned,
    replacing,
    write_file,
)


def test_a_failed_write_keeps_the_older_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = write_file(tmp_path / "r.json", "older")

    def fail() -> None:
        with replacing(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_one_and_kept_when_the_new_one_fails(tmp_path: Path) -> None:
    target = tmp_path / "results"
    with replacing(target, folder=True) as partial:
        (partial / "a.txt").write_text("1")

    def fail() -> None:
        with replacing(target, folder=True) as partial:
            (partial / "b.txt").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [f.name for f in target.iterdir()] == ["a.txt"]
    with replacing(target, folder=True) as partial:
        (partial / "b.txt").write_text("2")
    assert [f.name for f in target.iterdir()] == ["b.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_told_with_the_name_of_the_file_that_was_wanted(tmp_path: Path) -> None:
    def fill() -> None:
        with replacing(tmp_path / "weights.bin"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "weights.bin")
    with pytest.raises(FileNotFoundError) as missing:
        write_file(tmp_path / "no" / "weights.bin", b"")
    assert missing.value.filename == str(tmp_path / "no" / "weights.bin")


def test_an_error_about_another_file_keeps_that_files_name(tmp_path: Path) -> None:
    def copy() -> None:
        with replacing(tmp_path / "copy") as partial:
            partial.write_bytes((tmp_path / "absent").read_bytes())

    with pytest.raises(FileNotFoundError) as caught:
        copy()
    assert caught.value.filename == str(tmp_path / "absent")


@pytest.mark.parametrize(
    "name", ["a" * 250 + ".txt", "noend", ".hidden", "ü" * 100 + ".json", "x." + "y" * 200, "😀" * 60 + ".txt"]
)
def test_any_name_that_a_file_can_have_can_be_written(tmp_path: Path, name: str) -> None:
    assert write_file(tmp_path / name, "text").read_text() == "text"
    assert [f.name for f in tmp_path.iterdir()] == [name]


def test_files_can_be_read_by_those_whom_the_system_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert write_file(tmp_path / "a", b"1").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_names_that_are_no_unicode_are_written_as_escapes(tmp_path: Path) -> None:
    assert write_file(tmp_path / "a.json", os.fsdecode(b"\xca\xd3")).read_text() == "\\udcca\\udcd3"


CHILD = """
import sys, time
from pathlib import Path
from modaltrack.files import Partial, locked
with locked(Path(sys.argv[1]) / "lock"):
    file, folder = Partial(Path(sys.argv[1]) / "video.mp4"), Partial(Path(sys.argv[1]) / "out", folder=True)
    (folder.path / "half.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9 and the locks of POSIX")
def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        mine = Partial(tmp_path / "mine.txt")
        assert remove_abandoned(tmp_path) == 0
        with locked(tmp_path / "lock") as held:
            assert not held
        assert f"process {child.pid}" in (tmp_path / "lock").read_text()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    prepare_folder(tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(["lock", mine.path.name])
    mine.drop()
    with locked(tmp_path / "lock") as held:
        assert held


def test_the_output_folder_is_checked_before_any_work(tmp_path: Path) -> None:
    assert prepare_folder(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is a file"):
            prepare_folder(folder)


@pytest.mark.parametrize("kind", ["open", "lists", "objects"])
def test_json_that_nests_too_deep_is_damaged_json(tmp_path: Path, kind: str) -> None:
    deep = {"open": "[" * 10**5, "lists": "[" * 10**5 + "]" * 10**5, "objects": '{"a":' * 10**5 + "1" + "}" * 10**5}
    with pytest.raises(ValueError, match="too deep"):
        parse_json(deep[kind])
    (tmp_path / "a.json").write_text(deep[kind])
    with pytest.raises(ValueError, match=r"a\.json is no JSON object; fetch it"):
        read_json(tmp_path / "a.json", "fetch it")
