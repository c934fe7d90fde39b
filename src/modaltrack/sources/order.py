# SPDX-License-Identifier: Apache-2.0
"""The order of numbered files: which of the numbers in their names counts, and whether it is a time.

Names in the wild are ``00012.png``, ``v000018.jpg``, ``frame_3_160x120.jpg``, ``part2_0007.png``,
``1560000083.700000.png`` (seconds.fraction), ``1560000083700000000.png`` (nanoseconds) and
``2019-06-08_13-21-23-070.png``. No single rule orders them all, so the key is chosen that makes the names consecutive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DENSE = 0.5  # share of the numbers between the first and the last that occur: below it a number is no counter
_EPOCH = (5e8, 4e9)  # seconds since 1970: 1985 to 2096
_UNEVEN = 0.5  # deviation of the steps over their mean: above it "1.0099, 2.0001" are no seconds
_WHOLE = {13: 1e-3, 16: 1e-6, 19: 1e-9}  # digits of a whole-number epoch stamp -> seconds per unit
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[-_.T ]{0,2}"
    r"([0-2]\d)[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?:[-_.,s]?(\d{3}|\d{6}|\d{9}))?(?!\d)"
)


class Order(NamedTuple):
    """An order of names.

    Attributes:
        places: (N,) positions in the input, first to last.
        times: seconds in that order, or None.
        remark: a sentence where other plausible orders disagree, else empty.
    """

    places: list[int]
    times: NDArray[np.float64] | None
    remark: str


def order_names(stems: Sequence[str]) -> Order:
    """Order file names (without suffix) by time where they are times, else by the number that counts, else naturally.

    Candidates, the first that fits wins: time stamps that all differ; the last number of the names that all differ and
    go up in equal steps; the last integer, where it counts (all differ, at least half of the range occurs); the natural
    order, in which every number counts from left to right. The remark says which was taken where these disagree.
    """
    if len(stems) < 2:
        return Order(list(range(len(stems))), None, "")
    fields = [[int(n) for n in re.findall(r"[0-9]+", stem)] for stem in stems]
    same_shape = len({re.sub(r"[0-9]+", "#", stem.lower()) for stem in stems}) == 1
    natural = _sorted_by(stems, [_natural(stem) for stem in stems])
    last = [numbers[-1] if numbers else -1 for numbers in fields]
    by_last = _sorted_by(stems, last)
    # Names of several shapes follow no pattern: there the last integer stays the rule unless it mostly repeats.
    counts = len(set(last)) == len(last) if same_shape else 2 * len(set(last)) > len(last)
    times = times_in_names(stems) if same_shape else None
    candidates: list[tuple[str, list[int]]] = []
    if times is not None:
        by_time = _sorted_by(stems, times.tolist())
        candidates.append(("time stamps in the names", by_time))
    if same_shape:
        for k in reversed(range(len(fields[0]))):
            column = [numbers[k] for numbers in fields]
            if _equal_steps(column):
                candidates.append(
                    (f"number {k + 1} of the name, which goes up in equal steps", _sorted_by(stems, column))
                )
    if counts and (_density(last) >= _DENSE or not same_shape):
        candidates.append(("last integer of the name", by_last))
    candidates.append(("natural order of the names", natural))
    what, chosen = candidates[0]
    rivals = [name for name, order in candidates[1:] if order != chosen]
    if counts and by_last != chosen and not any(name.startswith(("last", "number")) for name in rivals):
        rivals.append("last integer of the name")
    remark = f"ordered by the {what}; the {_enumerate(rivals)} would order them otherwise" if rivals else ""
    return Order(chosen, times[chosen] if times is not None else None, remark)


def times_in_names(stems: Sequence[str]) -> NDArray[np.float64] | None:
    """Seconds from names that are time stamps, (N,) in the order given, or None where they are none or not distinct."""
    for reader in (_dates, _seconds_and_fraction, _whole_epochs):
        times = reader(stems)
        if times is not None and len(np.unique(times)) == len(times) and not _counted_in_milliseconds(times):
            return times
    return None


def _counted_in_milliseconds(times: NDArray[np.float64]) -> bool:
    """Whether "fractions" go up by one unit within one second: a counter behind the time of the recording's start."""
    steps = np.diff(np.sort(times))
    return bool(np.floor(times.max()) == np.floor(times.min()) and np.allclose(steps, 1e-3, atol=1e-5))


