# SPDX-License-Identifier: Apache-2.0
"""The study's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modaltrack.report.drawing import Drawing, drawn, new_figure
from modaltrack.report.figures import wide
from modaltrack.report.palette import GREY, INK, colour, dash
from modaltrack.study.effects import OPPOSITE, SHOWS, TOO_FEW, Effect, Measured, seeds_of
from modaltrack.study.plan import BASE, MAIN, MEASURES, SENSORS, SHIFTS
from modaltrack.study.tables import per_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.25  # inches
VERDICTS = {SHOWS: colour(2), OPPOSITE: colour(1)}


def figures(measured: Measured, effects: Sequence[Effect]) -> dict[str, Drawing]:
    """File name -> drawing of all that there are measurements for."""
    made = {
        "sensors": sensors_figure(measured),
        "failures": failures_figure(measured),
        "misalignment": misalignment_figure(measured),
        "claims": claims_figure(effects),
        "gap": gap_figure(measured),
    }
    return {name: drawing for name, drawing in made.items() if drawing is not None}


@drawn
def _dots(
    title: str, label: str, rows: Sequence[tuple[str, Sequence[Sequence[float]]]], names: Sequence[str]
) -> Drawing | None:
    """One row per run, one dot per condition, a line for the spread over seeds."""
    rows = [row for row in rows if any(len(found) for found in row[1])]
    if not rows:
        return None
    figure, axes = _row_axes(title, label, [run for run, _ in rows], -(-len(names) // 3))
    for number, (_, cells) in enumerate(rows):
        for style, found in enumerate(cells):
            if len(found) > 1:
                axes.plot([min(found), max(found)], [number, number], color=colour(style), linewidth=1.6)
            if len(found):
                _dot(axes, float(np.mean(found)), number, colour(style))
    keys = [axes.plot([], [], "o", color=colour(style), markersize=6)[0] for style in range(len(names))]
    figure.legend(keys, names, loc="outside lower center", ncols=3)
    return Drawing(title, figure)


def _row_axes(title: str, label: str, runs: Sequence[str], keys: int = 0) -> tuple[Figure, Axes]:
    """A figure with a named row per run, the first on top, and room for so many lines of a legend."""
    figure = new_figure(5.8, 0.95 + ROW * len(runs) + 0.2 * keys)
    axes = figure.add_subplot()
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_yticks(range(len(runs)), runs)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9)
    axes.grid(visible=False, axis="y")
    figure.suptitle(title)
    axes.set_xlabel(label)
    return figure, axes


def _dot(axes: Axes, x: float, y: float, paint: str, size: float = 6.5) -> None:
    axes.plot([x], [y], "o", markersize=size, color=paint, markeredgecolor="white", zorder=3)


def sensors_figure(measured: Measured) -> Drawing | None:
    """RGB only, each X only, and both, of every method."""
    names = ("RGB only", *(f"{x} only" for x in SENSORS), *(f"rgb+{x}" for x in SENSORS))
    rows = [(run, [per_seed(measured, run, [_condition(name)]) for name in names]) for run in MAIN]
    return _dots("One sensor and both", "success AUC; lines: range over seeds", rows, names)


def _condition(name: str) -> str:
    return {"RGB only": "rgb"}.get(name, name.removesuffix(" only"))


def failures_figure(measured: Measured) -> Drawing | None:
    """Both sensors, clean and failing."""
    names = ("both", "rgb dropped", "rgb in bursts", "x dropped", "x in bursts", "blocks black")
    rows = [(run, [per_seed(measured, run, MEASURES[name]) for name in names]) for run in MAIN]
    return _dots("A sensor failing", "success AUC, mean over second sensors", rows, ("clean", *names[1:]))


@drawn
def _lines(
    title: str, labels: tuple[str, str], x: Sequence[float], words: Sequence[str], rows: Mapping[str, Sequence[float]]
) -> Drawing | None:
    numbers = [v for row in rows.values() for v in row]
    if not numbers:
        return None
    figure = new_figure(4.8, 3.7 + 0.2 * -(-len(rows) // 3))
    axes = figure.add_subplot()
    lines = [
        axes.plot(x, row, color=colour(style), linestyle=dash(style), linewidth=1.7)[0]
        for style, row in enumerate(rows.values())
    ]
    low, high = wide(numbers)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xlim(*wide(x))
    axes.set_xticks(x, words)
    axes.set_title(title)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    figure.legend(lines, list(rows), loc="outside lower center", ncols=3)
    return Drawing(title, figure)


def misalignment_figure(measured: Measured) -> Drawing | None:
    """Success over how far X is out of place."""
    rows = {}
    for run in MAIN:
        found = [per_seed(measured, run, MEASURES[m]) for m in ("both", *(f"x moved {p} px" for p in SHIFTS))]
        if all(found):
            rows[run] = [float(np.mean(v)) for v in found]
    pixels = (0, *SHIFTS)
    return _lines("Misalignment", ("X moved by pixels", "success AUC"), pixels, [str(p) for p in pixels], rows)


def gap_figure(measured: Measured) -> Drawing | None:
    """MMD² between RGB's and X's features in the base, by depth; that of the pixels, far above, stands in words."""
    seeds = seeds_of(measured, BASE)
    found = measured[BASE, seeds[0]].get("gap") if seeds else None
    if not isinstance(found, Mapping) or not found:
        return None
    means = {x: {depth: float(np.mean(v)) for depth, v in found[x]["alone"].items()} for x in found}
    depths = [depth for depth in next(iter(means.values())) if depth != "pixel"]
    rows = {f"rgb and {x}": [row[depth] for depth in depths] for x, row in means.items()}
    pixels = ", ".join(f"{x} {row['pixel']:.2f}" for x, row in means.items() if "pixel" in row)
    labels = ("depth" + (f" (pixels: {pixels})" if pixels else ""), "MMD² between the sensors")
    words = [depth.removeprefix("block ") for depth in depths]
    return _lines("Modality gap by depth, base tracker", labels, range(len(depths)), words, rows)


@drawn
def claims_figure(effects: Sequence[Effect]) -> Drawing | None:
    """Every claim's effect with its interval; zero is none. The modality gap has another unit and is left out."""
    rows = [e for e in effects if e.verdict != TOO_FEW and e.claim.first != e.claim.second]
    if not rows:
        return None
    label = "difference in success; green shows, red is opposite, grey neither"
    figure, axes = _row_axes("Effects of the claims, 95 % intervals", label, [e.claim.id for e in rows])
    axes.axvline(0, color=INK, linewidth=1)
    for number, e in enumerate(rows):
        paint = VERDICTS.get(e.verdict, GREY)
        axes.plot(e.interval, [number, number], color=paint, linewidth=2.2, solid_capstyle="round")
        _dot(axes, e.mean, number, paint)
        for one in e.differences if len(e.differences) > 1 else ():
            _dot(axes, one, number, paint, 3.5)
    return Drawing("Effects of the claims", figure)
