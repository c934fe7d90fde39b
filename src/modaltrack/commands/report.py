# SPDX-License-Identifier: Apache-2.0
"""``modaltrack report``: trackers on a benchmark as one HTML page and as figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modaltrack.report import Entry
    from modaltrack.report.papers import PaperTable
    from modaltrack.results import ResultSet
    from modaltrack.scoring.records import Protocol, Truth


@dataclass
class Options:
    """Make a page about one or more trackers: curves, attributes, speed, every sequence, the worst failures.

    Each of RESULTS is a folder or zip of one tracker, as 'modaltrack score' takes them. The page is one file without
    scripts that loads nothing; its figures also go to a folder beside it, as SVG and with --pdf as PDF. With several
    benchmarks each has its page in that folder, and the page in front holds one table across them.
    """

    results: Positional[Annotated[list[str], arg(metavar="RESULTS")]]
    """Results of the trackers; NAME=PATH gives one a name."""
    benchmark: Annotated[str, arg(metavar="NAME")]
    """A name from 'modaltrack score --benchmark list', scenes, or folder; several with commas between."""
    protocol: Annotated[str, arg(metavar="NAME")] = ""
    """Another protocol than the benchmark's own."""
    data: Annotated[str, arg(metavar="PATH")] = ""
    """Where the benchmark lies: for truth, and for the pictures of the failures; of several: NAME=PATH,NAME=PATH."""
    truth: Annotated[str, arg(metavar="DIR")] = ""
    """A folder of truth files instead; of several benchmarks: NAME=DIR,NAME=DIR."""
    out: Path = Path("report.html")
    """The page; figures go to a folder of the same name beside it."""
    pdf: bool = False
    """Write every figure as PDF too, with TrueType fonts (Type 42)."""
    latex: bool = False
    """Write the tables as LaTeX too (booktabs): scores, attributes, sequences."""
    csv: bool = False
    """Write the tables as CSV too, with all digits."""
    order: Annotated[str, arg(metavar="NAME,NAME")] = ""
    """Trackers that come first in all tables and in the colours; the others follow by score."""
    colours: Annotated[str, arg(metavar="NAME=#RRGGBB,...")] = ""
    """Colours of trackers; the others have those of their places."""
    attributes: Annotated[str, arg(metavar="NAME,NAME")] = ""
    """Show these attributes only, in this order."""
    failures: int = 6
    """How many sequences to show as worst failures."""
    missing: Literal["refuse", "skip", "zero"] = "refuse"
    """Sequences without a result: stop, leave them out, or count them as lost."""


def run(options: Options) -> int:
    """Score, draw and write; -> 0."""
    from modaltrack.commands.terminal import out

    if options.failures < 0:
        raise ValueError(f"--failures is {options.failures}; give 0 or more.")
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out is {options.out}, and the page is HTML; give a name that ends in .html.")
    benchmarks = _words(options.benchmark)
    made = _several(options, benchmarks) if len(benchmarks) > 1 else _one(options)[1]
    out().print(f"Wrote {options.out} and {made - 1} more files in {options.out.with_suffix('')}", markup=False)
    return 0


def _one(options: Options, lacking: bool = False) -> tuple[list[Entry], int]:
    """The page of one benchmark; -> its trackers and how many files were written.

    Args:
        options: with one benchmark.
        lacking: leave out trackers without a result of this benchmark, saying so.
    """
    from modaltrack.commands.report_entries import compare_with_best, find_failures, ground_truth, read_all
    from modaltrack.commands.terminal import out
    from modaltrack.files import prepare_folder, write_file
    from modaltrack.report import figures, main_metric, page
    from modaltrack.report.papers import chosen_attributes, paper_tables
    from modaltrack.truth.source import find_protocol

    protocol = find_protocol(options.protocol or options.benchmark)
    paths, sets = read_all(options.results, protocol)
    check = _entry_options(options, list(sets))
    truths, clips = ground_truth(protocol, options.benchmark, options.data, options.truth, paths)
    entries = chosen_attributes(_score(sets, protocol, truths, options, check, lacking), _words(options.attributes))
    metric = main_metric(entries[0].report)
    comparisons = compare_with_best(entries, metric)
    drawings = figures(entries, metric, protocol.metrics, comparisons)
    strips = find_failures(entries, metric, truths, clips, options.failures)
    document = page(entries, metric, drawings, comparisons, strips, _made())
    made: dict[str, str | bytes] = {f"{name}.svg": drawing.svg() + "\n" for name, drawing in drawings.items()}
    made |= {f"{name}.pdf": drawing.pdf() for name, drawing in drawings.items() if options.pdf}
    folder = prepare_folder(options.out.with_suffix(""))
    files = [write_file(folder / name, content) for name, content in made.items()]
    files += _tables(folder, paper_tables(entries, metric), options)
    files.append(write_file(options.out, document))
    for entry in entries:
        words = ", ".join(f"{m} {v:.4f}" for m, v in entry.report.scores.items())
        out().print(f"{entry.name}: {words} ({protocol.name}, {protocol.version})", markup=False)
    return entries, len(files)


