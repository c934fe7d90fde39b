# SPDX-License-Identifier: Apache-2.0
"""VOT result layouts: text and binary, folder and zip, and what is no result."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modaltrack.results.vot import is_vot_layout, read_vot_results

# a code, a triangle and a rectangle, as the toolkit 0.7.3 wrote them
BINARY = bytes.fromhex(
    "01000300000000020000000203000000803f0000004000004040000080400000a0400000e040010000803f000000400000404000008040"
)


def _write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


LONG = {
    "T/rgbd-unsupervised/man/man_001.txt": "1\n1,2,3,4\nnan,nan,nan,nan\n0,0,4,0,4,4,0,4\n",
    "T/rgbd-unsupervised/man/man_001_confidence.value": "\n0.5\n0.25\n1\n",
    "T/rgbd-unsupervised/man/man_001_time.value": "0.1\n0.1\n0.1\n0.1\n",
}


def _check(found: object) -> None:
    result = found.sequences["man"]  # type: ignore[attr-defined]
    nan = [np.nan] * 4
    np.testing.assert_array_equal(result.boxes, [nan, [1, 2, 3, 4], nan, [0, 0, 4, 4]])
    np.testing.assert_array_equal(result.scores, [np.nan, 0.5, 0.25, 1])
    assert len(result.seconds) == 4


def test_one_run_per_sequence_from_folder_and_zip(tmp_path: Path) -> None:
    found = read_vot_results(_write(tmp_path, LONG) / "T")
    assert found.tracker == "T"
    assert "'rgbd-unsupervised': 1 sequences, one run per sequence" in found.recognised
    _check(found)
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        for name, content in LONG.items():
            archive.writestr(name, content)
    _check(read_vot_results(tmp_path / "r.zip"))


def test_binary_trajectories(tmp_path: Path) -> None:
    found = read_vot_results(_write(tmp_path, {"T/baseline/a/a_00000007.bin": BINARY}) / "T")
    np.testing.assert_array_equal(found.sequences["a"].runs[7], [[np.nan] * 4, [1, 2, 4, 5], [1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(BINARY[:-3], "cut short"), (struct.pack("<HI", 9, 0), "version 1"), (struct.pack("<HIB", 1, 1, 3), "mask")],
)
def test_bad_binary_files(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_vot_results(_write(tmp_path, {"T/e/a/a_00000007.bin": content}) / "T")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"T/e/a/a_001.txt": "1\n1,2,3\n"}, "line 2 has 3 numbers"),
        ({"T/e/a/a_001.txt": "1\n1,2,x,4\n"}, "line 2: '1,2,x,4'"),
        ({"T/e/a/a_001.txt": "1\nm0,0,4,4,1\n"}, "line 2 is a mask"),
        ({"T/e/a/a_001.txt": b"\xff\xfe\x00"}, "is no text file"),
        ({"T/e/a/a_001.txt": "1\n", "T/e/a/a_001_confidence.value": "high\n"}, "line 1: 'high'"),
        ({"T/e/a/a_001.txt": "1\n", "T/f/a/a_001.txt": "1\n"}, "several sets of results"),
        ({"T/notes.md": "none"}, "no VOT results"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, files: dict[str, str | bytes], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_vot_results(_write(tmp_path, files) / "T")


def test_repetitions_are_mentioned(tmp_path: Path) -> None:
    found = read_vot_results(_write(tmp_path, {"T/e/a/a_001.txt": "1\n", "T/e/a/a_002.txt": "1\n"}) / "T")
    assert "2 repetitions" in found.problems[0]


def test_a_sequence_that_ends_in_digits_is_no_run() -> None:
    assert not is_vot_layout(["man_001.txt", "man_002.txt"])
    assert is_vot_layout(["man_001/man_001_001.txt"])
