# SPDX-License-Identifier: Apache-2.0
"""The tables of a report for papers: LaTeX (booktabs, best bold, second underlined) and CSV with all digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modaltrack.report.entries import Entry, ranked
from modaltrack.report.figures import shared_attributes

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True)
class PaperTable:
    """Rows of numbers with names: values are fractions 0..1, None where there is none; higher is better."""

    caption: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]

    def csv(self) -> str:
        """Comma separated, with a header, fractions with all their digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.corner, *self.columns])
        for name, values in self.rows:
            writer.writerow([name, *("" if v is None else repr(v) for v in values)])
        return text.getvalue()

    def latex(self) -> str:
        """A ``tabular`` for booktabs: per cent with one digit; in each column the best bold, the second underlined."""
        lines = [
            f"% {self.caption}; per cent; needs \\usepackage{{booktabs}}",
            f"\\begin{{tabular}}{{l{'c' * len(self.columns)}}}",
            "\\toprule",
            " & ".join(map(escape_latex, (self.corner, *self.columns))) + r" \\",
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


def _cell(value: float | None, order: Sequence[float]) -> str:
    if value is None:
        return "--"
    place = list(order).index(value) if value in order else -1
    text = f"{value:.1f}"
    return rf"\textbf{{{text}}}" if place == 0 else rf"\underline{{{text}}}" if place == 1 else text


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_LATEX.get(c, c) for c in text)


def paper_tables(entries: Sequence[Entry], metric: str, order: Sequence[str] = ()) -> dict[str, PaperTable]:
    """Name of a file -> table: all scores, the ranking score by attribute, and by sequence.

    Args:
        entries: the trackers.
        metric: the ranking score.
        order: names of trackers that come first, in this order; the others follow by score.
    """
    told = {name: place for place, name in enumerate(order)}
    shown = sorted(ranked(entries, metric), key=lambda entry: told.get(entry.name, len(told)))
    first = entries[0].report
    what = f"{first.protocol}, {first.version}, {first.num_sequences} sequences"
    metrics = tuple(first.scores)
    tables = {
        "scores": PaperTable(
            what, "Tracker", metrics, tuple((e.name, tuple(e.report.scores.get(m) for m in metrics)) for e in shown)
        )
    }
    if names := tuple(shared_attributes(entries)):
        rows = tuple((e.name, tuple(e.report.attributes[a].get(metric) for a in names)) for e in shown)
        tables["attributes"] = PaperTable(f"{metric} by attribute; {what}", "Tracker", names, rows)
    by_sequence = tuple(
        (name, tuple(e.report.per_sequence.get(name, {}).get(metric) for e in shown)) for name in first.per_sequence
    )
    tables["sequences"] = PaperTable(
        f"{metric} by sequence; {what}", "Sequence", tuple(e.name for e in shown), by_sequence
    )
    return tables


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
