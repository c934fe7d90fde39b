# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.sources import open_clip
from modaltrack.sources.align import load_alignment

IDENTITY = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]
BOTH = (Modality.RGB, Modality.THERMAL)


def test_file_and_mapping_say_the_same(tmp_path: Path) -> None:
    shift = [[1, 0, 5], [0, 1, -3], [0, 0, 1]]
    file = tmp_path / "h.json"
    file.write_text(json.dumps({"thermal": shift}))
    for given in ({"thermal": shift}, {Modality.THERMAL: np.array(shift)}, file, str(file)):
        assert np.array_equal(load_alignment(given, BOTH, Modality.RGB)[Modality.THERMAL], shift)
    assert load_alignment(None, BOTH, Modality.RGB) == {}


@pytest.mark.parametrize(
    ("kind", "border"), [("thermal", [0, 0, 0]), ("event", [255, 255, 255]), ("depth", [128, 0, 0])]
)
def test_pixels_land_where_the_matrix_says(
    write_folder: Callable[..., Path], colours: Callable[..., list[Any]], kind: str, border: list[int]
) -> None:
    if kind == "depth":
        other = np.full((20, 20), 1000, np.uint16)
        other[6, 4] = 2000
    else:
        other = np.full((20, 20, 3), 100, np.uint8)
        other[6, 4] = 200
    specs = {"rgb": write_folder("rgb", colours(1)), kind: write_folder("x", [other])}
    (frame,) = open_clip(specs, align={kind: [[1, 0, 10], [0, 1, 3], [0, 0, 1]]})
    image = frame.images[Modality(kind)]
    assert image.shape == (32, 48, 3)
    inside = image[3:23, 10:30]
    special = (inside != inside[0, 0]).any(axis=-1)
    assert np.argwhere(special).tolist() == [[6, 4]]
    outside = np.ones((32, 48), bool)
    outside[3:23, 10:30] = False
    assert (image[outside] == border).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"thermal": [[1,0,0],[0,1,0]]}', "shape .2, 3."),
        ('{"thermal": [[1,0,0],[0,1,0],[0,0]]}', "no matrix"),
        ('{"thermal": "abc"}', "no matrix"),
        ('{"thermal": [[1,0,0],[2,0,0],[0,0,1]]}', "singular"),
        ('{"thermal": [[1,0,0],[0,1,0],[0,0,NaN]]}', "NaN"),
        ('{"infrared": [[1,0,0],[0,1,0],[0,0,1]]}', "'infrared'"),
        ('{"depth": [[1,0,0],[0,1,0],[0,0,1]]}', "no source of this clip"),
        ('{"rgb": [[1,0,0],[0,1,0],[0,0,1]]}', "leave it out"),
        ('{"thermal": [[1,0,0]', "not valid JSON"),
        ("[[1,0,0],[0,1,0],[0,0,1]]", "holds a list"),
        ('{"thermal": [[1e400,0,0],[0,1,0],[0,0,1]]}', "infinity"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "h.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=words) as caught:
        load_alignment(file, BOTH, Modality.RGB)
    assert "h.json" in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        load_alignment(tmp_path / "none.json", BOTH, Modality.RGB)


def test_giant_numbers_and_deep_brackets_are_refused(tmp_path: Path) -> None:
    matrix = '{"thermal": [[%s,0,0],[0,1,0],[0,0,1]]}'
    deep = "[" * 10**5 + "]" * 10**5
    wrong = {"[" * 10**5: "too deep", matrix % deep: "too deep", matrix % ("1" + "0" * 350): "no matrix"}
    for content, words in {**wrong, matrix % ("1" + "0" * 6000): "not valid JSON"}.items():
        test_wrong_files_are_refused(tmp_path, content, words)
    (tmp_path / "h.json").write_text("\ufeff" + matrix % 1, encoding="utf-8")  # as Windows editors save
    assert np.array_equal(load_alignment(tmp_path / "h.json", BOTH, Modality.RGB)[Modality.THERMAL], np.eye(3))
