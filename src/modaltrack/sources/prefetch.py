# SPDX-License-Identifier: Apache-2.0
"""Work ahead in a small bounded thread, so that decoding and the model take their time in parallel."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

NICE = 5  # of threads that work ahead
JOIN_SECONDS = 5.0  # a camera may sit in a read of its own; the thread is a daemon and cannot hold the process up


class _End(Generic[T]):
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T], ahead: int = 3, latest: bool = False) -> Generator[T, None, None]:
    """Yield what ``items`` yields, up to ``ahead`` of them made in advance by a thread.

    Args:
        latest: when the consumer is slower, the oldest waiting item is dropped (live cameras); otherwise the thread
            waits.

    Work that is ahead gives way to the consumer where cores are scarce (Linux), but for live cameras.

    An exception in ``items`` is raised here, at its place in the order. Closing (or dropping) this generator ends the
    thread and closes ``items``. The thread starts with the first ``next``.
    """
    queue: Queue[T | _End[T]] = Queue(maxsize=ahead)
    stop = threading.Event()

    def put(item: T | _End[T]) -> None:
        while latest and queue.full():
            try:
                queue.get_nowait()
            except Empty:
                break
        while not stop.is_set():
            try:
                queue.put(item, timeout=0.1)
                return
            except Full:
                continue

    def work() -> None:
        if not latest:
            _give_way()
        end: _End[T] = _End()
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - it is raised again in the consumer's thread
            end = _End(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        put(end)

    thread = threading.Thread(target=work, name="modaltrack-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join(JOIN_SECONDS)


def _give_way() -> None:
    """Let the consumer's thread come before this one, and before those of a decoder that this one starts."""
    if sys.platform == "linux":  # elsewhere a priority is a whole process's
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)
