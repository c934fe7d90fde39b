# SPDX-License-Identifier: Apache-2.0
"""The study's figures, each an SVG that stands for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modaltrack.report.svg import GREY, INK, Axes, Drawing, colour, dash, nice_ticks
from modaltrack.study.effects import OPPOSITE, SHOWS, TOO_FEW, Effect, Measured, seeds_of
from modaltrack.study.plan import BASE, MAIN, MEASURES, SENSORS, SHIFTS
from modaltrack.study.tables import per_seed

ROW = 24
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


def _dots(
    title: str, label: str, rows: Sequence[tuple[str, Sequence[Sequence[float]]]], names: Sequence[str]
) -> Drawing | None:
    """One row per run, one dot per condition, a line for the spread over seeds."""
    rows = [row for row in rows if any(len(found) for found in row[1])]
    if not rows:
        return None
    numbers = [v for _, cells in rows for found in cells for v in found]
    ticks = nice_ticks(min(numbers), max(numbers), 6)
    keys = -(-len(names) // 3)
    drawing = Drawing(560, 96 + ROW * len(rows) + 18 * keys, title)
    axes = Axes(drawing, 150, 34, 390, ROW * len(rows), (ticks[0], ticks[-1]), (0, len(rows)))
    drawing.text(280, 20, title, 14, "middle", bold=True)
    axes.frame(ticks, [], label)
    for i, (run, cells) in enumerate(rows):
        y = axes.top + ROW * i + ROW / 2
        drawing.text(144, y + 4, run, 12, "end")
        for style, found in enumerate(cells):
            if not len(found):
                continue
            if len(found) > 1:
                drawing.line(axes.x([min(found), max(found)]), [y, y], colour(style), 2)
            drawing.dot(float(axes.x(float(np.mean(found)))), y, colour(style), 5)
    for style, name in enumerate(names):
        x, y = 150 + 135 * (style % 3), axes.top + axes.height + 58 + 18 * (style // 3)
        drawing.dot(x, y - 4, colour(style), 5)
        drawing.text(x + 10, y, name, 12)
    return drawing


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


def _lines(
    title: str, labels: tuple[str, str], x: Sequence[float], words: Sequence[str], rows: Mapping[str, Sequence[float]]
) -> Drawing | None:
    numbers = [v for row in rows.values() for v in row]
    if not numbers:
        return None
    ticks = nice_ticks(min(numbers), max(numbers))
    below = -(-len(rows) // 3)
    drawing = Drawing(460, 366 + 18 * below, title)
    axes = Axes(drawing, 60, 34, 384, 280, (min(x), max(x)), (ticks[0], ticks[-1]))
    drawing.text(250, 20, title, 14, "middle", bold=True)
    axes.frame([], ticks, labels[0], labels[1])
    for place, word in zip(x, words, strict=True):
        drawing.text(float(axes.x(place)), axes.top + axes.height + 16, word, 11, "middle", GREY)
    for style, (name, row) in enumerate(rows.items()):
        drawing.line(axes.x(x), axes.y(row), colour(style), 2.2, dash(style))
        left, y = 60 + 130 * (style % 3), 376 + 18 * (style // 3)
        drawing.line([left, left + 24], [y - 4, y - 4], colour(style), 2.2, dash(style))
        drawing.text(left + 30, y, name, 12)
    return drawing


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


def claims_figure(effects: Sequence[Effect]) -> Drawing | None:
    """Every claim's effect with its interval; zero is none. The modality gap has another unit and is left out."""
    rows = [e for e in effects if e.verdict != TOO_FEW and e.claim.first != e.claim.second]
    if not rows:
        return None
    numbers = [0.0, *(v for e in rows for v in (*e.interval, e.mean))]
    ticks = nice_ticks(min(numbers), max(numbers), 5)
    drawing = Drawing(560, 84 + ROW * len(rows), "Effects of the claims")
    axes = Axes(drawing, 190, 30, 350, ROW * len(rows), (ticks[0], ticks[-1]), (0, len(rows)))
    drawing.text(280, 18, "Effects of the claims, 95 % intervals", 14, "middle", bold=True)
    axes.frame(ticks, [], "difference in success; green shows, red is opposite, grey neither", x_words="{:+g}")
    zero = float(axes.x(0.0))
    drawing.line([zero, zero], [axes.top, axes.top + axes.height], INK, 1.2)
    for i, e in enumerate(rows):
        y, paint = axes.top + ROW * i + ROW / 2, VERDICTS.get(e.verdict, GREY)
        drawing.text(184, y + 4, e.claim.id, 12, "end")
        drawing.line(axes.x(list(e.interval)), [y, y], paint, 3)
        drawing.dot(float(axes.x(e.mean)), y, paint, 5)
        for one in e.differences if len(e.differences) > 1 else ():
            drawing.dot(float(axes.x(one)), y, paint, 2.5)
    return drawing
