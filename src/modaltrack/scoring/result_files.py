# SPDX-License-Identifier: Apache-2.0
"""Result files of trackers, read in whatever layout people have.

Commas, semicolons, tabs or blanks; 4 numbers (x y w h) or 8 (corners TL TR BR BL) with up to two more columns (time,
confidence); one file per sequence in a folder, VOT's and GOT-10k's folder per sequence, or a zip of either.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from modaltrack.scoring.numbers import MAX_BYTES, parse_table, read_bytes
from modaltrack.scoring.records import Array, ResultSet, SequenceResult
from modaltrack.scoring.result_writing import MANIFEST, write_results, write_sequence
from modaltrack.scoring.vot_results import Reader, is_vot_layout, read_vot_files

__all__ = ["MANIFEST", "match_names", "read_results", "write_results", "write_sequence"]

SUFFIXES = (".txt", ".csv", ".value")
BESIDE = {  # ending of a file that belongs to another one of the same name -> what it holds
    "_confidence": "confidence",
    "_conf": "confidence",
    "_scores": "confidence",
    "_score": "confidence",
    "_time": "seconds",
    "_times": "seconds",
}
NOT_RESULTS = {"readme.txt", "licence.txt", "license.txt", "list.txt", "manifest.txt"}


def read_results(path: str | os.PathLike[str], keep_going: bool = False) -> ResultSet:
    """Read everything one tracker wrote: a folder, a zip, or one file (a set of one sequence).

    keep_going: put unreadable files among the problems instead of raising ValueError on the first.
    """
    top = Path(path)
    if not top.exists():
        raise ValueError(f"There are no results at {top}; give a folder, a zip or a file of boxes.")
    if top.is_dir():
        names = [f.relative_to(top).as_posix() for f in sorted(top.rglob("*")) if f.is_file()]
        return _read(names, lambda name: read_bytes(top / name), top, "a folder", keep_going)
    if zipfile.is_zipfile(top):
        with zipfile.ZipFile(top) as archive:
            sizes = {i.filename: i.file_size for i in archive.infolist() if not i.is_dir()}
            return _read(
                sorted(sizes), lambda name: _unpacked(archive, name, sizes[name], top), top, "a zip", keep_going
            )
    if top.suffix.lower() == ".zip":
        raise ValueError(f"{top} is called a zip and is none, or it is damaged; make it again.")
    table = parse_table(read_bytes(top), str(top))
    found = _sequence(top.stem, table, str(top))
    return ResultSet(top.resolve().parent.name, {top.stem: found}, f"one file of {_columns(table)}")


def match_names(results: ResultSet, names: Iterable[str]) -> ResultSet:
    """The same results under a benchmark's own sequence names: a tracker's prefix or suffix and wrong case undone.

    Every change is said among the problems; results that fit no name stay as they are.
    """
    wanted = list(names)
    lacking = [n for n in wanted if n not in results.sequences]
    loose = [n for n in results.sequences if n not in set(wanted)]
    if not lacking or not loose:
        return results
    renamed: dict[str, str] = {}
    by_case: dict[str, str] = {n.lower(): n for n in lacking}
    for have in loose:
        if have.lower() in by_case:
            renamed[have] = by_case[have.lower()]
    for affix in _affixes(loose, lacking):
        for have in loose:
            if have in renamed:
                continue
            bare = have.removeprefix(affix) if not affix.startswith("*") else have.removesuffix(affix[1:])
            if bare != have and bare in lacking:
                renamed[have] = bare
    if twice := [n for n, count in Counter(renamed.values()).items() if count > 1]:
        both = sorted(h for h, n in renamed.items() if n == twice[0])
        raise ValueError(f"{both[0]} and {both[1]} would both be the sequence {twice[0]}; keep one of them.")
    if not renamed:
        return results
    sequences = {renamed.get(n, n): replace(r, name=renamed.get(n, n)) for n, r in results.sequences.items()}
    example = next(iter(renamed.items()))
    problem = f"{len(renamed)} results were matched to other names, e.g. {example[0]} to {example[1]}."
    return replace(results, sequences=sequences, problems=[*results.problems, problem])


def _affixes(loose: Sequence[str], lacking: Sequence[str]) -> list[str]:
    """Most frequent first: what stands before (``RGBT_``) or, marked with a star, behind (``*_RGBT``) the names."""
    counts: Counter[str] = Counter()
    ends = set(lacking)
    for have in loose:
        for i, letter in enumerate(have):
            if letter in "_-." and have[i + 1 :] in ends:
                counts[have[: i + 1]] += 1
            if letter in "_-." and have[:i] in ends:
                counts["*" + have[i:]] += 1
    return [affix for affix, _ in counts.most_common()]


def _unpacked(archive: zipfile.ZipFile, name: str, size: int, top: Path) -> bytes:
    if size > MAX_BYTES:
        raise ValueError(f"{top}: {name} unpacks to more than {MAX_BYTES >> 20} MiB; no file of boxes is as large.")
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{top}: {name} cannot be unpacked ({error}); make the zip again.") from error


def _read(names: list[str], read: Reader, top: Path, kind: str, keep_going: bool) -> ResultSet:
    tracker = top.resolve().name if top.is_dir() else top.stem
    if is_vot_layout(n for n in names if not _hidden(n)):
        return read_vot_files([n for n in names if not _hidden(n)], read, tracker)
    files = [n for n in names if _counts(n)]
    if not files:
        raise ValueError(f"{top} holds no result files (.txt or .csv); one file of boxes per sequence is expected.")
    homes = sorted({str(PurePosixPath(n).parent) for n in files})
    if len(homes) > 1:
        raise ValueError(
            f"{top} holds results in {len(homes)} folders ({_some(homes)}); give the one of one tracker and benchmark."
        )
    problems: list[str] = []
    side, main = _sides(files)
    sequences: dict[str, SequenceResult] = {}
    shapes: Counter[str] = Counter()
    for name in main:
        try:
            found, shape = _one(name, side.get(_stem(name), {}), read, problems, top)
        except ValueError as error:
            if not keep_going:
                raise
            problems.append(str(error))
            continue
        if found.name in sequences:
            raise ValueError(f"{top} holds two files for the sequence {found.name}; keep one of them.")
        sequences[found.name] = found
        shapes[shape] += 1
    beside = Counter(what for owned in side.values() for what in owned)
    shown = "; ".join(f"{n} files of {shape}" for shape, n in shapes.most_common())
    extras = "".join(f"; {n} files of {what}" for what, n in sorted(beside.items()))
    recognised = f"{kind} with a file per sequence: {shown}{extras}"
    return ResultSet(_tracker(top, homes[0], tracker), sequences, recognised, problems)


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


def _one(name: str, beside: dict[str, str], read: Reader, problems: list[str], top: Path) -> tuple[SequenceResult, str]:
    where = f"{top}: {name}"
    table = parse_table(read(name), where)
    result = _sequence(PurePosixPath(name).stem, table, where)
    for what, other in beside.items():
        values = parse_table(read(other), f"{top}: {other}")[:, 0]
        if len(values) != len(result.boxes):
            problems.append(f"{other} has {len(values)} rows and {name} {len(result.boxes)}: not used.")
        elif what == "confidence":
            result = replace(result, confidence=values)
        else:
            result = replace(result, seconds=values)
    if not np.isfinite(result.boxes.sum()) and np.isinf(result.boxes).any():
        problems.append(f"{name} holds infinite numbers.")
    return result, _columns(table)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _counts(name: str) -> bool:
    place = PurePosixPath(name)
    return not _hidden(name) and place.suffix.lower() in SUFFIXES and place.name.lower() not in NOT_RESULTS


def _sequence(name: str, table: Array, where: str) -> SequenceResult:
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
    confidence = seconds = None
    for column in table[:, 8 if corners else 4 :].T:
        known = column[np.isfinite(column)]
        # nothing in such files says what a column is: shares lie in 0..1, and a first such column is taken for one
        if confidence is None and known.size and known.min() >= 0 and known.max() <= 1:
            confidence = column
        else:
            seconds = column
    return SequenceResult(name, boxes, confidence, seconds, corners)


def _columns(table: Array) -> str:
    columns = table.shape[1]
    extra = columns - (8 if columns >= 8 else 4)
    shape = "8 corner numbers" if columns >= 8 else "x y w h"
    return shape + (f" and {extra} further column{'s' if extra > 1 else ''}" if extra > 0 else "")


def _tracker(top: Path, home: str, tracker: str) -> str:
    """The folder that bears the tracker's name: the one above where the results lie in a benchmark's folder."""
    from modaltrack.scoring.protocols import PROTOCOLS

    whole = (top.resolve() if top.is_dir() else top.resolve().with_suffix("")) / home
    return whole.parent.name if whole.name.lower() in {n.lower() for n in PROTOCOLS} else whole.name or tracker


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
