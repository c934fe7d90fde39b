# SPDX-License-Identifier: Apache-2.0
"""One evaluation from beginning to end: what is left to do, who does it, and what is written when."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from modaltrack.evaluation.adapters import TrackerSpec, load_engine
from modaltrack.evaluation.executors import Sink, run_local, run_ray
from modaltrack.evaluation.store import ResultFolder
from modaltrack.evaluation.streaming import (
    RULES,
    Stream,
    Streaming,
    StreamingScores,
    parse_times,
    run_streaming,
)
from modaltrack.evaluation.tasks import BenchmarkSpec, Task
from modaltrack.frame import Result
from modaltrack.scoring.presence import Evidence, any_absent, presence_evidence, presence_report
from modaltrack.session import Clock, Engine, Failure


@dataclass
class Outcome:
    """What came of an evaluation.

    Attributes:
        skipped: sequences that an earlier run had finished.
        speed: as in run.json.
        streaming: the means of streaming.json, empty without ``streaming``.
        presence: see ``scoring.presence.presence_report``, of this run; empty where no target is ever absent.
    """

    folder: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    speed: dict[str, Any] = field(default_factory=dict)
    streaming: dict[str, float] = field(default_factory=dict)
    presence: dict[str, float | None] = field(default_factory=dict)


def evaluate(
    tracker: TrackerSpec,
    benchmark: BenchmarkSpec,
    tasks: Sequence[Task],
    out: Path,
    batch: int = 8,
    workers: int = 4,
    executor: Literal["local", "ray"] = "local",
    address: str = "",
    ray_workers: int = 0,
    versions: dict[str, str] | None = None,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
    streaming: Streaming | None = None,
) -> Outcome:
    """Run a tracker on the tasks that have no result in ``out`` yet and write each as soon as it is finished.

    Failures are recorded and the rest goes on.

    Args:
        engine: the loaded tracker where the caller has it.
        streaming: frames that the tracker is too slow for are not shown to it; one sequence at a time, in this process.

    Raises:
        ValueError: for a folder with other results in it, and for what cannot be loaded at all.
    """
    if batch < 1 or workers < 1:
        raise ValueError(f"--batch is {batch} and --workers {workers}; give numbers of at least 1.")
    if streaming is not None and executor != "local":
        raise ValueError("--streaming counts the time of single steps; run it with --executor local.")
    facts = facts_of(tracker, benchmark) | ({} if streaming is None else {"streaming": streaming.facts})
    with ResultFolder(out, tracker.name, benchmark.name, facts) as folder:
        outcome = Outcome(folder.path, skipped=_finished(folder, tasks))
        left = [task for task in tasks if task.name not in set(outcome.skipped)]
        book = _Book(folder, outcome, tasks, versions or {})
        if not left:
            outcome.speed = book.speed()
            return outcome
        if engine is None and executor == "local":
            engine = load_engine(tracker)
        if batch > 1 and tracker.tracker:
            batch = 1  # it has a state of its own, one sequence at a time
        book.write()
        sink = Sink(book.done, book.failed, progress or (lambda frames: None), book.clock)
        try:
            if executor == "ray":
                run_ray(tracker, benchmark, left, batch, workers, sink, address, ray_workers)
            elif streaming is not None:
                assert engine is not None
                outcome.streaming = _stream(engine, benchmark, left, streaming, folder, sink)
            else:
                assert engine is not None
                run_local(engine, benchmark, left, batch, workers, sink)
        finally:
            book.write()
            folder.write_manifest([*outcome.skipped, *outcome.done])
        outcome.speed, outcome.presence = book.speed(), book.presence()
    return outcome


def _stream(
    engine: Engine,
    benchmark: BenchmarkSpec,
    tasks: Sequence[Task],
    streaming: Streaming,
    folder: ResultFolder,
    sink: Sink,
) -> dict[str, float]:
    """Run the tasks with the clock; -> the means of ``streaming.json``."""
    entries = {task.name: task.entry for task in tasks}
    scores = StreamingScores(folder.path / "streaming.json", streaming)

    def done(result: Result, stream: Stream) -> None:
        truth = entries[result.name].truth()
        if truth.rows is None and len(truth.boxes) == len(result.boxes):
            scores.add(result.name, stream, truth.boxes[result.first :])
        else:
            warnings.warn(
                f"{result.name} has {len(truth.boxes)} annotated rows for {len(result.boxes)} frames; its boxes are "
                "written and it has no streaming score.",
                stacklevel=2,
            )
        sink.done(result)

    jobs = [task.job(benchmark) for task in tasks]
    run_streaming(engine, jobs, RULES[streaming.rule], parse_times(streaming.times), done, sink.failed, sink.progress)
    return scores.mean()


LATE = "late:"  # how the names of late fusion begin, here without importing torch


def facts_of(tracker: TrackerSpec, benchmark: BenchmarkSpec) -> dict[str, Any]:
    """What must be the same for results to belong together: tracker, weights by checksum, sensors, encodings.

    Where the data lie, on which device and how large the batches are does not matter.
    """
    facts: dict[str, Any] = {"sensors": list(benchmark.sensors), "encodings": dict(benchmark.encodings)}
    if benchmark.name == "scenes":
        from modaltrack import scenes

        facts["scenes"] = {"version": scenes.VERSION, "clips": benchmark.clips, "length": benchmark.length}
    if benchmark.missing:
        facts["missing"] = Path(benchmark.missing).name
    if tracker.model:
        late, name = tracker.model.startswith(LATE), tracker.model.removeprefix(LATE)
        if tracker.precision not in ("", "fp32"):  # what is exact belongs together, whichever runtime computed it
            facts["precision"] = tracker.precision
        facts |= {"model": LATE * late + Path(name).name, "weights_sha256": _checksum(name)}
    else:
        facts |= {"class": tracker.tracker, "images": tracker.images}
    return facts


def _checksum(model: str) -> str:
    """Of a weights file, of the shipped weights of that name, or of all exported graphs in a folder."""
    from modaltrack.models.zoo import SHIPPED

    if known := next((row.sha256 for row in SHIPPED if row.name == model), ""):
        return known
    path = Path(model)
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if path.suffix == ".xml":  # OpenVINO's weights lie beside it
        files.append(path.with_suffix(".bin"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest() if any(file.is_file() for file in files) else ""


def _finished(folder: ResultFolder, tasks: Sequence[Task]) -> list[str]:
    """Sequences that need not be run; files that were cut or mixed up since are run again."""
    finished = []
    for name, (rows, times) in folder.finished([task.name for task in tasks]).items():
        if rows == times and rows:
            finished.append(name)
        else:
            warnings.warn(f"{name} has {rows} boxes and {times} times; it is run again.", stacklevel=3)
            folder.forget(name)
    return finished


class _Book:
    """Writes results as they come and keeps run.json in step with them."""

    def __init__(self, folder: ResultFolder, outcome: Outcome, tasks: Sequence[Task], versions: dict[str, str]) -> None:
        self._folder, self._outcome, self._total, self._versions = folder, outcome, len(tasks), versions
        self._entries = {task.name: task.entry for task in tasks}
        self._presence: list[Evidence] = []
        earlier = folder.read_run() or {}
        self._sessions: list[dict[str, Any]] = list(earlier.get("sessions") or [])
        self.clock, self._frames, self._tracker, self._first = Clock(), 0, 0.0, 0.0
        self._began = time.perf_counter()

    def done(self, result: Result) -> None:
        self._folder.write(result)
        self._outcome.done.append(result.name)
        first = result.first + 1
        self._frames += len(result.boxes) - result.first
        self._first += float(result.seconds[:first].sum())
        self._tracker += float(result.seconds[first:].sum())
        evidence = presence_evidence(self._entries[result.name].truth(), result)
        if evidence is not None:
            self._presence.append(evidence)
        self.write()

    def presence(self) -> dict[str, float | None]:
        """How far score and status of this run's sequences can be believed; {} where no target is ever absent."""
        return presence_report(self._presence) if any_absent(self._presence) else {}

    def failed(self, failure: Failure) -> None:
        self._outcome.failures.append(failure)
        self.write()

    def session(self) -> dict[str, Any]:
        """This run's numbers. Frames are those of finished sequences."""
        return {
            "sequences": len(self._outcome.done),
            "frames": self._frames,
            "seconds_tracker": self._tracker,
            "seconds_first_frames": self._first,
            "seconds_waiting_for_frames": self.clock.waiting,
            "seconds_end_to_end": time.perf_counter() - self._began,
            **({"lost_and_found": found} if (found := self.presence()) else {}),
        }

    def speed(self) -> dict[str, Any]:
        """Frames per second over all sessions, in the tracker alone and from files to files."""
        sessions = [*self._sessions, *([self.session()] if self._outcome.done else [])]
        frames, tracker, total = (
            sum(s[key] for s in sessions) for key in ("frames", "seconds_tracker", "seconds_end_to_end")
        )
        # sessions of earlier versions counted the first frames, which only cut templates, into both
        steps = frames - sum(s["sequences"] for s in sessions if "seconds_first_frames" in s)
        return {
            "frames": frames,
            "frames_per_second_tracker": steps / tracker if tracker else None,
            "frames_per_second_end_to_end": frames / total if total else None,
            "note": "tracker = crop, network and box, without first frames and decoding; end to end = files to files, "
            "loading excluded",
        }

    def write(self) -> None:
        """Replace run.json."""
        finished = len(self._outcome.done) + len(self._outcome.skipped)
        self._folder.write_run(
            {
                "complete": finished == self._total,
                "num_sequences": self._total,
                "finished": finished,
                "failures": [asdict(failure) for failure in self._outcome.failures],
                "speed": self.speed(),
                "sessions": [*self._sessions, self.session()],
                "versions": self._versions,
            }
        )
