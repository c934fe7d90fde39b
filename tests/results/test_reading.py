# SPDX-License-Identifier: Apache-2.0
"""Result files as people have them, and as this house writes them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modaltrack.box_text import parse_table
from modaltrack.frame import Result
from modaltrack.results import (
    check_manifest,
    match_names,
    read_results,
    write_results,
    write_sequence,
    zip_results,
)
from modaltrack.results.writing import LAYOUTS

BOXES = np.array([[1, 2, 3, 4], [5.5, 6.25, 7, 8]])


def folder(place: Path, **files: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / f"{name}.txt").write_text(text)
    return place


@pytest.mark.parametrize("text", [
    "1,2,3,4\n5.5,6.25,7,8\n",
    "1\t2\t3\t4\n5.5\t6.25\t7\t8",
    "1 2 3 4\r\n5.5  6.25 7 8\r\n",
    "1;2;3;4\n5.5;6.25;7;8\n\n",
    "\ufeff1, 2, 3, 4\n5.5, 6.25, 7, 8\n",
    "1.0,2.0,3.0,4.0\r5.5,6.25,7.0,8.0\r",
    "1e0,2,3,4\n55e-1,6.25,7,8\n",
    "+1,2,3,4\n5.5,6.25,7,8\n",
    "1 2 4 2 4 6 1 6\n5.5 6.25 12.5 6.25 12.5 14.25 5.5 14.25\n",
    "1,2,3,4,0.5\n5.5,6.25,7,8,0.25\n",
    "1,2,3,4,0.5,20\n5.5,6.25,7,8,0.25,30\n",
])  # fmt: skip
def test_any_separator_and_form(tmp_path: Path, text: str) -> None:
    found = read_results(folder(tmp_path / "T", a=text))
    np.testing.assert_array_equal(found.sequences["a"].boxes, BOXES)
    assert found.tracker == "T"
    assert found.sequences["a"].corners == ("8 corner" in found.recognised)
    assert (len(found.sequences["a"].scores) > 0) == text.startswith("1,2,3,4,0.5")


number = st.one_of(
    st.integers(-99999, 99999).map(str),
    st.floats(-1e4, 1e4, allow_nan=False).map(repr),
    st.decimals(-9999, 9999, places=4, allow_nan=False).map(lambda d: format(d, "f")),
    st.sampled_from(["nan", "NaN", "inf", "-0", "0.1", ".5", "7.", "1e5", "123456789012345678", "0.30000000000000004"]),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(number, min_size=4, max_size=4), min_size=1, max_size=6), st.sampled_from([",", "\t", "  ", ", "])
)
def test_numbers_are_read_to_the_last_bit(table: list[list[str]], separator: str) -> None:
    text = "\n".join(separator.join(row) for row in table)
    expected = np.array([[float(v) for v in row] for row in table])
    np.testing.assert_array_equal(parse_table(text.encode(), "x").numbers, expected)


def test_every_librarys_nan(tmp_path: Path) -> None:
    found = read_results(folder(tmp_path, a="1,2,3,4\n-nan(ind),nan(snan),1.#QNAN,-1.#IND00\n5,6,7,8\n"))
    assert np.isnan(found.sequences["a"].boxes).all(axis=1).tolist() == [False, True, False]


def test_rows_that_are_no_boxes(tmp_path: Path) -> None:
    found = read_results(folder(tmp_path, a="1,2,3,4\nnan,nan,nan,nan\n\n0\n5,6,7,8\n")).sequences["a"].boxes
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, False]


def test_times_and_confidences_beside_the_boxes(tmp_path: Path) -> None:
    top = folder(
        tmp_path, car="1,2,3,4\n1,2,3,4\n", car_time="0.1\n0.2\n", car_confidence="\n0.5\n", day_time="1,2,3,4\n"
    )
    found = read_results(top)
    assert set(found.sequences) == {"car", "day_time"}  # without a sequence "day" it is a sequence itself
    np.testing.assert_array_equal(found.sequences["car"].scores, [np.nan, 0.5])
    np.testing.assert_array_equal(found.sequences["car"].seconds, [0.1, 0.2])
    (top / "car_time.txt").write_text("0.1\n")
    assert "1 rows" in read_results(top).problems[0]


def test_vot_layout_is_handed_on(tmp_path: Path) -> None:
    home = folder(tmp_path / "T" / "rgbd-unsupervised" / "car", car_001="1\n1,2,3,4\n")
    (home / "car_001_confidence.value").write_text("\n0.5\n")
    found = read_results(tmp_path / "T")
    assert np.isnan(found.sequences["car"].boxes[0]).all()
    assert len(found.sequences["car"].scores)
    assert "VOT" in found.recognised


def test_a_zip_reads_like_its_folder(tmp_path: Path) -> None:
    top = folder(tmp_path / "T" / "LasHeR", a="1,2,3,4\n", b="1,2,3,4\n")
    (top / ".hidden.txt").write_text("x")
    file = tmp_path / "T.zip"
    assert zip_results(tmp_path / "T", file) == (2, ["LasHeR/.hidden.txt"])
    first = file.read_bytes()
    zip_results(tmp_path / "T", file)
    assert file.read_bytes() == first
    found = read_results(file)
    assert set(found.sequences) == {"a", "b"}
    assert found.tracker == "T"
    assert read_results(top).tracker == "T"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_is_read_back(tmp_path: Path, layout: str) -> None:
    boxes = np.array([[0.1, 2, 3, 4], [1 / 4, 6, 7.5, 8], [-3, -2, 5, 5]])
    result = Result("s", boxes, np.array([1, 0.5, np.nan]), np.array([0.25, 0.5, 0.125]))
    manifest = write_results(tmp_path / "out", {"s": result}, layout, "T")
    again = read_results(tmp_path / "out").sequences["s"]
    np.testing.assert_allclose(again.boxes, boxes, atol=1e-12)
    if layout != "got10k":
        np.testing.assert_array_equal(again.scores, result.scores)
        np.testing.assert_array_equal(again.seconds, result.seconds)
    assert check_manifest(tmp_path / "out") == []
    assert json.loads(manifest.read_text())["tracker"] == "T"
    assert not list(tmp_path.rglob("*.partial*"))


def test_the_manifest_sees_every_change(tmp_path: Path) -> None:
    results = {n: Result(n, BOXES) for n in "abc"}
    write_results(tmp_path, results)
    (tmp_path / "a.txt").write_text("1,2,3,5\n")
    (tmp_path / "b.txt").unlink()
    problems = check_manifest(tmp_path)
    assert problems is not None
    assert [p.split()[0] for p in problems] == ["a.txt", "b.txt"]
    write_results(tmp_path, {"d": results["a"]})  # extends what is there
    assert {"c.txt", "d.txt"} <= set(json.loads((tmp_path / "manifest.json").read_text())["files"])


def test_prefixes_suffixes_and_case_are_undone_and_said(tmp_path: Path) -> None:
    found = read_results(
        folder(tmp_path, RGBT_car="1,2,3,4", RGBT_Man_1="1,2,3,4", BUS="1,2,3,4", occcar1="1,2,3,4", x="1,2,3,4")
    )
    names = ["car", "Man_1", "bus", "occCar-1"]
    matched = match_names(found, names)
    assert set(matched.sequences) == {*names, "x"}
    assert matched.sequences["car"].name == "car"
    assert "4 results were matched" in matched.problems[0]
    assert match_names(matched, names) == matched


@pytest.mark.parametrize("pattern", ["MANet_{}", "{}_MANet", "MANet-{}_result", "MANet{}", "RGBT.{}.MANet"])
def test_any_affix_that_the_set_shares(tmp_path: Path, pattern: str) -> None:
    names = ["car", "car10", "Man_1", "blackcar", "leftman2"]
    found = read_results(folder(tmp_path, **{pattern.format(n): f"{i},2,3,4" for i, n in enumerate(names)}))
    matched = match_names(found, names)
    assert sorted(matched.sequences) == sorted(names)
    assert {n: r.boxes[0, 0] for n, r in matched.sequences.items()} == {n: i for i, n in enumerate(names)}


def test_a_lone_name_that_contains_another_is_left_alone(tmp_path: Path) -> None:
    """The training sequences of a tracker's full set are no prefixes of the one that is missing."""
    found = read_results(folder(tmp_path, bus="1,2,3,4", black_car="1,2,3,4", tree="1,2,3,4", sun="1,2,3,4"))
    assert set(match_names(found, ["bus", "car"]).sequences) == {"bus", "black_car", "tree", "sun"}


