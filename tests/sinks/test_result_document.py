# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest

from modaltrack.frame import Modality, Result
from modaltrack.sinks import result_document, write_boxes, write_json
from modaltrack.sources import read_boxes

BOXES = np.array([[1.0, 2.0, 3.0, 4.0], [np.nan] * 4, [1.23456, -2.0, 3.5, 4.0]])


def a_result() -> Result:
    return Result(
        "clip",
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


@pytest.mark.parametrize(
    "document", [{}, {"a": {"b": {}}}, {"frames": []}, {"frames": [1]}, {"a": {"b": 1}, "frames": [{"b": 2}, 3]}]
)
def test_any_document_is_written_as_valid_json(tmp_path: Path, document: dict[str, object]) -> None:
    write_json(tmp_path / "r.json", document)
    assert json.loads((tmp_path / "r.json").read_text()) == document
