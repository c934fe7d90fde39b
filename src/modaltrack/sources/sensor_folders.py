# SPDX-License-Identifier: Apache-2.0
"""A clip named by one folder: the sensors are the folders in it."""

from __future__ import annotations

import os
from pathlib import Path

from modaltrack.frame import Modality

Spec = str | int | os.PathLike[str] | None
"""What ``open_source`` takes, or None for no such sensor."""


def sensor_folders(folder: object) -> dict[Modality, Spec]:
    """The sensors' folders in the folder of a clip.

    Raises:
        ValueError: saying what to write, where there are none.
    """
    found: dict[Modality, Spec] = {}
    if isinstance(folder, str | os.PathLike):
        found |= {m: Path(folder) / m.value for m in Modality if (Path(folder) / m.value).is_dir()}
    if not found:
        raise ValueError(
            f"open_clip takes a mapping from sensor to source, or a folder that holds {'/, '.join(Modality)}/, and was "
            f'given {folder!r:.80}; write for example open_clip({{"rgb": {str(folder)!r:.80}}}).'
        )
    return found
