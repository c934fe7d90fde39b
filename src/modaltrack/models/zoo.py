# SPDX-License-Identifier: Apache-2.0
"""The trained weights of this version: one row per file. What they can do is in the card inside each file.

After a change here run ``python tools/write_catalogue.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modaltrack.modality import Modality

FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A weight file and how to know that it is the right one; ``weights_store.ensure`` says where it is."""

    name: str
    file: str
    sha256: str
    modalities: tuple[Modality, ...]

    @property
    def path(self) -> Path:
        """Where the file lies in a clone; a wheel has some of them only."""
        return FOLDER / self.file


SHIPPED: tuple[Shipped, ...] = (
    Shipped(
        "modaltrack-laptop",
        "modaltrack-laptop.safetensors",
        "5761f7f65ea5a7fec24c658cffa54d3baee972462fe03b8c5a80ab4d63a3a8b2",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "ostrack-laptop",
        "ostrack-laptop.safetensors",
        "ddf59308536bb0bac656c42cfd08476884ba512f8ffed8d61537f8961d230742",
        (Modality.RGB,),
    ),
    Shipped(
        "ostrack-tiny",
        "ostrack-tiny.safetensors",
        "e114a383744f779c76f7b2926b63ff7ae509ff66a4df269844e5722e396b6fd1",
        (Modality.RGB,),
    ),
    Shipped(
        "sdstrack-tiny",
        "sdstrack-tiny.safetensors",
        "957904f76ab0da6c561881ea75009e8ff537ead22992bf5cb9262b40fded75c2",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "srtrack-tiny",
        "srtrack-tiny.safetensors",
        "2ea7766c2c1325a7c1f4441ae9ffe8d33ca97736efab56a75dc4b57d660a4af6",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "smstracker-tiny",
        "smstracker-tiny.safetensors",
        "9b1cc97220de119f4f7de590978ac6c3c4914510436f2552e5e7e59471cb87dc",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
    Shipped(
        "tpf-tiny",
        "tpf-tiny.safetensors",
        "c26e61f8f8785ff146fd984edf7a557014eb316261f153fb5d4a5e1ba7d7de19",
        (Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT),
    ),
)
