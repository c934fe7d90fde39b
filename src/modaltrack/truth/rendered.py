# SPDX-License-Identifier: Apache-2.0
"""The truth of rendered clips, kept in the user's cache folder: drawing a clip's story takes seconds, reading it none.

A file per clip below ``modaltrack/<version of the scenes>-<clips>x<length>/``, written when the clip is rendered.
The version changes with every pixel, and what cannot be read is made again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from modaltrack.files import cache_folder, parse_json, write_file
from modaltrack.frame import Clip
from modaltrack.scoring.records import Truth


def kept_truth(version: str, clips: int, length: int, name: str) -> Truth | None:
    """What an earlier rendering has left; None where there is nothing sound."""
    try:
        found = parse_json(_file(version, clips, length, name).read_text(encoding="utf-8"))
        boxes = np.array(found["boxes"], np.float64)
        sound = boxes.shape == (length, 4)
        return Truth(name, boxes, attributes=frozenset(map(str, found["attributes"]))) if sound else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_truth(version: str, clips: int, length: int, name: str, clip: Clip) -> None:
    """Leave a rendered clip's truth for later; where the folder cannot be written, nothing is kept."""
    if kept_truth(version, clips, length, name) is not None:
        return
    file = _file(version, clips, length, name)
    assert clip.boxes is not None
    content = {"boxes": clip.boxes.tolist(), "attributes": sorted(clip.attributes)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(content))
    except OSError:  # a cache: its lack costs time and nothing else
        return


def _file(version: str, clips: int, length: int, name: str) -> Path:
    return cache_folder() / f"{version}-{clips}x{length}" / f"{name}.json"
