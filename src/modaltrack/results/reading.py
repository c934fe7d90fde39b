# SPDX-License-Identifier: Apache-2.0
"""Result files of trackers, read in whatever layout people have.

One file per sequence in one folder, in a folder each, or in folders by category; VOT's and GOT-10k's layouts; an
archive of any of these, also inside another. ``forms`` says what rows may be, ``box_text`` how they may be written.
"""

from __future__ import annotations

import io
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from modaltrack.box_text import parse_table, read_bytes
from modaltrack.frame import Result, Status
from modaltrack.results.archives import ARCHIVES, Budget, Files, TooLarge, open_archive, open_files
from modaltrack.results.forms import Found, read_form
from modaltrack.results.record import ResultSet
from modaltrack.results.vot import is_vot_layout, read_vot_files
from modaltrack.scoring.protocols import PROTOCOLS, plain

SUFFIXES = (".txt", ".csv", ".value")
BESIDE = {  # ending of a file that belongs to another one of the same name -> what it holds
    "_confidence": "confidence",
    "_conf": "confidence",
    "_scores": "confidence",
    "_score": "confidence",
    "_time": "seconds",
    "_times": "seconds",
    "_status": "status",
    "_fps": "",
    "_all_boxes": "",
    "_all_scores": "",
    "_object_presence_scores": "",
}
NOT_RESULTS = {"readme", "licence", "license", "list", "manifest", "requirements", "fps", "speed", "log", "time"}
SIDE_FOLDERS = {"time", "times", "fps", "speed", "log", "logs", "score", "scores", "confidence", "confidences"}
# what a file may be called whose folder bears the sequence's name
ANY_SEQUENCE = {"result", "results", "box", "boxes", "bbox", "bboxes", "rect", "output", "pred", "prediction", "track"}


def read_results(
    path: str | os.PathLike[str], keep_going: bool = False, benchmark: Sequence[str] = (), rows: str = ""
) -> ResultSet:
    """Read everything one tracker wrote: a folder, a zip, a tar, or one file (a set of one sequence).

    Args:
        path: where the results are.
        keep_going: put unreadable files into ``unreadable`` and the problems instead of raising on the first.
        benchmark: names of the benchmark that is meant, to choose its folder where there are several.
        rows: how four numbers are to be read, one of ``forms.ROWS``; empty: x y w h unless a file says otherwise.

    Raises:
        ValueError: there are no results, or what is there cannot be read, in one sentence.
    """
    top = Path(path)
    if not top.exists():
        raise ValueError(f"There are no results at {top}; give a folder, a zip or a file of boxes.")
    with open_files(top) as files:
        if files is not None:
            return _Reading(top, keep_going, benchmark, rows).read(files)
        found = read_form(top.stem, parse_table(read_bytes(top), str(top)), str(top), rows)
        problems = [f"{top.name}: {remark}." for remark in found.remarks]
        return ResultSet(top.resolve().parent.name, {top.stem: found.result}, f"one file of {found.form}", problems)


