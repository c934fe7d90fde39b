# SPDX-License-Identifier: Apache-2.0
"""What a report is made of: results read and scored, the best one against the others, the worst failures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modaltrack.report import Entry, Strip
    from modaltrack.results import ResultSet
    from modaltrack.scoring.intervals import Comparison
    from modaltrack.scoring.records import Protocol, Truth
    from modaltrack.truth.own import SequenceSource


def read_all(texts: Sequence[str], protocol: Protocol) -> tuple[list[Path], dict[str, ResultSet]]:
    """Where they lie, and tracker -> its results.

    Names are those given, or those of run.json or the manifest, or the folder's.

    Args:
        protocol: chooses the benchmark's folder where a path holds several.
    """
    from modaltrack.commands.result_source import read_named

    paths: list[Path] = []
    sets: dict[str, ResultSet] = {}
    for text in texts:
        name, path = named_path(text)
        results = read_named(path, protocol)
        name = name or _tracker_name(path) or results.tracker
        if name in sets:
            raise ValueError(f"Two of the results are called {name!r}; give them names: NAME=PATH.")
        sets[name] = results
        paths.append(path)
    return paths, sets


def named_path(text: str) -> tuple[str, Path]:
    """The name ("" without one) and the path of NAME=PATH."""
    name, equals, path = text.partition("=")
    return ("", Path(text)) if not equals or Path(text).exists() else (name, Path(path))


def _tracker_name(path: Path) -> str:
    """What run.json or the manifest of a folder calls the tracker."""
    from modaltrack.files import parse_json

    for file, keys in (("run.json", ("facts", "tracker")), ("manifest.json", ("tracker",))):
        if (path / file).is_file():
            try:
                found: Any = parse_json((path / file).read_text(encoding="utf-8"))
                for key in keys:
                    found = found[key]
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
            if found:
                return str(found)
    return ""


def ground_truth(
    protocol: Protocol, benchmark: str, data: str, truth: str, results: Sequence[Path]
) -> tuple[list[Truth], dict[str, Any]]:
    """Truths as ``modaltrack score`` finds them, and sequence -> what has ``clip()``, where images are at hand."""
    from modaltrack.truth.source import OWN, entries_of, read_truths, rewards_beside

    data_path, truth_path = Path(data) if data else None, Path(truth) if truth else None
    if benchmark in OWN:
        entries = entries_of(benchmark, data_path, truth_path, results)
        return [entry.truth() for entry in entries], {entry.name: entry for entry in entries}
    reward = rewards_beside(protocol, truth_path, results)
    truths = read_truths(protocol, data_path, truth_path, reward=reward, results=results)
    return truths, {} if truth else _images(protocol, data)


def _images(protocol: Protocol, data: str) -> dict[str, Any]:
    """Sequence -> its entry; empty where only the truth is on this machine."""
    from modaltrack.benchmarks import find_root, open_benchmark

    name = protocol.benchmark or protocol.name
    try:
        find_root(name, data or None)
    except ValueError:  # the truth came from somewhere else
        return {}
    return {entry.name: entry for entry in open_benchmark(name, data or None, protocol.split, quiet=True)}


def make_entry(
    name: str, results: ResultSet, protocol: Protocol, truths: Sequence[Truth], missing: str, number: int
) -> Entry:
    """Score one tracker.

    Args:
        name: what it is called.
        results: what it wrote.
        protocol: how it is scored.
        truths: of the benchmark.
        missing: what to do about sequences without a result.
        number: its colour's.
    """
    import numpy as np

    from modaltrack.commands.result_source import matched
    from modaltrack.report import Entry
    from modaltrack.scoring.engine import score
    from modaltrack.scoring.presence import any_absent, presence_evidence, presence_report

    named = matched(results, truths)
    report = score(protocol, truths, named.sequences, attributes=True, missing=missing)
    report.notes.extend(named.problems)
    seconds = [r.seconds[1:] for r in named.sequences.values() if len(r.seconds) > 1]
    steps = np.concatenate(seconds) if seconds else np.empty(0)
    total = float(np.nansum(steps))  # the first row of each is the template alone
    pairs = [(truth, named.sequences[truth.name]) for truth in truths if truth.name in named.sequences]
    evidence = [found for truth, result in pairs if (found := presence_evidence(truth, result)) is not None]
    presence = presence_report(evidence) if any_absent(evidence) else {}
    speed = len(steps) / total if total > 0 else None
    return Entry(name, report, named.sequences, speed, number, presence=presence)


def has_results(results: ResultSet, truths: Sequence[Truth]) -> bool:
    """Whether any of the benchmark's sequences is among the results."""
    from modaltrack.results import match_names

    lengths = {truth.name: truth.result_rows for truth in truths}
    found = {*match_names(results, lengths, lengths).sequences, *results.unreadable}
    return not found.isdisjoint(lengths)


def compare_with_best(entries: Sequence[Entry], metric: str) -> dict[str, Comparison]:
    """Tracker -> the best one against it; empty where the protocol cannot be compared sequence by sequence."""
    from modaltrack.report import ranked
    from modaltrack.scoring.intervals import compare_trackers

    best, *rest = ranked(entries, metric)
    comparable = [e for e in rest if metric in e.report.samples and metric in best.report.samples]
    return {
        e.name: compare_trackers(best.report, e.report, metric)
        for e in comparable
        if list(e.report.per_sequence) == list(best.report.per_sequence)
    }


def find_failures(
    entries: Sequence[Entry], metric: str, truths: Sequence[Truth], clips: Mapping[str, SequenceSource], count: int
) -> list[Strip]:
    """The worst sequences with overlaps, and pictures where there are images."""
    from modaltrack.report.entries import Strip, moments, shown_overlaps, worst_sequences

    by_name = {truth.name: truth for truth in truths}
    strips = []
    for name, why in worst_sequences(entries, metric, count).items():
        if name not in by_name:
            continue
        truth = by_name[name]
        boxes = {e.name: e.results[name] for e in entries if name in e.results and len(e.results[name].boxes)}
        overlaps = {who: shown_overlaps(truth, result) for who, result in boxes.items()}
        if not overlaps:
            continue
        rows = moments(overlaps)
        pictures = _pictures(clips[name], truth, boxes, rows) if name in clips else []
        strips.append(Strip(name, why, overlaps, pictures))
    return strips


def _pictures(entry: SequenceSource, truth: Truth, boxes: Mapping[str, Any], rows: Sequence[int]) -> list[Any]:
    import itertools
    import warnings

    import numpy as np

    from modaltrack.report import Picture

    positions = {row: row if truth.rows is None else int(truth.rows[row]) for row in rows}
    try:
        frames = entry.clip().frames
        if hasattr(frames, "__getitem__"):
            found = {p: frames[p] for p in positions.values() if p < len(frames)}
        else:
            wanted = set(positions.values())
            some = itertools.islice(iter(frames), max(wanted) + 1)
            found = {index: frame for index, frame in enumerate(some) if index in wanted}
    except (ValueError, OSError) as error:  # the numbers do not need them
        warnings.warn(f"No pictures of {truth.name}: {error}", stacklevel=2)
        return []
    nothing = np.full(4, np.nan)
    return [
        Picture(
            row,
            {str(m): image for m, image in list(found[p].images.items())[:2]},
            truth.boxes[row],
            {who: r.boxes[p] if p < len(r.boxes) else nothing for who, r in boxes.items()},
        )
        for row, p in positions.items()
        if p in found and found[p].images
    ]
