# SPDX-License-Identifier: Apache-2.0
"""Which colour and which dashes a tracker has, in figures, tables and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Okabe and Ito's colours, apart for the colour-blind, without the yellow that paper swallows; then darker neighbours
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#333333", "#7a4fbf", "#8c564b", "#5b8c00")
# matplotlib's form: offset, then on and off in line widths
DASHES: tuple[tuple[float, tuple[float, ...]] | str, ...] = (
    "-",
    (0, (4, 1.6)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
)
INK, GREY, GRID = "#222222", "#666666", "#e3e3e3"


def colour(style: int) -> str:
    """The colour of the tracker with this number, as ``#rrggbb``."""
    return COLOURS[style % len(COLOURS)]


def dash(style: int) -> tuple[float, tuple[float, ...]] | str:
    """The line style of the tracker with this number: solid lines alone would be alike in black and white."""
    return DASHES[(style + style // len(COLOURS)) % len(DASHES)]


def chosen_colours(text: str, names: Sequence[str]) -> Mapping[str, str]:
    """Tracker -> colour of ``NAME=#rrggbb,NAME=#rrggbb``.

    Raises:
        ValueError: a colour is no ``#rrggbb``, or a name is none of ``names``.
    """
    chosen = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.rpartition("=")
        if not re.fullmatch("#[0-9a-fA-F]{6}", value):
            raise ValueError(f"--colours holds {part!r}; NAME=#rrggbb was expected, for example {names[0]}=#d55e00.")
        if name not in names:
            raise ValueError(f"--colours names {name!r}; the trackers are {', '.join(names)}.")
        chosen[name] = value.lower()
    return chosen
