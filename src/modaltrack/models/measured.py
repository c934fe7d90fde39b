# SPDX-License-Identifier: Apache-2.0
"""What the cards of the shipped weights say they reach, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SETS = ("rgb", "thermal", "rgb+thermal", "depth", "rgb+depth", "event", "rgb+event", "rgb+thermal+depth+event")
"""Sets of sensors, in the order of the columns."""
Rows = list[tuple[str, ...]]


def on_scenes(cards: Mapping[str, Mapping[str, Any]]) -> tuple[str, tuple[str, ...], Rows]:
    """(what they were measured on, columns, rows): success on the test half of ``scenes.benchmark``.

    cards: name -> card. Cards without such a measurement are left out; ValueError where two were measured on different
    clips, because one table would then compare what cannot be compared.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, card in cards.items():
        for what, value in (card.get("measured") or {}).items():
            if isinstance(value, Mapping) and what.startswith("scenes-"):
                found[name] = (what, value)
    if len(places := {what for what, _ in found.values()}) > 1:
        raise ValueError(f"The cards speak of different clips ({'; '.join(sorted(places))}): measure them alike.")
    rows = [
        (name, f"{cards[name].get('hours', 0):.1f}", *(_success(sensors.get(one)) for one in SETS))
        for name, (_, sensors) in found.items()
    ]
    short = tuple("all four" if one.count("+") == 3 else one for one in SETS)
    return "".join(places), ("model", "hours", *short), rows


def on_real_clips(cards: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], Rows]:
    """(columns, rows): success on real clips, a cell for each clip: RGB alone / the other sensor alone / both."""
    found = {name: (card.get("measured") or {}).get("real clips, success") for name, card in cards.items()}
    clips: dict[str, str] = {}  # clip -> its second sensor
    for numbers in found.values():
        for key in numbers or {}:
            clip, sensors = key.rsplit(" ", 1)
            if sensors != "rgb" and "+" not in sensors:
                clips[clip] = sensors
    rows = []
    for name, numbers in found.items():
        if numbers:
            table = [[numbers.get(f"{clip} {one}") for one in ("rgb", x, f"rgb+{x}")] for clip, x in clips.items()]
            table.append([_mean(column) for column in zip(*table)])
            rows.append((name, *(" / ".join(_success(value) for value in cell) for cell in table)))
    return ("model", *(f"{clip} ({x})" for clip, x in clips.items()), "mean"), rows


def markdown(columns: tuple[str, ...], rows: Rows) -> str:
    """A Markdown table, names to the left and numbers to the right."""
    lines = [columns, tuple("---" if i == 0 else "--:" for i in range(len(columns))), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _success(value: Any) -> str:
    number = value.get("success") if isinstance(value, Mapping) else value
    return "–" if number is None else f"{number:.3f}"
