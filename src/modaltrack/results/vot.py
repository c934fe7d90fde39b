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
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from modaltrack.frame import Result
from modaltrack.results.record import Array, ResultSet
from modaltrack.results.vot_binary import read_trajectory

_RUN = re.compile(r"^(?P<sequence>.+)_(?P<number>\d{3}|\d{8})(?P<value>_(?:confidence|time))?\.(?:txt|value|bin)$")

Reader = Callable[[str], bytes]


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

    experiment: for example "rgbd-unsupervised"; needed where the folder holds several. ValueError where nothing is
    found or something in a file is no number.
    """
    path = Path(path)
    if path.is_dir():
        names = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*")) if p.is_file()]
        return read_vot_files(names, lambda n: (path / n).read_bytes(), path.resolve().name, experiment)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = sorted(i.filename for i in archive.infolist() if not i.is_dir())
            return read_vot_files(names, archive.read, path.stem, experiment)
    raise ValueError(f"{path} is neither a folder nor a zip file; give the folder of one tracker's results.")


def read_vot_files(names: Iterable[str], read: Reader, tracker: str, experiment: str | None = None) -> ResultSet:
    """The same from any place that has names and contents; tracker: its name, where the paths do not tell it."""
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


def _lines(name: str, read: Reader) -> list[str]:
    try:
        text = read(name).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{name} is not text; let the toolkit write text (not binary) results, or convert it."
        ) from None
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1].strip() else lines


def _boxes(name: str, read: Reader) -> Array:
    if name.endswith(".bin"):
        return read_trajectory(read(name), name)
    lines = _lines(name, read)
    plain = next((i for i, line in enumerate(lines) if line.count(",") == 3), len(lines))
    if all(line.count(",") == 3 for line in lines[plain:]):  # the whole file but for its first code: at once
        try:
            fast = np.array(",".join(lines[plain:]).split(",") if lines[plain:] else [], np.float64).reshape(-1, 4)
        except ValueError:
            fast = None
        if fast is not None:
            fast[np.isnan(fast).any(axis=1)] = np.nan
            first = [_box(line, name, number) for number, line in enumerate(lines[:plain], start=1)]
            return np.vstack([np.array(first, np.float64).reshape(-1, 4), fast])
    rows = [_box(line, name, number) for number, line in enumerate(lines, start=1)]
    return np.array(rows, np.float64).reshape(-1, 4)


def _box(line: str, name: str, number: int) -> tuple[float, float, float, float]:
    if line.startswith("m"):
        raise ValueError(f"{name}, line {number} is a mask; give rectangles or polygons (bounding boxes are scored).")
    try:
        values = [float(v) for v in re.split(r"[,\s]+", line.strip())]
    except ValueError:
        raise ValueError(
            f"{name}, line {number} is {line.strip()[:40]!r}; expected x,y,w,h or the single code of a VOT file."
        ) from None
    if len(values) == 1 or np.isnan(values).any():
        return (np.nan,) * 4
    if len(values) == 4:
        return (values[0], values[1], values[2], values[3])
    if len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[0::2], values[1::2]
        return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    raise ValueError(f"{name}, line {number} has {len(values)} numbers; expected 4, a polygon's points, or one code.")


def _values(name: str, read: Reader) -> Array:
    found = []
    for number, line in enumerate(_lines(name, read), start=1):
        try:
            found.append(float(line) if line.strip() else np.nan)
        except ValueError:
            raise ValueError(
                f"{name}, line {number} is {line.strip()[:40]!r}; expected one number or an empty line."
            ) from None
    return np.array(found, np.float64)
