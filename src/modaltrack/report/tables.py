# SPDX-License-Identifier: Apache-2.0
"""The tables of a report as HTML; one with a column per tracker is split where there are many, to fit on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modaltrack.printable import markup as escape
from modaltrack.report.entries import Entry, in_order, ranked, shared_attributes
from modaltrack.report.papers import across
from modaltrack.scoring.intervals import Comparison

ACROSS = 12  # trackers side by side, at most
UPRIGHT = 5  # more names than this stand on end


def score_table(entries: Sequence[Entry], metric: str) -> str:
    """Every score of every tracker, best first, with the interval of the ranking one and the speed."""
    metrics = list(entries[0].report.scores)
    heads = [m.replace("_", " ") for m in metrics]  # a long name may then break
    best = {m: max(e.report.scores.get(m, 0.0) for e in entries) for m in metrics}
    rows = []
    for entry in in_order(entries, metric):
        cells = [_name(entry)]
        for m in metrics:
            value = entry.report.scores.get(m)
            cells.append(_number(value, value is not None and value == best[m] and len(entries) > 1))
        low, high = entry.report.intervals.get(metric, (None, None))
        cells.append(f"<td>{low:.3f} – {high:.3f}</td>" if low is not None and high is not None else "<td>–</td>")
        cells.append(f"<td>{entry.speed:.1f}</td>" if entry.speed else "<td>–</td>")
        rows.append("".join(cells))
    return _table(["tracker", *heads, f"95 % interval of {metric}", "frames/s"], rows)


PRESENCE = {  # measure -> its name and how it is written
    "absent": ("absent frames", "{:.1%}"),
    "auroc": ("AUROC of the score", "{:.3f}"),
    "calibration_error": ("calibration error", "{:.3f}"),
    "stretches": ("absences", "{:.0f}"),
    "lost_in_time": ("of them said lost", "{:.1%}"),
    "median_frames_to_lost": ("frames to lost, median", "{:.0f}"),
    "false_lost": ("false lost", "{:.1%}"),
    "missed_lost": ("missed lost", "{:.1%}"),
}


def presence_table(entries: Sequence[Entry], metric: str) -> str:
    """How far each tracker's score and status can be believed where targets are absent; "" where that is not known."""
    rows = []
    for entry in in_order(entries, metric):
        if entry.presence:
            known = [(entry.presence.get(name), form) for name, (_, form) in PRESENCE.items()]
            cells = "".join(f"<td>{'–' if v is None else form.format(v)}</td>" for v, form in known)
            rows.append(_name(entry) + cells)
    return _table(["tracker", *(title for title, _ in PRESENCE.values())], rows) if rows else ""


def comparison_table(entries: Sequence[Entry], metric: str, comparisons: Mapping[str, Comparison]) -> str:
    """The best tracker against each other one."""
    best, *rest = ranked(entries, metric)
    rows = []
    for entry in rest:
        if entry.name in comparisons:
            c = comparisons[entry.name]
            low, high = c.interval
            p = "&lt; 0.001" if c.p_value < 0.001 else f"{c.p_value:.3f}"
            rows.append(
                f"{_name(entry)}<td>{c.difference:+.4f}</td><td>{low:+.4f} – {high:+.4f}</td><td>{p}</td>"
                f"<td>{c.wins} / {c.ties} / {c.losses}</td>"
            )
    head = [f"{best.name} against", f"difference in {metric}", "95 % interval", "p", "wins / ties / losses"]
    return _table(head, rows)


def attribute_table(entries: Sequence[Entry], metric: str) -> str:
    """The ranking score by attribute, one row each (there may be twenty); the best tracker of a row in bold."""
    names = shared_attributes(entries)
    best = {
        n: max(e.report.attributes[n].get(metric, 0.0) for e in entries) if len(entries) > 1 else 2.0 for n in names
    }
    parts = []
    for some in _parts(in_order(entries, metric)):
        rows = []
        for name in names:
            values = [e.report.attributes[name].get(metric, 0.0) for e in some]
            count = int(entries[0].report.attributes[name].get("sequences", 0))
            cells = "".join(_number(v, v == best[name]) for v in values)
            rows.append(f'<th scope="row">{escape(name)}</th><td>{count}</td>{cells}')
        parts.append(_table(["attribute", "sequences"], rows, trackers=some))
    return "".join(parts)


