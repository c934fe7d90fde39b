# SPDX-License-Identifier: Apache-2.0
"""The figures of a report, each a drawing of its own that papers can take as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modaltrack.report.entries import PRECISION_RECALL, Entry, Strip, curve_metric, drawn_curves, ranked
from modaltrack.report.svg import GREY, GRID, INK, Axes, Drawing, colour, dash, nice_ticks
from modaltrack.scoring.intervals import Comparison

AXES = {  # curve -> title, x label, y label
    "success": ("Success plot", "Overlap threshold", "Success rate"),
    "precision": ("Precision plot", "Location error threshold (pixels)", "Precision"),
    "normalised precision": (
        "Normalised precision plot",
        "Normalised location error threshold",
        "Normalised precision",
    ),
    PRECISION_RECALL: ("Precision and recall", "Recall", "Precision"),
    "EAO": ("Expected overlap curve", "Sequence length (frames)", "Expected average overlap"),
}
LEGEND_LEFT = ("success", PRECISION_RECALL)  # falling curves leave that corner free
INSIDE = 9  # legends of more trackers stand below their plot


def figures(
    entries: Sequence[Entry], metric: str, metrics: Mapping[str, str], comparisons: Mapping[str, Comparison]
) -> dict[str, Drawing]:
    """Name -> drawing of all that can be drawn of these trackers.

    Args:
        metrics: the protocol's, to know which score is read off which curve.
        comparisons: tracker -> the best one against it.
    """
    made: dict[str, Drawing] = {}
    for name in sorted(drawn_curves(entries[0].report), key=lambda n: [*AXES, n].index(n)):
        drawing = curve_figure(entries, name, curve_metric(metrics, name))
        if drawing is not None:
            made[name.replace(" ", "-")] = drawing
    made["scores"] = interval_figure(entries, metric)
    if comparisons:
        made["comparison"] = comparison_figure(entries, metric, comparisons)
    if len(shared_attributes(entries)) >= 3:
        made["attributes"] = radar_figure(entries, metric)
    if any(entry.speed for entry in entries):
        made["speed"] = speed_figure(entries, metric)
    return made


def curve_figure(entries: Sequence[Entry], name: str, metric: str | None) -> Drawing | None:
    """One curve of every tracker, the best first in the legend with its score in brackets."""
    curves = {e.name: found for e in entries if (found := drawn_curves(e.report).get(name)) and len(found[0])}
    drawn = [e for e in entries if e.name in curves]
    if not drawn:
        return None
    drawn = ranked(drawn, metric) if metric else drawn
    title, x_label, y_label = AXES.get(name, (name.capitalize(), "", ""))
    below = len(drawn) > INSIDE
    rows = (len(drawn) + 1) // 2 if below else 0
    drawing = Drawing(460, 366 + 17 * rows, title)
    grid = (0.0, 1.0) if name == PRECISION_RECALL else curves[drawn[0].name][0]
    x_ticks = nice_ticks(float(np.min(grid)), float(np.max(grid)))
    axes = Axes(drawing, 56, 34, 388, 280, (x_ticks[0], x_ticks[-1]), (0.0, 1.0))
    count = drawn[0].report.num_sequences
    drawing.text(250, 20, f"{title}, {drawn[0].report.protocol} ({count} sequences)", 14, "middle", bold=True)
    axes.frame(x_ticks, nice_ticks(0, 1), x_label, y_label)
    for entry in reversed(drawn):  # the best on top
        x, y = curves[entry.name]
        drawing.line(axes.x(x), axes.y(y), colour(entry.style), 2.2, dash(entry.style))
    labels = [f"[{e.report.scores[metric]:.3f}] {e.name}" if metric else e.name for e in drawn]
    if below:
        for number, (entry, label) in enumerate(zip(drawn, labels, strict=True)):
            _key(drawing, 56 + 200 * (number // rows), 376 + 17 * (number % rows), entry.style, label)
        return drawing
    wide = 36 + 6.7 * max(len(label) for label in labels)
    left = axes.left + 8 if name in LEGEND_LEFT else axes.left + axes.width - wide - 6
    top = axes.top + axes.height - 17 * len(drawn) - 10
    drawing.box(left, top, wide, 17 * len(drawn) + 4, "white", 0.85)
    for number, (entry, label) in enumerate(zip(drawn, labels, strict=True)):
        _key(drawing, left + 4, top + 14 + 17 * number, entry.style, label)
    return drawing


def _key(drawing: Drawing, x: float, y: float, style: int, label: str) -> None:
    drawing.line([x, x + 24], [y - 4, y - 4], colour(style), 2.2, dash(style))
    drawing.text(x + 30, y, label, 12)


def interval_figure(entries: Sequence[Entry], metric: str) -> Drawing:
    """Every tracker's main score with its 95 % bootstrap interval over sequences."""
    rows = ranked(entries, metric)
    drawing = Drawing(460, 84 + 24 * len(rows), f"{metric} with 95 % intervals")
    values = [v for e in rows for v in (e.report.scores[metric], *e.report.intervals.get(metric, ()))]
    ticks = nice_ticks(min(values), max(values), 4)
    axes = Axes(drawing, 150, 30, 290, 24 * len(rows), (ticks[0], ticks[-1]), (0, len(rows)))
    drawing.text(230, 18, f"{metric} with 95 % bootstrap intervals over sequences", 13, "middle", bold=True)
    axes.frame(ticks, [], metric)
    for row, entry in enumerate(rows):
        y = axes.top + 24 * row + 12
        drawing.text(144, y + 4, _cut(entry.name, 20), 12, "end")
        if metric in entry.report.intervals:
            low, high = entry.report.intervals[metric]
            drawing.line(axes.x([low, high]), [y, y], colour(entry.style), 3)
        drawing.dot(float(axes.x(entry.report.scores[metric])), y, colour(entry.style), 5)
    return drawing


