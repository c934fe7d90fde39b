# SPDX-License-Identifier: Apache-2.0
"""Accuracy over speed: every tracker with its name beside it, far outliers at the edge with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modaltrack.report.drawing import Drawing, drawn, label, new_figure
from modaltrack.report.entries import Entry
from modaltrack.report.palette import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REAL_TIME = 25.0  # frames per second
WIDTH, HEIGHT = 4.8, 3.7  # inches


@drawn
def speed_figure(entries: Sequence[Entry], metric: str) -> Drawing:
    """Main score over frames per second (tracker alone, logarithmic).

    A tracker far from the bulk of the others stands at the edge, as a triangle with its numbers, so that it does not
    press the others together; trackers without times are named below.
    """
    timed = [e for e in entries if e.speed]
    speeds = np.array([e.speed for e in timed], float)
    scores = np.array([e.report.scores[metric] for e in timed], float)
    (left, right), (bottom, top) = _limits(np.log10(speeds), 0.08), _limits(scores, 0.02)
    places = np.stack([np.clip(np.log10(speeds), left, right), np.clip(scores, bottom, top)], 1)  # (E, 2)
    outside = (np.log10(speeds) != places[:, 0]) | (scores != places[:, 1])
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(10**left, 10**right)
    axes.set_ylim(bottom, top)
    for entry, (x, y), far in zip(timed, places, outside, strict=True):
        mark = _arrow(x, y, (left, right), (bottom, top)) if far else "o"
        axes.plot([10**x], [y], mark, color=entry.ink, markersize=7, markeredgecolor="white", clip_on=False, zorder=3)
    words = [
        f"{label(e.name, 20)} ({s:.3g} fps, {v:.3f})" if far else label(e.name, 20)
        for e, s, v, far in zip(timed, speeds, scores, outside, strict=True)
    ]
    _name_points(axes, (places - [left, bottom]) / [right - left, top - bottom], words)
    if left < np.log10(REAL_TIME) < right:
        axes.axvline(REAL_TIME, color=GREY, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            "25 per second", (REAL_TIME, 0), (3, 4), ("data", "axes fraction"), "offset points", fontsize=7, color=GREY
        )
    axes.set_title(f"Speed and {metric}")
    axes.set_ylabel(metric)
    axes.set_xlabel("frames per second, without decoding" + _small_print(entries, bool(outside.any())))
    _plain_ticks(axes)
    return Drawing("Speed and accuracy", figure)


def _small_print(entries: Sequence[Entry], outside: bool) -> str:
    words = "\ntriangles lie outside of the plot: their numbers are beside them" if outside else ""
    untimed = [label(e.name, 20) for e in entries if not e.speed]
    if untimed:
        shown = ", ".join(untimed[:4]) + (f" and {len(untimed) - 4} more" if len(untimed) > 4 else "")
        words += f"\nwithout times: {shown}"
    return words


def _limits(values: NDArray[np.float64], margin: float) -> tuple[float, float]:
    """The ends of an axis; of five or more values those three interquartile ranges from the middle half are outside."""
    inside = values
    if len(values) >= 5:
        low, high = np.quantile(values, [0.25, 0.75])
        reach = 3 * max(high - low, 2 * margin)
        inside = values[(values >= low - reach) & (values <= high + reach)]
    low, high = float(inside.min()), float(inside.max())
    room = max(margin, 0.1 * (high - low))
    return low - room, high + room


def _arrow(x: float, y: float, wide: tuple[float, float], high: tuple[float, float]) -> str:
    if x in wide:
        return "<" if x == wide[0] else ">"
    return "v" if y == high[0] else "^"


def _name_points(axes: Axes, places: NDArray[np.float64], words: Sequence[str]) -> None:
    """Put a name beside each point where it covers no other one, as far as the width of letters can be guessed.

    Args:
        axes: of the plot.
        places: (E, 2) of the points, 0..1 in the axes.
        words: of each point.
    """
    size = np.array([WIDTH - 0.7, HEIGHT - 0.9]) * 72  # points of print that the axes have, about
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places * size]
    for place, (x, y), text in zip(places, places * size, words, strict=True):
        width, height = 4.6 * len(text), 9.0
        sides = [(dx, dy) for dy in (0, 9, -9, 18, -18, 27, -27) for dx in (7, -7 - width)]
        offers = [*sides[:2], (-width / 2, 11), (-width / 2, -11), *sides[2:]]
        boxes = [(x + dx, y + dy - height / 2, x + dx + width, y + dy + height / 2) for dx, dy in offers]
        best = int(np.argmin([_cost(box, taken, size) for box in boxes]))
        taken.append(boxes[best])
        axes.annotate(text, place, offers[best], "axes fraction", "offset points", fontsize=8, va="center")


def _cost(box: tuple[float, ...], taken: Sequence[tuple[float, ...]], size: NDArray[np.float64]) -> float:
    """How many square points of a name cover other things or lie outside of the plot."""
    covered = 0.0
    for other in taken:
        wide, high = (min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1))
        covered += max(0.0, wide) * max(0.0, high)
    out = max(0.0, -box[0]) + max(0.0, box[2] - size[0]) + max(0.0, -box[1]) + max(0.0, box[3] - size[1])
    return covered + 20 * out


def _plain_ticks(axes: Axes) -> None:
    """Frames per second as 1, 2, 5, 10, not as powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axes.get_xlim()
    decades = np.log10(high / low)
    narrow = MaxNLocator(5) if decades < 1 else LogLocator(10, (1, 2, 5) if decades < 2.5 else (1,))
    axes.xaxis.set_major_locator(narrow)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
