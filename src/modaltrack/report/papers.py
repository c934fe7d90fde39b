# SPDX-License-Identifier: Apache-2.0
"""The tables of a report for papers: LaTeX (booktabs, best bold, second underlined) and CSV with all digits."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from modaltrack.printable import one_line
from modaltrack.report.entries import Entry, in_order, shared_attributes

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True)
class PaperTable:
    """Rows of numbers with names: values are fractions 0..1, None where there is none; higher is better.

    Attributes:
        caption: what the numbers are.
        corner: the head of the first column.
        columns: the group that a column belongs to, "" for none, and its name.
        rows: name and values.
    """

    caption: str
    corner: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Groups of columns in their order, and how many columns each has."""
        return tuple((name, len(list(some))) for name, some in itertools.groupby(group for group, _ in self.columns))

    def csv(self) -> str:
        """Comma separated, with a header, fractions with all their digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.corner, *(f"{group} {name}".strip() for group, name in self.columns)])
        for name, values in self.rows:
            writer.writerow([name, *("" if v is None else repr(v) for v in values)])
        return text.getvalue()

    def latex(self) -> str:
        """A ``tabular`` for booktabs: per cent with one digit; in each column the best bold, the second underlined."""
        lines = [
            f"% {one_line(self.caption)}; per cent; needs \\usepackage{{booktabs}}",
            f"\\begin{{tabular}}{{l{'c' * len(self.columns)}}}",
            "\\toprule",
            *self._over(),
            " & ".join(map(escape_latex, (self.corner, *(name for _, name in self.columns)))) + r" \\",
            "\\midrule",
        ]
        shown = [[None if v is None else round(100 * v, 1) for v in values] for _, values in self.rows]
        order = [
            sorted({value for value in column if value is not None}, reverse=True)
            for column in zip(*shown, strict=True)
        ]
        for (name, _), row in zip(self.rows, shown, strict=True):
            cells = [_cell(value, order[c] if len(self.rows) > 1 else []) for c, value in enumerate(row)]
            lines.append(" & ".join([escape_latex(name), *cells]) + r" \\")
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])

    def _over(self) -> list[str]:
        """The names of the groups over their columns, with a rule under each."""
        if not any(name for name, _ in self.groups):
            return []
        heads, rules, first = [], [], 2
        for name, count in self.groups:
            heads.append(rf"\multicolumn{{{count}}}{{c}}{{{escape_latex(name)}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
            first += count
        return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def _cell(value: float | None, order: Sequence[float]) -> str:
    if value is None:
        return "--"
    place = list(order).index(value) if value in order else -1
    text = f"{value:.1f}"
    return rf"\textbf{{{text}}}" if place == 0 else rf"\underline{{{text}}}" if place == 1 else text


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(_LATEX.get(c, c) for c in one_line(text))


def paper_tables(entries: Sequence[Entry], metric: str) -> dict[str, PaperTable]:
    """Name of a file -> table: all scores, the ranking score by attribute, and by sequence."""
    shown = in_order(entries, metric)
    first = entries[0].report
    what = f"{first.protocol}, {first.version}, {first.num_sequences} sequences"
    metrics = tuple(first.scores)
    by_tracker = tuple((e.name, tuple(e.report.scores.get(m) for m in metrics)) for e in shown)
    tables = {"scores": PaperTable(what, "Tracker", _plain(metrics), by_tracker)}
    if names := tuple(shared_attributes(entries)):
        rows = tuple((e.name, tuple(e.report.attributes[a].get(metric) for a in names)) for e in shown)
        tables["attributes"] = PaperTable(f"{metric} by attribute; {what}", "Tracker", _plain(names), rows)
    by_sequence = tuple(
        (name, tuple(e.report.per_sequence.get(name, {}).get(metric) for e in shown)) for name in first.per_sequence
    )
    tables["sequences"] = PaperTable(
        f"{metric} by sequence; {what}", "Sequence", _plain(e.name for e in shown), by_sequence
    )
    return tables


def across(benchmarks: Mapping[str, Sequence[Entry]], metrics: Mapping[str, str]) -> PaperTable:
    """The scores of every tracker on several benchmarks, curve means left out.

    Rows are those with a place first, then those with results of most benchmarks, by the mean of the ranking scores.

    Args:
        benchmarks: benchmark -> the trackers that have results of it.
        metrics: benchmark -> the score that ranks there.
    """
    found = {name: {e.name: e for e in entries} for name, entries in benchmarks.items()}
    columns = tuple(
        (name, m)
        for name, entries in benchmarks.items()
        for m in entries[0].report.scores
        if not m.endswith("_curve_mean")
    )
    trackers = {e.name: e for entries in benchmarks.values() for e in entries}

    def rank(tracker: str) -> tuple[float, int, float]:
        scores = [by[tracker].report.scores[metrics[name]] for name, by in found.items() if tracker in by]
        place = trackers[tracker].place
        return float("inf") if place is None else place, -len(scores), -sum(scores) / len(scores)

    rows = tuple(
        (who, tuple(found[name][who].report.scores.get(m) if who in found[name] else None for name, m in columns))
        for who in sorted(trackers, key=rank)
    )
    return PaperTable(f"Scores on {', '.join(benchmarks)}", "Tracker", columns, rows)


def _plain(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple(("", name) for name in names)


def chosen_attributes(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """The entries with these attributes only, in this order.

    Raises:
        ValueError: a tracker's report has no such attribute.
    """
    if not names:
        return list(entries)
    known = shared_attributes(entries)
    if strange := [name for name in names if name not in known]:
        raise ValueError(f"There is no attribute {strange[0]!r} here; there are {', '.join(known) or 'none'}.")
    return [
        replace(e, report=replace(e.report, attributes={n: e.report.attributes[n] for n in names})) for e in entries
    ]
