# SPDX-License-Identifier: Apache-2.0
"""Box files: one row ``x,y,w,h`` per frame, ``nan`` where the target is absent (``sources.read_boxes`` reads them)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from modaltrack.files import write_file


def write_boxes(path: Path, boxes: ArrayLike) -> None:
    """Write (N, 4) xywh pixels with three decimals, comma separated, one row per frame."""
    rows = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    write_file(path, "".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in rows))
