# SPDX-License-Identifier: Apache-2.0
"""Result files of trackers, read in whatever layout people have.

Commas, semicolons, tabs or blanks; 4 numbers (x y w h) or 8 (corners TL TR BR BL) with up to two more columns (time,
confidence) or a frame number in front; one file per sequence in one folder, in a folder each, or in folders by
category; VOT's and GOT-10k's layouts; a zip of any of these, also inside another.
"""

from __future__ import annotations

import io
import os
import posixpath
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from modaltrack.box_text import MAX_BYTES, parse_table, read_bytes
from modaltrack.frame import Result
from modaltrack.results.record import Array, ResultSet
from modaltrack.results.vot import Reader, is_vot_layout, read_vot_files
from modaltrack.scoring.protocols import PROTOCOLS, plain

SUFFIXES = (".txt", ".csv", ".value")
BESIDE = {  # ending of a file that belongs to another one of the same name -> what it holds
    "_confidence": "confidence",
    "_conf": "confidence",
    "_scores": "confidence",
    "_score": "confidence",
    "_time": "seconds",
    "_times": "seconds",
    "_fps": "",
    "_all_boxes": "",
    "_all_scores": "",
    "_object_presence_scores": "",
}
NOT_RESULTS = {"readme", "licence", "license", "list", "manifest", "requirements", "fps", "speed", "log", "time"}
SIDE_FOLDERS = {"time", "times", "fps", "speed", "log", "logs", "score", "scores", "confidence", "confidences"}
# what a file may be called whose folder bears the sequence's name
ANY_SEQUENCE = {"result", "results", "box", "boxes", "bbox", "bboxes", "rect", "output", "pred", "prediction", "track"}
PACKED = (".rar", ".7z", ".gz", ".tgz", ".bz2", ".xz", ".tar")


def read_results(path: str | os.PathLike[str], keep_going: bool = False, benchmark: Sequence[str] = ()) -> ResultSet:
    """Read everything one tracker wrote: a folder, a zip, or one file (a set of one sequence).

    keep_going: put unreadable files into ``unreadable`` and the problems instead of raising ValueError on the first.
    benchmark: names of the benchmark that is meant, to choose its folder where there are several.
    """
    top = Path(path)
    if not top.exists():
        raise ValueError(f"There are no results at {top}; give a folder, a zip or a file of boxes.")
    if top.is_dir():
        return _read(_listed(top), lambda name: read_bytes(f"{top}/{name}"), top, "a folder", keep_going, benchmark)
    if zipfile.is_zipfile(top):
        with zipfile.ZipFile(top) as archive:
            return _archive(archive, top, "a zip", keep_going, benchmark)
    if top.suffix.lower() == ".zip":
        raise ValueError(f"{top} is called a zip and is none, or it is damaged; make it again.")
    if top.suffix.lower() in PACKED:
        raise ValueError(f"{top} is an archive of a kind that is not read; unpack it and give the folder, or a zip.")
    table = parse_table(read_bytes(top), str(top))
    found, shape = _sequence(top.stem, table, str(top))
    return ResultSet(top.resolve().parent.name, {top.stem: found}, f"one file of {shape}")


def _listed(top: Path) -> list[str]:
    """Files below a folder, with ``/`` between parts, sorted."""
    found = []
    for base, folders, names in os.walk(top):
        folders.sort()
        inside = os.path.relpath(base, top).replace(os.sep, "/")
        found += names if inside == "." else [f"{inside}/{name}" for name in names]
    return sorted(found)


def _archive(archive: zipfile.ZipFile, top: Path, kind: str, keep_going: bool, benchmark: Sequence[str]) -> ResultSet:
    sizes = {i.filename: i.file_size for i in archive.infolist() if not i.is_dir()}
    return _read(
        sorted(sizes), lambda name: _unpacked(archive, name, sizes[name], top), top, kind, keep_going, benchmark
    )


def _unpacked(archive: zipfile.ZipFile, name: str, size: int, top: Path) -> bytes:
    if size > MAX_BYTES:
        raise ValueError(f"{top}: {name} unpacks to more than {MAX_BYTES >> 20} MiB; no file of boxes is as large.")
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{top}: {name} cannot be unpacked ({error}); make the zip again.") from error


