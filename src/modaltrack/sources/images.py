# SPDX-License-Identifier: Apache-2.0
"""One image from one file: 8 and 16 bit and float, turned upright, a page of a TIFF, a NumPy array, OpenEXR."""

from __future__ import annotations

import io
import math
import os
import struct
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.radiometric import SEQUENCE_SUFFIXES, count_frames, read_sequence

TIFF_SUFFIXES = (".tif", ".tiff")
OPENCV_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", *TIFF_SUFFIXES, ".pgm", ".ppm", ".pnm", ".pbm", ".webp", ".jp2")
IMAGE_SUFFIXES = (*OPENCV_SUFFIXES, ".exr", ".npy", *SEQUENCE_SUFFIXES)
# The depth and the channels as stored and alpha dropped. Turned upright by EXIF, as viewers and cv2.imread do.
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
_PAGES_AT_ONCE = 16  # a page is found by walking from the first: by sixteens the walk costs nothing
_REDUCED_OR_MASK = 0b101  # TIFF 6.0, NewSubfileType


def read_image(file: Path) -> NDArray[Any] | None:
    """Read one image, (H, W) or RGB (H, W, 3), 8- or 16-bit or float, turned upright; None if it is damaged."""
    suffix = file.suffix.lower()
    if suffix == ".npy":
        array = read_array(file)
        return None if array is None else as_image(array)
    if suffix in SEQUENCE_SUFFIXES:
        return next(read_sequence(file), None) if count_frames(file) else None
    if suffix == ".exr":
        return _read_exr(file)
    try:
        data = np.fromfile(file, np.uint8)  # not cv2.imread: that fails on non-ASCII paths on Windows
    except OSError:
        return None
    if data.size == 0 or _cut_short(data):
        return None
    return _decode(data, _FLAGS)


def is_turned(file: Path) -> bool:
    """Whether an image is stored lying or mirrored, and its EXIF says how to turn it upright."""
    if file.suffix.lower() not in OPENCV_SUFFIXES:
        return False
    data = np.fromfile(file, np.uint8)
    stored, upright = _decode(data, _FLAGS | cv2.IMREAD_IGNORE_ORIENTATION), _decode(data, _FLAGS)
    return stored is not None and upright is not None and not np.array_equal(stored, upright)


def _decode(data: NDArray[np.uint8], flags: int) -> NDArray[Any] | None:
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:
        return None
    return image if image is None else _rgb_order(image)


