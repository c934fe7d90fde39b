# SPDX-License-Identifier: Apache-2.0
"""A tracker through a whole benchmark: many clips in lock-step, resumed by sequence, on one machine or many.

Nothing here imports torch by itself: any other tracker can be run without it.
"""

from modaltrack.evaluation.adapters import TrackerSpec, load_engine
from modaltrack.evaluation.run import Outcome, evaluate
from modaltrack.evaluation.store import ResultFolder
from modaltrack.evaluation.streaming import Streaming
from modaltrack.evaluation.tasks import BenchmarkSpec, Task, load_tasks
from modaltrack.session import Failure, Job

__all__ = [
    "BenchmarkSpec",
    "Failure",
    "Job",
    "Outcome",
    "ResultFolder",
    "Streaming",
    "Task",
    "TrackerSpec",
    "evaluate",
    "load_engine",
    "load_tasks",
]
