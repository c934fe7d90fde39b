# SPDX-License-Identifier: Apache-2.0
"""Latency in the score: frames arrive by the clock, and what a tracker has not finished in time it has not seen.

The clock is simulated: it runs on by the tracker's step times, measured or recorded ones, so that recorded times give
the same result on any machine. The first box costs no time. A free tracker takes the newest frame that has arrived, or
waits for the next.

``e-lae``: 30 frames per second; for each eta of 0, .02 ... 1 the truth of frame i is compared with the newest box that
was finished by (i + eta) / 30 s; the scores are the means over eta. Source: Li et al., PVT++, ICCV 2023.
``vot-realtime``: 20 frames per second, a box counts for its frame when it is finished before the next one arrives, else
the last one does; the first 3 frames after the start are in time whatever they take. Source: the VOT challenge's rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.files import read_json, write_file
from modaltrack.frame import Frame, Result, Row
from modaltrack.scoring import precision_at, success_auc
from modaltrack.session import Engine, Failure, Job, Opened, Session

Cost = Callable[[int, float], float]  # step (from 1) and its measured seconds -> the seconds that the clock runs on
_EXACT = 1e-9  # seconds: a frame that arrives at the very end of a step has arrived


@dataclass(frozen=True, slots=True)
class Rule:
    """A latency-aware protocol.

    Attributes:
        rate: frames per second.
        etas: in frame intervals, when a box must be finished after its frame's arrival; scores are means over them.
        grace: frames after the first that are in time whatever they take.
    """

    name: str
    rate: float
    etas: tuple[float, ...]
    grace: int = 0


RULES = {
    "e-lae": Rule("e-lae", 30.0, tuple(round(0.02 * k, 2) for k in range(51))),
    "vot-realtime": Rule("vot-realtime", 20.0, (1.0,), 3),
}


@dataclass
class Stream:
    """The frames that a tracker sees of a sequence when it is late for others; its ``row`` must observe the session.

    Attributes:
        seen: numbers of the frames it was given, from 0.
        finished: when it had the box of each, in seconds of the simulated clock.
        length: frames of the sequence, known when it has ended.
        boxes: (len(seen), 4) xywh, known when it has ended.
    """

    rule: Rule
    cost: Cost
    seen: list[int] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    length: int = 0
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Those of the frames that the tracker gets round to; the next is drawn when the box of the last is known."""
        wanted = 0
        for number, frame in enumerate(frames):
            self.length = number + 1
            if number < wanted:
                continue
            self.seen.append(number)
            yield frame
            assert len(self.finished) == len(self.seen), "row must be called for each frame before the next is drawn"
            wanted = max(number + 1, math.floor(self.finished[-1] * self.rule.rate + _EXACT))

    def row(self, row: Row) -> None:
        """Note when the box of the last frame is finished."""
        step = len(self.finished)
        number = self.seen[step]
        if not step:
            self.finished.append(0.0)
            return
        begun = max(self.finished[-1], number / self.rule.rate)
        seconds = self.cost(step, row.seconds)
        if number <= self.rule.grace:
            seconds = min(seconds, 1 / self.rule.rate)
        self.finished.append(begun + seconds)

    def newest(self, eta: float) -> NDArray[np.int64]:
        """For each frame the row of the newest box that is finished eta frame intervals after its arrival."""
        numbers = np.arange(self.length)
        due = (numbers + eta) / self.rule.rate
        finished = np.searchsorted(np.array(self.finished), due + _EXACT, side="right") - 1
        # at eta 1 a step of no time at all has finished the next frame: its box is not one of this frame
        return np.minimum(finished, np.searchsorted(np.array(self.seen), numbers, side="right") - 1)


def parse_times(text: str) -> Callable[[str], Cost]:
    """The step times of ``--step-times``: sequence -> the cost of its steps.

    Args:
        text: "" for measured ones, seconds, or a folder of an earlier run, whose ``<sequence>_time.txt`` are taken.

    Raises:
        ValueError: for anything else; of a folder, when a sequence has no times there.
    """
    if not text:
        return lambda name: lambda step, seconds: seconds
    fixed = _seconds(text)
    if fixed is None:
        folder = Path(text)
        if not folder.is_dir():
            raise ValueError(
                f"--step-times {text!r} is neither seconds nor a folder of results with <sequence>_time.txt."
            )
        return lambda name: _recorded(folder, name)
    if not (math.isfinite(fixed) and fixed >= 0):
        raise ValueError(f"--step-times is {text}; give seconds of 0 or more.")
    return lambda name: lambda step, seconds: fixed


def _seconds(text: str) -> float | None:
    """The number of ``--step-times``; None for a folder."""
    try:
        return float(text)
    except ValueError:
        return None