def _several(options: Options, benchmarks: Sequence[str]) -> int:
    """A page for each benchmark and one in front with a table across them; -> how many files were written."""
    from modaltrack.commands.report_entries import named_path
    from modaltrack.files import prepare_folder, write_file
    from modaltrack.report import main_metric, overview
    from modaltrack.report.papers import across

    if options.protocol:
        raise ValueError("--protocol goes with one benchmark; each of several has its own.")
    if missing := next((path for _, path in map(named_path, options.results) if not path.exists()), None):
        raise ValueError(f"There are no results at {missing}; give a folder, a zip or a file of boxes.")
    data = _by_benchmark("--data", options.data, benchmarks)
    truth = _by_benchmark("--truth", options.truth, benchmarks)
    folder = prepare_folder(options.out.with_suffix(""))
    found, count = {}, 1
    for name in benchmarks:
        one = replace(options, benchmark=name, data=data[name], truth=truth[name], out=folder / f"{name}.html")
        entries, files = _one(one, lacking=True)
        found[entries[0].report.benchmark or name] = entries
        count += files
    metrics = {name: main_metric(entries[0].report) for name, entries in found.items()}
    links = {name: f"{folder.name}/{file}.html" for name, file in zip(found, benchmarks, strict=True)}
    write_file(options.out, overview(found, metrics, links, _made()))
    return count + len(_tables(folder, {"across": across(found, metrics)}, options))


def _score(
    sets: Mapping[str, ResultSet],
    protocol: Protocol,
    truths: Sequence[Truth],
    options: Options,
    check: tuple[Sequence[str], Mapping[str, str]],
    lacking: bool,
) -> list[Entry]:
    """Every tracker with its scores, its colour and its place."""
    from modaltrack.commands.report_entries import has_results, make_entry
    from modaltrack.commands.terminal import out

    order, colours = check
    entries = []
    for number, name in enumerate(sorted(sets, key=lambda n: order.index(n) if n in order else len(order))):
        if lacking and not has_results(sets[name], truths):
            out().print(f"{name}: no results of {protocol.name}, left out", markup=False)
            continue
        entry = make_entry(name, sets[name], protocol, truths, options.missing, number)
        place = order.index(name) if name in order else None
        entries.append(replace(entry, chosen=colours.get(name, ""), place=place))
    if not entries:
        raise ValueError(f"None of the trackers has results of {protocol.name}; take it out of --benchmark.")
    return entries


def _entry_options(options: Options, names: Sequence[str]) -> tuple[Sequence[str], Mapping[str, str]]:
    """``--order`` and ``--colours``, checked before anything is scored."""
    from modaltrack.report.palette import chosen_colours

    order = _words(options.order)
    if strange := [name for name in order if name not in names]:
        raise ValueError(f"--order names {strange[0]!r}; the trackers are {', '.join(names)}.")
    return order, chosen_colours(options.colours, names)


def _by_benchmark(option: str, text: str, benchmarks: Sequence[str]) -> dict[str, str]:
    """Benchmark -> its path, "" where none is given."""
    paths = dict.fromkeys(benchmarks, "")
    for part in _words(text):
        name, equals, path = part.partition("=")
        if not equals or name not in paths:
            expected = ",".join(f"{name}=PATH" for name in benchmarks)
            raise ValueError(f"{option} holds {part!r}; with several benchmarks {expected} was expected.")
        paths[name] = path
    return paths


def _tables(folder: Path, tables: Mapping[str, PaperTable], options: Options) -> list[Path]:
    from modaltrack.files import write_file

    files = []
    for name, table in tables.items():
        files += [write_file(folder / f"{name}.tex", table.latex())] if options.latex else []
        files += [write_file(folder / f"{name}.csv", table.csv())] if options.csv else []
    return files


def _made() -> str:
    import time

    import modaltrack

    return f"Made on {time.strftime('%Y-%m-%d')} by modaltrack {modaltrack.__version__}."


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
