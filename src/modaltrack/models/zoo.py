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
    Shipped(
        "srtrack-tiny",
        "srtrack-tiny.safetensors",
        "12389671d3bfbfb3485a83c22add20aa0f1f2ec8b92e74b5d4989f60882a0f43",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "smstracker-tiny",
        "smstracker-tiny.safetensors",
        "69a21d6393db3e17812079a5f40052e14ec166599af190e4a54824fa8f8a6451",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "ainet-tiny",
        "ainet-tiny.safetensors",
        "1214ef01819c3a429f72c8dbfb991d411a3f19ab8a4a930863727cea92eb9923",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
)
