# SPDX-License-Identifier: Apache-2.0
"""The results that a command is given, under the names of the benchmark they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from modaltrack.frame import Result
from modaltrack.results import ResultSet, match_names, read_results
from modaltrack.scoring.plausibility import check_rows
from modaltrack.scoring.records import Array, Protocol, Truth


def read_named(path: Path, protocol: Protocol, rows: str = "") -> ResultSet:
    """The results at a path that belong to a protocol's benchmark; what cannot be read is left to ``matched``."""
    return read_results(path, keep_going=True, benchmark=(protocol.name, protocol.benchmark), rows=rows)


def matched(results: ResultSet, truths: Sequence[Truth], rows: str = "") -> ResultSet:
    """The results under the names of the truths.

    Args:
        results: what was read.
        truths: of the benchmark.
        rows: how rows are to be read; empty: they are checked against the truth.

    Raises:
        ValueError: a sequence's own file cannot be read, or the files are of another form than they are read in.
    """
    lengths = {t.name: t.result_rows for t in truths}
    found = match_names(results, lengths, lengths)
    if results.unreadable and any(name not in found.sequences for name in lengths):
        own = [results.unreadable[n] for n in lengths if n in results.unreadable]
        raise ValueError(own[0] if own else next(iter(results.unreadable.values())))
    found = _from_their_first_frame(found, truths)
    if not rows and (misread := check_rows(truths, found.sequences).misread):
        raise ValueError(f"{results.tracker}: {misread}")
    return found


def _from_their_first_frame(results: ResultSet, truths: Sequence[Truth]) -> ResultSet:
    """Files whose own numbers begin after the first frame get the rows that lack in front, where the lengths agree."""
    sequences, shifted = dict(results.sequences), []
    for truth in truths:
        result = sequences.get(truth.name)
        first = 0 if result is None else int(result.info.get("first_number", 0))
        for lacking in (first - 1, first) if result is not None and first > 0 else ():
            if lacking > 0 and len(result.boxes) + lacking == truth.result_rows:  # type: ignore[union-attr]
                sequences[truth.name] = _padded(result, lacking)  # type: ignore[arg-type]
                shifted.append(truth.name)
                break
    if not shifted:
        return results
    said = f"{len(shifted)} files, for example {shifted[0]}, begin after the first frame by their own numbers."
    return replace(results, sequences=sequences, problems=[*results.problems, said])


def _padded(result: Result, lacking: int) -> Result:
    """The result with so many rows of nan in front."""

    def padded(values: Array) -> Array:
        empty = np.full((lacking, *values.shape[1:]), np.nan)
        return np.concatenate([empty, values]) if len(values) else values

    return replace(result, boxes=padded(result.boxes), scores=padded(result.scores), seconds=padded(result.seconds))
