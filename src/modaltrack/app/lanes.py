# SPDX-License-Identifier: Apache-2.0
"""A lane is a model that follows the targets; a run is one session of it, from a key frame on, either way in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from modaltrack.app.targets import Box, Mark, Target
from modaltrack.frame import Frame, Modality, Row, Status
from modaltrack.session import Engine, Job, Opened, Session
from modaltrack.sinks import RowMessage

RECENT = 30  # rows over which rates are averaged


class LaneRun:
    """One session: targets that began in the same frame, stepped when asked to.

    Args:
        start: its frame; the targets have a box there.
        direction: 1 forwards, -1 backwards in time.

    Attributes:
        head: the last frame it was stepped to, None before the first.
        last: its last row.
    """

    def __init__(self, engine: Engine, start: int, boxes: Sequence[Box], targets: Sequence[Target], direction: int = 1):
        self.start, self.direction = start, direction
        self.targets: list[Target | None] = list(targets)
        self.head: int | None = None
        self.last: Row | None = None
        self._message = RowMessage()
        self._frame: Frame | None = None
        opened = Opened(self._frames(), np.array(boxes, np.float64))
        self._rows = iter(Session(engine, [Job("", lambda: opened)], record=False))

    def step(self, index: int, frame: Frame) -> list[tuple[Target, Mark]]:
        """Go to a frame: what is believed of each target there."""
        self._frame = frame
        row = next(self._rows)
        self.head, self.last = index, row
        told = self._message.document(row)["targets"]
        marks = []
        for number, target in enumerate(self.targets):
            if target is None:
                continue
            box = row.boxes[number]
            x, y, w, h = (float(v) for v in box)
            known = (x, y, w, h) if np.isfinite(box).all() else None
            status = Status(int(row.status[number])) if len(row.status) else None
            mark = Mark(known, float(row.scores[number]), status, told[number]["phase"])
            marks.append((target, mark))
        return marks

    def leave(self, target: Target) -> bool:
        """Follow this target no longer; whether others remain."""
        self.targets = [None if t is target else t for t in self.targets]
        return any(t is not None for t in self.targets)

    def close(self) -> None:
        """End the session."""
        self._rows.close()

    def _frames(self) -> Iterator[Frame]:
        while True:
            assert self._frame is not None, "a run is given its frame before every step"
            yield self._frame


@dataclass
class Lane:
    """A model with its runs.

    Attributes:
        name: "A" or "B".
        model, runtime, precision: as ``load_model`` takes them.
        off: sensors that it is not shown.
        engine: None until it is loaded.
        runs: those that go on.
        seconds: of the tracker, of the newest rows.
        latency: from image to box of the newest live rows.
    """

    name: str
    model: str
    runtime: str = ""
    precision: str = ""
    off: frozenset[Modality] = frozenset()
    engine: Any = None
    runs: list[LaneRun] = field(default_factory=list)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    latency: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def seen(self, frame: Frame) -> Frame:
        """The frame without the sensors that are switched off."""
        gone = self.off & set(frame.images)
        if not gone:
            return frame
        images = {m: image for m, image in frame.images.items() if m not in gone}
        captured = {m: when for m, when in frame.captured.items() if m not in gone}
        return replace(frame, images=images, missing=frame.missing | gone, captured=captured)

    def run_from(self, target: Target, start: int) -> LaneRun | None:
        """The run that follows a target from a key frame forwards."""
        return next((r for r in self.runs if r.direction == 1 and r.start == start and target in r.targets), None)

    def begin(
        self, start: int, targets: Sequence[Target], frame: Frame, direction: int = 1, at: int | None = None
    ) -> LaneRun:
        """A new run at a key frame of these targets, its templates cut.

        Args:
            at: a later frame to begin at with lane A's boxes, where the key frame of a live clip is gone.
        """
        number = start if at is None else at
        boxes = [m.box for t in targets if (m := t.mark("A", number)) is not None and m.box is not None]
        assert self.engine is not None, "the model is loaded first"
        assert len(boxes) == len(targets), "a target without a box cannot be followed"
        run = LaneRun(self.engine, start, boxes, targets, direction)
        run.step(number, self.seen(frame))
        self.runs.append(run)
        return run

    def step(self, run: LaneRun, index: int, frame: Frame) -> list[tuple[Target, Mark]]:
        """One step of a run, with its time noted."""
        marks = run.step(index, self.seen(frame))
        assert run.last is not None
        self.seconds.append(run.last.seconds)
        if run.last.frame.captured:
            self.latency.append(run.last.latency)
        return marks

    def forget(self, target: Target | None = None) -> None:
        """End the runs of one target, or all."""
        for run in list(self.runs):
            if target is None or not run.leave(target):
                run.close()
                self.runs.remove(run)

    def plain(self) -> dict[str, Any]:
        """For the page."""
        mean = sum(self.seconds) / len(self.seconds) if self.seconds else None
        return {
            "name": self.name,
            "model": self.model,
            "runtime": self.runtime,
            "precision": self.precision,
            "off": sorted(self.off),
            "loaded": self.engine is not None,
            "seconds": mean,
            "latency": float(np.median(self.latency)) if self.latency else None,
        }
