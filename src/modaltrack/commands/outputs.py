# SPDX-License-Identifier: Apache-2.0
"""What ``track`` and ``demo`` leave behind: box files and ``result.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modaltrack.frame import Result


def versions() -> dict[str, str]:
    """What produced a file, for ``result.json``."""
    import platform
    from importlib.metadata import version

    import modaltrack

    names = ("torch", "numpy", "opencv-python-headless", "av")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except ImportError:  # PackageNotFoundError: another wheel of the same library
            found[name] = "unknown"
    return {"modaltrack": modaltrack.__version__, "python": platform.python_version(), **found}


def write_outputs(folder: Path, results: Sequence[Result], facts: dict[str, Any]) -> list[Path]:
    """Write the box files and ``result.json``; -> the files."""
    from modaltrack.sinks import result_document, write_boxes, write_json

    names = ["boxes.txt"] if len(results) == 1 else [f"boxes-{i}.txt" for i in range(1, len(results) + 1)]
    for name, result in zip(names, results, strict=True):
        write_boxes(folder / name, result.boxes)
    write_json(folder / "result.json", result_document(results, facts))
    return [folder / name for name in names] + [folder / "result.json"]
