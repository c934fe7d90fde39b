# SPDX-License-Identifier: Apache-2.0
"""The playhead: going through a clip in either direction, with every lane following its targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from modaltrack.app.footage import LiveFootage
from modaltrack.app.lanes import Lane, LaneRun
from modaltrack.app.opening import OpenedClip
from modaltrack.app.targets import Mark, Target, between
from modaltrack.frame import Frame

LIVE_WAIT = 0.05  # seconds between two looks at a live clip that sends nothing
LIVE_ROWS = 20_000  # of a live clip that are kept
CATCH_UP = 4  # a live run that begins in the past takes every (behind / CATCH_UP)-th frame until it is up to date

Say = Callable[[dict[str, Any]], None]


class Player:
    """Steps through one clip. Used by one thread.

    Args:
        say: takes messages for the page.
        interrupted: whether something waits that is more urgent than catching up.

    Attributes:
        index: the frame that is shown.
        playing: whether ``advance`` is to be called again.
        back: the run of a target that is followed backwards.
        at: the last message about the frame that is shown.
    """

    def __init__(self, clip: OpenedClip, lanes: dict[str, Lane], say: Say, interrupted: Callable[[], bool]) -> None:
        self.clip, self.lanes = clip, lanes
        self.targets: dict[int, Target] = {}
        self.index = 0
        self.playing = False
        self.back: tuple[Target, LaneRun] | None = None
        self._say, self._interrupted = say, interrupted
        self._catching_up = False
        self._numbers = 0
        self.at: dict[str, Any] = {}
        if clip.footage.live:
            self.index = (clip.footage.length or 1) - 1

    def advance(self) -> None:
        """Go on by one frame; pauses at the end, and with a sentence where something breaks."""
        if self.back is not None:
            self._advance_back(*self.back)
            return
        index = self._next_index()
        if index is None:
            return
        frame = self.clip.footage.frame(index)
        if frame is None:
            self.pause()
            return
        for lane in self.lanes.values():
            if not self._follow(lane, index):
                return
        self.index = index
        self.say_where(frame)

    def show(self, index: int) -> None:
        """Move the playhead without following."""
        length = self.clip.footage.length
        self.stop_back()
        index = max(0, index if length is None else min(index, length - 1))
        frame = self.clip.footage.frame(index)
        if frame is None:  # the clip turned out to be shorter
            index = max(0, (self.clip.footage.length or 1) - 1)
            frame = self.clip.footage.frame(index)
        if frame is None:
            raise ValueError(f"Frame {index} cannot be read.")
        self.index = index
        self._catching_up = self.clip.footage.live
        self.say_where(frame)

    def play(self) -> None:
        """Let the clip go on."""
        self._catching_up = self.clip.footage.live and any(t.keys for t in self.targets.values())
        self.playing = True

    def pause(self) -> None:
        """Stop at the frame that is shown."""
        self.stop_back()
        self.playing = False
        self._say(self.where())

    def follow_back(self, target: Target) -> None:
        """Follow a target from the frame that is shown towards the beginning, up to what a person has settled."""
        if self.clip.footage.live:
            raise ValueError("A live clip cannot be followed backwards; record it and open the recording.")
        lane = self.lanes["A"]
        mark = target.mark("A", self.index)
        if mark is None or mark.box is None:
            raise ValueError(f"{target.name} has no box in frame {self.index}; draw one there first.")
        self.stop_back()
        target.keys[self.index] = mark.box
        frame = self.clip.footage.frame(self.index)
        assert frame is not None, "the frame is shown"
        self.back = target, lane.begin(self.index, [target], frame, direction=-1)
        self.playing = True

    def stop_back(self) -> None:
        """End following backwards."""
        if self.back is None:
            return
        run = self.back[1]
        self.back = None
        run.close()
        for lane in self.lanes.values():
            lane.runs = [r for r in lane.runs if r is not run]

    def settle(self) -> None:
        """Of a live clip, let what is believed of the targets now be their keys, before rows are dropped: it cannot be
        begun anew from frames that are gone.
        """
        if self.clip.footage.live:
            for target in self.targets.values():
                mark = target.mark("A", self.index)
                if mark is not None and mark.box is not None:
                    target.keys[self.index] = mark.box

    def add_target(self, name: str = "") -> Target:
        """A new target without a box."""
        self._numbers += 1
        target = Target(self._numbers, name or f"target {self._numbers}")
        self.targets[target.number] = target
        return target

    def forget(self, target: Target) -> None:
        """End all runs of a target, in every lane."""
        if self.back is not None and self.back[0] is target:
            self.stop_back()
        for lane in self.lanes.values():
            lane.forget(target)

    def where(self) -> dict[str, Any]:
        """Message: what the playhead does."""
        return {
            "type": "player",
            "index": self.index,
            "playing": self.playing,
            "back": self.back[0].number if self.back else None,
            "length": self.clip.footage.length,
            "lanes": {name: lane.plain() for name, lane in self.lanes.items()},
        }

    def say_where(self, frame: Frame) -> None:
        """Tell the page which frame is shown, and how fast things are."""
        lanes = {
            name: {"seconds": facts["seconds"], "latency": facts["latency"]}
            for name, lane in self.lanes.items()
            for facts in [lane.plain()]
        }
        self.at = {
            "type": "at",
            "index": self.index,
            "time": frame.time if math.isfinite(frame.time) else None,
            "present": sorted(frame.images),
            "missing": sorted(frame.missing),
            "length": self.clip.footage.length,
            "lanes": lanes,
        }
        self._say(self.at)

    def _next_index(self) -> int | None:
        feed = self.clip.footage
        if not isinstance(feed, LiveFootage):
            return self.index + 1
        newest = feed.wait(self.index, LIVE_WAIT)
        if newest <= self.index:
            if feed.ended:
                self.pause()
                sentence = str(feed.error) if feed.error else "The live sources have ended."
                self._say({"type": "notice", "level": "error", "text": sentence})
            return None
        behind = newest - self.index
        if self._catching_up and behind > CATCH_UP:
            return self.index + math.ceil(behind / CATCH_UP)
        self._catching_up = False
        return newest

    def _follow(self, lane: Lane, index: int) -> bool:
        """Bring every target of a lane to a frame; False where something more urgent came up."""
        starts: dict[int, list[Target]] = {}
        for target in self.targets.values():
            start = target.missing(lane.name, index)
            if start is not None:
                starts.setdefault(start, []).append(target)
        for start, targets in starts.items():
            fresh = [t for t in targets if lane.run_from(t, start) is None]
            if fresh and not self._gone(start):
                lane.begin(start, fresh, self._frame(start))
            elif known := [t for t in fresh if (m := t.mark("A", self.index)) is not None and m.box is not None]:
                lane.begin(start, known, self._frame(self.index), at=self.index)
        for run in [r for r in lane.runs if r.direction == 1]:
            if any(t in starts.get(run.start, []) for t in run.targets) and not self._step_to(lane, run, index):
                return False
        return True

    def _gone(self, index: int) -> bool:
        """Whether a frame of a live clip is no longer kept."""
        feed = self.clip.footage
        return isinstance(feed, LiveFootage) and index < feed.oldest

    def _step_to(self, lane: Lane, run: LaneRun, index: int) -> bool:
        """Step a run up to a frame. In a live clip what lies between is gone; in a recording nothing is left out."""
        assert run.head is not None
        frames = [index] if self.clip.footage.live else range(run.head + 1, index + 1)
        for number in frames:
            for target in run.targets:
                if target is not None and target.key_before(number) != run.start:
                    run.leave(target)
            try:
                marks = lane.step(run, number, self._frame(number))
            except Exception:
                lane.runs.remove(run)  # its session has ended
                raise
            self._put(lane, number, marks)
            if number != index and self._interrupted():
                return False
        return True

    def _put(self, lane: Lane, number: int, marks: list[tuple[Target, Mark]]) -> None:
        rows = [
            [lane.name, target.number, number, *mark.plain()]
            for target, mark in marks
            if target.put(lane.name, number, mark)
        ]
        if rows:
            self._say({"type": "rows", "rows": rows})
        if self.clip.footage.live:
            for target, _ in marks:
                kept = target.rows.get(lane.name, {})
                if len(kept) > LIVE_ROWS:
                    del kept[next(iter(kept))]

    def _advance_back(self, target: Target, run: LaneRun) -> None:
        index = self.index - 1
        if index < 0 or index in target.keys or index in target.accepted:
            self.pause()
            return
        frame = self._frame(index)
        ((_, mark),) = self.lanes["A"].step(run, index, frame)
        earlier, forward = target.key_before(index), target.rows.get("A", {}).get(index)
        if earlier is not None and forward is not None:
            mark = between(forward, mark, (index - earlier) / (run.start - earlier))
        self._put(self.lanes["A"], index, [(target, mark)])
        self.index = index
        self.say_where(frame)

    def _frame(self, index: int) -> Frame:
        frame = self.clip.footage.frame(index)
        if frame is None:
            raise ValueError(f"Frame {index} cannot be read: the clip is shorter than it was.")
        return frame
