# SPDX-License-Identifier: Apache-2.0
"""Box files: one row ``x,y,w,h`` per frame, ``nan`` where the target is absent. The field's common text format."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.sinks.atomic import replacing


def write_boxes(path: Path, boxes: ArrayLike) -> None:
    """Write (N, 4) xywh pixels with three decimals, comma separated, one row per frame."""
    rows = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    with replacing(path) as partial:
        partial.write_text("".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in rows), encoding="ascii")


def read_boxes(path: Path) -> NDArray[np.float64]:
    """Read a box file: four numbers a row, between them commas, semicolons, tabs or blanks; -> (N, 4) float64.

    Raises ValueError with the line number for anything else, OSError when the file cannot be read.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a text file with one row x,y,w,h per frame.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file; give one with a row x,y,w,h per frame.") from None
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field for field in re.split(r"[,;\s]+", line.strip()) if field]
        try:
            row = [float(field) for field in fields]
        except ValueError:
            raise ValueError(
                f"Line {number} of {path} is {line.strip()[:60]!r}; expected four numbers x,y,w,h (nan where absent)."
            ) from None
        if len(row) != 4:
            raise ValueError(f"Line {number} of {path} holds {len(row)} numbers; expected four: x,y,w,h.")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path} holds no boxes; expected one row x,y,w,h per frame.")
    return np.array(rows, dtype=np.float64)