def test_a_slip_of_the_pen_needs_the_right_length_and_is_said(tmp_path: Path) -> None:
    names = ["baketballwaliking", "car4"]
    found = read_results(folder(tmp_path, basketballwalking="1,2,3,4\n1,2,3,4", car4="1,2,3,4"))
    assert set(match_names(found, names).sequences) == {"basketballwalking", "car4"}
    assert set(match_names(found, names, {"baketballwaliking": 3, "car4": 1}).sequences) == {
        "basketballwalking",
        "car4",
    }
    matched = match_names(found, names, {"baketballwaliking": 2, "car4": 1})
    assert set(matched.sequences) == set(names)
    assert "basketballwalking is taken for baketballwaliking" in matched.problems[-1]
    other = read_results(folder(tmp_path / "o", car14="1,2,3,4"))
    assert set(match_names(other, ["car4"], {"car4": 1}).sequences) == {"car14"}  # other digits, another sequence


def zipped(place: Path, name: str, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(place / name, "w") as archive:
        for inside, content in files.items():
            archive.writestr(inside, content)
    return place / name


ROW = b"1,2,3,4\n5.5,6.25,7,8\n"
LAYOUTS_ABOUT: dict[str, dict[str, bytes]] = {
    "beside times, notes and what systems leave": {
        "a.txt": ROW, "a_time.txt": b"1\n1\n", "a_all_boxes.txt": b"7\n", "README.md": b"x", "readme.txt": b"x",
        ".DS_Store": b"\0", "._a.txt": b"\0", "__MACOSX/._a.txt": b"\0", "a.mat": b"\0",
        "fps.txt": b"31.5", "log.txt": b"started",
    },
    "below the tracker's name": {"T/a.txt": ROW, "T/b.txt": ROW},
    "a folder per sequence, called alike": {"a/result.txt": ROW, "b/result.txt": ROW},
    "a folder per sequence, by name": {"a/a.txt": ROW, "b/b.txt": ROW},
    "by category": {"Adapter/a.txt": ROW, "Adapter/b.txt": ROW, "Bag/c.txt": ROW},
    "times in a folder of their own": {"a.txt": ROW, "b.txt": ROW, "time/a.txt": b"1\n1\n", "time/b.txt": b"1\n1\n"},
    "no suffix": {"a": ROW, "b": ROW},
    "trailing commas and blanks": {"a.txt": b"1, 2, 3, 4,\r\n5.5, 6.25, 7, 8, \r\n"},
    "a frame number in front": {"a.txt": b"1,1,2,3,4\n2,5.5,6.25,7,8\n3,1,1,1,1\n"},
    "as MATLAB writes numbers": {"a.txt": b"  1.0e+00  2.0000e+00  3.0e+00  4.0000000e+00\n5.5 6.25 7 8"},
    "GOT-10k's": {"a/a_001.txt": ROW, "a/a_time.txt": b"1\n1\n", "b/b_001.txt": ROW},
}  # fmt: skip


@pytest.mark.parametrize("packed", ["a folder", "a zip", "a zip in a zip"])
@pytest.mark.parametrize("name", LAYOUTS_ABOUT)
def test_layouts_that_are_about(tmp_path: Path, name: str, packed: str) -> None:
    files = LAYOUTS_ABOUT[name]
    if packed == "a folder":
        for inside, content in files.items():
            (tmp_path / "R" / inside).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "R" / inside).write_bytes(content)
        top = tmp_path / "R"
    else:
        top = zipped(tmp_path, "R.zip", files)
    if packed == "a zip in a zip":
        top = zipped(tmp_path, "outer.zip", {"there/R.zip": top.read_bytes(), "readme.txt": b"x"})
    found = read_results(top)
    expected = {"a"} | {n for n in "bc" if any(f"{n}/" in f or f.split("/")[-1] in (n, f"{n}.txt") for f in files)}
    assert set(found.sequences) == expected
    assert found.problems == []
    for result in found.sequences.values():
        np.testing.assert_array_equal(result.boxes[:2], BOXES)


