# SPDX-License-Identifier: Apache-2.0
"""Work on several CPU cores without barriers: each task has one core, and they meet once, at the end.

For thousands of small operations in a row. torch splits each of them over all cores and waits for the slowest; where
another program uses a core, every single one waits for that program's time slice (measured: 1 s becomes 118 s).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

Task = Callable[[], object]


def on_cores(tasks: Sequence[Task]) -> None:
    """Run tasks that need no gradient on up to ``torch.get_num_threads()`` threads of one core each.

    Each task writes its results where no other reads or writes. An exception of a task is raised here.
    """
    count = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def alone(task: Task) -> None:
        torch.set_num_threads(1)  # of this thread, and of threads that torch has not seen yet
        with torch.inference_mode(inference), torch.set_grad_enabled(False):  # both are known per thread
            task()

    if count == 1 or torch.compiler.is_compiling():  # a thread would escape from tracing
        for task in tasks:
            task()
        return
    try:
        if len(tasks) == 1:
            alone(tasks[0])
        else:
            with ThreadPoolExecutor(min(count, len(tasks))) as pool:
                list(pool.map(alone, tasks))
    finally:
        torch.set_num_threads(count)
