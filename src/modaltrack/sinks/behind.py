# SPDX-License-Identifier: Apache-2.0
"""Drawing and encoding off the critical path: an observer that works in a thread of its own, behind the tracker."""

from __future__ import annotations

import threading
from queue import Queue
from types import TracebackType
from typing import Protocol

from modaltrack.frame import Row

WAITING = 8  # rows, with their images, that may wait to be drawn; then the tracker waits, too


class RowSink(Protocol):
    """An observer of a session that is a context, as the videos are."""

    def row(self, row: Row) -> None: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Behind:
    """``sink`` in a thread: ``row`` returns at once, unless ``WAITING`` rows are waiting. A context, as the sink is.

    The first row is handed over in the caller's thread, since that is where a sink opens its file and says what is
    wrong with it. What fails later is raised by the next ``row``, or at the end.
    """

    def __init__(self, sink: RowSink) -> None:
        self._sink = sink
        self._queue: Queue[Row | None] = Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._dropped = False

    def row(self, row: Row) -> None:
        """Hand a row of a session over."""
        if self._error is not None:
            raise self._error
        if self._thread is None:
            self._sink.row(row)
            self._thread = threading.Thread(target=self._work, name="modaltrack-behind", daemon=True)
            self._thread.start()
        else:
            self._queue.put(row)

    def _work(self) -> None:
        while (row := self._queue.get()) is not None:
            if self._error is None and not self._dropped:
                try:
                    self._sink.row(row)
                except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
                    self._error = error

    def __enter__(self) -> Behind:
        self._sink.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dropped = kind is not None
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        if kind is None and self._error is not None:
            failed = self._error
            self._sink.__exit__(type(failed), failed, failed.__traceback__)
            raise failed
        self._sink.__exit__(kind, error, trace)
