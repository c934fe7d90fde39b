# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest

from modaltrack.frame import Modality, Result
from modaltrack.sinks import prepare_folder, read_boxes, replacing, result_document, write_boxes, write_json

BOXES = np.array([[1.0, 2.0, 3.0, 4.0], [np.nan] * 4, [1.23456, -2.0, 3.5, 4.0]])


def a_result() -> Result:
    return Result(
        boxes=BOXES,
        scores=np.array([1.0, 0.2, np.nan]),
        status=np.array([0, 2, 1]),
        times=np.array([0.0, 0.1, np.nan]),
        present={Modality.RGB: np.array([True, True, True]), Modality.THERMAL: np.array([True, False, True])},
    )


def test_boxes_survive_the_round_trip(tmp_path: Path) -> None:
    write_boxes(tmp_path / "b.txt", BOXES)
    assert (tmp_path / "b.txt").read_text().splitlines()[1] == "nan,nan,nan,nan"
    np.testing.assert_allclose(read_boxes(tmp_path / "b.txt"), BOXES, atol=5e-4)


@pytest.mark.parametrize("text", ["1,2,3,4\n", "1\t2\t3\t4\n", "1 2  3 4", "1; 2; 3; 4\r\n\r\n", "\ufeff1, 2, 3, 4"])
def test_the_separators_of_the_field_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.txt").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_boxes(tmp_path / "b.txt"), [[1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1,2,3\n", "Line 1 .* 3 numbers"),
        (b"1,2,3,4\na,b,c,d\n", "Line 2"),
        (b"", "no boxes"),
        (b"\xff\xfe\x00\x01\x80", "not a text file"),
    ],
)
def test_what_is_no_box_file_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "b.txt").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_boxes(tmp_path / "b.txt")


def test_the_result_is_strict_json_with_every_fact_of_a_frame(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", result_document([a_result(), a_result()], {"model": "m", "speed": float("inf")}))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert document["model"] == "m"
    assert document["speed"] is None
    assert len(document["frames"]) == 3
    assert document["frames"][0]["targets"][1] == {"box": [1, 2, 3, 4], "score": 1.0, "status": "tracking"}
    assert document["frames"][1]["targets"][0] == {"box": None, "score": 0.2, "status": "lost"}
    assert document["frames"][1]["present"] == ["rgb"]
    assert document["frames"][2]["time"] is None


def test_a_failed_write_keeps_the_older_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_text("older")

    def fail() -> None:
        with replacing(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_output_folder_is_checked_before_any_work(tmp_path: Path) -> None:
    assert prepare_folder(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is a file"):
            prepare_folder(folder)
