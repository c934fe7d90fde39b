# SPDX-License-Identifier: Apache-2.0
"""Is a download whole? Every clip's frames and annotation, one finding each, remembered between runs."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modaltrack.benchmarks.sequences import Benchmark, SequenceEntry
from modaltrack.files import cache_folder, parse_json

SHOWN = 5


@dataclass
class Finding:
    """One clip: what it holds, what is broken (``problems``) and what was met and dealt with (``notes``)."""

    name: str
    frames: dict[str, int] = field(default_factory=dict)
    boxes: int = 0
    absent: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    deep: bool = False
    seen: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems


def check_entry(entry: SequenceEntry, deep: bool = False, workers: int = 2) -> Finding:
    """Look at one clip: folders, counts, annotation, empty files; with ``deep`` every image is decoded."""
    reading = entry.reading
    finding = Finding(entry.name, {m.value: len(files) for m, files in reading.frames.items()}, deep=deep)
    finding.problems, finding.notes = list(reading.problems), list(reading.notes)
    if reading.rows is not None:
        finding.boxes = len(reading.rows)
        box_less = int((entry.annotated & ~(entry.boxes == entry.boxes).all(axis=1)).sum()) if reading.frames else 0
        finding.absent = box_less
        if reading.frames and finding.boxes and box_less == finding.boxes:
            finding.problems.append("The target is absent in every frame.")
    for modality, files in reading.frames.items():
        finding.problems += _look(modality.value, files, deep, workers)
    return finding


def check_pictures(benchmark: Benchmark, deep: bool = False, workers: int = 2) -> Finding:
    """One finding for a set of single pictures: are those that the annotation names there and whole?"""
    files: dict[Path, None] = {}
    for entry in benchmark:
        files[next(iter(entry.frames.values()))[0]] = None
    finding = Finding(benchmark.split, {m.value: len(files) for m in benchmark.modalities}, len(benchmark), deep=deep)
    finding.problems = _look(next(iter(benchmark.modalities)).value, list(files), deep, workers, one_size=False)
    return finding


def _look(modality: str, files: list[Path], deep: bool, workers: int, one_size: bool = True) -> list[str]:
    sizes = _sizes(files)
    said = []
    gone = [f.name for f, size in zip(files, sizes, strict=True) if size < 0]
    empty = [f.name for f, size in zip(files, sizes, strict=True) if size == 0]
    for what, names in (("missing", gone), ("empty", empty)):
        if names:
            said.append(f"{_count(names, modality)} {'is' if len(names) == 1 else 'are'} {what}: {_some(names)}.")
    if deep:
        said += _decode(modality, [f for f, size in zip(files, sizes, strict=True) if size > 0], workers, one_size)
    return said


def _sizes(files: Iterable[Path]) -> list[int]:
    """Bytes of each file, -1 where it is not there; one listing per folder instead of a question per file."""
    known: dict[str, dict[str, int]] = {}
    sizes = []
    for file in files:
        folder = os.path.dirname(file)
        if folder not in known:
            with os.scandir(folder) as entries:
                known[folder] = {e.name: e.stat().st_size for e in entries if e.is_file()}
        sizes.append(known[folder].get(file.name, -1))
    return sizes


def _decode(modality: str, files: list[Path], workers: int, one_size: bool) -> list[str]:
    with ThreadPoolExecutor(workers) as pool:
        shapes = list(pool.map(_shape, files))
    said = []
    damaged = [f.name for f, shape in zip(files, shapes, strict=True) if shape is None]
    if damaged:
        said.append(f"{_count(damaged, modality)} cannot be decoded: {_some(damaged)}.")
    good = {shape for shape in shapes if shape is not None}
    if len(good) > 1 and one_size:
        counts = ", ".join(f"{w}x{h}" for h, w in sorted(good))
        said.append(f"The {modality} images differ in size ({counts}).")
    return said


def _shape(file: Path) -> tuple[int, int] | None:
    from modaltrack.sources.folder import read_image

    image = read_image(file)
    return None if image is None else (int(image.shape[0]), int(image.shape[1]))


def _count(names: list[str], modality: str) -> str:
    return f"{len(names)} {modality} image{'' if len(names) == 1 else 's'}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def memory_file(benchmark: Benchmark) -> Path:
    """Where the findings of a data set at one place are kept: the user's cache folder."""
    key = hashlib.sha256(str(benchmark.root.resolve()).encode()).hexdigest()[:12]
    return cache_folder() / f"check-{benchmark.name}-{key}.jsonl"


