# SPDX-License-Identifier: Apache-2.0
"""Finds the table's row for a name in any spelling, and the official lists of sequences."""

from __future__ import annotations

import difflib
from importlib.resources import files

from modaltrack.benchmarks.table import TABLE, Row


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def find(name: str) -> tuple[Row, str | None]:
    """The benchmark meant by a name in any spelling, and the split where the name ends in one (``VisEvent-172``).

    Raises:
        ValueError: with the nearest names.
    """
    typed = _plain(name)
    for row in TABLE.values():
        if typed == _plain(row.name):
            return row, None
    for row in TABLE.values():
        for split, count in row.splits.items():
            # "visevent-172" is short for the split "test-172", "vtuav-st" for "test-st", "lasher-1224" for "all"
            endings = (split, split.removeprefix("test"), str(count or split))
            if typed in [_plain(row.name + ending) for ending in endings]:
                return row, split
    close = difflib.get_close_matches(typed, [_plain(n) for n in TABLE], n=1, cutoff=0.6)
    meant = next((row.name for row in TABLE.values() if close and _plain(row.name) == close[0]), "")
    hint = f" (did you mean {meant}?)" if meant else ""
    raise ValueError(f"There is no benchmark {name!r}{hint}; 'modaltrack data list' names all of them.")


def info(name: str) -> Row:
    """The table's row of a benchmark in any spelling.

    Raises:
        ValueError: with the nearest name.
    """
    return find(name)[0]


def list_benchmarks() -> list[str]:
    """The names of all benchmarks, in the order of the table: RGB-T, RGB-D, RGB-E, RGB."""
    return list(TABLE)


def check_split(row: Row, split: str | None) -> str:
    """The split itself, or the default one.

    Raises:
        ValueError: for a split that the benchmark does not have.
    """
    if split is None:
        return next(iter(row.splits))
    for known in row.splits:
        if _plain(split) == _plain(known):
            return known
    raise ValueError(f"{row.title} has no split {split!r}; use {', '.join(row.splits)}.")


def official_list(row: Row, split: str) -> list[str] | None:
    """The names that ship with this package for that split, None where the list could not be had."""
    if split == "all" and "train" in row.splits and "test" in row.splits:
        parts = [official_list(row, part) for part in ("train", "test")]
        return None if None in parts else sorted(name for part in parts for name in part or [])
    file = files("modaltrack.benchmarks") / "lists" / f"{row.name}_{split}.txt"
    if not file.is_file():
        return None
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def list_source(row: Row, split: str) -> str:
    """Where the shipped list is from, in words; empty where none ships."""
    file = files("modaltrack.benchmarks") / "lists" / f"{row.name}_{split}.txt"
    if not file.is_file():
        return "the lists of train and test together" if official_list(row, split) else ""
    return file.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