def test_the_benchmark_chooses_its_folder(tmp_path: Path) -> None:
    for place in ("mine/LasHeR", "mine/RGBT234"):
        folder(tmp_path / place, car="1,2,3,4" if "LasHeR" in place else "9,2,3,4", bus="1,2,3,4")
    with pytest.raises(ValueError, match="2 folders"):
        read_results(tmp_path)
    found = read_results(tmp_path, benchmark=("lasher",))
    assert found.sequences["car"].boxes[0, 0] == 1
    assert found.tracker == "mine"


def bad_zip(place: Path) -> Path:
    (place / "r.zip").write_bytes(b"PK no zip")
    return place / "r.zip"


def damaged_zip(place: Path) -> Path:
    with zipfile.ZipFile(place / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "1,2,3,4\n" * 99)
    data = bytearray((place / "d.zip").read_bytes())
    data[38:44] = b"\xff" * 6
    (place / "d.zip").write_bytes(bytes(data))
    return place / "d.zip"


def two_folders(place: Path) -> Path:
    folder(place / "A", x="1,2,3,4")
    folder(place / "B", x="1,2,3,4")
    return place


def two_suffixes(place: Path) -> Path:
    folder(place, x="1,2,3,4")
    (place / "x.csv").write_text("1,2,3,4")
    return place


