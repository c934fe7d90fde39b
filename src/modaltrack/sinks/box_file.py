# SPDX-License-Identifier: Apache-2.0
"""Box files: one row ``x,y,w,h`` per frame, ``nan`` where the target is absent (``sources.read_boxes`` reads them)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from modaltrack.box_text import format_rows
from modaltrack.files import write_file


def write_boxes(path: Path, boxes: ArrayLike) -> None:
    """Write (N, 4) xywh pixels, comma separated, one row per frame; they read back as the same float64."""
    write_file(path, format_rows(np.reshape(np.asarray(boxes, np.float64), (-1, 4))))
