# SPDX-License-Identifier: Apache-2.0
"""Where groups of sequences run: in this process, or on the workers of a Ray cluster, any of which may die.

Only the process that was started writes results, and each sequence once: a worker that dies loses the group it was at
and nothing else, and that group is given to another one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from modaltrack.evaluation.adapters import TrackerSpec, load_engine
from modaltrack.evaluation.tasks import BenchmarkSpec, Task, load_tasks
from modaltrack.frame import Result
from modaltrack.session import Clock, Engine, Failure, Job, Session

AHEAD = 4  # frames decoded in advance for each clip
DEATHS = 3  # workers that may die on a sequence that runs alone before it is recorded as broken


@dataclass
class Sink:
    """What an executor reports to: each sequence is in exactly one of ``done`` and ``failed``, once."""

    done: Callable[[Result], None]
    failed: Callable[[Failure], None]
    progress: Callable[[int], None]
    clock: Clock = field(default_factory=Clock)


def groups_of(tasks: Sequence[Task], batch: int) -> Iterator[list[Task]]:
    """Groups of ``batch`` sequences of similar length, longest first: batches stay full until the end."""
    ordered = sorted(tasks, key=lambda task: -task.length)
    return (ordered[start : start + batch] for start in range(0, len(ordered), batch))


def run_local(
    engine: Engine, benchmark: BenchmarkSpec, tasks: Sequence[Task], batch: int, workers: int, sink: Sink
) -> None:
    """Run the groups one after the other in this process."""
    for group in groups_of(tasks, batch):
        run_group(engine, [task.job(benchmark) for task in group], sink, workers)


def run_group(engine: Engine, jobs: Sequence[Job], sink: Sink, workers: int = 4) -> None:
    """Run the jobs in lock-step; each is in ``sink.done`` when its frames end, or in ``sink.failed`` when it breaks."""
    session = Session(
        engine,
        jobs,
        [lambda row: sink.progress(1)],
        done=lambda results: sink.done(results[0]),
        failed=sink.failed,
        ahead=AHEAD,
        workers=workers,
    )
    session.run()
    sink.clock.add(session.clock)


class GroupWorker:
    """What runs on a Ray worker: a model that stays loaded, and groups of sequences by name."""

    def __init__(self, tracker: TrackerSpec, benchmark: BenchmarkSpec, workers: int) -> None:
        self._engine, self._benchmark, self._workers = load_engine(tracker), benchmark, workers
        self._tasks = {task.name: task for task in load_tasks(benchmark)}

    def run(self, names: Sequence[str]) -> tuple[list[Result], list[Failure], Clock]:
        """Run a group; -> what came of each of its sequences."""
        done: list[Result] = []
        failed: list[Failure] = []
        jobs = [self._tasks[name].job(self._benchmark) for name in names if name in self._tasks]
        lost = [n for n in names if n not in self._tasks]
        failed += [Failure(n, -1, f"The sequence {n} is not in this machine's copy of the data.") for n in lost]
        sink = Sink(done.append, failed.append, lambda frames: None)
        run_group(self._engine, jobs, sink, self._workers)
        return done, failed, sink.clock


def run_ray(
    tracker: TrackerSpec,
    benchmark: BenchmarkSpec,
    tasks: Sequence[Task],
    batch: int,
    workers: int,
    sink: Sink,
    address: str = "",
    count: int = 0,
) -> None:
    """Spread the groups over a Ray cluster.

    Args:
        address: of a running cluster, "" starts one on this machine.
        count: workers, 0 for one per GPU, or per CPU where there is none.

    Data and weights must lie at the same paths on every machine.

    Raises:
        ValueError: without Ray.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--executor ray needs Ray; install it with: pip install 'modaltrack[ray]'.") from None
    started = not ray.is_initialized()
    if started:
        # a cluster of our own gets as many CPUs as workers were asked for, so that they all fit in
        own = {} if address else {"num_cpus": count or None, "include_dashboard": False}
        ray.init(address=address or None, log_to_driver=False, logging_level="error", **own)
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0)) if tracker.model else 0
        count = count or gpus or max(1, int(ray.cluster_resources().get("CPU", 1)))
        pending = deque(groups_of(tasks, batch))
        count = min(count, len(pending))
        maker = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_restarts=0)(GroupWorker)
        _Pool(ray, lambda: maker.remote(tracker, benchmark, workers), sink).run(pending, count)
    finally:
        if started:
            ray.shutdown()


class _Pool:
    """Actors that are replaced when they die, and the queue of groups between them."""

    def __init__(self, ray: ModuleType, make: Callable[[], Any], sink: Sink) -> None:
        self._ray, self._make, self._sink = ray, make, sink
        self._deaths: Counter[str] = Counter()
        self._settled: set[str] = set()

    def run(self, pending: deque[list[Task]], count: int) -> None:
        idle = [self._make() for _ in range(count)]
        busy: dict[Any, tuple[Any, list[Task]]] = {}  # reference of an answer -> who works at what
        while pending or busy:
            while pending and idle:
                actor, group = idle.pop(), pending.popleft()
                busy[actor.run.remote([task.name for task in group])] = (actor, group)
            (reference,), _ = self._ray.wait(list(busy), num_returns=1)
            actor, group = busy.pop(reference)
            try:
                done, failed, clock = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                if isinstance(getattr(error, "cause", None), ValueError):  # it never came up: bad weights, no data
                    raise ValueError(str(error.cause)) from error
                idle.append(self._make())
                pending.extendleft(reversed(self._again(group)))
                continue
            except self._ray.exceptions.RayTaskError as error:
                raise ValueError(str(getattr(error, "cause", error))) from error
            idle.append(actor)
            for outcome in (*done, *failed):
                self._settle(outcome)
            self._sink.clock.add(clock)
            self._sink.progress(clock.frames)
        for actor in idle:
            self._ray.kill(actor)

    def _settle(self, outcome: Result | Failure) -> None:
        if outcome.name in self._settled:
            return
        self._settled.add(outcome.name)
        if isinstance(outcome, Result):
            self._sink.done(outcome)
        else:
            self._sink.failed(outcome)

    def _again(self, group: list[Task]) -> list[list[Task]]:
        """The groups to run instead of one whose worker died: one by one, so that a clip that kills is found."""
        again = []
        for task in group:
            self._deaths[task.name] += len(group) == 1
            if self._deaths[task.name] < DEATHS:
                again.append([task])
                continue
            self._settle(Failure(task.name, -1, f"{DEATHS} workers died while they ran this sequence."))
        return again