def heat_table(entries: Sequence[Entry], metric: str) -> str:
    """The ranking score of every tracker on every sequence, the hardest sequence first."""
    order = in_order(entries, metric)
    names = list(order[0].report.per_sequence)
    value = np.array([[e.report.per_sequence.get(n, {}).get(metric, np.nan) for e in order] for n in names])  # (S, E)
    mean = np.nan_to_num(value).mean(1)
    parts, first = [], 0
    for some in _parts(order):
        rows = []
        for number in np.argsort(mean, kind="stable"):
            cells = "".join(_heat(float(v)) for v in value[number, first : first + len(some)])
            frames = order[0].report.per_sequence[names[number]].get("frames")
            length = "" if frames is None else f"{frames:.0f}"
            rows.append(f'<th scope="row">{escape(names[number])}</th><td>{length}</td>{cells}')
        parts.append(_table(["sequence", "frames"], rows, "heat", some))
        first += len(some)
    return "".join(parts)


def across_table(benchmarks: Mapping[str, Sequence[Entry]], metrics: Mapping[str, str]) -> str:
    """Every tracker's scores on several benchmarks, the best of each column in bold.

    Args:
        benchmarks: benchmark -> the trackers that have results of it.
        metrics: benchmark -> the score that ranks there.
    """
    table = across(benchmarks, metrics)
    best = [max((v for v in column if v is not None), default=None) for column in zip(*(r for _, r in table.rows))]
    inks = {e.name: e for entries in benchmarks.values() for e in entries}
    rows = [
        _name(inks[name]) + "".join(_number(v, v is not None and v == b) for v, b in zip(values, best, strict=True))
        for name, values in table.rows
    ]
    above = "".join(f'<th colspan="{count}" scope="colgroup">{escape(name)}</th>' for name, count in table.groups)
    return _table(["tracker", *(m for _, m in table.columns)], rows, above=f"<th></th>{above}")


def _parts(order: Sequence[Entry]) -> list[Sequence[Entry]]:
    """The trackers in even parts of ``ACROSS`` columns at most."""
    count = -(-len(order) // ACROSS)
    size = -(-len(order) // count)
    return [order[i : i + size] for i in range(0, len(order), size)]


def _heat(value: float) -> str:
    """A cell from white (0) to dark blue (1), the number readable on both."""
    if not np.isfinite(value):
        return "<td>–</td>"
    share = min(max(value, 0.0), 1.0)
    light, dark = np.array([247, 251, 255]), np.array([8, 69, 148])
    red, green, blue = (round(float(v)) for v in light + (dark - light) * share)
    ink = "#fff" if share > 0.55 else "#222"
    return f'<td style="background:rgb({red},{green},{blue});color:{ink}">{value:.2f}</td>'


def small_print(entries: Sequence[Entry]) -> str:
    """What the numbers depend on: the protocol's switches, and every repair and remark by tracker."""
    report = entries[0].report
    switches = "".join(f"<tr><th>{escape(k)}</th><td>{escape(_words(v))}</td></tr>" for k, v in report.switches.items())
    parts = [f'<div class="scroll"><table class="plain">{switches}</table></div>']
    for entry in entries:
        lines = [f"{what}: {count}" for what, count in entry.report.repairs.items()] + list(entry.report.notes)
        if lines:
            items = "".join(f"<li>{escape(line)}</li>" for line in lines)
            parts.append(f"<p><b>{escape(entry.name)}</b></p><ul>{items}</ul>")
    if all(not e.report.repairs and not e.report.notes for e in entries):
        parts.append("<p>Nothing was repaired, cut or left out.</p>")
    return "".join(parts)


def _words(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(entry: Entry) -> str:
    mark = f'<span class="mark" style="background:{entry.ink}"></span>'
    return f'<th scope="row">{mark}<span class="name">{escape(entry.name)}</span></th>'


def _number(value: float | None, best: bool = False) -> str:
    text = "–" if value is None else f"{value:.3f}"
    return f"<td><b>{text}</b></td>" if best else f"<td>{text}</td>"


def _table(
    head: Sequence[str], rows: Sequence[str], kind: str = "", trackers: Sequence[Entry] = (), above: str = ""
) -> str:
    """A table that scrolls by itself where a screen is narrow.

    Args:
        head: words of the first row.
        rows: the cells of each row.
        kind: its class.
        trackers: further columns, with their names turned where there are many.
        above: the cells of a row over the first one.
    """
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    tall = ' class="tall"' if len(trackers) > UPRIGHT or any(len(e.name) > 16 for e in trackers) else ""
    heads += "".join(f'<th scope="col"{tall}><span>{escape(_short(e.name))}</span></th>' for e in trackers)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    head_rows = (f"<tr>{above}</tr>" if above else "") + f"<tr>{heads}</tr>"
    return f'<div class="scroll"><table class="{kind}"><thead>{head_rows}</thead><tbody>{body}</tbody></table></div>'


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
