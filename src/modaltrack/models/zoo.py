# SPDX-License-Identifier: Apache-2.0
"""The weights that come with the package: one row per file. What they can do is in the card inside each file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modaltrack.frame import Modality


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file in ``models/weights`` and how to know that it is the right one."""

    name: str
    file: str
    sha256: str
    modalities: tuple[Modality, ...]

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(__file__).parent / "weights" / self.file


SHIPPED: tuple[Shipped, ...] = (
    Shipped(
        "ostrack-tiny",
        "ostrack-tiny.safetensors",
        "923dbad700ff67dc68ffab0f901d5bed09c2a9936b6aaf25cd7a0ef8c3f359b5",
        (Modality.RGB,),
    ),
    Shipped(
        "sdstrack-tiny",
        "sdstrack-tiny.safetensors",
        "211a76851ae292b5d77f1d719f8cf897a0ccc00929b17dbdabb1d44f295ff221",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
)
