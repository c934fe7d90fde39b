# SPDX-License-Identifier: Apache-2.0
"""The field's data sets: one table, a few layouts, official split lists and an integrity check. numpy only, no torch.

``open_benchmark("lasher", "path/to/LasHeR")`` gives its sequences; each has ``frames``, ``truth()`` and ``clip()``.
The names below are looked up on first use: a command that only asks where a data set lies loads little of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modaltrack.lazy import on_demand

if TYPE_CHECKING:
    from modaltrack.benchmarks.check import Finding, check_benchmark
    from modaltrack.benchmarks.entries import BenchmarkWarning, SequenceEntry
    from modaltrack.benchmarks.layout import Layout
    from modaltrack.benchmarks.names import find, info, list_benchmarks, official_list
    from modaltrack.benchmarks.roots import config_file, find_root
    from modaltrack.benchmarks.sequences import Benchmark, open_benchmark
    from modaltrack.benchmarks.table import TABLE, Row

__all__ = [
    "TABLE",
    "Benchmark",
    "BenchmarkWarning",
    "Finding",
    "Layout",
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

if not TYPE_CHECKING:
    __getattr__ = on_demand(
        __name__,
        {
            "check": ("Finding", "check_benchmark"),
            "entries": ("BenchmarkWarning", "SequenceEntry"),
            "layout": ("Layout",),
            "names": ("find", "info", "list_benchmarks", "official_list"),
            "roots": ("config_file", "find_root"),
            "sequences": ("Benchmark", "open_benchmark"),
            "table": ("TABLE", "Row"),
        },
    )
