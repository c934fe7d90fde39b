# SPDX-License-Identifier: Apache-2.0
"""``modaltrack report``: trackers on a benchmark as one HTML page and as figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modaltrack.report import Entry, Strip
    from modaltrack.results import ResultSet
    from modaltrack.scoring.intervals import Comparison
    from modaltrack.scoring.records import Protocol, Truth
    from modaltrack.truth.own import SequenceSource


@dataclass
class Options:
    """Make a page about one or more trackers: curves, attributes, speed, every sequence, the worst failures.

    Each of RESULTS is a folder or zip of one tracker, as 'modaltrack score' takes them. The page is one file without
    scripts that loads nothing; its figures also go to a folder beside it, as SVG and with --pdf as PDF.
    """

    results: Positional[Annotated[list[str], arg(metavar="RESULTS")]]
    """Results of the trackers; NAME=PATH gives one a name."""
    benchmark: Annotated[str, arg(metavar="NAME")]
    """A name from 'modaltrack score --help', scenes, or folder."""
    protocol: Annotated[str, arg(metavar="NAME")] = ""
    """Another protocol than the benchmark's own."""
    data: Annotated[str, arg(metavar="PATH")] = ""
    """Where the benchmark lies: for truth, and for the pictures of the failures."""
    truth: Annotated[str, arg(metavar="DIR")] = ""
    """A folder of truth files instead."""
    out: Path = Path("report.html")
    """The page; figures go to a folder of the same name beside it."""
    pdf: bool = False
    """Write the curves as PDF too (pip install 'modaltrack[figures]')."""
    latex: bool = False
    """Write the tables as LaTeX too (booktabs): scores, attributes, sequences."""
    csv: bool = False
    """Write the tables as CSV too, with all digits."""
    order: Annotated[str, arg(metavar="NAME,NAME")] = ""
    """Trackers that come first in these tables and in the colours; the others follow by score."""
    attributes: Annotated[str, arg(metavar="NAME,NAME")] = ""
    """Show these attributes only, in this order."""
    failures: int = 6
    """How many sequences to show as worst failures."""
    missing: Literal["refuse", "skip", "zero"] = "refuse"
    """Sequences without a result: stop, leave them out, or count them as lost."""


def run(options: Options) -> int:
    """Score, draw and write; -> 0."""
    import time

    import modaltrack
    from modaltrack.commands.terminal import out
    from modaltrack.files import prepare_folder, write_file
    from modaltrack.report import figures, main_metric, page
    from modaltrack.report.papers import chosen_attributes, paper_tables
    from modaltrack.truth.source import find_protocol

    if options.failures < 0:
        raise ValueError(f"--failures is {options.failures}; give 0 or more.")
    if options.pdf:
        from modaltrack.report.pdf import check_matplotlib

        check_matplotlib()
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out is {options.out}, and the page is HTML; give a name that ends in .html.")
    protocol = find_protocol(options.protocol or options.benchmark)
    paths, sets = read_all(options.results, protocol)
    truths, clips = ground_truth(protocol, options.benchmark, options.data, options.truth, paths)
    prepare_folder(options.out.parent)
    folder = prepare_folder(options.out.with_suffix(""))
    entries = [
        make_entry(name, results, protocol, truths, options.missing, number)
        for number, (name, results) in enumerate(_in_order(sets, options.order))
    ]
    order = [name.strip() for name in options.order.split(",") if name.strip()]
    if strange := [name for name in order if name not in sets]:
        raise ValueError(f"--order names {strange[0]!r}; the trackers are {', '.join(sets)}.")
    entries = chosen_attributes(entries, [a.strip() for a in options.attributes.split(",") if a.strip()])
    metric = main_metric(entries[0].report)
    comparisons = compare_with_best(entries, metric)
    drawings = figures(entries, metric, protocol.metrics, comparisons)
    strips = find_failures(entries, metric, truths, clips, options.failures)
    made = f"Made on {time.strftime('%Y-%m-%d')} by modaltrack {modaltrack.__version__}."
    files = [options.out]
    for name, drawing in drawings.items():
        files.append(write_file(folder / f"{name}.svg", f"{drawing}\n"))
    if options.pdf:
        from modaltrack.report.pdf import write_pdfs

        files += write_pdfs(folder, entries, metric, protocol.metrics)
    for name, table in paper_tables(entries, metric, order).items() if options.latex or options.csv else ():
        files += [write_file(folder / f"{name}.tex", table.latex())] if options.latex else []
        files += [write_file(folder / f"{name}.csv", table.csv())] if options.csv else []
    write_file(options.out, page(entries, metric, drawings, comparisons, strips, made))
    console = out()
    for entry in entries:
        words = ", ".join(f"{m} {v:.4f}" for m, v in entry.report.scores.items())
        console.print(f"{entry.name}: {words} ({protocol.name}, {protocol.version})", markup=False)
    console.print(f"Wrote {options.out} and {len(files) - 1} figures and tables in {folder}", markup=False)
    return 0


def _in_order(sets: Mapping[str, ResultSet], order: str) -> list[tuple[str, ResultSet]]:
    """The trackers of ``--order`` first: their place is their colour."""
    told = [name.strip() for name in order.split(",")]
    return sorted(sets.items(), key=lambda item: told.index(item[0]) if item[0] in told else len(told))


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
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = "", text
        results = read_named(Path(path), protocol)
        name = name or _tracker_name(Path(path)) or results.tracker
        if name in sets:
            raise ValueError(f"Two of the results are called {name!r}; give them names: NAME=PATH.")
        sets[name] = results
        paths.append(Path(path))
    return paths, sets


def _tracker_name(path: Path) -> str:
    """What run.json or the manifest of a folder calls the tracker."""
    for file, keys in (("run.json", ("facts", "tracker")), ("manifest.json", ("tracker",))):
        if (path / file).is_file():
            try:
                found: Any = json.loads((path / file).read_text(encoding="utf-8"))
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
    """Score one tracker."""
    import numpy as np

    from modaltrack.commands.result_source import matched
    from modaltrack.report import Entry
    from modaltrack.scoring.engine import score

    named = matched(results, truths)
    report = score(protocol, truths, named.sequences, attributes=True, missing=missing)
    report.notes.extend(named.problems)
    seconds = [r.seconds[1:] for r in named.sequences.values() if len(r.seconds) > 1]
    steps = np.concatenate(seconds) if seconds else np.empty(0)
    total = float(np.nansum(steps))  # the first row of each is the template alone
    return Entry(name, report, named.sequences, len(steps) / total if total > 0 else None, number)


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
