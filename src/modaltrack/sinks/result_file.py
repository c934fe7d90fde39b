# SPDX-License-Identifier: Apache-2.0
"""``result.json``: everything a run said, and enough beside it to know which run it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modaltrack.files import write_file
from modaltrack.frame import Result, Status

Json = dict[str, Any] | list[Any] | str | int | float | None

FORMAT = "modaltrack-result/1"  # raised when a reader of the old files would misread the new ones


def result_document(results: Sequence[Result], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``result.json`` for one clip with one ``Result`` per target, plain and free of nan.

    Args:
        facts: what is known of the run (model, card, sources, speed, versions ...), put in front of the frames. Per
            frame: index, time in seconds or null, present modalities, and per target box (xywh pixels, null where
            absent), score 0..1 and status by name.
    """
    assert results, "a run has at least one target"
    first = results[0]
    frames = [
        {
            "index": index,
            "time": first.times[index],
            "present": sorted(str(m) for m, rows in first.present.items() if rows[index]),
            "targets": [
                {
                    "box": r.boxes[index] if np.isfinite(r.boxes[index]).all() else None,
                    "score": r.scores[index],
                    "status": Status(int(r.status[index])).name.lower(),
                }
                for r in results
            ],
        }
        for index in range(len(first.boxes))
    ]
    document = plain({"format": FORMAT, **facts, "frames": frames})
    assert isinstance(document, dict)
    return document


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file that every strict parser reads: nan and infinity become null. ``frames`` get a line each."""
    head = plain(document)
    assert isinstance(head, dict)
    frames = head.pop("frames", None)
    text = json.dumps(head, allow_nan=False, ensure_ascii=False, indent=1)
    if frames is not None:
        lines = ",\n  ".join(json.dumps(f, allow_nan=False, ensure_ascii=False) for f in frames)
        before = text.removesuffix("\n}") + "," if head else "{"
        text = f'{before}\n "frames": [\n  {lines}\n ]\n}}'
    write_file(path, text + "\n")


def plain(value: object) -> Json:
    """The same value in the types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return str(value) if isinstance(value, str) else value
    return str(value)
