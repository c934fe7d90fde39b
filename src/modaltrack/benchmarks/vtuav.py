# SPDX-License-Identifier: Apache-2.0
"""VTUAV's first annotated frames: the authors ship them as a pickled dictionary, read here without running anything."""

from __future__ import annotations

import pickletools
from functools import lru_cache
from pathlib import Path

from modaltrack.benchmarks.annotation import read_names

# three of the 47 entries are known here; the others come from init_frame.npy or init_frame.txt
KNOWN = {"car_007": 7, "tricycle_006": 54, "pedestrian_224": 3710}
FILES = ("init_frame.npy", "init_frame.txt")


def first_annotated(folder: Path, name: str) -> int | None:
    """The number of the image that VTUAV's row 0 belongs to, None where no file says so (then it is the first image).

    Looks for ``init_frame.npy`` (as the authors ship it) or ``init_frame.txt`` (``name number`` per line) in the
    sequence's folder and up to three folders above it.
    """
    for place in (folder, *list(folder.parents)[:3]):
        for file in (place / f for f in FILES):
            if file.is_file():
                return read_offsets(file).get(name, KNOWN.get(name))
    return KNOWN.get(name)


@lru_cache(maxsize=8)
def read_offsets(file: Path) -> dict[str, int]:
    """Name -> number.

    Only the strings and the integers of the pickle are looked at; no object is ever made.

    Raises:
        ValueError: when the file is something else.
    """
    if file.suffix == ".txt":
        pairs = [line.split() for line in read_names(file)]
        if any(len(p) != 2 or not p[1].isdigit() for p in pairs):
            raise ValueError(f"{file} was expected to hold one 'name number' per line; correct it.")
        return {name: int(number) for name, number in pairs}
    content = file.read_bytes()
    start = content.find(b"\n", 0, 512) + 1
    found: dict[str, int] = {}
    key: str | None = None
    if content.startswith(b"\x93NUMPY") and start:
        try:
            for opcode, argument, _ in pickletools.genops(content[start:]):
                if "UNICODE" in opcode.name and isinstance(argument, str):
                    key = argument
                elif "INT" in opcode.name and isinstance(argument, int) and key is not None and key[-1:].isdigit():
                    found[key], key = argument, None
        except ValueError:
            found = {}
    if not found:
        raise ValueError(
            f"{file} was expected to be the authors' init_frame.npy (a dictionary name -> number) and is something "
            "else; write init_frame.txt with one 'name number' per line instead."
        )
    return found
