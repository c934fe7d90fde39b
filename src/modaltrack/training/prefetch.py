# SPDX-License-Identifier: Apache-2.0
"""Batches in the order of their steps, made in place or ahead by other processes."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from typing import Any, Protocol

import torch

from modaltrack.training.data import Batch, from_plain, to_plain


class BatchMaker(Protocol):
    """Makes the parts of a step's batch; has to survive being sent to another process."""

    def __call__(self, step: int) -> list[Batch]: ...


def _render(source: BatchMaker, first: int, stride: int, last: int, out: Queue[Any]) -> None:
    """Body of a rendering process: steps first, first + stride, ... in order, blocked while the queue is full."""
    torch.set_num_threads(1)
    try:
        for step in range(first, last, stride):
            out.put(to_plain(source(step)))
    except KeyboardInterrupt:
        return
    except Exception as error:  # noqa: BLE001 - carried to the trainer, which raises it
        out.put(f"{type(error).__name__}: {error}")


class Prefetcher:
    """Iterates over ``source(step)`` for step in [first, last), in step order whatever the number of ``workers``.

    workers = 0 renders in place; otherwise that many processes render, ``ahead`` steps each, with one thread each:
    enough to train on through the seconds that a new cast of actors takes (about 3 MB a step for the tiny models).
    Batches travel as uint8 through pipes, so no shared memory is needed. Use as a context manager.
    """

    def __init__(self, source: BatchMaker, first: int, last: int, workers: int = 0, ahead: int = 32) -> None:
        self.source, self.first, self.last, self.workers = source, first, last, workers
        self.processes: list[Any] = []
        self.queues: list[Any] = []
        if workers:
            import multiprocessing

            context = multiprocessing.get_context("spawn")  # fork after OpenMP has started threads may hang
            for worker in range(workers):
                self.queues.append(context.Queue(maxsize=ahead))
                work = (source, first + worker, workers, last, self.queues[-1])
                self.processes.append(context.Process(target=_render, args=work, daemon=True))
                self.processes[-1].start()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(timeout=5)
        for waiting in self.queues:
            waiting.cancel_join_thread()
            waiting.close()

    def __iter__(self) -> Iterator[list[Batch]]:
        for step in range(self.first, self.last):
            yield self._receive(step) if self.workers else self.source(step)

    def _receive(self, step: int) -> list[Batch]:
        worker = (step - self.first) % self.workers
        process, waiting = self.processes[worker], self.queues[worker]
        while True:
            try:
                received = waiting.get(timeout=2.0)
                break
            except queue.Empty:
                if not process.is_alive():
                    time.sleep(0.1)  # its last words may still be in the pipe
                    if waiting.empty():
                        raise RuntimeError(
                            f"The rendering process {worker} died (exit code {process.exitcode}) before step {step}."
                        ) from None
        if isinstance(received, str):
            raise RuntimeError(f"The rendering process {worker} failed: {received}")
        return from_plain(*received)
