# SPDX-License-Identifier: Apache-2.0
"""``result.json``: everything a run said, and enough beside it to know which run it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.files import read_json, write_file
from modaltrack.frame import Modality, Result, Status
from modaltrack.sinks.box_file import write_boxes

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


def save_result(result: Result, path: Path) -> Path:
    """Write one result: all that is known to a ``.json`` file, else rows of x,y,w,h.

    Raises:
        ValueError: for multistart runs in JSON, which has no place for them.
    """
    if path.suffix.lower() != ".json":
        write_boxes(path, result.boxes)
        return path
    if result.runs:
        raise ValueError(f"{path.name} cannot hold a multistart test's runs; write them with results.write_results.")
    length = len(result.boxes)

    def column(values: NDArray[Any]) -> list[Any]:
        return values.tolist() if len(values) == length else [None] * length

    times, scores, seconds = column(result.times), column(result.scores), column(result.seconds)
    status = [None if s is None else Status(s).name.lower() for s in column(result.status)]
    frames = [
        {
            "index": row,
            "time": times[row],
            "present": sorted(str(m) for m, rows in result.present.items() if rows[row]),
            "targets": [
                {
                    "box": result.boxes[row] if np.isfinite(result.boxes[row]).all() else None,
                    "score": scores[row],
                    "status": status[row],
                    "seconds": seconds[row],
                }
            ],
        }
        for row in range(length)
    ]
    head = {"clip": {"name": result.name}, "first": result.first, "corners": result.corners}
    sensors = sorted(map(str, result.present))
    write_json(path, {"format": FORMAT, **head, "sensors": sensors, "info": result.info, "frames": frames})
    return path


def read_result(path: Path, target: int = 0) -> Result:
    """One target of a ``result.json``, of a run or of ``save_result``.

    Raises:
        ValueError: in one sentence, where the file is something else or has no such target.
    """
    wanted = f"a result.json of modaltrack ({FORMAT}) was expected."
    document = read_json(path, wanted)
    if document.get("format") != FORMAT or not isinstance(document.get("frames"), list):
        raise ValueError(f"{path} has the format {str(document.get('format'))[:60]!r}; {wanted}")
    try:
        return _read(path, document, target)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, _NoTarget):
            raise ValueError(str(error)) from None
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {str(error)[:80]}); {wanted}") from None


class _NoTarget(ValueError):
    pass


def _read(path: Path, document: Mapping[str, Any], target: int) -> Result:
    frames = document["frames"]
    count = len(frames[0]["targets"]) if frames else 0
    if not 0 <= target < count:
        raise _NoTarget(f"{path} holds {count} targets, counted from 0, and number {target} was asked for.")
    rows = [frame["targets"][target] for frame in frames]

    def column(values: list[Any]) -> NDArray[np.float64]:
        known = any(value is not None for value in values)
        return np.array([np.nan if v is None else float(v) for v in values] if known else [], np.float64)

    boxes = np.array([[np.nan] * 4 if row["box"] is None else row["box"] for row in rows], np.float64).reshape(-1, 4)
    names = [row["status"] for row in rows]
    sensors = document.get("sensors") or sorted({m for frame in frames for m in frame["present"]})
    clip, info = document.get("clip"), document.get("info", {})
    if not isinstance(info, dict):
        raise TypeError("info is no object")
    return Result(
        str(clip["name"]) if isinstance(clip, dict) and "name" in clip else path.stem,
        boxes,
        scores=column([row["score"] for row in rows]),
        seconds=column([row.get("seconds") for row in rows]),
        corners=bool(document.get("corners", False)),
        status=np.array([] if None in names else [Status[name.upper()] for name in names], np.int64),
        times=column([frame["time"] for frame in frames]),
        present={Modality(m): np.array([m in frame["present"] for frame in frames]) for m in sensors},
        first=int(document.get("first", 0)),
        info=info,
    )
