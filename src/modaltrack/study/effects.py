# SPDX-License-Identifier: Apache-2.0
"""From measurements to effects and verdicts, with nothing but the files that ``measuring`` left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modaltrack.study.folder import Settings, StudyFolder, read_json
from modaltrack.study.plan import BASE, GAP, MEASURES, Claim

Measured = Mapping[tuple[str, int], Mapping[str, object]]
"""(run, seed) -> its evaluation.json"""
DRAWS = 2000
SHOWS, NOT, OPPOSITE, TOO_FEW = "shows", "does not show", "opposite", "too few runs"


@dataclass(frozen=True)
class Effect:
    """What became of a claim.

    Attributes:
        first, second: means, 0..1.
        differences: one for each seed that both runs have.
        interval: 95 %, from draws of seeds and clips together; with one seed, of clips alone.
        sd: over seeds, nan with one.
    """

    claim: Claim
    verdict: str
    first: float = float("nan")
    second: float = float("nan")
    differences: tuple[float, ...] = ()
    mean: float = float("nan")
    sd: float = float("nan")
    interval: tuple[float, float] = (float("nan"), float("nan"))
    reason: str = ""


def load(place: StudyFolder, settings: Settings) -> tuple[dict[tuple[str, int], dict[str, object]], list[str]]:
    """All measurements with the study's clips, and the names of those that were made with others."""
    found, other = {}, []
    for path in sorted((place.path / "runs").glob("*/evaluation.json")):
        data = read_json(path)
        assert data is not None
        if (data["of"]["clips"], data["of"]["frames"]) == (settings.clips, settings.frames):
            found[data["run"], int(data["seed"])] = data
        else:
            other.append(path.parent.name)
    return found, other


def values(data: Mapping[str, object] | None, measure: str) -> NDArray[np.float64] | None:
    """Success of every clip, the mean over the measure's conditions; None where it was not measured."""
    rows = (data or {}).get("conditions")
    if not isinstance(rows, Mapping) or any(name not in rows for name in MEASURES[measure]):
        return None
    return np.mean([rows[name]["success"] for name in MEASURES[measure]], axis=0)


def gaps(data: Mapping[str, object] | None, depth: str = "last") -> NDArray[np.float64] | None:
    """MMD² of every draw and second sensor, each sensor run alone.

    Args:
        depth: of the file, or "last".
    """
    found = (data or {}).get("gap")
    if not isinstance(found, Mapping) or not found:
        return None
    rows = [by_comparison["alone"] for by_comparison in found.values()]
    return np.concatenate([row[list(row)[-1] if depth == "last" else depth] for row in rows])


def seeds_of(measured: Measured, run: str) -> list[int]:
    """Seeds that a run was measured with."""
    return sorted(seed for name, seed in measured if name == run)


def _of(measured: Measured, run: str, measure: str, seed: int) -> NDArray[np.float64] | None:
    if run == BASE:  # shipped weights exist once and stand beside every seed
        seed = min(seeds_of(measured, run), default=seed)
    return values(measured.get((run, seed)), measure)


def effect(claim: Claim, measured: Measured, reasons: Mapping[str, str] | None = None) -> Effect:
    """Compare the claim's runs, seed by seed and clip by clip."""
    (first, measure_1), (second, measure_2) = claim.first, claim.second
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for seed in seeds_of(measured, first):
        if measure_1 == GAP:
            data = measured[first, seed]
            a, b = gaps(data), gaps(data, "embedding")
        else:
            a, b = _of(measured, first, measure_1, seed), _of(measured, second, measure_2, seed)
        if a is not None and b is not None:
            pairs.append((a, b))
    if not pairs:
        return Effect(claim, TOO_FEW)
    table = np.array([a - b for a, b in pairs])  # (seeds, clips)
    low, high = interval(table)
    verdict = SHOWS if low > 0 else OPPOSITE if high < 0 else NOT
    each = table.mean(1)
    return Effect(
        claim,
        verdict,
        float(np.mean([a for a, _ in pairs])),
        float(np.mean([b for _, b in pairs])),
        tuple(float(v) for v in each),
        float(each.mean()),
        float(each.std(ddof=1)) if len(each) > 1 else float("nan"),
        (low, high),
        "" if verdict == SHOWS else (reasons or {}).get(claim.id, claim.reason),
    )


def interval(table: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of differences (seeds, clips): both are drawn anew, the clips for all seeds.

    With two or three seeds it is narrower than it should be: few draws of few seeds show few of their extremes.
    """
    random = np.random.default_rng(seed)
    rows = random.integers(0, table.shape[0], (DRAWS, table.shape[0]))
    columns = random.integers(0, table.shape[1], (DRAWS, table.shape[1]))
    means = table[rows[:, :, None], columns[:, None, :]].mean((1, 2))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