def _read(
    every: list[str], read: Reader, top: Path, kind: str, keep_going: bool, benchmark: Sequence[str]
) -> ResultSet:
    tracker = top.resolve().name if top.is_dir() else top.stem
    names = _of_benchmark([n for n in every if not _hidden(n)], benchmark)
    files = [n for n in names if _counts(n)]
    if not files and (inner := _only([n for n in names if n.lower().endswith(".zip")], benchmark)):
        try:
            with zipfile.ZipFile(io.BytesIO(read(inner))) as archive:
                return _archive(archive, top / inner, f"{inner} in {kind}", keep_going, benchmark)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{top}: {inner} is called a zip and is none, or it is damaged; make it again.") from error
    if is_vot_layout(names):
        return read_vot_files(names, read, tracker)
    files = files or [n for n in names if "." not in posixpath.basename(n)]
    if not files:
        held = f" (but {names[0]})" if names else ""
        raise ValueError(
            f"{top} holds no result files (.txt or .csv){held}; one file of boxes per sequence is expected."
        )
    side, main = _sides(files)
    main, name_of, where = _folders(main, top)
    problems: list[str] = []
    unreadable: dict[str, str] = {}
    sequences: dict[str, Result] = {}
    shapes: Counter[str] = Counter()
    for name in main:
        try:
            found, shape = _one(name, name_of(name), side.get(_stem(name), {}), read, problems, top)
        except ValueError as error:
            if not keep_going:
                raise
            problems.append(str(error))
            unreadable[name_of(name)] = str(error)
            continue
        if found.name in sequences:
            raise ValueError(f"{top} holds two files for the sequence {found.name}; keep one of them.")
        sequences[found.name] = found
        shapes[shape] += 1
    used = {_stem(n) for n in main}
    beside = Counter(what for stem, owned in side.items() for what in owned if what and stem in used)
    shown = "; ".join(f"{n} files of {shape}" for shape, n in shapes.most_common())
    extras = "".join(f"; {n} files of {what}" for what, n in sorted(beside.items()))
    recognised = f"{kind} with {where}: {shown}{extras}"
    home = posixpath.commonpath([posixpath.dirname(n) for n in main]) if main else ""
    return ResultSet(_tracker(top, home, tracker), sequences, recognised, problems, unreadable)


def _only(names: list[str], benchmark: Sequence[str]) -> str:
    """The one zip there is, or the one that is called like the benchmark; empty where neither."""
    wanted = {plain(b) for b in benchmark}
    named = [n for n in names if plain(posixpath.basename(n)[:-4]) in wanted]
    return names[0] if len(names) == 1 else named[0] if len(named) == 1 else ""


def _of_benchmark(names: list[str], benchmark: Sequence[str]) -> list[str]:
    """Those below a folder that is called like the benchmark, where there are such; else all."""
    wanted = {plain(b) for b in benchmark}
    inside = [n for n in names if wanted and wanted & {plain(part) for part in n.split("/")[:-1]}]
    return inside or names