def comparison_figure(entries: Sequence[Entry], metric: str, comparisons: Mapping[str, Comparison]) -> Drawing:
    """The best tracker against each other one: difference and its 95 % interval; zero is no difference."""
    best, *rest = ranked(entries, metric)
    rest = [e for e in rest if e.name in comparisons]
    drawing = Drawing(460, 84 + 24 * len(rest), f"{best.name} against the others")
    values = [0.0, *(v for e in rest for v in (comparisons[e.name].difference, *comparisons[e.name].interval))]
    ticks = nice_ticks(min(values), max(values), 4)
    axes = Axes(drawing, 150, 30, 290, 24 * len(rest), (ticks[0], ticks[-1]), (0, len(rest)))
    drawing.text(230, 18, f"{metric} of {_cut(best.name, 24)} minus that of ...", 13, "middle", bold=True)
    axes.frame(ticks, [], f"difference in {metric}, 95 % paired bootstrap interval", x_words="{:+g}")
    zero = float(axes.x(0.0))
    drawing.line([zero, zero], [axes.top, axes.top + axes.height], INK, 1.2)
    for row, entry in enumerate(rest):
        found, y = comparisons[entry.name], axes.top + 24 * row + 12
        drawing.text(144, y + 4, _cut(entry.name, 20), 12, "end")
        drawing.line(axes.x(list(found.interval)), [y, y], colour(entry.style), 3)
        drawing.dot(float(axes.x(found.difference)), y, colour(entry.style), 5)
    return drawing


def shared_attributes(entries: Sequence[Entry]) -> list[str]:
    """Attributes that every tracker has scores of, in the protocol's order."""
    first, *rest = (entry.report.attributes for entry in entries)
    return [name for name in first if all(name in other for other in rest)]


