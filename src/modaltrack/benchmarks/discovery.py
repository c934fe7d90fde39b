# SPDX-License-Identifier: Apache-2.0
"""Which sequences lie under a folder, and which of them a split means."""

from __future__ import annotations

import os
import re
from pathlib import Path

from modaltrack.benchmarks.annotation import read_names
from modaltrack.benchmarks.layout import Layout, first_of, is_sequence
from modaltrack.benchmarks.names import list_source, official_list
from modaltrack.benchmarks.table import TABLE, Row

DEPTH = (
    5  # LasHeR/TrainingSet/trainingset/<name>, VTUAV/train_data/train_ST_001/<name>, TrackingNet/TRAIN_0/frames/<id>
)
ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".001")


def discover(root: Path, layout: Layout) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """Sequence folders under ``root`` by name, whatever category or split folders stand between, and doubled names.

    The first of two folders of one name (in path order) counts.
    """
    found: dict[str, Path] = {}
    doubled: dict[str, list[Path]] = {}
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop(0)
        inside = _listing(folder)
        if is_sequence(folder, layout, set(inside)):
            several = _targets(layout, set(inside))
            if several:
                found |= {f"{folder.name}-{target}": folder for target in several}
            elif folder.name in found:
                doubled.setdefault(folder.name, [found[folder.name]]).append(folder)
            else:
                found[folder.name] = folder
        elif depth < DEPTH:
            waiting += [(folder / name, depth + 1) for name, is_folder in sorted(inside.items()) if is_folder]
    return found, doubled


def _targets(layout: Layout, inside: set[str]) -> list[int]:
    """Numbers of the targets of a folder that is several sequences (OTB's Jogging)."""
    if not layout.targets or layout.truth[0] in inside:
        return []
    return [k for k in range(1, 10) if layout.targets.format(target=k) in inside]


def _listing(folder: Path) -> dict[str, bool]:
    try:
        with os.scandir(folder) as entries:
            return {e.name: e.is_dir() for e in entries if not e.name.startswith(".")}
    except PermissionError as error:
        raise ValueError(f"The folder {folder} may not be read ({error.strerror}); change its permissions.") from error


def select(row: Row, split: str, found: dict[str, Path], root: Path) -> tuple[list[str], str]:
    """The names of a split in their order, and in words where the list is from.

    The official list where it ships; else a list file of the download; else folders called like the split; else all
    that is on the disk but what other lists name.
    """
    official = official_list(row, split)
    if official is not None:
        return official, list_source(row, split)
    if split == "all":
        return sorted(found), "everything on disk"
    for file_name in row.on_disk.get(split, ()):
        for file in (root / file_name, root / split / file_name, root / "sequences" / file_name):
            if file.is_file():
                return _listed(file, found, root), f"{file.relative_to(root)} of the download"
    named = [name for name, folder in found.items() if _called(folder.parent.relative_to(root), split)]
    if (named and len(named) < len(found)) or (len(row.splits) > 1 and named):
        return sorted(named), f"folders called {split} on disk (the official list does not ship)"
    others = {name for other in row.splits if other not in (split, "all") for name in official_list(row, other) or []}
    rest = sorted(name for name in found if name not in others)
    return rest, "everything on disk" + (" that no other list names" if len(rest) < len(found) else "") + (
        " (the official list does not ship)"
    )


def _called(path: Path, split: str) -> bool:
    """Whether a folder on the way is called like the split: ``test_ST_001``, ``TestingSet`` and ``TRAIN_0`` are."""
    first, *others = split.split("-")
    for part in path.parts:
        words = [w for w in re.split(r"[^a-z]+", part.lower()) if w]
        if any(w.startswith(first) for w in words) and all(o in words for o in others):
            return True
    return False


def _listed(file: Path, found: dict[str, Path], root: Path) -> list[str]:
    """Names of a list file: ``Adapter/adapter1`` is adapter1; numbers are positions in list.txt (COESOT)."""
    lines = [re.split(r"[\\/]", line)[-1].strip() for line in read_names(file)]
    if not lines:
        raise ValueError(f"{file} is empty and one sequence name per line was expected; load it down again.")
    if all(line.isdigit() for line in lines) and not set(lines) & set(found):
        whole = next((f for f in (root / "list.txt", file.with_name("list.txt")) if f.is_file()), None)
        if whole is None:
            raise ValueError(f"{file} holds positions and the list.txt that they count in is missing; put it beside.")
        names = [re.split(r"[\\/]", line)[-1] for line in read_names(whole)]
        positions = [int(line) for line in lines]
        if max(positions) > len(names) or (max(positions) == len(names) and min(positions) == 0):
            raise ValueError(f"{file} points at position {max(positions)} and {whole} has {len(names)} names.")
        first = 1 if max(positions) == len(names) else 0
        return [names[p - first] for p in positions]
    return lines


def recognise(root: Path, at_most: int = 40) -> list[tuple[Row, int]]:
    """Benchmarks whose layout the folder has, the likeliest first: (row, how many of the names are in its list)."""
    scored = []
    for row in TABLE.values():
        if row.reader != "sequences":
            continue
        found, _ = discover(root, row.layout)
        sample = list(found.items())[:at_most]
        complete = sum(_complete(folder, row.layout) for _, folder in sample)
        if complete * 2 >= max(1, len(sample)):
            known = set().union(*(official_list(row, s) or [] for s in row.splits))
            scored.append((row, sum(name in known for name, _ in sample)))
    return sorted(scored, key=lambda pair: -pair[1])


def _complete(folder: Path, layout: Layout) -> bool:
    def any_of(names: tuple[str, ...]) -> bool:
        return first_of(folder, names, f"{folder.name}-1" if layout.targets else folder.name) is not None

    return any_of(layout.truth) and all(any_of(names) for m, names in layout.images.items() if m not in layout.optional)


def nothing_found(row: Row, root: Path) -> str:
    """One sentence for a folder without a single sequence of that benchmark."""
    wanted = " and ".join("/".join(("<sequence>", names[0])) for names in row.layout.images.values())
    inside = _listing(root)
    archives = [name for name in inside if name.lower().endswith(ARCHIVES)]
    if not inside:
        return f"{root} is empty and sequences of {row.title} ({wanted}) were expected; check the path."
    if archives:
        more = " ..." if archives[1:] else ""
        return f"{root} holds archives ({archives[0]}{more}) and no sequence of {row.title}; unpack them first."
    others = [other.title for other, _ in recognise(root)]
    like = f"; it looks like {' or '.join(others[:3])}" if others else ""
    here = ", ".join(sorted(inside)[:4])
    return f"{root} holds no sequence of {row.title}: {wanted} was expected, {here} was found{like}."