@dataclass
class _Reading:
    """One reading of a set: what was asked for, and what came up on the way."""

    top: Path
    keep_going: bool
    benchmark: Sequence[str]
    rows: str
    problems: list[str] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)  # what was noticed -> files
    unreadable: dict[str, str] = field(default_factory=dict)

    def read(self, files: Files, budget: Budget | None = None) -> ResultSet:
        top = self.top
        tracker = top.resolve().name if top.is_dir() else top.name.split(".")[0] or top.stem
        names = _of_benchmark([n for n in files.names if not _hidden(n)], self.benchmark)
        tables = [n for n in names if _counts(n)]
        if not tables and (inner := _only([n for n in names if n.lower().endswith(ARCHIVES)], self.benchmark)):
            data = files.read(inner)
            budget = budget or Budget(top, max(len(data), top.stat().st_size if top.is_file() else 0))
            packed = open_archive(io.BytesIO(data), top / inner, budget)
            packed.kind = f"{inner} in {files.kind}"
            self.top = top / inner
            return self.read(packed, budget)
        if is_vot_layout(names):
            return read_vot_files(names, files.read, tracker)
        tables = tables or [n for n in names if "." not in posixpath.basename(n)]
        if not tables:
            held = f" (but {names[0]})" if names else ""
            raise ValueError(
                f"{top} holds no result files (.txt or .csv){held}; one file of boxes per sequence is expected."
            )
        side, main = _sides(tables)
        main, name_of, where = _folders(main, top)
        sequences: dict[str, Result] = {}
        forms: Counter[str] = Counter()
        for name in main:
            found = self._sequence(files, name, name_of(name))
            if found is None:
                continue
            if found.result.name in sequences:
                raise ValueError(f"{top} holds two files for the sequence {found.result.name}; keep one of them.")
            sequences[found.result.name] = self._with_sides(files, name, found.result, side.get(_stem(name), {}))
            forms[found.form] += 1
        used = {_stem(n) for n in main}
        beside = Counter(what for stem, owned in side.items() for what in owned if what and stem in used)
        shown = "; ".join(f"{n} files of {form}" for form, n in forms.most_common())
        extras = "".join(f"; {n} files of {what}" for what, n in sorted(beside.items()))
        for remark, where_found in self.remarks.items():
            more = f" and {len(where_found) - 1} more" if len(where_found) > 1 else ""
            self.problems.append(f"{where_found[0]}{more}: {remark}.")
        home = posixpath.commonpath([posixpath.dirname(n) for n in main]) if main else ""
        recognised = f"{files.kind} with {where}: {shown}{extras}"
        return ResultSet(_tracker(top, home, tracker), sequences, recognised, self.problems, self.unreadable)

    def _sequence(self, files: Files, name: str, sequence: str) -> Found | None:
        """The boxes of one file; None where it cannot be read and reading goes on."""
        where = f"{self.top}: {name}"
        try:
            found = read_form(sequence, parse_table(files.read(name), where), where, self.rows)
        except TooLarge:
            raise
        except ValueError as error:
            if not self.keep_going:
                raise
            self.problems.append(str(error))
            self.unreadable[sequence] = str(error)
            return None
        for remark in found.remarks:
            self.remarks.setdefault(remark, []).append(name)
        if np.isinf(found.result.boxes.sum()) and np.isinf(found.result.boxes).any():
            self.problems.append(f"{name} holds infinite numbers.")
        return found

    def _with_sides(self, files: Files, name: str, result: Result, beside: Mapping[str, str]) -> Result:
        """The result with the times, confidences and status that lie beside its boxes, where these are numbers."""
        for what, other in beside.items():
            if not what:
                continue
            try:
                values = parse_table(files.read(other), f"{self.top}: {other}").numbers[:, 0]
            except TooLarge:
                raise
            except ValueError as error:  # words in a file of times say nothing about the boxes
                self.problems.append(f"{str(error).removesuffix('.')}; it is not used.")
                continue
            if len(values) != len(result.boxes):
                rows = f"{other} has {len(values)} rows and {name} {len(result.boxes)}"
                self.problems.append(f"{rows}: not used.")
            elif what == "confidence":
                result = replace(result, scores=values)
            elif what == "status":
                if not np.isin(values, list(Status)).all():
                    self.problems.append(f"{other} holds other values than 0, 1 and 2: not used.")
                    continue
                result = replace(result, status=values.astype(np.int64))
            else:
                result = replace(result, seconds=values)
        return result


def _only(names: list[str], benchmark: Sequence[str]) -> str:
    """The one archive there is, or the one that is called like the benchmark; empty where neither."""
    wanted = {plain(b) for b in benchmark}
    named = [n for n in names if plain(posixpath.basename(n).split(".")[0]) in wanted]
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


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _hidden(name: str) -> bool:
    return "/." in f"/{name}" or "__MACOSX" in name


def _counts(name: str) -> bool:
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    return suffix in SUFFIXES and stem not in NOT_RESULTS


def _tracker(top: Path, home: str, tracker: str) -> str:
    """The folder that bears the tracker's name: the one above where the results lie in a benchmark's folder."""
    whole = (top.resolve() if top.is_dir() else top.resolve().with_suffix("")) / home
    own = {"scenes", "folder"} | {plain(n) for n in PROTOCOLS}
    return whole.parent.name if plain(whole.name) in own else whole.name or tracker


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