def _signature(entry: SequenceEntry) -> str:
    """Changes when a file is added to or removed from the clip, or an annotation is written anew."""
    marks = []
    with os.scandir(entry.folder) as entries:
        for e in sorted(entries, key=lambda e: e.name):
            facts = e.stat()
            marks.append(f"{e.name}:{facts.st_mtime_ns}" + ("" if e.is_dir() else f":{facts.st_size}"))
    return hashlib.sha256("|".join(marks).encode()).hexdigest()[:16]


def _remembered(memory: Path) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    if not memory.is_file():
        return found
    for line in memory.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            finding = Finding(**parse_json(line))
        except (ValueError, TypeError):
            continue  # the line at which an earlier run was killed
        found[finding.name] = finding
    return found


def check_benchmark(
    benchmark: Benchmark,
    deep: bool = False,
    memory: Path | None = None,
    workers: int = 2,
    said: Callable[[Finding, bool], None] | None = None,
) -> list[Finding]:
    """Check every clip of an opened benchmark, in its order.

    Args:
        memory: a file to which each finding is appended at once and from which clips that have not changed since are
            taken (an earlier deep finding serves a shallow check, not the reverse); None keeps nothing.
        said: called after every clip with its finding and whether it was remembered.
    """
    if benchmark.row.reader == "coco":
        return [check_pictures(benchmark, deep, workers)]
    known = _remembered(memory) if memory is not None else {}
    findings = []
    log = None
    if memory is not None:
        memory.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=memory.parent).close()  # an unwritable cache is said before the work, not after
        log = memory.open("a", encoding="utf-8")
        if memory.stat().st_size and not memory.read_bytes().endswith(b"\n"):
            log.write("\n")
    try:
        for entry in benchmark:
            seen = _signature(entry)
            old = known.get(entry.name)
            if old is not None and old.seen == seen and (old.deep or not deep):
                finding = old
            else:
                finding = check_entry(entry, deep, workers)
                finding.seen = seen
                if log is not None:
                    log.write(json.dumps(asdict(finding), ensure_ascii=False) + "\n")
                    log.flush()
            findings.append(finding)
            entry.__dict__.pop("reading", None)  # a million paths need not stay in memory
            for cached in ("boxes", "annotated"):
                entry.__dict__.pop(cached, None)
            if said is not None:
                said(finding, finding is old)
    finally:
        if log is not None:
            log.close()
    return findings


def summary(benchmark: Benchmark, findings: list[Finding]) -> dict[str, Any]:
    """Everything ``data check --json`` prints."""
    broken = [f for f in findings if not f.ok]
    expected = benchmark.row.splits.get(benchmark.split) or None
    short = expected is not None and len(findings) < expected
    return {
        "benchmark": benchmark.name,
        "split": benchmark.split,
        "root": str(benchmark.root),
        "list": benchmark.listed,
        "expected": expected,
        "found": len(findings),
        "frames": sum(max(f.frames.values(), default=0) for f in findings),
        "boxes": sum(f.boxes for f in findings),
        "absent": sum(f.absent for f in findings),
        "whole": not (broken or benchmark.missing or benchmark.doubled or short),
        "missing": benchmark.missing,
        "doubled": {name: [str(p) for p in paths] for name, paths in benchmark.doubled.items()},
        "broken": [{k: v for k, v in asdict(f).items() if k not in ("seen", "deep")} for f in broken],
        "notes": {f.name: f.notes for f in findings if f.notes},
    }
