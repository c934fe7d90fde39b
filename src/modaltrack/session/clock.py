# SPDX-License-Identifier: Apache-2.0
"""Where the time of a session goes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass
class Clock:
    """Where a session's time went, in seconds of the wall clock.

    Attributes:
        frames, clips: rows, and first rows among them.
        first_frame: of the tracker in first rows, which only cut templates.
        tracker: crop, model and box in all others.
        waiting: for frames that were not decoded yet.
        drawing: in observers.
        total: from the first frame that was asked for to the last row.
    """

    frames: int = 0
    clips: int = 0
    total: float = 0.0
    waiting: float = 0.0
    tracker: float = 0.0
    first_frame: float = 0.0
    drawing: float = 0.0

    def add(self, other: Clock) -> None:
        """Add another's; sessions that overlap (on many machines) sum up to more than the time that passed."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

    @property
    def rate(self) -> float | None:
        """Frames per second in the tracker alone, first frames apart; None where there are no others."""
        steps = self.frames - self.clips
        return steps / self.tracker if steps > 0 and self.tracker > 0 else None

    def facts(self) -> dict[str, Any]:
        """For ``result.json``."""
        return {
            "frames_per_second_tracker": self.rate,
            "frames_per_second_end_to_end": self.frames / self.total if self.total > 0 else None,
            "seconds": {
                "total": self.total,
                "waiting_for_source": self.waiting,
                "tracker": self.tracker,
                "first_frame": self.first_frame,
                "drawing_and_encoding": self.drawing,
            },
            "note": "tracker = crop, model and box, without the first frame, decoding, drawing and encoding",
        }
