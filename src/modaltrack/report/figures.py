# SPDX-License-Identifier: Apache-2.0
"""The figures of a report, each a drawing of its own that papers can take as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from modaltrack.report.drawing import Drawing, drawn, label, new_figure
from modaltrack.report.entries import (
    PRECISION_RECALL,
    Entry,
    Strip,
    curve_metric,
    drawn_curves,
    ranked,
    shared_attributes,
)
from modaltrack.report.palette import GREY, INK
from modaltrack.report.speed import speed_figure
from modaltrack.scoring.intervals import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.projections.polar import PolarAxes
    from numpy.typing import ArrayLike

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
WIDTH, HEIGHT, ROW = 4.8, 3.7, 0.25  # inches; ROW: of one tracker in a figure of rows


def figures(
    entries: Sequence[Entry], metric: str, metrics: Mapping[str, str], comparisons: Mapping[str, Comparison]
) -> dict[str, Drawing]:
    """Name -> drawing of all that can be drawn of these trackers.

    Args:
        entries: the trackers.
        metric: the score that ranks them.
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


@drawn
def curve_figure(entries: Sequence[Entry], name: str, metric: str | None) -> Drawing | None:
    """One curve of every tracker, the best first in the legend with its score in brackets."""
    curves = {e.name: found for e in entries if (found := drawn_curves(e.report).get(name)) and len(found[0])}
    shown = [e for e in entries if e.name in curves]
    if not shown:
        return None
    shown = ranked(shown, metric) if metric else shown
    title, x_label, y_label = AXES.get(name, (name.capitalize(), "", ""))
    below = len(shown) > INSIDE
    figure = new_figure(WIDTH, HEIGHT + (0.18 * -(-len(shown) // 2) if below else 0))
    axes = figure.add_subplot()
    lines = {}
    for entry in reversed(shown):  # the best on top
        lines[entry.name] = _line(axes, *curves[entry.name], entry)
    grid = np.array([0.0, 1.0]) if name == PRECISION_RECALL else np.asarray(curves[shown[0].name][0], float)
    axes.set_xlim(*wide(grid))
    axes.set_ylim(0, 1)
    report = shown[0].report
    axes.set_title(label(f"{title}, {report.protocol} ({report.num_sequences} sequences)", 60))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    names = [f"[{e.report.scores[metric]:.3f}] {label(e.name)}" if metric else label(e.name) for e in shown]
    _legend(figure, axes, [lines[e.name] for e in shown], names, "lower left" if name in LEGEND_LEFT else "lower right")
    return Drawing(title, figure)


@drawn
def interval_figure(entries: Sequence[Entry], metric: str) -> Drawing:
    """Every tracker's main score with its 95 % bootstrap interval over sequences."""
    rows = [(e, e.report.scores[metric], e.report.intervals.get(metric)) for e in ranked(entries, metric)]
    figure = _rows([(e.name, e.ink, value, ends) for e, value, ends in rows], metric)
    figure.suptitle(f"{metric} with 95 % bootstrap intervals over sequences")
    return Drawing(f"{metric} with 95 % intervals", figure)


@drawn
def comparison_figure(entries: Sequence[Entry], metric: str, comparisons: Mapping[str, Comparison]) -> Drawing:
    """The best tracker against each other one: difference and its 95 % interval; zero is no difference."""
    best, *rest = ranked(entries, metric)
    rows = [(e, comparisons[e.name]) for e in rest if e.name in comparisons]
    figure = _rows(
        [(e.name, e.ink, c.difference, c.interval) for e, c in rows],
        f"difference in {metric}, 95 % paired bootstrap interval",
        zero=True,
    )
    figure.suptitle(f"{metric} of {label(best.name)} minus that of ...")
    return Drawing(f"{label(best.name)} against the others", figure)


@drawn
def radar_figure(entries: Sequence[Entry], metric: str, most: int = 6) -> Drawing:
    """The main score by attribute, of the ``most`` best trackers: more lines could not be distinguished."""
    from matplotlib.ticker import MaxNLocator

    names, shown = shared_attributes(entries), ranked(entries, metric)[:most]
    values = np.array([[e.report.attributes[n].get(metric, 0.0) for n in names] for e in shown])  # (E, A)
    figure = new_figure(WIDTH, WIDTH + 0.2 * -(-len(shown) // 2))
    axes = cast("PolarAxes", figure.add_subplot(projection="polar"))
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    angle = 2 * np.pi * np.append(np.arange(len(names)), 0) / len(names)
    lines = {}
    for row in reversed(range(len(shown))):
        around = np.append(values[row], values[row][0])
        lines[row] = _line(axes, angle, around, shown[row])
        axes.fill(angle, around, color=shown[row].ink, alpha=0.05, linewidth=0)
    low, high = float(values.min()), float(values.max())
    axes.set_ylim(*wide([max(0.0, low - 0.1), high]))
    axes.set_rlabel_position(0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", labelsize=7)
    axes.spines["polar"].set_color("#e3e3e3")
    counts = (int(entries[0].report.attributes[name].get("sequences", 0)) for name in names)
    words = [f"{label(name, 20)} ({count})" for name, count in zip(names, counts, strict=True)]
    axes.set_xticks(angle[:-1], words, fontsize=8)
    for at, tick in zip(angle, axes.get_xticklabels(), strict=False):  # words grow away from the circle
        side = np.sin(at)
        tick.set_horizontalalignment("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
    figure.suptitle(f"{metric} by attribute (number of sequences)")
    keys = [f"[{e.report.scores[metric]:.3f}] {label(e.name)}" for e in shown]
    _below(figure, [lines[row] for row in range(len(shown))], keys)
    return Drawing(f"{metric} by attribute", figure)


@drawn
def overlap_figure(strip: Strip, entries: Sequence[Entry]) -> Drawing:
    """The overlap of every tracker with the truth along one sequence."""
    from matplotlib.ticker import MaxNLocator

    length = max(len(v) for v in strip.overlaps.values())
    figure = new_figure(7.2, 1.7)
    axes = figure.add_subplot()
    for entry in reversed(list(entries)):
        if entry.name in strip.overlaps:
            values = strip.overlaps[entry.name]
            _line(axes, np.arange(len(values)), values, entry, 1.1)
    for picture in strip.pictures:
        axes.axvline(picture.index, color=GREY, linewidth=0.7, linestyle=(0, (2, 3)))
    axes.set_xlim(0, max(length - 1, 1))
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("frame")
    return Drawing(f"Overlap in {label(strip.sequence, 60)}", figure)


def wide(values: Iterable[float]) -> tuple[float, float]:
    """Limits that hold these values and are apart: several perfect trackers have one score."""
    finite = np.array([v for v in values if np.isfinite(v)] or [0.0], float)
    low, high = float(finite.min()), float(finite.max())
    if high - low <= 1e-6 * max(1.0, abs(low), abs(high)):  # all alike but for rounding
        half = 0.005 * max(1.0, abs(low))
        return low - half, high + half
    return low, high


def _line(axes: Axes, x: ArrayLike, y: ArrayLike, entry: Entry, width: float = 1.7) -> Line2D:
    return axes.plot(x, y, color=entry.ink, linestyle=entry.dashes, linewidth=width)[0]


def _rows(
    rows: Sequence[tuple[str, str, float, tuple[float, float] | None]], x_label: str, zero: bool = False
) -> Figure:
    """A figure of one dot and one interval per row, the first on top: (name, colour, value, ends)."""
    figure = new_figure(WIDTH, 0.85 + ROW * len(rows))
    axes = figure.add_subplot()
    for number, (_, ink, value, ends) in enumerate(rows):
        if ends is not None:
            axes.plot(ends, [number, number], color=ink, linewidth=2.2, solid_capstyle="round")
        axes.plot([value], [number], marker="o", markersize=6.5, color=ink, markeredgecolor="white")
    low, high = wide([0.0] * zero + [v for _, _, value, ends in rows for v in (value, *(ends or ()))])
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [label(name, 24) for name, *_ in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(x_label)
    if zero:
        axes.axvline(0, color=INK, linewidth=1)
    return figure


def _legend(figure: Figure, axes: Axes, lines: Sequence[Line2D], names: Sequence[str], place: str) -> None:
    """Inside the plot, or below it where there are many."""
    if len(lines) > INSIDE:
        _below(figure, lines, names)
    else:
        _named(axes.legend(lines, [" "] * len(lines), loc=place), names)


def _below(figure: Figure, lines: Sequence[Line2D], names: Sequence[str]) -> None:
    legend = figure.legend(lines, [" "] * len(lines), loc="outside lower center", ncols=2 if len(lines) > 1 else 1)
    _named(legend, names)


def _named(legend: Legend, names: Sequence[str]) -> None:
    """Names set afterwards: matplotlib leaves out of a legend what begins with an underscore."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
