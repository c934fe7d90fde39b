# SPDX-License-Identifier: Apache-2.0
"""Which data a run has seen, in a few numbers for its card."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import folders_of, open_pictures

if TYPE_CHECKING:
    from modaltrack.training.pictures.records import Contents, LabelledClip, LabelledPicture


def fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's samples come from: equal fingerprints and equal recipes mean equal samples.

    Scenes: their version and a hash of the code that renders them. Data sets: by name, the split, the number of
    sequences and a hash of their names, how many the official list names and the disk lacks, and the weight. Folders:
    how many pictures and targets, and a hash of their names and boxes. Which images stand behind them is not looked at.
    """
    if recipe.data and folders_of(recipe):
        return {"pictures": _of_pictures(open_pictures(recipe))}
    if recipe.data:
        from modaltrack.training.benchmark_pairs import describe, open_data

        return {data.benchmark.name: describe(data) for data in open_data(recipe)}
    from modaltrack.scenes import VERSION

    return {"scenes": VERSION, "code": _code()}


def _of_pictures(contents: Contents) -> dict[str, Any]:
    """How many records, and a hash of their names, boxes and sensors; the images are not looked at."""
    digest = hashlib.sha256()
    records: list[LabelledPicture | LabelledClip] = [*contents.pictures, *contents.clips]
    for record in records:
        digest.update(f"{record.name} {sorted(record.files)} {len(record.boxes)}".encode())
        digest.update(np.ascontiguousarray(record.boxes).tobytes())
    return {"pictures": len(contents.pictures), "targets": len(contents.clips), "records": digest.hexdigest()[:16]}


@cache
def _code() -> str:
    package = Path(__file__).parents[1]
    files = [*sorted((package / "scenes").glob("*.py")), package / "vision" / "crop.py"]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
