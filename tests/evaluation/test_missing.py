# SPDX-License-Identifier: Apache-2.0
"""Masks of missing sensors: what is drawn, what is read, what is refused, and that it reaches the tracker."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.toy import make_clips

from modaltrack.evaluation import BenchmarkSpec, load_tasks
from modaltrack.evaluation.missing import PATTERNS, make_mask, read_masks
from modaltrack.frame import Modality


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("rate", [0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("length", [1, 2, 57, 400])
def test_masks_have_their_rate_and_a_sensor_in_every_frame(pattern: str, rate: float, length: int) -> None:
    mask = make_mask(pattern, rate, length, "car")
    assert mask.shape == (length, 2)
    assert mask[0].all()
    assert mask.any(1).all()
    assert int((~mask).sum()) == round(rate * (length - 1))
    assert np.array_equal(mask, make_mask(pattern, rate, length, "car"))
    if length == 400:
        assert pattern != "random" or not np.array_equal(mask, make_mask(pattern, rate, length, "bus"))
        gone = (~mask).any(0)
        assert gone.tolist() == {"rgb": [True, False], "thermal": [False, True]}.get(pattern, gone.tolist())
        if pattern == "prolonged":
            (changes,) = np.nonzero(np.diff(mask.all(1)))
            assert len(changes) <= 2
        if pattern == "switched":
            assert gone.all()


def test_published_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "masks.json"
    file.write_text(json.dumps({"car": {"data": [[1, 1], [1, 0], [0, 1]]}}))
    assert read_masks(file)["car"].tolist() == [[True, True], [True, False], [False, True]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is expected"),
        ("[]", "is expected"),
        ("{}", "no sequences"),
        ('{"car": [[1, 1]]}', "pairs of 0 and 1"),
        ('{"car": {"data": [[1, 2]]}}', "pairs of 0 and 1"),
        ('{"car": {"data": [[1, 0]]}}', "first frame"),
        ('{"car": {"data": [[1, 1], [0, 0]]}}', "row 1 lacks both"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "masks.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_masks(file)


@pytest.mark.parametrize("text", ["random", "random:2", "random:x", "often:0.3", "none.json"])
def test_what_is_neither_file_nor_pattern_is_refused(tmp_path: Path, text: str) -> None:
    make_clips(tmp_path, {"a": 3})
    with pytest.raises(ValueError, match="--missing"):
        load_tasks(BenchmarkSpec("folder", str(tmp_path), missing=text))


def test_frames_lack_what_the_mask_takes_away(tmp_path: Path) -> None:
    make_clips(tmp_path / "clips", {"a": 3})
    file = tmp_path / "masks.json"
    file.write_text(json.dumps({"a": {"data": [[1, 1], [1, 0], [0, 1]]}}))
    spec = BenchmarkSpec("folder", str(tmp_path / "clips"), missing=str(file))
    frames = list(load_tasks(spec)[0].job(spec).open().frames)
    assert [set(f.images) for f in frames] == [{"rgb", "thermal"}, {"rgb"}, {"thermal"}]
    assert [f.missing for f in frames] == [frozenset(), {Modality.THERMAL}, {Modality.RGB}]
    file.write_text(json.dumps({"b": {"data": [[1, 1]] * 3}}))
    read_masks.cache_clear()
    with pytest.raises(ValueError, match="no mask of the sequence a"):
        list(load_tasks(spec)[0].job(spec).open().frames)