def _sides(files: list[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Files of confidences and times by the file they belong to, and all the others."""
    stems = {_stem(n) for n in files}
    side: dict[str, dict[str, str]] = {}
    main = []
    for name in files:
        stem = _stem(name)
        ending = next((e for e in BESIDE if stem.endswith(e)), "")
        owner = stem.removesuffix(ending)
        if ending and owner in stems:
            side.setdefault(owner, {})[BESIDE[ending]] = name
        elif not name.lower().endswith(".value"):
            main.append(name)
    return side, main


def _folders(main: list[str], top: Path) -> tuple[list[str], Callable[[str], str], str]:
    """The files that are one tracker's, how each names its sequence, and how they lie."""

    def stem(name: str) -> str:
        return posixpath.basename(_stem(name))

    homes = Counter(posixpath.dirname(n) for n in main)
    if len(homes) > 1:
        kept = [n for n in main if posixpath.basename(posixpath.dirname(n)).lower() not in SIDE_FOLDERS]
        main = kept or main
        homes = Counter(posixpath.dirname(n) for n in main)
    if len(homes) <= 1:
        return main, stem, "a file per sequence"
    stems = {stem(n) for n in main}
    if len(stems) == len(main):
        return main, stem, f"a file per sequence in {len(homes)} folders"
    if stems <= ANY_SEQUENCE and max(homes.values()) == 1 and "" not in homes:
        return main, lambda name: posixpath.basename(posixpath.dirname(name)), "a folder per sequence"
    raise ValueError(
        f"{top} holds results in {len(homes)} folders ({_some(sorted(h or '.' for h in homes))}); give the one of one "
        "tracker and benchmark."
    )


def _one(
    name: str, sequence: str, beside: dict[str, str], read: Reader, problems: list[str], top: Path
) -> tuple[Result, str]:
    where = f"{top}: {name}"
    result, shape = _sequence(sequence, parse_table(read(name), where), where)
    for what, other in beside.items():
        if not what:
            continue
        values = parse_table(read(other), f"{top}: {other}")[:, 0]
        if len(values) != len(result.boxes):
            problems.append(f"{other} has {len(values)} rows and {name} {len(result.boxes)}: not used.")
        elif what == "confidence":
            result = replace(result, scores=values)
        else:
            result = replace(result, seconds=values)
    if not np.isfinite(result.boxes.sum()) and np.isinf(result.boxes).any():
        problems.append(f"{name} holds infinite numbers.")
    return result, shape


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _hidden(name: str) -> bool:
    return "/." in f"/{name}" or "__MACOSX" in name


def _counts(name: str) -> bool:
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    return suffix in SUFFIXES and stem not in NOT_RESULTS


def _sequence(name: str, table: Array, where: str) -> tuple[Result, str]:
    """What one table of numbers says, and its form in words."""
    numbered = _numbered(table)
    if numbered:
        table = table[:, 1:]
    columns = table.shape[1]
    if columns not in (4, 5, 6, 8, 9, 10):
        raise ValueError(
            f"{where} has {columns} numbers per row; 4 (x y w h) or 8 (corners) are expected, then time or confidence."
        )
    corners = columns >= 8
    boxes = table[:, :4]
    if corners:  # TL TR BR BL; sizes without + 1, as every official program converts them
        boxes = np.stack([table[:, 0], table[:, 1], table[:, 2] - table[:, 0], table[:, 7] - table[:, 1]], axis=1)
    if not np.isfinite(boxes.sum()):  # far quicker than a look at every row, and nearly always enough
        unknown = np.isnan(boxes).any(axis=1)
        boxes = boxes.copy()
        boxes[unknown] = np.nan  # a code or a row that is only partly there is no box
    scores = seconds = np.empty(0)
    extra = table[:, 8 if corners else 4 :].T
    for column in extra:
        known = column[np.isfinite(column)]
        # nothing in such files says what a column is: shares lie in 0..1, and a first such column is taken for one
        if not len(scores) and known.size and known.min() >= 0 and known.max() <= 1:
            scores = column
        else:
            seconds = column
    shape = "8 corner numbers" if corners else "x y w h"
    shape += f" and {len(extra)} further column{'s' if len(extra) > 1 else ''}" if len(extra) else ""
    return Result(name, boxes, scores, seconds, corners), f"a frame number, {shape}" if numbered else shape


def _numbered(table: Array) -> bool:
    """Whether the first of 5 or 9 columns counts the frames, from whatever number on."""
    return bool(table.shape[1] in (5, 9) and len(table) > 2 and (np.diff(table[:, 0]) == 1).all())


def _tracker(top: Path, home: str, tracker: str) -> str:
    """The folder that bears the tracker's name: the one above where the results lie in a benchmark's folder."""
    whole = (top.resolve() if top.is_dir() else top.resolve().with_suffix("")) / home
    own = {"scenes", "folder"} | {plain(n) for n in PROTOCOLS}
    return whole.parent.name if plain(whole.name) in own else whole.name or tracker


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
