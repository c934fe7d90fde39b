# SPDX-License-Identifier: Apache-2.0
"""What rows may be and how text may hold them: every form gives the same boxes, or one sentence."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modaltrack.box_text import format_rows, parse_boxes, parse_table
from modaltrack.results import check_manifest, read_results, write_results, zip_results
from modaltrack.results.record import ResultSet

BOXES = np.array([[10, 20, 30, 40], [11.5, 21.25, 30, 40], [12, 22, 31, 41], [13, 23, 31, 41]])
PLAIN = format_rows(BOXES)


def read(place: Path, content: str | bytes, name: str = "a.txt", rows: str = "") -> ResultSet:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_results(place, rows=rows)


def lines(pattern: str, end: str = "\n") -> str:
    return "".join(pattern.format(*b, n=n, i=n + 1) + end for n, b in enumerate(BOXES.tolist()))


FORMS: dict[str, str | bytes] = {
    "a header": "x,y,w,h\n" + PLAIN,
    "a header with frames": "frame,x,y,w,h\n" + lines("{i},{0},{1},{2},{3}"),
    "a header in another order": "h;w;y;x\n" + lines("{3};{2};{1};{0}"),
    "a header of corners": "xmin ymin xmax ymax\n" + "".join(f"{x} {y} {x + w} {y + h}\n" for x, y, w, h in BOXES),
    "a header of centres": "cx cy w h\n" + "".join(f"{x + w / 2} {y + h / 2} {w} {h}\n" for x, y, w, h in BOXES),
    "an index of pandas": ",x,y,w,h\n" + lines("{n},{0},{1},{2},{3}"),
    "a header and file names": "image,x,y,w,h\n" + lines("{i:04d}.jpg,{0},{1},{2},{3}"),
    "file names": lines("img/{i:04d}.jpg {0} {1} {2} {3}"),
    "a comment": "# x y w h\n" + PLAIN,
    "a remark": "written by T\n" + PLAIN,
    "lists": lines("[{0}, {1}, {2}, {3}]"),
    "tuples": lines("({0}, {1}, {2}, {3}),"),
    "a list of lists": str(BOXES.tolist()),
    "numpy's print": str(BOXES),
    "quotes": lines('"{0}","{1}","{2}","{3}"'),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "a carriage return too many": lines("{0},{1},{2},{3}", "\r\r\n"),
    "blank lines": lines("{0},{1},{2},{3}", "\n\n"),
    "blank lines of Windows": lines("{0},{1},{2},{3}", "\r\n\r\n"),
    "decimal commas": lines("{0};{1};{2};{3}").replace(".", ","),
    "decimal commas and tabs": lines("{0}\t{1}\t{2}\t{3}").replace(".", ","),
    "decimal commas and blanks": lines("{0} {1} {2} {3}").replace(".", ","),
    "MOT": lines("{i},1,{0},{1},{2},{3},1,-1,-1,-1"),
    "MOT with a confidence": lines("{i},1,{0},{1},{2},{3},0.{i},-1,-1,-1"),
    "MOT's truth": lines("{i},1,{0},{1},{2},{3},1,1,1"),
    "MOT, short": lines("{n} 7 {0} {1} {2} {3} 0.{i}"),
    "rows in another order": "frame,x,y,w,h\n" + "".join(reversed(lines("{i},{0},{1},{2},{3}").splitlines(True))),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_boxes(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, FORMS[name]).sequences["a"]
    np.testing.assert_allclose(found.boxes, BOXES, atol=1e-9)
    assert not found.corners


@pytest.mark.parametrize("rows", ["x1y1x2y2", "cxcywh"])
def test_rows_are_read_as_told(tmp_path: Path, rows: str) -> None:
    x, y, w, h = BOXES.T
    written = [x, y, x + w, y + h] if rows == "x1y1x2y2" else [x + w / 2, y + h / 2, w, h]
    found = read(tmp_path, format_rows(np.stack(written, 1)), rows=rows)
    np.testing.assert_allclose(found.sequences["a"].boxes, BOXES)
    assert rows in found.recognised


def test_frames_without_a_row_are_no_boxes(tmp_path: Path) -> None:
    found = read(tmp_path, "1,1,10,20,30,40,1,-1,-1,-1\n4,1,11,20,30,40,1,-1,-1,-1\n")
    assert np.isnan(found.sequences["a"].boxes).all(axis=1).tolist() == [False, True, True, False]
    assert "2 frames have no row" in found.problems[0]


def test_points_of_corners_are_no_decimal_commas(tmp_path: Path) -> None:
    found = read(tmp_path, "10,20 40,20 40,60 10,60\n11,20 41,20 41,60 11,60\n").sequences["a"]
    assert found.boxes.tolist() == [[10, 20, 30, 40], [11, 20, 30, 40]]
    assert found.corners


def test_a_single_blank_line_is_a_frame_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, "1,2,3,4\n1,2,3,4\n\n1,2,3,4\n")
    assert len(found.sequences["a"].boxes) == 4
    assert "1 blank line counts as a frame" in found.problems[0]


def test_words_in_a_file_of_times_do_not_stop_the_boxes(tmp_path: Path) -> None:
    (tmp_path / "a_time.txt").write_text("fps: 31.5 on average\n")
    found = read(tmp_path, PLAIN)
    assert list(found.sequences) == ["a"]
    assert not len(found.sequences["a"].seconds)
    assert "a_time.txt, line 1" in found.problems[0]
    assert "not used" in found.problems[0]


@pytest.mark.parametrize(("text", "words"), [
    (lines("{i},{i},{0},{1},{2},{3},1,-1,-1,-1"), "MOTChallenge rows of 4 targets"),
    ("12,5,30,25,40,5,50,5\n13,5,31,25,40,5,50,5\n", "no corners of upright rectangles"),
    ("frame,x,y,w,h\n1,1,2,3,4\n1,1,2,3,4\n", "two rows for one frame"),
    ("frame,x,y,w,h\n1,1,2,3,4\n1000000000000,1,2,3,4\n", "are these frame numbers?"),
    ("frame,x,y,w,h\n1.5,1,2,3,4\n2,1,2,3,4\n", "no whole numbers"),
    ("x,y,w,h\n", "line 1: 'x,y,w,h'"),
    ("1_000,2,3,4\n", "no number"),
])  # fmt: skip
def test_what_is_no_form_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        read(tmp_path, text)


def test_boxes_and_polygons_may_stand_in_one_file() -> None:
    found = parse_boxes(b"1 2 3 4\n10 20 30 20 30 50 10 50\n1\n\nnan nan nan nan\n5 6 7 8", "f")
    assert found[[0, 1, 5]].tolist() == [[1, 2, 3, 4], [10, 20, 20, 30], [5, 6, 7, 8]]
    assert np.isnan(found[2:5]).all()


def test_what_is_written_reads_back_as_the_same_number() -> None:
    values = np.array([[0.1, 1 / 3, 1e-300, -2.5], [1e17, 7, np.nan, 123456789.123]])
    np.testing.assert_array_equal(parse_table(format_rows(values).encode(), "f").numbers, values)
    assert format_rows([[1.0, 2.5, 3, 4]]) == "1,2.5,3,4\n"


def tar(place: Path, name: str, mode: str) -> Path:
    with tarfile.open(place / name, mode) as archive:
        for inside in ("./T/a.txt", "./T/b.txt", "./T/.hidden"):
            info = tarfile.TarInfo(inside)
            info.size = len(PLAIN)
            archive.addfile(info, io.BytesIO(PLAIN.encode()))
    return place / name


@pytest.mark.parametrize(("name", "mode"), [
    ("r.tar.gz", "w:gz"), ("r.tgz", "w:gz"), ("r.tar", "w"), ("r.tar.bz2", "w:bz2"), ("r.tar.xz", "w:xz"),
])  # fmt: skip
def test_a_tar_reads_like_its_folder(tmp_path: Path, name: str, mode: str) -> None:
    found = read_results(tar(tmp_path, name, mode))
    assert set(found.sequences) == {"a", "b"}
    assert found.tracker == "T"
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / name, name)
    assert set(read_results(tmp_path / "outer.zip").sequences) == {"a", "b"}


def test_archives_that_unpack_to_too_much_are_not_unpacked(tmp_path: Path) -> None:
    zeros = b"1,1,1,1\n" * 2**20
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"s{number}.txt", zeros)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "bomb.zip", "bomb.zip")
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("s.txt")
        info.size = 8 * len(zeros)
        archive.addfile(info, io.BytesIO(8 * zeros))
    for name in ("bomb.zip", "outer.zip", "bomb.tar.gz"):
        for keep_going in (False, True):
            with pytest.raises(ValueError, match="unpacks to more than"):
                read_results(tmp_path / name, keep_going)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_archive_gives_one_sentence_or_its_boxes(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = tar(tmp_path, "r.tar.gz", "w:gz")
    if seed % 2:
        source = tmp_path / "r.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", PLAIN)
    data = bytearray(source.read_bytes())
    for at in rng.integers(0, len(data), 4):
        data[at] = rng.integers(256)
    source.write_bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))])
    try:
        assert read_results(source).sequences
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right, a traceback is not


def test_what_is_packed_is_what_the_manifest_lists(tmp_path: Path) -> None:
    top = tmp_path / "T"
    write_results(top, read(tmp_path / "given", PLAIN).sequences, tracker="T")
    first = zip_results(top, tmp_path / "first.zip")
    (top / ".a.txt.123.partial").write_text("1,2")
    (top / "old.zip").write_bytes(b"PK")
    (top / "other.txt").write_text(PLAIN)
    (top / "link.txt").symlink_to(tmp_path / "given" / "a.txt")
    assert zip_results(top, top / "again.zip")[0] == first[0] == 2
    assert (top / "again.zip").read_bytes() == (tmp_path / "first.zip").read_bytes()
    (top / "manifest.json").unlink()
    count, left = zip_results(top, tmp_path / "third.zip")
    assert count == 2  # a.txt, other.txt
    assert set(left) == {"old.zip", "again.zip", "link.txt"}  # the partial file of nobody was removed


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    top = tmp_path / "T"
    read(top, PLAIN)
    read(tmp_path / "secret", PLAIN, "s.txt")
    (top / "inside").symlink_to(tmp_path / "secret", target_is_directory=True)
    assert zip_results(top, tmp_path / "t.zip") == (1, ["inside"])


def test_writing_that_fails_leaves_nothing_half_written(tmp_path: Path) -> None:
    results = read(tmp_path / "given", PLAIN).sequences
    bad = {**results, "../b": results["a"]}
    with pytest.raises(ValueError, match="no name of a sequence"):
        write_results(tmp_path / "new", bad)
    assert sorted(os.listdir(tmp_path)) == ["given"]
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "kept.txt").write_text("1,2,3,4\n")
    with pytest.raises(ValueError, match="no name of a sequence"):
        write_results(tmp_path / "there", bad)
    assert os.listdir(tmp_path / "there") == ["kept.txt"]


@pytest.mark.parametrize("text", ["[" * 100_000, "5", '"x"', "{", '{"files": 3}', '{"files": {"a": 1}}'])
def test_a_manifest_that_is_none_gives_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="manifest"):
        check_manifest(tmp_path)
