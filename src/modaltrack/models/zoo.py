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
        "e114a383744f779c76f7b2926b63ff7ae509ff66a4df269844e5722e396b6fd1",
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
        "7a57245df7b68ba532b9d49f3e6cf3961230f87928a807a08b5077b06cc8fd5f",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "ainet-tiny",
        "ainet-tiny.safetensors",
        "113c8d6945814d50001e0762fe5a8d2b4dbdcd462dac97b89e74688017ce9e58",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "tpf-tiny",
        "tpf-tiny.safetensors",
        "55b2df6b7d4a72503afb2c02f2c1ded3ecb3c4fd8989d378cb8dd0d398f9ff01",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
)
