# SPDX-License-Identifier: Apache-2.0
"""What is known of the targets: boxes that a person gave, rows that trackers made, and what was accepted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from modaltrack.boxes import iou
from modaltrack.frame import Status

AGREEMENT = 0.5  # overlap from which on two boxes are of the same thing

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A tracker's answer for one target in one frame.

    Attributes:
        box: xywh pixels, None for none.
        phase: the word for it, of ``sinks.phases``; None where the tracker has no status.
    """

    box: Box | None
    score: float
    status: Status | None
    phase: str | None = None

    def plain(self) -> list[Any]:
        """For the page: box, score, status, phase."""
        box = None if self.box is None else [round(v, 2) for v in self.box]
        score = round(self.score, 4) if math.isfinite(self.score) else None
        return [box, score, None if self.status is None else self.status.name.lower(), self.phase]


def between(forward: Mark, backward: Mark, share: float) -> Mark:
    """One answer from two, for a frame between two boxes of a person: one was followed from each of them.

    Where they agree, their mean, weighted by nearness; elsewhere that of the nearer box.

    Args:
        share: 0 at the earlier box, 1 at the later one.
    """
    nearer = backward if share >= 0.5 else forward
    if forward.box is None or backward.box is None or iou(forward.box, backward.box) < AGREEMENT:
        return nearer
    x, y, w, h = ((1 - share) * a + share * b for a, b in zip(forward.box, backward.box))
    return replace(nearer, box=(x, y, w, h))


@dataclass
class Target:
    """A thing to follow.

    Attributes:
        keys: frame -> the box that a person gave there; None where the person says that it is absent.
        accepted: frames whose boxes a person has looked at and agreed with.
        rows: lane -> frame -> what its tracker says. Key frames are in ``keys`` alone.
    """

    number: int
    name: str
    keys: dict[int, Box | None] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)
    rows: dict[str, dict[int, Mark]] = field(default_factory=dict)

    def key_before(self, frame: int) -> int | None:
        """The last key frame up to this one."""
        return max((k for k in self.keys if k <= frame), default=None)

    def key_after(self, frame: int) -> int | None:
        """The first key frame behind this one."""
        return min((k for k in self.keys if k > frame), default=None)

    def mark(self, lane: str, frame: int) -> Mark | None:
        """What is believed of the target in a frame: the person before the tracker."""
        if frame in self.keys:
            box = self.keys[frame]
            return Mark(box, 1.0 if box else math.nan, Status.TRACKING if box else Status.LOST)
        return self.rows.get(lane, {}).get(frame)

    def missing(self, lane: str, frame: int) -> int | None:
        """The key frame that a tracker has to start from to reach this frame; None where nothing is to be done."""
        key = self.key_before(frame)
        if key is None or key == frame or self.keys[key] is None or frame in self.rows.get(lane, {}):
            return None
        return key

    def put(self, lane: str, frame: int, mark: Mark) -> bool:
        """Take a tracker's row, unless a person has settled that frame; whether it was taken."""
        rows = self.rows.setdefault(lane, {})
        if frame in self.keys or (frame in self.accepted and frame in rows):
            return False
        rows[frame] = mark
        return True

    def set_key(self, frame: int, box: Box | None) -> tuple[int, int]:
        """A person's box; the trackers' rows from there to the next key are dropped: (first, last + 1) of them."""
        self.keys[frame] = box
        return self.drop(frame, self.key_after(frame))

    def drop(self, start: int, end: int | None, lane: str | None = None) -> tuple[int, int]:
        """Forget the rows of one lane or of all, from ``start`` to before ``end``."""
        last = max((f for rows in self.rows.values() for f in rows), default=start) + 1
        end = last if end is None else end
        for name, rows in self.rows.items():
            if lane in (None, name):
                for frame in [f for f in rows if start <= f < end]:
                    del rows[frame]
        if lane is None:
            self.accepted -= set(range(start, end))
        return start, end

    def accept(self, lane: str, frame: int) -> int:
        """Accept every box up to a frame; how many frames are accepted then."""
        self.accepted |= {f for f in (*self.keys, *self.rows.get(lane, {})) if f <= frame}
        return len(self.accepted)

    def next_doubt(self, lane: str, frame: int, length: int) -> int | None:
        """The first frame behind ``frame`` that a person should look at: weak or lost and not accepted, else not
        tracked at all; None where there is none.
        """
        rows = self.rows.get(lane, {})
        first = min(self.keys, default=0)
        open_frames = [f for f in range(frame + 1, length) if f not in self.keys and f not in self.accepted]
        weak = [f for f in open_frames if f in rows and rows[f].status is not Status.TRACKING]
        key_gone = {f for f in open_frames if (k := self.key_before(f)) is not None and self.keys[k] is None}
        untracked = [f for f in open_frames if f >= first and f not in rows and f not in key_gone]
        return min(weak[:1] + untracked[:1], default=None)

    def plain(self) -> dict[str, Any]:
        """For the page, without rows."""
        return {
            "id": self.number,
            "name": self.name,
            "keys": {str(k): None if b is None else [round(v, 2) for v in b] for k, b in sorted(self.keys.items())},
            "accepted": spans(self.accepted),
        }


def spans(frames: set[int]) -> list[list[int]]:
    """Frame numbers as [first, last] of every unbroken stretch.

    >>> spans({0, 1, 2, 5})
    [[0, 2], [5, 5]]
    """
    found: list[list[int]] = []
    for frame in sorted(frames):
        if found and frame == found[-1][1] + 1:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return found
