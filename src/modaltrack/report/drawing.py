# SPDX-License-Identifier: Apache-2.0
"""One chart, drawn once with matplotlib and written as SVG (page, slides) or as PDF with Type 42 fonts (papers).

Both are the same bytes for the same numbers: ids are hashes of what they name, and no file holds a date.
"""

from __future__ import annotations

import functools
import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from modaltrack.printable import one_line
from modaltrack.report.palette import GREY, GRID, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# TrueType fonts with Chinese, Japanese and Korean characters, asked for where they are installed
WIDE_FONTS = ("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "Arial Unicode MS")
RULES: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.borderpad": 0.3,
    "legend.handlelength": 2.4,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.parse_math": False,  # "$" in a tracker's name is a dollar
    "svg.fonttype": "none",  # text stays text: it can be searched, and edited in a drawing program
    "svg.hashsalt": "modaltrack",
    "pdf.fonttype": 42,  # TrueType outlines; conferences refuse matplotlib's default, Type 3
    "pdf.compression": 6,
}


@dataclass(frozen=True)
class Drawing:
    """A matplotlib figure with the title that screen readers say."""

    title: str
    figure: Figure

    def svg(self, prefix: str = "") -> str:
        """The figure as one ``<svg>`` element, without style sheets and scripts.

        Args:
            prefix: begins all ids, so that several figures can stand in one page.
        """
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        text = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with warnings.catch_warnings():  # whoever shows the picture brings the letters
            warnings.filterwarnings("ignore", "Glyph .* missing")
            _with_rules(FigureCanvasSVG(self.figure).print_svg)(text, metadata=empty)
        return _tidied(text.getvalue(), self.title, f"{prefix}-" if prefix else "")

    def pdf(self) -> bytes:
        """The figure as a PDF of one page."""
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        data = io.BytesIO()
        facts = dict.fromkeys(("Creator", "Producer", "CreationDate")) | {"Title": one_line(self.title)}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _with_rules(FigureCanvasPdf(self.figure).print_pdf)(data, metadata=facts)
        missing = {str(w.message).split(" missing")[0] for w in caught if "missing from font" in str(w.message)}
        for other in caught:
            if "missing from font" not in str(other.message):
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        if missing:
            some = ", ".join(sorted(missing)[:3])
            warnings.warn(
                f"The PDF of {self.title} shows boxes in the place of {len(missing)} characters ({some}); install one "
                f"of the fonts {', '.join(WIDE_FONTS)}, or name the trackers otherwise (NAME=PATH).",
                stacklevel=2,
            )
        return data.getvalue()


def drawn(make: Callable[P, T]) -> Callable[P, T]:
    """Run a function that makes figures under the rules of this file, and not under those of the user's matplotlib."""

    @functools.wraps(make)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        return _with_rules(make)(*args, **kwargs)

    return inside


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, which makes room for labels and legends itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def label(text: str, most: int = 28) -> str:
    """A name as a figure shows it: one line, no control characters, cut where it is long."""
    text = one_line(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _with_rules(make: Callable[P, T]) -> Callable[P, T]:
    try:
        import matplotlib
    except ImportError:
        raise ValueError("Figures need matplotlib, which is not installed; run: pip install matplotlib.") from None

    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(RULES | {"font.family": ["DejaVu Sans", *_wide_fonts()]})
            return make(*args, **kwargs)

    return inside


@functools.cache
def _wide_fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    return tuple(name for name in WIDE_FONTS if name in fontManager.get_font_names())[:1]


def _tidied(text: str, title: str, prefix: str) -> str:
    """The svg element alone: ids only where something refers to them, no style sheet, a title."""
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = {e.get(f"{{{XLINK}}}href", "").removeprefix("#") for e in root.iter()}
    used |= {e.get("clip-path", "").removeprefix("url(#").removesuffix(")") for e in root.iter()}
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name in used - {""}:
            element.set("id", prefix + name)
        if f"{{{XLINK}}}href" in element.attrib:
            element.set(f"{{{XLINK}}}href", "#" + prefix + element.get(f"{{{XLINK}}}href", "").removeprefix("#"))
        if "clip-path" in element.attrib:
            element.set("clip-path", f"url(#{prefix}{element.get('clip-path', '').removeprefix('url(#')}")
    # what matplotlib says in a style sheet, which in a page would be everybody's
    root.attrib |= {"role": "img", "stroke-linejoin": "round", "stroke-linecap": "butt"}
    for unit in ("width", "height"):  # pixels, as the page's own sizes
        root.set(unit, root.get(unit, "").removesuffix("pt"))
    named = ET.Element(f"{{{SVG}}}title")
    named.text = one_line(title)
    root.insert(0, named)
    return ET.tostring(root, encoding="unicode")
