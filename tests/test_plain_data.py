# SPDX-License-Identifier: Apache-2.0
"""What plain data offers: a line in a terminal, a picture in a notebook, files and drawings of a result."""

import json
from pathlib import Path

import numpy as np
import pytest

import modaltrack
from modaltrack.frame import Clip, Frame, Modality, Result, Row, State


def image(shade: int = 90) -> np.ndarray:
    return np.full((60, 80, 3), shade, np.uint8)


@pytest.fixture
def clip() -> Clip:
    frames = [Frame({Modality.RGB: image(), Modality.THERMAL: image(40)}, i / 10, i) for i in range(4)]
    boxes = np.array([[10.0, 10, 20, 15]] * 3 + [[np.nan] * 4])
    return Clip("walk <1>", frames, boxes, attributes=frozenset({"fast motion"}), fps=10)


@pytest.fixture
def result() -> Result:
    return Result(
        "walk <1>",
        np.array([[np.nan] * 4, [10.5, 10, 20, 15], [11.123456789, 10, 20, 15], [12, 10, 20, 15]]),
        scores=np.array([np.nan, 1.0, 0.625, 0.1]),
        seconds=np.array([np.nan, 0.5, 0.01, 0.02]),
        status=np.array([0, 0, 1, 2]),
        times=np.array([0, 0.1, 0.2, 0.3]),
        present={Modality.RGB: np.array([True] * 4), Modality.DEPTH: np.array([False] * 4)},
        first=1,
        info={"model": "m"},
    )


def same(a: Result, b: Result) -> None:
    for name in ("boxes", "scores", "seconds", "status", "times"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.name, a.first, dict(a.info), a.corners) == (b.name, b.first, dict(b.info), b.corners)
    assert {m: rows.tolist() for m, rows in a.present.items()} == {m: rows.tolist() for m, rows in b.present.items()}


def test_every_line_is_short_and_says_what_it_is(clip: Clip, result: Result) -> None:
    state = State(
        np.array([[1.0, 2, 3, 4]]),
        np.array([0.5]),
        np.array([2]),
        {},
        {},
        np.array([0]),
        np.ones((1, 2)),
        np.ones((1, 2)),
    )
    row = Row("c", 3, clip.frames[0], np.ones((1, 4)), np.ones(1), np.array([], np.int64), 0.1, 0.2)
    lines = [repr(one) for one in (clip, clip.frames[0], result, state, row)]
    assert lines[0] == "Clip('walk <1>', 4 frames at 10 per second, rgb+thermal 80x60, boxes in 3)"
    assert lines[1] == "Frame(0, 0.000 s, rgb+thermal 80x60)"
    assert lines[2] == "Result('walk <1>', 3 boxes in 4 frames, 2 tracking, 1 uncertain, 1 lost)"
    assert lines[3] == "State(frame 0, [1.0, 2.0, 3.0, 4.0] 0.50 LOST)"
    assert all(len(line) < 120 for line in lines)


def test_a_line_renders_no_frame() -> None:
    frames = modaltrack.scenes.clip(0, length=20).frames
    assert "20 frames" in repr(Clip("c", frames))
    assert frames._chunk is None  # type: ignore[attr-defined]


def test_notebooks_get_pictures_and_nothing_of_a_name_is_markup(clip: Clip, result: Result) -> None:
    for one in (clip, clip.frames[0]):
        assert "data:image/png;base64," in one._repr_html_()
        assert len(one._repr_html_()) < 200_000
    assert "<svg" in result._repr_html_()
    for one in (clip, result):
        assert "<1>" not in one._repr_html_()
    assert "no image" in Frame({})._repr_html_()
    assert "0 boxes" in Result("n", np.empty((0, 4)))._repr_html_()


def test_json_keeps_all_and_text_the_boxes(result: Result, tmp_path: Path) -> None:
    same(Result.load(result.save(tmp_path / "r.json")), result)
    boxes = Result.load(result.save(tmp_path / "walk.txt"))
    np.testing.assert_array_equal(boxes.boxes, result.boxes)
    assert boxes.name == "walk"
    empty = Result("n", np.ones((2, 4)))
    same(Result.load(empty.save(tmp_path / "e.json")), empty)


def test_the_file_of_a_run_is_read_target_by_target(result: Result, tmp_path: Path) -> None:
    from modaltrack.sinks import result_document, write_json

    two = [result, Result(**{f: getattr(result, f) for f in result.__slots__} | {"boxes": result.boxes + 1})]
    write_json(tmp_path / "result.json", result_document(two, {"model": "m"}))
    np.testing.assert_array_equal(Result.load(tmp_path / "result.json", target=1).boxes, two[1].boxes)
    with pytest.raises(ValueError, match="holds 2 targets, counted from 0, and number 2"):
        Result.load(tmp_path / "result.json", target=2)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="other/1"),
        lambda d: d.update(frames={}),
        lambda d: d["frames"][1].pop("targets"),
        lambda d: d["frames"][1]["targets"][0].update(status="asleep"),
        lambda d: d["frames"][1]["targets"][0].update(box=[1, 2]),
        lambda d: d.update(info=3),
        lambda d: d.update(sensors=["smell"]),
    ],
)
def test_damage_is_said_in_one_sentence(change, result: Result, tmp_path: Path) -> None:
    document = json.loads(result.save(tmp_path / "r.json").read_text())
    change(document)
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="was expected") as caught:
        Result.load(tmp_path / "r.json")
    assert "\n" not in str(caught.value)


def test_pictures_and_films_of_a_result(clip: Clip, result: Result, tmp_path: Path) -> None:
    picture = result.draw(clip.frames[1])
    assert picture.dtype == np.uint8
    assert (picture != Result("n", np.full((4, 4), np.nan)).draw(clip.frames[1])).any()
    film = result.draw(clip, tmp_path / "film.mp4")
    assert film.stat().st_size > 1000
    assert len(list(modaltrack.open_source(film, "rgb"))) == 4


def test_what_cannot_be_drawn_is_said(clip: Clip, result: Result, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give its path"):
        result.draw(clip)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="has 4 rows and frame 9"):
        result.draw(Frame({Modality.RGB: image()}, index=9))
    with pytest.raises(ValueError, match="no frames"):
        result.draw([], tmp_path / "film.mp4")
    late = [clip.frames[0], Frame({Modality.RGB: image()}, index=9)]
    with pytest.raises(ValueError, match="has 4 rows"):
        result.draw(late, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