def _rgb_order(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _cut_short(data: NDArray[np.uint8]) -> bool:
    """Decoders fill the lost part of a truncated JPEG or PNG with grey and say nothing: look for the end mark."""
    content = data.tobytes()
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") < 0
    if content.startswith(b"\x89PNG"):
        return content.rfind(b"IEND") < 0
    return False


def _read_exr(file: Path) -> NDArray[Any] | None:
    """OpenEXR through FFmpeg (OpenCV's wheels come without it): float32, (H, W) where all channels are equal."""
    try:
        with av.open(str(file)) as container:
            frame = next(container.decode(video=0))
    except (av.error.FFmpegError, OSError, StopIteration):
        return None
    name = "grayf32le" if frame.format.name.startswith("gray") else "gbrpf32le"
    image = frame.to_ndarray(format=name)
    if image.ndim == 3 and (image == image[..., :1]).all():
        return np.ascontiguousarray(image[..., 0])
    return image


def read_array(file: Path | io.BufferedIOBase, size: int | None = None) -> NDArray[Any] | None:
    """A NumPy file of numbers, or None where it is damaged, holds objects, or claims more values than it has bytes."""
    try:
        with open(file, "rb") if isinstance(file, Path) else file as stream:
            header = _array_header(stream, os.fstat(stream.fileno()).st_size if size is None else size)
            if header is None:
                return None
            shape, fortran, dtype = header
            count = math.prod(shape)
            values = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    except (OSError, ValueError, MemoryError):
        return None
    return values.reshape(shape, order="F" if fortran else "C") if len(values) == count else None


def _array_header(
    stream: IO[bytes] | io.BufferedIOBase, available: int
) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    """(shape, Fortran order, kind) of a NumPy file with so many bytes, None where they cannot be true."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        return None
    if dtype.hasobject or dtype.itemsize == 0 or any(not isinstance(n, int) or n < 0 for n in shape):
        return None
    return (shape, fortran, dtype) if math.prod(shape) * dtype.itemsize <= available else None


def as_image(array: NDArray[Any]) -> NDArray[Any] | None:
    """An array as one image, (H, W) or (H, W, 3) of uint8, uint16 or float32, or None where it has no such shape."""
    if array.dtype.names or array.dtype.kind not in "buif":
        return None
    if array.ndim == 3 and array.shape[0] == 1 and array.shape[2] > 4:
        array = array[0]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        return None
    array = array if array.ndim == 2 else array[..., :3]
    if array.dtype.kind in "bui" and array.dtype not in (np.uint8, np.uint16):
        array = array.astype(np.uint16 if array.min() >= 0 and array.max() <= 65535 else np.float32)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
    return np.ascontiguousarray(array)


def frames_in(file: Path) -> int:
    """How many frames one file holds: the full-size pages of a TIFF, the first axis of an array (N, H, W), else 1."""
    suffix = file.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return max(1, len(tiff_pages(file)))
    if suffix in SEQUENCE_SUFFIXES:
        return max(1, count_frames(file))
    if suffix == ".npy":
        shape = _array_shape(file)
        if len(shape) == 4 or (len(shape) == 3 and shape[0] > 1 and shape[2] > 4):
            return shape[0]
    return 1


def read_frames(file: Path, count: int) -> Iterator[NDArray[Any] | None]:
    """The ``count`` frames of one file (see ``frames_in``), None for each that is damaged."""
    if count == 1:
        yield read_image(file)
    elif file.suffix.lower() in SEQUENCE_SUFFIXES:
        yield from read_sequence(file)
    elif file.suffix.lower() == ".npy":
        yield from map(as_image, np.load(file, mmap_mode="r", allow_pickle=False))
    else:
        yield from _read_pages(file, tiff_pages(file))


def _array_shape(file: Path) -> tuple[int, ...]:
    try:
        with file.open("rb") as stream:
            header = _array_header(stream, file.stat().st_size)
    except OSError:
        return ()
    return () if header is None else header[0]


def _read_pages(file: Path, pages: list[int]) -> Iterator[NDArray[Any] | None]:
    data = np.memmap(file, np.uint8, "r")
    for first in range(0, pages[-1] + 1, _PAGES_AT_ONCE):
        until = min(first + _PAGES_AT_ONCE, pages[-1] + 1)
        try:
            images = cv2.imdecodemulti(data, _FLAGS, range=(first, until))[1]
        except cv2.error:
            images = ()
        for page in range(first, until):
            if page in pages:
                yield _rgb_order(images[page - first]) if page - first < len(images) else None


def tiff_pages(file: Path) -> list[int]:
    """The pages of a TIFF that are frames: all but reduced copies and masks. Empty for what is no TIFF.

    Source: TIFF 6.0, section 2 (image file directories) and BigTIFF's wider offsets.
    """
    with file.open("rb") as stream:
        head = stream.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            return []
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        offset = struct.unpack(order + "Q", head[8:16])[0] if big else struct.unpack(order + "I", head[4:8])[0]
        count_form, entry, next_form = ("Q", 20, "Q") if big else ("H", 12, "I")
        pages: list[int] = []
        seen: set[int] = set()  # a directory that points back would be walked for ever
        while offset and offset not in seen:
            seen.add(offset)
            stream.seek(offset)
            word = stream.read(struct.calcsize(order + count_form))
            if len(word) < struct.calcsize(order + count_form):
                break
            count = min(struct.unpack(order + count_form, word)[0], 65535)
            table = stream.read(count * entry)
            if not _reduced(table, order, entry):
                pages.append(len(seen) - 1)
            tail = stream.read(struct.calcsize(order + next_form))
            offset = struct.unpack(order + next_form, tail)[0] if len(tail) == struct.calcsize(order + next_form) else 0
    return pages


def _reduced(table: bytes, order: str, entry: int) -> bool:
    for start in range(0, len(table) - entry + 1, entry):
        if struct.unpack_from(order + "H", table, start)[0] == 254:  # NewSubfileType
            return bool(
                struct.unpack_from(order + "I", table, start + entry - (8 if entry == 20 else 4))[0] & _REDUCED_OR_MASK
            )
    return False
