# SPDX-License-Identifier: Apache-2.0
"""What the cards of the shipped weights say they reach, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SETS = ("rgb", "thermal", "rgb+thermal", "depth", "rgb+depth", "event", "rgb+event", "rgb+thermal+depth+event")
"""Sets of sensors, in the order of the rows."""
MISSING = "–"
"""In the place of a number that was not measured."""
Rows = list[tuple[str, ...]]


def on_scenes(cards: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...], Rows]]:
    """Success on the test half of ``scenes.benchmark``: one table for each choice of clips, a column a model.

    Models that were measured on different clips cannot be compared, so they stand in different tables.

    Args:
        cards: name -> card. Cards without such a measurement are left out.

    Returns:
        (what they were measured on, columns, rows) of each table.
    """
    places: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, card in cards.items():
        for what, value in (card.get("measured") or {}).items():
            if isinstance(value, Mapping) and what.startswith("scenes-"):
                places.setdefault(what, {})[name] = value
    tables = []
    for what, found in places.items():
        rows: Rows = [("hours of training", *(f"{cards[name].get('hours', 0):.1f}" for name in found))]
        for one in SETS:
            cells = [_success(sensors.get(one)) for sensors in found.values()]
            if any(cell != MISSING for cell in cells):
                rows.append(("all four" if one.count("+") == 3 else one, *cells))
        tables.append((what, ("sensors", *found), rows))
    return tables


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


STATUS = "status on held-out real clips"  # key of a card's measurements that ``on_status`` reads


def on_status(cards: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], Rows]:
    """(columns, rows): how far score and status can be believed; cards without that measurement are left out.

    The score's area under the ROC curve for "IoU above 0.1" and its expected calibration error, and the share of
    frames with each status where the box is off the target (IoU up to 0.1) and where it is on it (above 0.5).
    """
    found = {name: card["measured"][STATUS] for name, card in cards.items() if (card.get("measured") or {}).get(STATUS)}
    kinds = {
        "frames": "frames",
        "auroc": "AUROC of the score",
        "calibration error": "expected calibration error",
        **{
            f"{status} where {where}": f"{status}, box {where}"
            for where in ("off", "on")
            for status in ("tracking", "uncertain", "lost")
        },
    }
    rows = [
        (title, *(str(n) if isinstance(n := numbers.get(key), int) else _success(n) for numbers in found.values()))
        for key, title in kinds.items()
    ]
    return ("", *found), rows


def picture_licences(card: Mapping[str, Any]) -> str:
    """In a few words what the pictures that weights have seen allow; rendered scenes have no licence to ask for."""
    sets = card.get("data") or []
    if not sets:
        return "rendered" if card else ""
    return "free to use" if all(one.get("commercial") for one in sets) else "non-commercial"


def _has_real_clips(card: Mapping[str, Any]) -> bool:
    return bool((card.get("measured") or {}).get("real clips, success"))


def markdown(columns: tuple[str, ...], rows: Rows) -> str:
    """A Markdown table, names to the left and numbers to the right."""
    lines = [columns, tuple("---" if i == 0 else "--:" for i in range(len(columns))), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _success(value: object) -> str:
    number = value.get("success") if isinstance(value, Mapping) else value
    return MISSING if number is None else f"{number:.3f}"
