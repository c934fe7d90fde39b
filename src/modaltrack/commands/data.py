# SPDX-License-Identifier: Apache-2.0
"""``modaltrack data list``, ``modaltrack data info NAME`` and ``modaltrack data check NAME [PATH]``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from modaltrack.benchmarks import Benchmark, Finding, Row

SHOWN_SEQUENCES = 40


@dataclass
class Options:
    """List the benchmarks that can be read, describe one, or check that a download of one is whole.

    Where a benchmark lies is given on the command line, else by the environment variable MODALTRACK_<NAME>, else by
    MODALTRACK_DATA (a folder of benchmarks), else by the table [data] of modaltrack/config.toml in your configuration
    folder. 'data check' remembers what it has seen: started again, it goes on where it stopped.
    """

    action: Positional[Literal["list", "info", "check"]] = "list"
    """list, info NAME, or check NAME [PATH]."""
    name: Positional[Annotated[str, arg(metavar="NAME")]] = ""
    """The benchmark, in any spelling: lasher, VisEvent, got10k."""
    path: Positional[Annotated[str, arg(metavar="PATH")]] = ""
    """With check: its folder."""
    split: Annotated[str | None, arg(metavar="SPLIT")] = None
    """With check: test, train ... ('data info' names them); the first one by default."""
    deep: bool = False
    """With check: decode every image, which finds damaged files and takes hours on the large sets."""
    fresh: bool = False
    """With check: forget what earlier checks saw."""
    workers: int = 2
    """With check --deep: how many images are decoded at a time."""
    json: bool = False
    """Print one JSON object instead of tables."""


def run(options: Options) -> int:
    """Print what was asked for; -> 0, or 1 when a checked download is not whole."""
    if options.action == "list":
        if options.name:
            raise ValueError(f"'data list' takes no name; did you mean: modaltrack data info {options.name}?")
        return _list(options)
    if not options.name:
        raise ValueError(f"'data {options.action}' needs a name; 'modaltrack data list' names the benchmarks.")
    if options.action == "info":
        return _info(options)
    if options.workers < 1:
        raise ValueError(f"--workers is {options.workers} and 1 or more was expected.")
    return _check(options)


def _place(row: Row) -> str:
    from modaltrack.benchmarks import find_root

    try:
        return str(find_root(row.name))
    except ValueError:
        return ""


def _lists(row: Row) -> dict[str, str]:
    """Split -> how its names are known."""
    from modaltrack.benchmarks.names import list_source

    return {
        split: list_source(row, split)
        or ("everything on disk" if split == "all" else "no list ships: the download's own list, or what is on disk")
        for split in row.splits
    }


def _as_dict(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "modalities": [m.value for m in row.modalities],
        "splits": {split: count or None for split, count in row.splits.items()},
        "lists": _lists(row),
        "frames": row.frames,
        "attributes": list(row.attributes),
        "where": row.where,
        "licence": row.licence,
        "traps": list(row.traps),
        "root": _place(row) or None,
    }


def _list(options: Options) -> int:
    from modaltrack.benchmarks import TABLE, config_file, official_list
    from modaltrack.commands.terminal import out, table

    if options.json:
        out().print(json.dumps([_as_dict(row) for row in TABLE.values()], indent=2), markup=False)
        return 0
    rows = table("benchmarks", "name", "sensors", "sequences", "lists that ship", "licence", "on this machine", keep=1)
    for row in TABLE.values():
        counts = ", ".join(f"{split} {count}" if count else split for split, count in row.splits.items())
        ships = ", ".join(split for split in row.splits if official_list(row, split)) or "-"
        rows.add_row(row.name, ", ".join(row.modalities), counts, ships, row.licence, _place(row) or "-")
    out().print(rows)
    out().print(f"Tell where they lie in {config_file()}: [data] root = ..., or lasher = ...", markup=False)
    return 0


def _info(options: Options) -> int:
    from modaltrack.benchmarks import info
    from modaltrack.commands.terminal import out, table

    row = info(options.name)
    if options.json:
        out().print(json.dumps(_as_dict(row), indent=2), markup=False)
        return 0
    rows = table(row.title, "fact", "value", keep=1)
    rows.add_row("sensors", ", ".join(row.modalities))
    for split, source in _lists(row).items():
        rows.add_row(f"split {split}", f"{row.splits[split] or 'unknown number of'} sequences; names: {source}")
    if row.frames:
        rows.add_row("frames", f"{row.frames:,} per sensor in {next(iter(row.splits))}")
    folders = [" or ".join(names) for names in row.layout.images.values()]
    rows.add_row("images", "; ".join(f"{m}: {f}" for m, f in zip(row.modalities, folders, strict=True)))
    rows.add_row("annotation", " or ".join(row.layout.truth))
    if row.layout.labels:
        rows.add_row("labels", ", ".join(f"{file} ({value} = absent)" for file, value in row.layout.labels))
    if row.attributes:
        rows.add_row("attributes", " ".join(row.attributes))
    rows.add_row("download", row.where)
    rows.add_row("licence", row.licence)
    for trap in row.traps:
        rows.add_row("trap", trap)
    rows.add_row("on this machine", _place(row) or "not known; see modaltrack data --help")
    out().print(rows, markup=False)
    return 0


def _check(options: Options) -> int:
    from modaltrack.benchmarks import check_benchmark, open_benchmark
    from modaltrack.benchmarks.check import memory_file, summary
    from modaltrack.commands.terminal import err, out, progress

    benchmark = open_benchmark(options.name, options.path or None, options.split, quiet=True)
    memory = memory_file(benchmark)
    if options.fresh:
        memory.unlink(missing_ok=True)
    broken = known = 0
    with progress() as bar:
        task = bar.add_task(f"checking {benchmark.title}", total=len(benchmark), facts="")

        def said(finding: Finding, remembered: bool) -> None:
            nonlocal broken, known
            broken += not finding.ok
            known += remembered
            bar.update(task, advance=1, facts=f"{broken} broken")

        findings = check_benchmark(benchmark, options.deep, memory, options.workers, said)
    if known:
        err().print(f"{known} clips have not changed since an earlier check (--fresh looks again).")
    facts = summary(benchmark, findings)
    if options.json:
        out().print(json.dumps(facts, indent=2, ensure_ascii=False), markup=False)
    else:
        _show(benchmark, findings, facts, options.deep)
    return 0 if facts["whole"] else 1


def _show(benchmark: Benchmark, findings: list[Finding], facts: dict[str, Any], deep: bool) -> None:
    from modaltrack.commands.terminal import out, table

    console = out()
    expected = f" of {facts['expected']}" if facts["expected"] else ""
    console.print(
        f"{benchmark.title} ({benchmark.split}) in {benchmark.root}: {facts['found']}{expected} sequences, "
        f"{facts['frames']:,} frames, {facts['boxes']:,} boxes, target absent in {facts['absent']:,}. "
        f"Names: {benchmark.listed}.",
        markup=False,
    )
    broken = [f for f in findings if not f.ok]
    if broken:
        rows = table(f"{len(broken)} broken", "sequence", ">frames", ">boxes", "what is wrong", keep=1)
        for finding in broken:
            frames = "/".join(str(n) for n in finding.frames.values()) or "0"
            rows.add_row(finding.name, frames, str(finding.boxes), " ".join(finding.problems))
        console.print(rows, markup=False)
    for what, names in (("not on disk", benchmark.missing), ("there more than once", list(benchmark.doubled))):
        if names:
            more = " ..." if len(names) > SHOWN_SEQUENCES else ""
            console.print(f"{len(names)} {what}: {', '.join(names[:SHOWN_SEQUENCES])}{more}", markup=False)
    noted = sum(bool(f.notes) for f in findings)
    if noted:
        console.print(f"{noted} sequences have something that is dealt with while reading (--json tells what).")
    if facts["whole"]:
        looked = "every image decodes" if deep else "images were counted, not decoded (--deep does)"
        console.print(f"Whole: frames and annotation agree in every sequence; {looked}.")
