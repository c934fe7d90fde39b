# SPDX-License-Identifier: Apache-2.0
"""One engine for the protocols that compare boxes frame by frame: OTB, LaSOT, LasHeR, GTOT, pytracking, GOT-10k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modaltrack.scoring.records import Protocol, Report, ResultSet, SequenceResult, Switches, Truth

__all__ = ["Protocol", "Report", "ResultSet", "SequenceResult", "Switches", "Truth", "score"]


def score(
    protocol: str | Protocol,
    truths: Sequence[Truth],
    results: Mapping[str, SequenceResult],
    attributes: bool = False,
) -> Report:
    """Score one tracker on one benchmark."""
    raise NotImplementedError
