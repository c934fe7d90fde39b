# SPDX-License-Identifier: Apache-2.0
"""Image files of a labelled folder: listing them by name, their size without decoding, decoding one."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.sources.encodings import DEFAULT_ENCODING, encode
from modaltrack.sources.folder import IMAGE_SUFFIXES, read_image

HEAD = 65536  # bytes in which nearly every JPEG has its size; embedded thumbnails come before it


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Every image below a folder by its path without suffix, in order of name; the first of equal stems wins."""
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            found.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
    return found


def image_size(file: Path) -> tuple[int, int] | None:
    """(height, width) in pixels of an image file, from its header where it is a PNG or JPEG; None if unreadable."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return None
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    size = _jpeg_size(head) if head.startswith(b"\xff\xd8") else None
    if size is None:
        image = read_image(file)
        size = None if image is None else (image.shape[0], image.shape[1])
    return size


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """(height, width) of the first frame header (SOF0 to SOF15 but DHT, JPG and DAC) of a JPEG's first bytes."""
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return height, width
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None


def read_encoded(file: Path, modality: Modality, depth_scale: float = 1.0) -> NDArray[np.uint8]:
    """One image as the trackers see it: uint8 (H, W, 3) in the modality's default encoding.

    Raises:
        ValueError: The file cannot be decoded, or is not of that kind.
    """
    image = read_image(file)
    if image is None:
        raise ValueError(f"{file} cannot be decoded: it is damaged or not an image.")
    options = {"depth_scale": depth_scale} if modality is Modality.DEPTH else {}
    return encode(DEFAULT_ENCODING[modality], image, **options)
