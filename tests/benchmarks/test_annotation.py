# SPDX-License-Identifier: Apache-2.0
"""Annotation in every spelling gives the numbers that were written, and labels the polarity that the boxes have."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modaltrack.benchmarks.annotation import number_of, read_rows, read_values, settle_polarity, without_area

numbers = st.floats(-1e4, 1e4).map(lambda v: round(v, 3))
row = st.one_of(st.tuples(numbers, numbers, numbers, numbers), st.none())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(row, min_size=1, max_size=12),
    separator=st.sampled_from([",", "\t", " ", ", ", ";", "   "]),
    absent=st.sampled_from(["nan{0}nan{0}nan{0}nan", "NaN", "0"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_rows_come_back_as_they_were_written(
    tmp_path: Path, rows: list, separator: str, absent: str, newline: str, mark: bool
) -> None:
    lines = [absent.format(separator) if r is None else separator.join(map(str, r)) for r in rows]
    file = tmp_path / "boxes.txt"
    file.write_bytes((newline.join(lines) + newline).encode("utf-8-sig" if mark else "utf-8"))
    expected = np.array([(np.nan,) * 4 if r is None else r for r in rows], np.float64)
    assert np.array_equal(read_rows(file), expected, equal_nan=True)


def test_polygons_empty_lines_and_corners(tmp_path: Path) -> None:
    file = tmp_path / "boxes.txt"
    file.write_text("1,2,5,2,5,9,1,9\n\n3 4 5 6\n")
    assert np.array_equal(read_rows(file), [[1, 2, 4, 7], [np.nan] * 4, [3, 4, 5, 6]], equal_nan=True)
    file.write_text("3 4 8 10\n")
    assert read_rows(file, corners=True).tolist() == [[3, 4, 5, 6]]


def test_lines_that_only_add_up_are_not_reshaped(tmp_path: Path) -> None:
    file = tmp_path / "boxes.txt"
    file.write_text("1 2 3\n4 5 6 7 8\n")  # eight numbers in two lines
    with pytest.raises(ValueError, match=r"line 1 has 3 numbers"):
        read_rows(file)


def test_values_stand_in_lines_or_in_one_line(tmp_path: Path) -> None:
    for content in ("0,1,0", "0\n1\n0\n", "0 1\t0"):
        (tmp_path / "label.txt").write_text(content)
        assert read_values(tmp_path / "label.txt").tolist() == [0, 1, 0]


def test_a_box_at_the_border_is_present() -> None:
    rows = np.array([[0, 0, 5, 5], [-3, 2, 5, 5], [1, 1, 0, 5], [1, 1, 5, -1], [np.nan] * 4])
    assert without_area(rows).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("absent_value", [0, 1])
@pytest.mark.parametrize("turned", [False, True])
def test_polarity(absent_value: int, turned: bool) -> None:
    rows = np.array([[1, 1, 5, 5]] * 8 + [[0, 0, 0, 0]] * 2, np.float64)
    absent = np.array([False] * 8 + [True] * 2)
    values = np.where(absent != turned, absent_value, 1 - absent_value).astype(np.float64)
    found, was_turned = settle_polarity(values, absent_value, rows)
    assert found.tolist() == absent.tolist()
    assert was_turned is turned


def test_a_label_that_hides_present_boxes_is_believed() -> None:
    """LaSOT annotates boxes under full occlusion: half of the frames hidden is no reason to turn anything."""
    rows = np.array([[1, 1, 5, 5]] * 10, np.float64)
    values = np.array([1.0] * 5 + [0.0] * 5)
    assert settle_polarity(values, 1, rows)[1] is False


@pytest.mark.parametrize(
    ("name", "number"), [("v000018.jpg", 18), ("00001v.jpg", 1), ("frame0000.bmp", 0), ("i7.png", 7), ("a.png", -1)]
)
def test_the_last_number_of_a_name(name: str, number: int) -> None:
    assert number_of(Path(name)) == number
