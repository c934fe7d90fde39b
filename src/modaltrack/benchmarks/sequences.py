# SPDX-License-Identifier: Apache-2.0
"""One benchmark as it lies on a disk: which of its sequences are there, by its official list."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload

from modaltrack.benchmarks.attributes import read_attributes
from modaltrack.benchmarks.coco import open_coco
from modaltrack.benchmarks.discovery import discover, nothing_found, select
from modaltrack.benchmarks.entries import BenchmarkWarning, LazyFrames, SequenceEntry, truth_of
from modaltrack.benchmarks.names import check_split, find
from modaltrack.benchmarks.roots import find_root
from modaltrack.benchmarks.table import Row

__all__ = ["Benchmark", "BenchmarkWarning", "LazyFrames", "SequenceEntry", "open_benchmark", "truth_of"]


class Benchmark(Sequence[SequenceEntry]):
    """One split of one benchmark on disk: a sequence of ``SequenceEntry``, also by name.

    name, title, split, root, modalities.

    Args:
        listed: where the list of names is from.
        missing: names of that list which are not on disk.
        doubled: names that lie there more than once.
    """

    def __init__(
        self,
        row: Row,
        split: str,
        root: Path,
        sequences: Sequence[SequenceEntry],
        listed: str = "",
        missing: Sequence[str] = (),
        doubled: Mapping[str, list[Path]] | None = None,
    ) -> None:
        self.name, self.title, self.row, self.split, self.root = row.name, row.title, row, split, root
        self.modalities = row.modalities
        self.sequences = sequences
        self.listed = listed
        self.missing = list(missing)
        self.doubled = dict(doubled or {})

    def __repr__(self) -> str:
        return f"Benchmark({self.title}, {self.split}, {len(self)} sequences in {str(self.root)!r})"

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[SequenceEntry]:
        return iter(self.sequences)

    @overload
    def __getitem__(self, key: int | str) -> SequenceEntry: ...

    @overload
    def __getitem__(self, key: slice) -> Sequence[SequenceEntry]: ...

    def __getitem__(self, key: int | str | slice) -> SequenceEntry | Sequence[SequenceEntry]:
        """By number, by name, or a part."""
        if not isinstance(key, str):
            return self.sequences[key]
        for entry in self.sequences:
            if entry.name == key:
                return entry
        raise KeyError(key)


def open_benchmark(
    name: str, root: str | os.PathLike[str] | None = None, split: str | None = None, quiet: bool = False
) -> Benchmark:
    """Open a split of a benchmark (``find_root`` says where it lies when ``root`` is None).

    Warns (unless quiet) of sequences that the list names and the disk lacks.

    Raises:
        ValueError: when there is none.
    """
    row, named = find(name)
    split = check_split(row, split or named)
    folder = find_root(row.name, root)
    if row.reader == "coco":
        return Benchmark(row, split, folder, open_coco(folder, split, row), f"instances_{split}.json")
    found, doubled = discover(folder, row.layout)
    if not found:
        raise ValueError(nothing_found(row, folder))
    names, listed = select(row, split, found, folder)
    missing = [n for n in names if n not in found]
    if len(missing) == len(names):
        example = f"; {missing[0]} was expected and {sorted(found)[0]} was found" if missing else ""
        raise ValueError(
            f"{folder} holds {len(found)} sequences and none of the {len(names)} of {row.title}'s split "
            f"{split}{example}."
        )
    if missing and not quiet:
        warnings.warn(
            f"{len(missing)} of {len(names)} sequences of {row.title} ({split}) are not in {folder}, for example "
            f"{missing[0]}; whatever is scored is not the whole benchmark.",
            BenchmarkWarning,
            stacklevel=2,
        )
    attributes = read_attributes(folder, row)
    kept = [SequenceEntry(n, found[n], row, attributes.get(n, frozenset())) for n in names if n in found]
    return Benchmark(row, split, folder, kept, listed, missing, doubled)
