# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM as a wish to stop, for commands that have something to finish."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signal(stopped: threading.Event | None = None) -> Iterator[threading.Event]:
    """An event (``stopped`` or a new one) that the first Ctrl-C or SIGTERM sets; the second one interrupts as usual."""
    stopped = stopped or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def ask(number: int, stack: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, ask) for kind in kinds]
    try:
        yield stopped
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
