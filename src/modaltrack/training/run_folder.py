# SPDX-License-Identifier: Apache-2.0
"""A training run and the world around it: its folder is its own, and it can be asked to stop."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modaltrack.files import locked, prepare_folder
from modaltrack.training.distributed import Ranks

LOCK = ".training.lock"  # held while a run writes into its folder


@contextmanager
def alone_in(out_dir: Path, ranks: Ranks) -> Iterator[None]:
    """Keep other runs out of a folder, and remove what killed ones have left there; the first rank speaks for all."""
    if not ranks.is_first:
        yield
        return
    fresh = not out_dir.exists()
    prepare_folder(out_dir)
    try:
        with _locked_run(out_dir):
            yield
    finally:
        if fresh and [path.name for path in out_dir.iterdir()] == [LOCK]:  # the run failed before its first step
            shutil.rmtree(out_dir)


@contextmanager
def _locked_run(out_dir: Path) -> Iterator[None]:
    with locked(out_dir / LOCK) as mine:
        if not mine:
            holder = " ".join((out_dir / LOCK).read_text(encoding="utf-8").split())
            raise ValueError(
                f"{out_dir} is in use by another training run ({holder}); wait for it, or give another --out."
            )
        yield


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, once: the second signal acts as usual. Only in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        stop.set()
        os.write(2, b"Stopping after this step; once more to stop at once.\n")
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
