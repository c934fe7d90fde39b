# SPDX-License-Identifier: Apache-2.0
"""Files from the browser, in a folder that goes away with the server."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

MAX_BYTES = 4_000_000_000  # of all files of an upload
MAX_FILES = 20_000
SPARE = 500_000_000  # bytes that stay free on the disk
_GROUP = re.compile(r"[a-z0-9]{1,32}/(rgb|thermal|depth|event)")
_UNSAFE = re.compile(r"[^\w.,=+@ -]", re.ASCII)


def place_of(root: Path, group: str, name: str) -> Path:
    """Where an uploaded file goes.

    Args:
        group: ``UPLOAD/SENSOR``.
        name: as the browser says it; characters that mean something to file systems or terminals are replaced.

    Raises:
        ValueError: for a group or name that cannot be used.
    """
    if not _GROUP.fullmatch(group):
        raise ValueError("The upload is not understood; choose the files again.")
    clean = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2])[-120:].strip(". ")
    if not clean:
        raise ValueError("A file of the upload has no name; rename it.")
    return root / group / clean


async def receive(root: Path, group: str, name: str, chunks: AsyncIterator[bytes], size: int | None) -> int:
    """Write an uploaded file; the bytes written. Nothing is left where it fails.

    Raises:
        ValueError: in one sentence, where it is too large or one file too many.
    """
    place = place_of(root, group, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    there = list(place.parent.iterdir())
    before = sum(file.stat().st_size for file in there)
    if len(there) >= MAX_FILES:
        raise ValueError(f"An upload has at most {MAX_FILES} files; give the folder's path instead.")
    if place.exists():
        raise ValueError(f"Two of the files are called {place.name}; give files of different names.")
    room = min(MAX_BYTES - before, shutil.disk_usage(root).free - SPARE)
    if size is not None and size > room:
        raise ValueError(_too_large(size, room))
    written = 0
    try:
        with place.open("wb") as file:
            async for chunk in chunks:
                written += len(chunk)
                if written > room:
                    raise ValueError(_too_large(written, room))
                file.write(chunk)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    if not written:
        place.unlink(missing_ok=True)
        raise ValueError("The uploaded file is empty; choose another one.")
    return written


def _too_large(size: int, room: int) -> str:
    return (
        f"The upload is larger than the {max(0, room) / 1e6:.0f} MB that are left for it ({size / 1e6:.0f} MB came); "
        "give the path of the file instead."
    )
