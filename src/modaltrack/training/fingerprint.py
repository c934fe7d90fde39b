# SPDX-License-Identifier: Apache-2.0
"""Which data a run has seen, in a few numbers for its card."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from modaltrack.training.recipe import Recipe


def fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's samples come from: equal fingerprints and equal recipes mean equal samples.

    Scenes: their version and a hash of the code that renders them. Data sets: by name, the split, the number of
    sequences and a hash of their names, how many the official list names and the disk lacks, and the weight; which
    images stand behind them is not looked at.
    """
    if recipe.data:
        from modaltrack.training.benchmark_pairs import describe, open_data

        return {data.benchmark.name: describe(data) for data in open_data(recipe)}
    from modaltrack.scenes import VERSION

    return {"scenes": VERSION, "code": _code()}


@cache
def _code() -> str:
    package = Path(__file__).parents[1]
    files = [*sorted((package / "scenes").glob("*.py")), package / "vision" / "crop.py"]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
