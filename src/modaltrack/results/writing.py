# SPDX-License-Identifier: Apache-2.0
"""Results as the community writes them, with a manifest of checksums; a file appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modaltrack.box_text import format_rows
from modaltrack.files import checksum, read_json, remove_abandoned, replacing, write_file
from modaltrack.frame import Result
from modaltrack.results.archives import ARCHIVES, FOREIGN

MANIFEST = "manifest.json"
FORMAT = "modaltrack results 1"
LAYOUTS = ("community", "tab", "corners", "got10k")


def write_results(
    folder: str | os.PathLike[str],
    results: Mapping[str, Result],
    layout: str = "community",
    tracker: str = "",
) -> Path:
    """Write one file per sequence and then manifest.json with their sha256; -> the manifest.

    Args:
        layout: "community" (x,y,w,h), "tab", "corners" (8 numbers, RGBT234's program) or "got10k" (a folder per
            sequence).

    Numbers are written in full, nothing is rounded. A manifest that was there is extended.
    """
    top = Path(folder)
    if top.exists():
        remove_abandoned(top)
        return _write_all(top, results, layout, tracker)
    top.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(top.parent)
    with replacing(top, folder=True) as partial:
        _write_all(partial, results, layout, tracker)
    return top / MANIFEST


def _write_all(top: Path, results: Mapping[str, Result], layout: str, tracker: str) -> Path:
    """The sequences and their manifest; where one cannot be written, the new ones of this call are removed again."""
    before = {f for f in top.rglob("*") if f.is_file()}
    written: list[Path] = []
    try:
        for name, result in results.items():
            written += write_sequence(top, replace(result, name=name), layout)
        return write_manifest(top, written, layout, tracker)
    except BaseException:
        for file in set(written) - before:
            file.unlink(missing_ok=True)
        raise


def write_sequence(folder: str | os.PathLike[str], result: Result, layout: str = "community") -> list[Path]:
    """Write one sequence: boxes, and beside them times and confidences where there are any; -> the files."""
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r} of result files; there are {', '.join(LAYOUTS)}.")
    if not re.fullmatch(r"[^/\\\x00]+", result.name) or result.name in (".", ".."):
        raise ValueError(f"{result.name!r} is no name of a sequence that could be a file; rename it.")
    if result.runs:
        raise ValueError(f"{result.name} holds VOT's anchor runs, which no other layout has; keep the VOT files.")
    top = Path(folder)
    home, stem = (top / result.name, f"{result.name}_001") if layout == "got10k" else (top, result.name)
    boxes = result.boxes
    if layout == "corners":
        x, y, w, h = boxes.T
        boxes = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)
    home.mkdir(parents=True, exist_ok=True)
    files = [write_file(home / f"{stem}.txt", format_rows(boxes, "\t" if layout == "tab" else ","))]
    for values, ending in ((result.seconds, "time"), (result.scores, "confidence")):
        if len(values):
            files.append(write_file(home / f"{result.name}_{ending}.txt", format_rows(values)))
    return files


def write_manifest(folder: Path, files: list[Path], layout: str, tracker: str = "") -> Path:
    """Write manifest.json: each file's sha256, size and rows."""
    place = folder / MANIFEST
    document: dict[str, Any] = {"format": FORMAT, "tracker": tracker, "layout": layout, "files": {}}
    if place.is_file():
        before = _read_manifest(place)
        document["tracker"] = tracker or before.get("tracker", "")
        document["files"] = {n: f for n, f in before["files"].items() if (folder / n).is_file()}
    for file in files:
        data = file.read_bytes()
        document["files"][file.relative_to(folder).as_posix()] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "rows": data.count(b"\n"),
        }
    document["files"] = dict(sorted(document["files"].items()))
    return write_file(place, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def check_manifest(folder: str | os.PathLike[str]) -> list[str] | None:
    """One sentence per file that is not as the manifest says; None where there is no manifest."""
    top = Path(folder)
    if not (top / MANIFEST).is_file():
        return None
    problems = []
    for name, facts in _read_manifest(top / MANIFEST)["files"].items():
        file = top / name
        if not file.is_file():
            problems.append(f"{name} is in the manifest and not in the folder.")
        elif checksum(file) != facts["sha256"]:
            problems.append(f"{name} is not the file that the manifest was written for (checksum differs).")
    return problems


def zip_results(folder: str | os.PathLike[str], target: str | os.PathLike[str]) -> tuple[int, list[str]]:
    """Pack a folder of results, the same bytes for the same results.

    What a manifest lists is packed, with the manifest and run.json; without one, all but hidden files, archives and
    links, which may lead out of the folder.

    Args:
        folder: the results.
        target: the zip.

    Returns:
        How many files were packed, and the names of those that were left out.
    """
    top, place = Path(folder), Path(target)
    if not top.is_dir():
        raise ValueError(f"{top} is no folder of results; nothing to pack.")
    remove_abandoned(place.parent)
    every, files = _packable(top)
    files = [f for f in files if f.resolve() != place.resolve()]
    if (top / MANIFEST).is_file():
        listed = {MANIFEST, "run.json", *_read_manifest(top / MANIFEST)["files"]}
        files = [f for f in files if f.relative_to(top).as_posix() in listed]
    if not files:
        raise ValueError(f"{top} is empty; nothing to pack.")
    with replacing(place) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.relative_to(top).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())
    left = {f.relative_to(top).as_posix() for f in every if f.resolve() != place.resolve()}
    return len(files), sorted(left - {f.relative_to(top).as_posix() for f in files})


def _packable(top: Path) -> tuple[list[Path], list[Path]]:
    """All files below a folder, and those that are no links, not hidden and no archives; both sorted."""
    every, packable = [], []
    for base, folders, names in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(base, name))]
        folders[:] = sorted(name for name in folders if name not in links)
        for path in (Path(base, name) for name in [*names, *links]):
            every.append(path)
            hidden = any(part.startswith(".") for part in path.relative_to(top).parts)
            if (
                not (hidden or path.is_symlink() or path.name.lower().endswith((*ARCHIVES, *FOREIGN)))
                and path.is_file()
            ):
                packable.append(path)
    return sorted(every), sorted(packable)


def _read_manifest(place: Path) -> dict[str, Any]:
    document = read_json(place, f"a manifest of results ({FORMAT}) was expected: delete it and write it again")
    files = document.get("files")
    if not isinstance(files, dict) or not all(isinstance(f, dict) and "sha256" in f for f in files.values()):
        raise ValueError(f"{place} is no manifest of results ({FORMAT}); delete it and write it again.")
    return document
