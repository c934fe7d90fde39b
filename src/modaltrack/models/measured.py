# SPDX-License-Identifier: Apache-2.0
"""What the cards of the shipped weights say they reach, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SETS = ("rgb", "thermal", "rgb+thermal", "depth", "rgb+depth", "event", "rgb+event", "rgb+thermal+depth+event")
"""Sets of sensors, in the order of the rows."""
Rows = list[tuple[str, ...]]


def on_scenes(cards: Mapping[str, Mapping[str, Any]]) -> tuple[str, tuple[str, ...], Rows]:
    """(what they were measured on, columns, rows): success on the test half of ``scenes.benchmark``; a column a model.

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
    rows: Rows = [("hours of training", *(f"{cards[name].get('hours', 0):.1f}" for name in found))]
    for one in SETS:
        title = "all four" if one.count("+") == 3 else one
        rows.append((title, *(_success(sensors.get(one)) for _, sensors in found.values())))
    return "".join(places), ("sensors", *found), rows


def on_real_clips(cards: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], Rows]:
    """(columns, rows): success on real clips, three rows a clip: RGB alone, the other sensor alone, both."""
    found = {name: card["measured"]["real clips, success"] for name, card in cards.items() if _has_real_clips(card)}
    second: dict[str, str] = {}  # clip -> its second sensor
    for numbers in found.values():
        for key in numbers:
            clip, sensors = key.rsplit(" ", 1)
            if sensors != "rgb" and "+" not in sensors:
                second[clip] = sensors
    groups = ("RGB alone", "X alone", "both")
    keys = [[f"{clip} {one}" for one in ("rgb", x, f"rgb+{x}")] for clip, x in second.items()]
    rows = [
        (f"{clip} both" if "+" in key else key, *(_success(numbers.get(key)) for numbers in found.values()))
        for clip, triple in zip(second, keys)
        for key in triple
    ]
    for title, group in zip(groups, zip(*keys)):
        means = (_mean([numbers.get(key) for key in group]) for numbers in found.values())
        rows.append((f"mean, {title}", *(_success(mean) for mean in means)))
    return ("clip and sensors", *found), rows


def _has_real_clips(card: Mapping[str, Any]) -> bool:
    return bool((card.get("measured") or {}).get("real clips, success"))


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
