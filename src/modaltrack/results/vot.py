# SPDX-License-Identifier: Apache-2.0
"""Result files in the layouts of the VOT toolkit, from a folder or a zip.

``<tracker>/<experiment>/<sequence>/<sequence>_001.txt`` holds one run over the whole sequence, with
``_001_confidence.value`` and ``_001_time.value`` (or ``.txt``) beside it; ``<sequence>_00000050.txt`` the run from
anchor 50. Rows are ``x,y,w,h``, polygons, or a single code (1 = initialised here, 2 = failed, 0 = unknown), which
becomes a row of nan; binary trajectories (``.bin``) are read as well. Of several repetitions the first is read, which
``problems`` says.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from modaltrack.box_text import parse_boxes, parse_table
from modaltrack.frame import Result
from modaltrack.results.archives import Reader, open_files
from modaltrack.results.record import Array, ResultSet
from modaltrack.results.vot_binary import read_trajectory

_RUN = re.compile(r"^(?P<sequence>.+)_(?P<number>\d{3}|\d{8})(?P<value>_(?:confidence|time))?\.(?:txt|value|bin)$")


def is_vot_layout(names: Iterable[str]) -> bool:
    """Whether file names (relative, ``/`` between parts) are runs of the toolkit in ``<sequence>/<sequence>_...``."""
    return any(_belongs(PurePosixPath(n)) for n in names)


def _belongs(path: PurePosixPath) -> re.Match[str] | None:
    found = _RUN.match(path.name)
    if not found:
        return None
    # a sequence of LasHeR may well be called man_001: only the folder, or eight digits, make it a run
    return found if path.parent.name == found["sequence"] or len(found["number"]) == 8 else None


def read_vot_results(path: str | os.PathLike[str], experiment: str | None = None) -> ResultSet:
    """Read a tracker's folder (or one experiment of it, or a workspace with one tracker), or a zip of it.

    Args:
        experiment: for example "rgbd-unsupervised"; needed where the folder holds several.

    Raises:
        ValueError: where nothing is found or something in a file is no number.
    """
    path = Path(path)
    with open_files(path) as files:
        if files is None:
            raise ValueError(f"{path} is neither a folder nor an archive; give the folder of one tracker's results.")
        return read_vot_files(files.names, files.read, path.resolve().name if path.is_dir() else path.stem, experiment)


def read_vot_files(names: Iterable[str], read: Reader, tracker: str, experiment: str | None = None) -> ResultSet:
    """The same from any place that has names and contents.

    Args:
        tracker: its name, where the paths do not hold it.
    """
    found: defaultdict[tuple[str, str], defaultdict[str, dict[str, str]]]
    found = defaultdict(lambda: defaultdict(dict))
    for name in names:
        path = PurePosixPath(name)
        if match := _belongs(path):
            folder = path.parent.parent if path.parent.name == match["sequence"] else path.parent
            who = (folder.parent.name, folder.name)
            found[who][match["sequence"]][match["number"] + (match["value"] or "")] = name
    if experiment is not None:
        found = defaultdict(found.default_factory, {k: v for k, v in found.items() if k[1] == experiment})
    if not found:
        wanted = f" of the experiment {experiment!r}" if experiment else ""
        raise ValueError(
            f"There are no VOT results{wanted} in {tracker}; expected <experiment>/<sequence>/<sequence>_001.txt or "
            "<sequence>_00000000.txt."
        )
    if len(found) > 1:
        kinds = ", ".join(sorted("/".join(filter(None, k)) for k in found))
        raise ValueError(f"{tracker} holds several sets of results ({kinds}); give the folder of one of them.")
    ((owner, kind), sequences) = next(iter(found.items()))
    problems: list[str] = []
    results = {s: _sequence(s, files, read, problems) for s, files in sorted(sequences.items())}
    runs = sum(len(r.runs) for r in results.values())
    what = f"{runs} anchor runs" if runs else "one run per sequence"
    label = f", experiment {kind!r}" if kind else ""
    return ResultSet(
        tracker=owner if owner not in ("", "results") else tracker,
        sequences=results,
        recognised=f"VOT toolkit layout{label}: {len(results)} sequences, {what}",
        problems=problems,
    )


def _sequence(name: str, files: Mapping[str, str], read: Reader, problems: list[str]) -> Result:
    runs = {int(n): _boxes(files[n], read) for n in files if n.isdigit() and len(n) == 8}
    whole = sorted(n for n in files if n.isdigit() and len(n) == 3)
    if not whole:
        if not runs:
            raise ValueError(f"{name} has values but no boxes; the files {', '.join(files.values())} belong to a run.")
        return Result(name, next(iter(runs.values())), runs=runs)
    if len(whole) > 1:
        problems.append(f"{name} has {len(whole)} repetitions; the first, {whole[0]}, is read.")
    scores, seconds = (
        _values(files[key], read) if (key := f"{whole[0]}_{kind}") in files else np.empty(0)
        for kind in ("confidence", "time")
    )
    return Result(name, _boxes(files[whole[0]], read), scores, seconds, runs=runs)


def _boxes(name: str, read: Reader) -> Array:
    data = read(name)
    if name.endswith(".bin"):
        return read_trajectory(data, name)
    if mask := re.search(rb"^m", data, re.MULTILINE):
        line = data.count(b"\n", 0, mask.start()) + 1
        raise ValueError(f"{name}, line {line} is a mask; give rectangles or polygons (bounding boxes are scored).")
    return parse_boxes(data, name)


def _values(name: str, read: Reader) -> Array:
    data = read(name)
    if not data.strip():
        return np.empty(0)
    numbers = parse_table(data, name).numbers
    if numbers.shape[1] != 1:
        raise ValueError(f"{name} has {numbers.shape[1]} numbers per row; one was expected.")
    return numbers[:, 0]
