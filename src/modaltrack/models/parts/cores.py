# SPDX-License-Identifier: Apache-2.0
"""Work on several CPU cores without barriers: each task has one core, and they meet once, at the end.

For thousands of small operations in a row. torch splits each of them over all cores and waits for the slowest; where
another program uses a core, every single one waits for that program's time slice (measured: 1 s becomes 118 s).
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

Task = Callable[[], object]


def scripted(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as TorchScript, which runs without the interpreter's lock; itself where that cannot be had.

    In Python, threads that call small operations wait for each other's hold of the lock: two take longer than one
    (measured: 260 ms against 231, and 127 so). torch calls TorchScript deprecated; results without it are the same.
    """
    return function if torch.compiler.is_compiling() else _script(function)


@cache
def _script(function: Callable[..., Any]) -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.jit.script(function)
        except (AttributeError, OSError, RuntimeError, TypeError):  # no TorchScript or no source text
            return function


def on_cores(tasks: Sequence[Task]) -> None:
    """Run tasks that need no gradient on up to ``torch.get_num_threads()`` threads of one core each, this one included.

    Each task writes its results where no other reads or writes. An exception of a task is raised here.
    """
    count = torch.get_num_threads()
    if count == 1 or torch.compiler.is_compiling():  # a thread would escape from tracing
        for task in tasks:
            task()
        return
    inference = torch.is_inference_mode_enabled()
    left = deque(tasks)

    def alone() -> None:
        torch.set_num_threads(1)  # of this thread, and of threads that torch has not seen yet
        with torch.inference_mode(inference), torch.set_grad_enabled(False):  # both are known per thread
            while True:
                try:
                    task = left.popleft()
                except IndexError:
                    return
                task()

    try:
        with ThreadPoolExecutor(count) as pool:
            others = [pool.submit(alone) for _ in range(min(count, len(tasks)) - 1)]
            alone()  # waiting for another thread instead costs milliseconds
            for other in others:
                other.result()
    finally:
        torch.set_num_threads(count)
