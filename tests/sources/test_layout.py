# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.sources import SourceWarning, open_folder, read_boxes

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2,3,4\n5,6,7,8\n", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("1\t2\t3\t4", [[1, 2, 3, 4]]),
        (" 1.5  2 3 4e1 \r\n1 1 2 2\r\n\r\n", [[1.5, 2, 3, 40], [1, 1, 2, 2]]),
        ("1, 2, 3, 4\nNaN,nan,nan,nan\n-3,-4,3,4", [[1, 2, 3, 4], [NAN] * 4, [-3, -4, 3, 4]]),
        ("1,2,3,4\n\n1,2,0,4\n1,2,-1,-1\nnan", [[1, 2, 3, 4], [NAN] * 4, [NAN] * 4, [NAN] * 4, [NAN] * 4]),
        ("10,20,30,20,30,50,10,50", [[10, 20, 20, 30]]),
        ("20,10,30,20,20,30,10,20", [[10, 10, 20, 20]]),
    ],
)
def test_boxes_in_any_common_text(tmp_path: Path, text: str, rows: list[list[float]]) -> None:
    file = tmp_path / "boxes.txt"
    file.write_text(text)
    assert np.array_equal(read_boxes(file), np.array(rows), equal_nan=True)


@pytest.mark.parametrize(("text", "words"), [("", "empty"), ("1,2,3,4\n1,2,3", "line 2 has 3"), ("a,b,c,d", "line 1")])
def test_unfit_boxes_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "boxes.txt").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_boxes(tmp_path / "boxes.txt")


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_boxes(tmp_path / "none.txt")
    (tmp_path / "boxes.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="no text file"):
        read_boxes(tmp_path / "boxes.txt")


def test_folder_with_all_four(
    tmp_path: Path, write_folder: Callable[..., Path], colours: Callable[..., list[Any]]
) -> None:
    for kind in ("rgb", "thermal", "event"):
        write_folder(f"clip/{kind}", colours(3))
    write_folder("clip/depth", [np.full((32, 48), 1000 + i, np.uint16) for i in range(3)])
    (tmp_path / "clip" / "boxes.txt").write_text("1,2,3,4\n" * 3)
    reader, boxes = open_folder(tmp_path / "clip")
    assert set(reader.modalities) == set(Modality)
    assert boxes is not None
    assert boxes.shape == (3, 4)
    assert all(len(frame.images) == 4 for frame in reader)


def test_aux_needs_its_modality(
    tmp_path: Path, write_folder: Callable[..., Path], colours: Callable[..., list[Any]]
) -> None:
    write_folder("clip/rgb", colours(2))
    with pytest.raises(ValueError, match="no folder aux/"):
        open_folder(tmp_path / "clip", aux="thermal")
    write_folder("clip/aux", colours(2))
    with pytest.raises(ValueError, match="aux='thermal'"):
        open_folder(tmp_path / "clip")
    reader, boxes = open_folder(tmp_path / "clip", aux="thermal")
    assert reader.modalities == (Modality.RGB, Modality.THERMAL)
    assert boxes is None
    with pytest.raises(ValueError, match="both rgb/ and aux/"):
        open_folder(tmp_path / "clip", aux="rgb")


@pytest.mark.parametrize(("rows", "kept", "words"), [(5, 3, "the rest is cut"), (1, 1, "no box")])
def test_other_number_of_boxes_is_said(
    tmp_path: Path,
    write_folder: Callable[..., Path],
    colours: Callable[..., list[Any]],
    rows: int,
    kept: int,
    words: str,
) -> None:
    write_folder("clip/rgb", colours(3))
    (tmp_path / "clip" / "groundtruth.txt").write_text("1,2,3,4\n" * rows)
    with pytest.warns(SourceWarning, match=words):
        _, boxes = open_folder(tmp_path / "clip")
    assert boxes is not None
    assert len(boxes) == kept


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        open_folder(tmp_path / "none")
    (tmp_path / "visible").mkdir()
    with pytest.raises(ValueError, match="holds visible and at least one of rgb/"):
        open_folder(tmp_path)
