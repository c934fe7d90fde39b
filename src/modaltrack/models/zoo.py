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
        "073564d4923832cda27286c0c54e19c18489a3342242b63d4270996427559ff1",
        (Modality.RGB,),
    ),
    Shipped(
        "sdstrack-tiny",
        "sdstrack-tiny.safetensors",
        "4c2c22f6bd7acf1ca1b56d7447768ad1b53349301b013903c97d548b3cc23d13",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
)
