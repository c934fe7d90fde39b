# SPDX-License-Identifier: Apache-2.0
"""Just enough SVG: lines, dots, text and axes. Every drawing stands for itself, without style sheets or scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from modaltrack.printable import markup as escape

# Okabe and Ito's colours, apart for the colour-blind, without the yellow that paper swallows; then darker neighbours
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#333333", "#7a4fbf", "#8c564b", "#5b8c00")
DASHES = ("", "7 3", "2 2", "8 3 2 3")
INK, GREY, GRID = "#222222", "#666666", "#e3e3e3"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\""


def colour(style: int) -> str:
    """The colour of the tracker with this number."""
    return COLOURS[style % len(COLOURS)]


def dash(style: int) -> str:
    """The dashes of a line: all solid in the first round of colours would be alike in black and white."""
    return DASHES[(style + style // len(COLOURS)) % len(DASHES)]


class Drawing:
    """A picture of ``width`` x ``height`` units that scales to where it is put; the title is for screen readers."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._parts: list[str] = []

    def line(self, x: ArrayLike, y: ArrayLike, stroke: str, width: float = 1.0, dashes: str = "") -> None:
        """A line through points; nan interrupts it."""
        xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
        run: list[str] = []
        for px, py in zip(xs, ys, strict=True):
            if np.isfinite(px) and np.isfinite(py):
                run.append(f"{px:.2f},{py:.2f}")
                continue
            self._run(run, stroke, width, dashes)
            run = []
        self._run(run, stroke, width, dashes)

    def _run(self, points: Sequence[str], stroke: str, width: float, dashes: str) -> None:
        if points:
            more = f' stroke-dasharray="{dashes}"' if dashes else ""
            self._parts.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
                f'stroke-linejoin="round" stroke-linecap="round"{more}/>'
            )

    def area(self, x: ArrayLike, y: ArrayLike, stroke: str, opacity: float = 0.08, dashes: str = "") -> None:
        """A closed shape, filled thinly."""
        points = " ".join(f"{px:.2f},{py:.2f}" for px, py in zip(np.asarray(x), np.asarray(y), strict=True))
        more = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<polygon points="{points}" fill="{stroke}" fill-opacity="{opacity:g}" stroke="{stroke}" '
            f'stroke-width="1.8" stroke-linejoin="round"{more}/>'
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> None:
        """A filled rectangle."""
        self._parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}" '
            f'fill-opacity="{opacity:g}"/>'
        )

    def dot(self, x: float, y: float, fill: str, radius: float = 4.0) -> None:
        """A dot with a white rim, so that two that touch stay two."""
        self._parts.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:g}" fill="{fill}" stroke="white" stroke-width="1"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 12,
        anchor: str = "start",
        fill: str = INK,
        bold: bool = False,
        turn: float = 0,
    ) -> None:
        """Text with its baseline at y.

        Args:
            anchor: start, middle or end.
        """
        more = f' transform="rotate({turn:g} {x:.2f} {y:.2f})"' if turn else ""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}"{weight}{more}>'
            f"{escape(words)}</text>"
        )

    def __str__(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'width="{self.width:g}" height="{self.height:g}" {FONT}><title>{escape(self.title)}</title>'
            + "".join(self._parts)
            + "</svg>"
        )


class Axes:
    """A frame with a scale on both sides inside a drawing: ``x(value)``, ``y(value)`` are places in it."""

    def __init__(
        self,
        drawing: Drawing,
        left: float,
        top: float,
        width: float,
        height: float,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        log_x: bool = False,
    ) -> None:
        self.drawing, self.left, self.top, self.width, self.height = drawing, left, top, width, height
        self._x, self._y, self._log = x_range, y_range, log_x

    def x(self, value: ArrayLike) -> np.ndarray:
        low, high = self._x
        values = np.asarray(value, np.float64)
        if self._log:
            low, high, values = np.log10(low), np.log10(high), np.log10(values)
        return self.left + (values - low) / (high - low) * self.width

    def y(self, value: ArrayLike) -> np.ndarray:
        low, high = self._y
        return self.top + self.height - (np.asarray(value, np.float64) - low) / (high - low) * self.height

    def frame(
        self,
        x_ticks: Iterable[float],
        y_ticks: Iterable[float],
        x_label: str = "",
        y_label: str = "",
        size: float = 12,
        x_words: str = "{:g}",
        y_words: str = "{:g}",
    ) -> None:
        """Draw grid, ticks and labels."""
        d, bottom = self.drawing, self.top + self.height
        for tick in x_ticks:
            place = float(self.x(tick))
            d.line([place, place], [self.top, bottom], GRID)
            d.text(place, bottom + size + 4, x_words.format(tick), size - 1, "middle", GREY)
        for tick in y_ticks:
            place = float(self.y(tick))
            d.line([self.left, self.left + self.width], [place, place], GRID)
            d.text(self.left - 6, place + size * 0.35, y_words.format(tick), size - 1, "end", GREY)
        d.line([self.left, self.left, self.left + self.width], [self.top, bottom, bottom], GREY)
        if x_label:
            d.text(self.left + self.width / 2, bottom + 2 * size + 10, x_label, size, "middle")
        if y_label:
            d.text(self.left - 40, self.top + self.height / 2, y_label, size, "middle", turn=-90)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that cover low..high, about so many."""
    low, high = (float(v) if np.isfinite(v) else 0.0 for v in (low, high))
    if not high - low > 1e-6 * max(1.0, abs(low), abs(high)):  # all alike but for rounding: five perfect sequences
        low, high = min(low, high), min(low, high) + 1e-3
    raw = (high - low) / about
    power = 10 ** np.floor(np.log10(raw))
    step = float(power * next(f for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.999))
    first = np.floor(low / step + 1e-9)
    last = np.ceil(high / step - 1e-9)
    return [round(float(n * step), 10) for n in np.arange(first, last + 1)]