def radar_figure(entries: Sequence[Entry], metric: str, most: int = 6) -> Drawing:
    """The main score by attribute, of the ``most`` best trackers: more lines could not be distinguished."""
    names, drawn = shared_attributes(entries), ranked(entries, metric)[:most]
    values = np.array([[e.report.attributes[n].get(metric, 0.0) for n in names] for e in drawn])  # (E, A)
    ticks = nice_ticks(max(0.0, float(values.min()) - 0.1), float(values.max()), 4)
    low, high, radius, x0, y0 = ticks[0], ticks[-1], 140.0, 230.0, 200.0
    drawing = Drawing(460, 396 + 17 * ((len(drawn) + 1) // 2), f"{metric} by attribute")
    drawing.text(230, 18, f"{metric} by attribute (number of sequences)", 13, "middle", bold=True)
    angle = 2 * np.pi * np.arange(len(names)) / len(names) - np.pi / 2
    ring = np.append(np.arange(len(names)), 0)

    def place(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r = (value - low) / (high - low) * radius
        return x0 + r * np.cos(angle), y0 + r * np.sin(angle)

    for tick in ticks[1:]:
        x, y = place(np.full(len(names), tick))
        drawing.line(x[ring], y[ring], GRID)
    outer = place(np.full(len(names), high))
    for number, name in enumerate(names):
        drawing.line([x0, outer[0][number]], [y0, outer[1][number]], GRID)
        count = int(entries[0].report.attributes[name].get("sequences", 0))
        x, y = x0 + (radius + 12) * np.cos(angle[number]), y0 + (radius + 12) * np.sin(angle[number])
        side = "middle" if abs(np.cos(angle[number])) < 0.2 else "start" if np.cos(angle[number]) > 0 else "end"
        drawing.text(float(x), float(y) + 4, f"{_cut(name, 18)} ({count})", 10.5, side)
    for tick in ticks:
        drawing.text(x0 + 3, y0 - (tick - low) / (high - low) * radius + 4, f"{tick:g}", 9.5, fill=GREY)
    for row in reversed(range(len(drawn))):
        x, y = place(values[row])
        drawing.area(x, y, colour(drawn[row].style), 0.05, dash(drawn[row].style))
    half = (len(drawn) + 1) // 2
    for number, entry in enumerate(drawn):
        label = f"[{entry.report.scores[metric]:.3f}] {_cut(entry.name, 20)}"
        _key(drawing, 30 + 215 * (number // half), 392 + 17 * (number % half), entry.style, label)
    return drawing


def speed_figure(entries: Sequence[Entry], metric: str) -> Drawing:
    """Main score over frames per second (tracker alone, logarithmic), for trackers whose times are known."""
    timed = [(e, e.speed) for e in entries if e.speed]
    drawing = Drawing(460, 366, "Speed and accuracy")
    speeds, scores = [s for _, s in timed], [e.report.scores[metric] for e, _ in timed]
    low, high = 10 ** np.floor(np.log10(min(speeds) / 1.1)), 10 ** np.ceil(np.log10(max(speeds) * 1.1))
    ticks = nice_ticks(min(scores) - 0.02, max(scores) + 0.02)
    axes = Axes(drawing, 56, 34, 388, 280, (float(low), float(high)), (ticks[0], ticks[-1]), log_x=True)
    drawing.text(250, 20, f"Speed and {metric}", 14, "middle", bold=True)
    decades = 10.0 ** np.arange(np.log10(low), np.log10(high) + 0.5)
    few = len(decades) <= 3
    x_ticks = [float(d * f) for d in decades for f in ((1, 2, 5) if few else (1,)) if d * f <= high * 1.001]
    axes.frame(x_ticks, ticks, "frames per second, without decoding", metric)
    if low <= 25 <= high:
        place = float(axes.x(25.0))
        drawing.line([place, place], [axes.top, axes.top + axes.height], GREY, 1, "3 3")
        drawing.text(place + 3, axes.top + 11, "25 per second", 10, fill=GREY)
    for entry, speed in timed:
        x, y = float(axes.x(speed)), float(axes.y(entry.report.scores[metric]))
        drawing.dot(x, y, colour(entry.style), 6)
        right = x < axes.left + axes.width * 0.7
        drawing.text(x + (9 if right else -9), y + 4, _cut(entry.name, 20), 11.5, "start" if right else "end")
    return drawing


def overlap_figure(strip: Strip, entries: Sequence[Entry]) -> Drawing:
    """The overlap of every tracker with the truth along one sequence."""
    length = max(len(v) for v in strip.overlaps.values())
    drawing = Drawing(520, 140, f"Overlap in {strip.sequence}")
    x_ticks = [t for t in nice_ticks(0, max(length - 1, 1), 6) if t <= max(length - 1, 1)]
    axes = Axes(drawing, 30, 8, 480, 88, (0, max(length - 1, 1)), (0, 1))
    axes.frame(x_ticks, (0, 0.5, 1), "frame", size=11)
    for entry in reversed(list(entries)):
        if entry.name in strip.overlaps:
            values = strip.overlaps[entry.name]
            drawing.line(axes.x(np.arange(len(values))), axes.y(values), colour(entry.style), 1.3, dash(entry.style))
    for picture in strip.pictures:
        place = float(axes.x(picture.index))
        drawing.line([place, place], [axes.top, axes.top + axes.height], GREY, 1, "2 3")
    return drawing


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
