# SPDX-License-Identifier: Apache-2.0
"""The field's data sets: one table, a few layouts, official split lists and an integrity check. numpy only, no torch.

``open_benchmark("lasher", "path/to/LasHeR")`` gives its sequences; each has ``frames``, ``truth()`` and ``clip()``.
The names below are looked up on first use: a command that only asks where a data set lies loads little of this.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modaltrack.benchmarks.check import Finding, check_benchmark
    from modaltrack.benchmarks.entries import BenchmarkWarning, SequenceEntry
    from modaltrack.benchmarks.names import find, info, list_benchmarks, official_list
    from modaltrack.benchmarks.roots import config_file, find_root
    from modaltrack.benchmarks.sequences import Benchmark, open_benchmark
    from modaltrack.benchmarks.table import TABLE, Row

_HOME = {
    "Finding": "check",
    "check_benchmark": "check",
    "BenchmarkWarning": "entries",
    "SequenceEntry": "entries",
    "find": "names",
    "info": "names",
    "list_benchmarks": "names",
    "official_list": "names",
    "config_file": "roots",
    "find_root": "roots",
    "Benchmark": "sequences",
    "open_benchmark": "sequences",
    "TABLE": "table",
    "Row": "table",
}

__all__ = [
    "TABLE",
    "Benchmark",
    "BenchmarkWarning",
    "Finding",
    "Row",
    "SequenceEntry",
    "check_benchmark",
    "config_file",
    "find",
    "find_root",
    "info",
    "list_benchmarks",
    "official_list",
    "open_benchmark",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'modaltrack.benchmarks' has no attribute {name!r}")
    return getattr(import_module(f"modaltrack.benchmarks.{_HOME[name]}"), name)
