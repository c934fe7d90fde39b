# SPDX-License-Identifier: Apache-2.0
"""Challenge attributes of sequences, in the four forms in which benchmarks publish them."""

from __future__ import annotations

from pathlib import Path

from modaltrack.benchmarks.annotation import read_names, read_values
from modaltrack.benchmarks.names import official_list
from modaltrack.benchmarks.table import Row

PER_SEQUENCE = ("AttriSeqsTxt", "att", "attributes", "Attributes")
PER_ATTRIBUTE = ("attr_txt", "attributes", "Attributes", "attr")


def read_attributes(folder: Path, row: Row) -> dict[str, frozenset[str]]:
    """Sequence -> names of its attributes, as far as they lie in ``folder`` or beside it; empty where nothing does.

    Understood: a folder of <sequence>.txt with one 0/1 per attribute (LasHeR, VisEvent, COESOT), a folder of
    <ATTRIBUTE>.txt with one 0/1 per sequence in list order (RGBT234), and GTOT's table ``sequencesAttr``.

    Raises:
        ValueError: when a file does not fit the number of attributes or sequences.
    """
    if not row.attributes:
        return {}
    for place in (folder, folder.parent, folder / "annos"):
        for name in PER_SEQUENCE:
            files = sorted((place / name).glob("*.txt")) if (place / name).is_dir() else []
            files = [f for f in files if f.stem not in row.attributes and not f.stem.startswith("SequencesName")]
            if len(files) > 0 and not (place / name / f"{row.attributes[0]}.txt").is_file():
                return {f.stem: _flagged(f, row) for f in files}
        for name in PER_ATTRIBUTE:
            if all((place / name / f"{a}.txt").is_file() for a in row.attributes):
                return _per_attribute(place / name, row)
        table = next((f for f in sorted(place.glob("sequencesAttr*")) if f.is_file() and f.suffix != ".mat"), None)
        if table is not None:
            return _table(table, row)
    return {}


def _flagged(file: Path, row: Row) -> frozenset[str]:
    values = read_values(file)
    if len(values) < len(row.attributes):
        raise ValueError(f"{file} has {len(values)} values and {row.title} has {len(row.attributes)} attributes.")
    return frozenset(a for a, v in zip(row.attributes, values, strict=False) if v > 0)


def _per_attribute(folder: Path, row: Row) -> dict[str, frozenset[str]]:
    own = folder / "SequencesName.txt"
    names = read_names(own) if own.is_file() else official_list(row, next(iter(row.splits))) or []
    found: dict[str, set[str]] = {name: set() for name in names}
    for attribute in row.attributes:
        values = read_values(folder / f"{attribute}.txt")
        if len(values) != len(names):
            raise ValueError(f"{folder / attribute}.txt has {len(values)} values for {len(names)} sequences.")
        for name, value in zip(names, values, strict=True):
            if value > 0:
                found[name].add(attribute)
    return {name: frozenset(a) for name, a in found.items()}


def _table(file: Path, row: Row) -> dict[str, frozenset[str]]:
    found = {}
    for line in read_names(file):
        name, *flags = line.replace(",", " ").split()
        if len(flags) < len(row.attributes) or not all(f.lstrip("-").isdigit() for f in flags):
            continue  # a heading
        found[name] = frozenset(a for a, f in zip(row.attributes, flags, strict=False) if int(f) > 0)
    return found
