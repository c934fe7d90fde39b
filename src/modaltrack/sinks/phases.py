# SPDX-License-Identifier: Apache-2.0
"""From the calibrated status to the words that people and programs act upon: lost, searching, found again."""

from __future__ import annotations

from typing import Literal

from modaltrack.frame import Status

Phase = Literal["tracking", "uncertain", "lost", "searching", "found"]


class Phases:
    """Follows each target's status from frame to frame.

    A weak peak alone (``UNCERTAIN``) neither loses a target nor finds it again: the thresholds of ``LOST`` and
    ``TRACKING`` are the model's calibrated ones, and between them nothing changes.

    >>> phases = Phases()
    >>> [phases.after(0, Status(s)) for s in (0, 1, 2, 2, 1, 0, 0)]
    ['tracking', 'uncertain', 'lost', 'searching', 'searching', 'found', 'tracking']
    """

    def __init__(self) -> None:
        self._lost: set[int] = set()  # since LOST and until TRACKING

    def __repr__(self) -> str:
        return f"Phases(lost: {sorted(self._lost)})"

    def after(self, target: int, status: Status) -> Phase:
        """The phase of a target in its next frame; ``lost`` and ``found`` are said once, in the frame of the change."""
        if status is Status.TRACKING:
            if target in self._lost:
                self._lost.remove(target)
                return "found"
            return "tracking"
        if target in self._lost:
            return "searching"
        if status is Status.LOST:
            self._lost.add(target)
            return "lost"
        return "uncertain"
