# SPDX-License-Identifier: Apache-2.0
"""The results that a command is given, under the names of the benchmark they are about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modaltrack.results import ResultSet, match_names, read_results
from modaltrack.scoring.records import Protocol, Truth


def read_named(path: Path, protocol: Protocol) -> ResultSet:
    """The results at a path that belong to a protocol's benchmark; what cannot be read is left to ``matched``."""
    return read_results(path, keep_going=True, benchmark=(protocol.name, protocol.benchmark))


def matched(results: ResultSet, truths: Sequence[Truth]) -> ResultSet:
    """The results under the names of the truths. Raises ValueError where a sequence's own file cannot be read."""
    rows = {t.name: t.result_rows for t in truths}
    found = match_names(results, rows, rows)
    if results.unreadable and any(name not in found.sequences for name in rows):
        own = [results.unreadable[n] for n in rows if n in results.unreadable]
        raise ValueError(own[0] if own else next(iter(results.unreadable.values())))
    return found