def rar(place: Path) -> Path:
    (place / "T.rar").write_bytes(b"Rar!")
    return place / "T.rar"


def binary(place: Path) -> Path:
    (place / "a.txt").write_bytes(b"\x00\x01\x02" * 40)
    return place


BAD: list[tuple[str, Callable[[Path], Path], str]] = [
    ("nothing there", lambda p: p / "nope", "There are no results at"),
    ("an empty folder", lambda p: p, "holds no result files"),
    ("an empty file", lambda p: folder(p, a=""), "is empty"),
    ("blank lines only", lambda p: folder(p, a="\n\n"), "is empty"),
    ("a word", lambda p: folder(p, a="1,2,3,4\n1,2,x,4"), "line 2: '1,2,x,4' holds something that is no number"),
    ("three numbers", lambda p: folder(p, a="1,2,3\n1,2,3"), "3 numbers per row"),
    ("one number", lambda p: folder(p, a="1\n2\n"), "1 numbers per row"),
    ("a short row", lambda p: folder(p, a="1,2,3,4\n1,2\n"), "line 2 has 2 numbers where other lines have 4"),
    ("four and eight", lambda p: folder(p, a="1,2,3,4\n1,2,3,2,3,4,1,4\n"), "mixes rows of 4 and of 8"),
    ("seven numbers", lambda p: folder(p, a="1,2,3,4,5,6,7\n"), "7 numbers per row"),
    ("no text", binary, "is no text file"),
    ("no zip", bad_zip, "is called a zip and is none"),
    ("a damaged zip", damaged_zip, "make the zip again"),
    ("an archive of another kind", rar, "unpack it"),
    ("two trackers", two_folders, "holds results in 2 folders (A, B)"),
    ("two files for one", two_suffixes, "two files for the sequence x"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_files_are_named_in_one_sentence(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        read_results(make(tmp_path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_goes_on_after_a_bad_file(tmp_path: Path) -> None:
    found = read_results(folder(tmp_path, a="1,2,x,4", b="1,2,3,4"), keep_going=True)
    assert set(found.sequences) == {"b"}
    assert "no number" in found.problems[0]
    assert set(found.unreadable) == {"a"}


@pytest.mark.parametrize("name", ["../a", "a/b", "..", ""])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a sequence"):
        write_sequence(tmp_path / "out", Result(name, BOXES))
    assert list(tmp_path.rglob("*.txt")) == []


def test_a_broken_manifest_and_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no layout 'xml'"):
        write_results(tmp_path, {"a": Result("a", BOXES)}, "xml")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="no manifest of results"):
        check_manifest(tmp_path)
    with pytest.raises(ValueError, match="anchor runs"):
        write_sequence(tmp_path, Result("a", BOXES, runs={0: BOXES}))


def test_a_status_beside_the_boxes_is_read_where_it_is_one(tmp_path: Path) -> None:
    for name, third in (("a", "2"), ("b", "3")):
        (tmp_path / f"{name}.txt").write_text("1,2,3,4\n" * 3)
        (tmp_path / f"{name}_status.txt").write_text(f"0\n1\n{third}\n")
    found = read_results(tmp_path)
    assert found.sequences["a"].status.tolist() == [0, 1, 2]
    assert len(found.sequences["b"].status) == 0
    assert "b_status.txt holds other values than 0, 1 and 2: not used." in found.problems
