# SPDX-License-Identifier: Apache-2.0
"""The curves as PDF, for papers: the one part that needs matplotlib (``pip install 'modaltrack[figures]'``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modaltrack.files import replacing
from modaltrack.report.entries import Entry, curve_metric, drawn_curves, ranked
from modaltrack.report.figures import AXES, LEGEND_LEFT, shared_attributes
from modaltrack.report.svg import colour, dash


def check_matplotlib() -> None:
    """ValueError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ValueError("--pdf needs matplotlib; install it with: pip install 'modaltrack[figures]'.") from None


def write_pdfs(folder: Path, entries: Sequence[Entry], metric: str, metrics: Mapping[str, str]) -> list[Path]:
    """Write one PDF per curve, and one of the attributes where there are three or more; -> the files."""
    check_matplotlib()
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    files = []

    def save(figure: Figure, name: str) -> None:
        FigureCanvasPdf(figure)
        with replacing(folder / f"{name}.pdf") as partial:
            figure.savefig(partial, bbox_inches="tight", metadata={"CreationDate": None})
        files.append(folder / f"{name}.pdf")

    for name in drawn_curves(entries[0].report):
        figure = Figure(figsize=(4.6, 3.5))
        axes = figure.add_subplot()
        score = curve_metric(metrics, name)
        drawn = [e for e in entries if name in drawn_curves(e.report)]
        title, x_label, y_label = AXES.get(name, (name.capitalize(), "", ""))
        for entry in ranked(drawn, score) if score else drawn:
            label = f"[{entry.report.scores[score]:.3f}] {entry.name}" if score else entry.name
            x, y = drawn_curves(entry.report)[name]
            axes.plot(x, y, color=colour(entry.style), linestyle=_style(entry.style), label=label, linewidth=1.6)
        axes.set(title=title, xlabel=x_label, ylabel=y_label, ylim=(0, 1))
        axes.margins(x=0)
        axes.grid(color="0.9")
        axes.legend(fontsize=7, loc="lower left" if name in LEGEND_LEFT else "lower right")
        save(figure, name.replace(" ", "-"))
    names = shared_attributes(entries)
    if len(names) >= 3:
        figure = Figure(figsize=(4.6, 4.2))
        polar = figure.add_subplot(projection="polar")
        angle = np.append(np.arange(len(names)), 0) * 2 * np.pi / len(names)
        for entry in ranked(entries, metric)[:6]:
            values = [entry.report.attributes[n].get(metric, 0.0) for n in names]
            polar.plot(
                angle, [*values, values[0]], color=colour(entry.style), linestyle=_style(entry.style), label=entry.name
            )
        polar.set_xticks(angle[:-1], names, fontsize=7)
        polar.set_title(f"{metric} by attribute")
        polar.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.05, 1))
        save(figure, "attributes")
    return files


def _style(number: int) -> object:
    pattern = dash(number)
    return (0, tuple(float(v) for v in pattern.split())) if pattern else "-"