def _dates(stems: Sequence[str]) -> NDArray[np.float64] | None:
    found = [_DATE.search(stem) for stem in stems]
    if not all(found):
        return None
    try:
        return np.array([_seconds_of(match) for match in found if match])
    except ValueError:  # month 13: digits that only look like a date
        return None


def _seconds_of(match: re.Match[str]) -> float:
    y, mo, d, h, mi, s = (int(group) for group in match.groups()[:6])
    whole = datetime(y, mo, d, h, mi, s, tzinfo=UTC).timestamp()
    fraction = match.group(7)
    return whole + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


def _seconds_and_fraction(stems: Sequence[str]) -> NDArray[np.float64] | None:
    """``1560000083.700000``, ``12.966``; with ``_`` or ``-`` between only where the seconds are an epoch."""
    found = [re.fullmatch(r"(?:[^\d]*[^\d.])?([0-9]+)([._-])([0-9]+)[^\d]*", stem) for stem in stems]
    matches = [match for match in found if match]
    if len(matches) < len(stems):
        return None
    seconds = np.array([float(match[1]) for match in matches])
    epoch = bool((_EPOCH[0] < seconds.min()) and (seconds.max() < _EPOCH[1]))
    widths = {len(match[3]) for match in matches}
    if not epoch and (matches[0][2] != "." or max(widths) < 2 or (len(np.unique(seconds)) == 1 and len(widths) == 1)):
        return None
    if matches[0][2] != "." and len(widths) == 1 and max(widths) not in (3, 6, 9):
        return None
    decimal = np.array([float(f"{match[1]}.{match[3]}") for match in matches])
    if not epoch and _unevenness(decimal) > _UNEVEN:
        return None
    if len(widths) == 1:
        return decimal
    # Fractions of several widths are decimals ("83.7"), or whole micro- or nanoseconds without their leading zeros.
    unit = 6 if max(widths) <= 6 else 9
    counted = seconds + np.array([int(match[3]) / 10**unit for match in matches])
    return min((decimal, counted), key=_unevenness)


def _whole_epochs(stems: Sequence[str]) -> NDArray[np.float64] | None:
    numbers = [re.findall(r"[0-9]+", stem) for stem in stems]
    if not all(numbers):
        return None
    for k in range(min(len(n) for n in numbers)):
        unit = _WHOLE.get(len(numbers[0][k]))
        column = [n[k] for n in numbers]
        if unit is None or {len(n) for n in column} != {len(column[0])}:
            continue
        first = int(column[0])
        # Counted from the first in whole numbers: float64 resolves an epoch to a quarter of a microsecond only.
        times = first * unit + np.array([(int(n) - first) for n in column]) * unit
        if _EPOCH[0] < times.min() and times.max() < _EPOCH[1]:
            return times
    return None


def _unevenness(times: NDArray[np.float64]) -> float:
    steps = np.diff(np.sort(times))
    return float(steps.std() / steps.mean()) if steps.mean() > 0 else math.inf


def _equal_steps(numbers: Sequence[int]) -> bool:
    ordered = sorted(numbers)
    step = ordered[1] - ordered[0]
    return step > 0 and all(b - a == step for a, b in pairwise(ordered))


def _density(numbers: Sequence[int]) -> float:
    return len(set(numbers)) / (max(numbers) - min(numbers) + 1)


def _natural(stem: str) -> list[tuple[int, int, str]]:
    """Numbers by value, text by letters; ``1`` comes before ``01`` only where all else is equal."""
    parts = re.split(r"([0-9]+)", stem.lower())
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part]


def _sorted_by(stems: Sequence[str], keys: Sequence[Any]) -> list[int]:
    return sorted(range(len(stems)), key=lambda i: (keys[i], stems[i]))


def _enumerate(things: Sequence[str]) -> str:
    return things[0] if len(things) == 1 else ", the ".join(things[:-1]) + f" and the {things[-1]}"
