# SPDX-License-Identifier: Apache-2.0
"""One engine for the protocols that compare boxes frame by frame: OTB, LaSOT, LasHeR, GTOT, pytracking, GOT-10k.

All frames of all sequences are compared in one pass; every score is then a ratio of two sums over sequences, which
makes attributes, intervals and paired tests nearly free. Rules: docs/evaluation.md 1 to 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result
from modaltrack.scoring.comparison import compare, threshold_grids
from modaltrack.scoring.frames import Aligned, Short, align
from modaltrack.scoring.intervals import bootstrap
from modaltrack.scoring.plausibility import check_rows
from modaltrack.scoring.protocols import PROTOCOLS, find_protocol
from modaltrack.scoring.records import (
    Array,
    Protocol,
    Report,
    Switches,
    Truth,
    ratio_of_sums,
)

__all__ = [
    "Protocol",
    "Report",
    "Switches",
    "Truth",
    "compare",
    "find_protocol",
    "missing_sequences",
    "score",
    "threshold_grids",
]


@dataclass(frozen=True)
class _Shares:
    """Share of frames under each threshold, per sequence: (S, K) each; ``weight`` (S,) is what they are shares of."""

    precision: Array
    normalised: Array
    success: Array
    overlap: Array  # (S,) sum of overlaps
    exact: Mapping[str, Array]  # "precision", "normalised" -> (S,) share at the threshold itself
    weight: Array
    lost: NDArray[np.bool_] | None = None  # (S,) sequences without a result that count as 0


def score(
    protocol: str | Protocol,
    truths: Sequence[Truth],
    results: Mapping[str, Result],
    attributes: bool = False,
    *,
    missing: str = "refuse",
    short: Short = "refuse",
    intervals: bool = True,
) -> Report:
    """Score one tracker on one benchmark.

    Args:
        protocol: a name of ``PROTOCOLS`` or an entry.
        missing: "refuse", "skip" or "zero" for sequences without a result.
        short: "refuse" or "miss" for files with too few rows.

    Raises:
        ValueError: on what the protocol cannot score.
    """
    entry = find_protocol(protocol) if isinstance(protocol, str) else protocol
    truths, results, lost, notes, repairs = _complete(entry, truths, results, missing)
    plausible = check_rows([t for t in truths if t.name not in lost], results)
    notes += [*([plausible.misread] if plausible.misread else []), *plausible.notes]
    if entry.compute is not None:
        report = entry.compute(entry, truths, results, attributes)
        report.notes[:0] = notes
        report.repairs.update(repairs)
        return report
    switches = entry.switches
    aligned = [align(t, results[t.name], switches, short) for t in truths]
    for one in aligned:
        repairs.update(one.repairs)
    shares = _shares(aligned, truths, switches, repairs)
    if lost:  # a miss in every frame, the first included, whatever the protocol writes there
        shares = _without(shares, np.array([t.name in lost for t in truths]))
    terms, left_out = _terms(entry, truths, shares, notes)
    samples = {name: ratio_of_sums(num, den) for name, (num, den) in terms.items()}
    if dropped := sum(int((den == 0).sum()) for den in left_out.values()):
        for name, den in left_out.items():
            if count := int((den == 0).sum()):
                notes.append(f"{name}: {count} of {len(truths)} sequences with an all-zero curve are left out of it.")
        repairs["sequences with an all-zero curve dropped (summed over curves)"] = dropped
    if not entry.verified:
        notes.append(f"{entry.name} is not verified: {entry.source}.")
    return Report(
        protocol=entry.name,
        version=entry.version,
        switches=asdict(switches),
        num_sequences=len(truths),
        scores={name: _ratio(num, den) for name, (num, den) in terms.items()},
        per_sequence=_per_sequence(truths, aligned, terms),
        attributes=_by_attribute(entry, truths, terms) if attributes else {},
        repairs=dict(repairs),
        curves=_curves(switches, shares, left_out),
        intervals=bootstrap(samples) if intervals else {},
        notes=notes,
        samples=samples,
        benchmark=entry.benchmark or entry.name,
    )


def missing_sequences(truths: Sequence[Truth], results: Mapping[str, Result]) -> list[str]:
    """Names of the sequences that have a ground truth and no result."""
    return [t.name for t in truths if t.name not in results]


def _complete(
    entry: Protocol, truths: Sequence[Truth], results: Mapping[str, Result], missing: str
) -> tuple[list[Truth], dict[str, Result], set[str], list[str], Counter[str]]:
    """Truths and results that belong together, in the order of the truths; and which of them count as lost."""
    if missing not in ("refuse", "skip", "zero"):
        raise ValueError(f"Missing sequences can be refused, skipped or counted as zero, not {missing!r}.")
    if not truths:
        raise ValueError(f"There is no ground truth for {entry.name}; nothing to score.")
    names = [t.name for t in truths]
    if twice := [n for n, count in Counter(names).items() if count > 1]:
        raise ValueError(f"The ground truth holds {twice[0]} twice; give every sequence once.")
    notes, repairs, used, lost = [], Counter[str](), dict(results), set[str]()
    if lacking := missing_sequences(truths, results):
        if len(lacking) == len(truths):
            raise ValueError(
                f"None of the {len(truths)} sequences of {entry.name} has a result; the results are named "
                f"{_some(list(results))} and the sequences {_some(names)}. Is this the right benchmark?"
            )
        if missing == "refuse":
            raise ValueError(
                f"{len(lacking)} of the {len(truths)} sequences of {entry.name} have no result: {_some(lacking)}; "
                "complete them, leave them out with --missing skip, or count them as zero with --missing zero."
            )
        if missing == "skip":
            truths = [t for t in truths if t.name in results]
            repairs["sequences without a result left out"] = len(lacking)
        else:
            for t in truths:
                if t.name not in results:  # the engine below sets what it finds in them to nothing
                    boxes = t.written if entry.compute is None else np.full((t.result_rows, 4), np.nan)
                    used[t.name] = Result(t.name, boxes)
            lost = set(lacking)
            repairs["sequences without a result counted as lost in every frame"] = len(lacking)
    if strange := [n for n in results if n not in set(names)]:
        notes.append(f"{len(strange)} results belong to no sequence of the ground truth: {_some(strange)}.")
        if other := _protocol_of_size(entry, len(results)):
            notes.append(f"{other} is the protocol with {len(results)} sequences.")
    if entry.sequences is not None and len(truths) != entry.sequences:
        notes.append(
            f"{len(truths)} sequences are scored and {entry.name} has {entry.sequences}: not the benchmark's number."
        )
    return list(truths), used, lost, notes, repairs


def _protocol_of_size(entry: Protocol, count: int) -> str:
    """Another protocol of the same benchmark that has so many sequences; empty where there is none."""
    same = [p for p in PROTOCOLS.values() if (p.benchmark or p.name) == (entry.benchmark or entry.name)]
    return next((p.name for p in same if p.sequences == count != entry.sequences), "")


def _shares(aligned: Sequence[Aligned], truths: Sequence[Truth], s: Switches, repairs: Counter[str]) -> _Shares:
    """Compare every frame of every sequence once and count per sequence."""
    lengths = [len(a.boxes) for a in aligned]
    owner = np.repeat(np.arange(len(aligned)), lengths)  # (M,) sequence of each frame
    boxes = np.concatenate([a.boxes for a in aligned])
    sizes = _image_sizes(truths, lengths, repairs) if s.clip_to_image else None
    error = normalised = overlap = np.empty(0)
    for number in range(len(aligned[0].truths)):
        true = np.concatenate([a.truths[number] for a in aligned])
        e, n, o = compare(boxes, true, s, sizes)
        # the better modality of each frame, error and overlap chosen separately (MPR, MSR)
        first = number == 0
        error, normalised = (e, n) if first else (np.fmin(error, e), np.fmin(normalised, n))
        overlap = o if first else np.fmax(overlap, o)
    if any(a.unseen is not None for a in aligned):
        unseen = np.concatenate([np.zeros(len(a.boxes), bool) if a.unseen is None else a.unseen for a in aligned])
        error, normalised = np.where(unseen, np.inf, error), np.where(unseen, np.inf, normalised)
        overlap = np.where(unseen, -1.0, overlap)
    error, normalised = (np.where(np.isnan(v), np.inf, v) for v in (error, normalised))
    overlap = np.where(np.isnan(overlap), -1.0, overlap)
    if s.error_decimals is not None:
        error = np.round(error, s.error_decimals)

    total = np.array([a.total for a in aligned], np.float64)
    if (total == 0).any():
        repairs["sequences without a frame to score left out"] = int((total == 0).sum())
    safe = np.maximum(total, 1)
    side: Literal["left", "right"] = "left" if s.precision_test == "<=" else "right"
    grids = threshold_grids(s)

    def under(values: Array, grid: Array) -> Array:
        """(S, K) share of frames whose value is within each threshold."""
        return np.cumsum(_histogram(owner, np.searchsorted(grid, values, side), len(aligned), len(grid)), 1)[:, :-1]

    def at(threshold: float, values: Array, grid: Array, curve: Array) -> Array:
        """(S,) the share at one threshold, taken from the curve where it has that point."""
        known = np.flatnonzero(grid == threshold)
        return curve[:, known[0]] if known.size else under(values, np.array([threshold]))[:, 0]

    precision, relative = under(error, grids["precision"]), under(normalised, grids["normalised precision"])
    above = _histogram(owner, np.searchsorted(grids["success"], overlap, "left"), len(aligned), len(grids["success"]))
    return _Shares(
        precision=precision / safe[:, None],
        normalised=relative / safe[:, None],
        success=np.cumsum(above[:, :0:-1], 1)[:, ::-1] / safe[:, None],
        overlap=np.bincount(owner, np.maximum(overlap, 0), len(aligned)) / safe,
        exact={
            "precision": at(s.precision_at, error, grids["precision"], precision) / safe,
            "normalised": at(s.normalised_at, normalised, grids["normalised precision"], relative) / safe,
        },
        weight=total,
    )


def _terms(
    entry: Protocol, truths: Sequence[Truth], shares: _Shares, notes: list[str]
) -> tuple[dict[str, tuple[Array, Array]], dict[str, Array]]:
    """Metric -> (numerators, denominators) per sequence; curve -> denominators."""
    s = entry.switches
    curves = {"precision": shares.precision, "normalised precision": shares.normalised, "success": shares.success}
    weight = shares.weight if s.pooled == "frames" else (shares.weight > 0).astype(np.float64)
    kept = dict.fromkeys(curves, weight)
    if s.zero_curves == "dropped":
        stays = np.zeros(len(truths), bool) if shares.lost is None else shares.lost
        kept = {n: np.where((c.sum(1) > 0) | stays, weight, 0) for n, c in curves.items()}
    terms = {}
    for name, what in entry.metrics.items():
        kind, _, point = what.partition("@")
        curve = {"normalised": "normalised precision", "normalised mean": "normalised precision"}.get(kind, "precision")
        value: Array
        if kind in ("precision", "normalised"):
            value = shares.exact[kind]
        elif kind in ("precision mean", "normalised mean"):
            value = curves[curve].mean(1)
        elif kind == "success":
            curve = "success"
            value = shares.success[:, _grid_index(float(point), s)] if point else _area(shares.success, s)
        elif kind == "average overlap":
            value, curve = shares.overlap, "success"
        elif kind == "boc":
            rewards = [t.reward for t in truths if t.reward is not None]
            if len(rewards) < len(truths):
                notes.append(
                    f"{name} is left out: {len(truths) - len(rewards)} sequences have no reward to weigh them by."
                )
                continue
            terms[name] = (np.array(rewards) * _area(shares.success, s), np.ones(len(truths)))  # drops nothing
            continue
        else:
            raise AssertionError(f"{entry.name}: unknown metric {what!r}")
        terms[name] = (value * kept[curve], kept[curve])
    return terms, kept if s.zero_curves == "dropped" else {}


def _without(shares: _Shares, lost: NDArray[np.bool_]) -> _Shares:
    """The same with nothing found in the lost sequences."""

    def zero(values: Array) -> Array:
        return np.where(lost if values.ndim == 1 else lost[:, None], 0.0, values)

    return replace(
        shares,
        precision=zero(shares.precision),
        normalised=zero(shares.normalised),
        success=zero(shares.success),
        overlap=zero(shares.overlap),
        exact={n: zero(v) for n, v in shares.exact.items()},
        lost=lost,
    )


def _curves(s: Switches, shares: _Shares, kept: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    weight = shares.weight if s.pooled == "frames" else (shares.weight > 0).astype(np.float64)
    values = {"precision": shares.precision, "normalised precision": shares.normalised, "success": shares.success}
    result: dict[str, tuple[Array, Array]] = {}
    for name, grid in threshold_grids(s).items():
        w = kept.get(name, weight)
        result[name] = (grid, (values[name] * w[:, None]).sum(0) / max(w.sum(), 1e-300))
    return result


def _per_sequence(
    truths: Sequence[Truth], aligned: Sequence[Aligned], terms: Mapping[str, tuple[Array, Array]]
) -> dict[str, dict[str, float]]:
    columns = {n: np.divide(num, den, np.zeros_like(num), where=den > 0) for n, (num, den) in terms.items()}
    return {
        t.name: {**{n: float(c[i]) for n, c in columns.items()}, "frames": float(aligned[i].total)}
        for i, t in enumerate(truths)
    }


def _by_attribute(
    entry: Protocol, truths: Sequence[Truth], terms: Mapping[str, tuple[Array, Array]]
) -> dict[str, dict[str, float]]:
    known = set().union(*(t.attributes for t in truths))
    order = [a for a in entry.attributes if a in known] + sorted(known - set(entry.attributes))
    rows = {}
    for attribute in order:
        chosen = np.array([attribute in t.attributes for t in truths])
        rows[attribute] = {n: _ratio(num[chosen], den[chosen]) for n, (num, den) in terms.items()}
        rows[attribute]["sequences"] = float(chosen.sum())
    return rows


def _image_sizes(truths: Sequence[Truth], lengths: Sequence[int], repairs: Counter[str]) -> Array:
    if unknown := sum(t.image_size is None for t in truths):
        repairs["sequences not clipped to the image (size unknown)"] = unknown
    sizes = np.array([t.image_size or (np.inf, np.inf) for t in truths], np.float64)
    return np.repeat(sizes, lengths, axis=0)


def _histogram(owner: NDArray[np.int64], index: NDArray[np.int64], sequences: int, thresholds: int) -> Array:
    bins = thresholds + 1
    return np.bincount(owner * bins + index, minlength=sequences * bins).reshape(sequences, bins).astype(np.float64)


def _area(success: Array, s: Switches) -> Array:
    """(S,) the mean of the curve, or its trapezoidal area over 0..1."""
    if s.success_area == "mean":
        return success.mean(1)
    return (success[:, 1:] + success[:, :-1]).sum(1) / 2 / (success.shape[1] - 1)


def _grid_index(point: float, s: Switches) -> int:
    index = round(point * (s.success_points - 1))
    assert abs(index / (s.success_points - 1) - point) < 1e-9, point
    return index


def _ratio(num: Array, den: Array) -> float:
    return float(num.sum() / den.sum()) if den.sum() > 0 else 0.0


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