def _recorded(folder: Path, name: str) -> Cost:
    from modaltrack.box_text import parse_table

    file = folder / f"{name}_time.txt"
    if not file.is_file():
        raise ValueError(f"{folder} has no recorded times of {name} ({file.name}); run eval without --streaming first.")
    times = parse_table(file.read_bytes(), str(file)).numbers.ravel()
    times = times[np.isfinite(times)]
    if len(times) < 2 or (times < 0).any():
        raise ValueError(f"{file} holds no times of steps; seconds of 0 or more, one a frame, are expected.")
    return lambda step, seconds: float(times[1 + (step - 1) % (len(times) - 1)])


def run_streaming(
    engine: Engine,
    jobs: Sequence[Job],
    rule: Rule,
    times: Callable[[str], Cost],
    done: Callable[[Result, Stream], None],
    failed: Callable[[Failure], None],
    progress: Callable[[int], None],
) -> None:
    """Run the jobs one by one; ``done`` gets each with a box for every frame, the newest at the first eta."""
    for job in jobs:
        stream = Stream(rule, times(job.name))

        def opened(job: Job = job, stream: Stream = stream) -> Opened:
            given = job.open()
            return replace(given, frames=stream.frames(given.frames))  # type: ignore[arg-type]

        def finish(results: list[Result], stream: Stream = stream) -> None:
            stream.boxes = results[0].boxes[results[0].first :]
            done(held(results[0], stream, rule.etas[0]), stream)

        session = Session(
            engine,
            [Job(job.name, opened, job.length)],
            [stream.row, lambda row: progress(1)],
            done=finish,
            failed=failed,
        )
        session.run()


def held(result: Result, stream: Stream, eta: float) -> Result:
    """A result of the frames that were seen -> one of all frames; each box is held until a newer one is finished."""
    first = result.first
    rows = np.concatenate([np.arange(first), first + stream.newest(eta)])
    parts: dict[str, Any] = {
        name: getattr(result, name)[rows]
        for name in ("boxes", "scores", "seconds", "status", "times")
        if len(getattr(result, name))
    }
    return replace(result, **parts, present={m: there[rows] for m, there in result.present.items()})


def scores(stream: Stream, truth: NDArray[np.float64]) -> dict[str, float]:
    """Success (AUC) and precision at 20 pixels, means over the rule's etas, and the share of frames that were seen.

    Args:
        truth: (N, 4) xywh from the sequence's first shown frame on, nan where the target is absent.
    """
    true = truth[: stream.length]
    found = [stream.boxes[stream.newest(eta)][: len(true)] for eta in stream.rule.etas]
    return {
        "success": float(np.mean([success_auc(pred, true) for pred in found])),
        "precision": float(np.mean([precision_at(pred, true) for pred in found])),
        "seen": len(stream.seen) / max(stream.length, 1),
    }


@dataclass(frozen=True, slots=True)
class Streaming:
    """What ``eval --streaming`` was asked for.

    Args:
        rule: a name of ``RULES``.
        times: see ``parse_times``.

    Raises:
        ValueError: for other names and times.
    """

    rule: str
    times: str = ""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"--streaming is {self.rule!r}; use one of {', '.join(RULES)}.")
        parse_times(self.times)

    @property
    def facts(self) -> dict[str, str]:
        """What must be the same for results to belong together."""
        fixed = _seconds(self.times)
        times = "recorded" if self.times else "measured"
        return {"rule": self.rule, "times": times if fixed is None else f"{fixed:g}"}


class StreamingScores:
    """``streaming.json`` beside the results: the scores of each sequence, and their means.

    Args:
        file: continued where it is there.
    """

    def __init__(self, file: Path, streaming: Streaming) -> None:
        self._file, self._streaming = file, streaming
        try:
            earlier = read_json(file, "remove that folder or pass another --out")
        except FileNotFoundError:
            earlier = {}
        self.sequences: dict[str, dict[str, float]] = dict(earlier.get("sequences") or {})

    def add(self, name: str, stream: Stream, truth: NDArray[np.float64]) -> None:
        """Score a sequence and rewrite the file."""
        self.sequences[name] = scores(stream, truth)
        rule = RULES[self._streaming.rule]
        content = {
            "format": "modaltrack-streaming/1",
            **self._streaming.facts,
            "frames_per_second": rule.rate,
            "etas": list(rule.etas),
            "grace": rule.grace,
            "mean": self.mean(),
            "sequences": self.sequences,
        }
        write_file(self._file, json.dumps(content, indent=1, allow_nan=True) + "\n")

    def mean(self) -> dict[str, float]:
        """Means over the sequences that have a score."""
        keys = ("success", "precision", "seen")
        return {k: float(np.nanmean([s[k] for s in self.sequences.values()])) for k in keys} if self.sequences else {}
