# SPDX-License-Identifier: Apache-2.0
"""The trained weights of this version: one row per file. What they can do is in the card inside each file.

After a change here run ``python tools/write_catalogue.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A weight file and how to know that it is the right one; ``weights_store.ensure`` says where it is."""

    name: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name, here and wherever it is fetched from."""
        return f"{self.name}.safetensors"

    @property
    def path(self) -> Path:
        """Where the file lies in a clone; a wheel has some of them only."""
        return FOLDER / self.file


SHIPPED: tuple[Shipped, ...] = (
    Shipped("modaltrack-laptop", "ec14fbbdc7c0c0a1e5a29b7f580ee8371ac2c16ad304fe78b6b249db3c1ea6a1"),
    Shipped("ostrack-laptop", "738fe6eb5420d3254320452d38bb2a1516d99c84c8c65bf6ed63af16951ba9d2"),
    Shipped("sdstrack-laptop", "2f0953853f277478ba3515b64d49dd37a03d57d9c8deeb23fbf04d18b7e6fea8"),
    Shipped("srtrack-laptop", "a088df574cd655477088a674fe6f83ea2a3511fc7920087c80d65c8b1558883a"),
    Shipped("smstracker-laptop", "ede40106524b1acab90372322b93fd667d9fb1bc02e7dc74fa4c6c1092b9bb0c"),
    Shipped("ainet-laptop", "841aab985c16dcdb91c0a4bbc87b0078e36b0b744d5906da858481894fcb424c"),
    Shipped("tpf-laptop", "974bef263df5d6ebe8d4b11cf64e6205435285db6abfe55680683dcea7284f8f"),
    Shipped("ostrack-tiny", "e114a383744f779c76f7b2926b63ff7ae509ff66a4df269844e5722e396b6fd1"),
    Shipped("sdstrack-tiny", "957904f76ab0da6c561881ea75009e8ff537ead22992bf5cb9262b40fded75c2"),
    Shipped("tpf-tiny", "c26e61f8f8785ff146fd984edf7a557014eb316261f153fb5d4a5e1ba7d7de19"),
)
