# SPDX-License-Identifier: Apache-2.0
"""A folder of numbered images, 8 or 16 bit, optionally with a file of time stamps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.notices import Notices

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
STAMP_FILES = ("timestamps.txt", "timestamp.txt")
# The depth and the channels as stored, alpha dropped, and the EXIF rotation ignored: boxes belong to stored pixels.
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in order of the last integer in their name, ties by name; hidden and other files ignored.

    Data sets number from 0 or 1, with or without leading zeros, with prefixes (``v000018``) and suffixes (``00001v``):
    sorting by the number is the only rule that fits all of them (docs/data.md, "Rules of reading", 1).
    """
    files = [
        f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".") and f.is_file()
    ]
    return sorted(files, key=_order)


def _order(file: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", file.stem)
    return (int(numbers[-1]) if numbers else -1, file.name)


def read_image(file: Path) -> NDArray[Any] | None:
    """Read one image as stored, (H, W) or RGB (H, W, 3), 8- or 16-bit or float; None if it is damaged."""
    try:
        data = np.fromfile(file, np.uint8)  # not cv2.imread: that fails on non-ASCII paths on Windows
    except OSError:
        return None
    if data.size == 0 or _cut_short(data):
        return None
    try:
        image = cv2.imdecode(data, _FLAGS)
    except cv2.error:
        return None
    if image is None or image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _cut_short(data: NDArray[np.uint8]) -> bool:
    """Decoders fill the lost part of a truncated JPEG or PNG with grey and say nothing: look for the end mark."""
    content = data.tobytes()
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") < 0
    if content.startswith(b"\x89PNG"):
        return content.rfind(b"IEND") < 0
    return False


class FolderReader:
    """Reads the images of one folder as they are stored; images of another size than the first are scaled to it.

    fps: the caller's where there are no time stamps. Raises ValueError for a missing or empty folder, for one
    without images, one without a single readable image, and for time stamps that do not fit.
    """

    live = False

    def __init__(self, folder: Path, notices: Notices, fps: float | None = None, nearest: bool = False) -> None:
        if not folder.exists():
            raise ValueError(f"The image folder {folder} does not exist; check the path.")
        self.name = str(folder)
        self.files = list_images(folder)
        if not self.files:
            raise ValueError(_nothing_found(folder))
        self._notices = notices
        self._interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        self.length: int | None = len(self.files)
        stamps = _read_stamps(folder, len(self.files))
        self.has_time = stamps is not None
        self.fps = fps
        if stamps is not None:
            if len(stamps) > 1:
                self.fps = float(1.0 / np.median(np.diff(stamps)))
            self._times = stamps
        else:
            self._times = np.arange(len(self.files)) / fps if fps else np.full(len(self.files), np.nan)
        self.start: float | None = float(self._times[0]) if self.has_time else None
        self.end: float | None = float(self._times[-1]) if self.has_time else None
        stems = Counter(f.stem for f in self.files)
        twice = next((stem for stem, count in stems.items() if count > 1), None)
        if twice is not None:
            notices.note(f"twice {folder}", f"{folder} holds several images named {twice!r}; each counts as a frame.")
        self.first = self._first_readable()
        self.size = (int(self.first.shape[0]), int(self.first.shape[1]))

    def _first_readable(self) -> NDArray[Any]:
        for file in self.files:
            image = read_image(file)
            if image is not None:
                return image
        raise ValueError(
            f"None of the {len(self.files)} images in {self.name} can be decoded (the first is {self.files[0].name}); "
            "the files are damaged or not what their suffix says."
        )

    def frames(self) -> Iterator[tuple[float, NDArray[Any] | None]]:
        """Yield (time in seconds or nan, raw image or None where the file is damaged)."""
        for time, file in zip(self._times, self.files, strict=True):
            image = read_image(file)
            if image is None:
                self._notices.note(
                    f"damaged {file}", f"{file} cannot be decoded; its modality is missing in that frame."
                )
            elif image.shape[:2] != self.size:
                self._notices.note(
                    f"mixed {self.name}",
                    f"{file} is {image.shape[1]}x{image.shape[0]} and the first image of its folder is "
                    f"{self.size[1]}x{self.size[0]}; all are scaled to the first.",
                )
                image = cv2.resize(image, self.size[::-1], interpolation=self._interpolation)
            yield float(time), image


def _nothing_found(folder: Path) -> str:
    wanted = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    entries = [f for f in folder.iterdir() if not f.name.startswith(".")]
    if not entries:
        return f"The folder {folder} is empty and images ({wanted}) were expected; check the path."
    subfolders = sorted(f.name for f in entries if f.is_dir())
    suffixes = sorted({f.suffix.lower() or "no suffix" for f in entries if not f.is_dir()})
    found = [f"files of type {', '.join(suffixes)}"] if suffixes else []
    found += [f"folders {', '.join(subfolders[:5])}"] if subfolders else []
    advice = "give the folder that holds the frames" if subfolders else "convert them or give another path"
    return f"The folder {folder} holds no images ({wanted}) but {' and '.join(found)}; {advice}."


def _read_stamps(folder: Path, count: int) -> NDArray[np.float64] | None:
    file = next((folder / name for name in STAMP_FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    words = file.read_text(encoding="utf-8").split()
    try:
        stamps = np.array([float(word) for word in words], np.float64)
    except ValueError:
        raise ValueError(
            f"{file} holds something that is no number; one time in seconds per line is expected."
        ) from None
    if len(stamps) != count:
        raise ValueError(
            f"{file} holds {len(stamps)} time stamps for {count} images; one per image is expected, so add the missing "
            "ones or remove the file."
        )
    if not np.isfinite(stamps).all() or (np.diff(stamps) <= 0).any():
        raise ValueError(f"The time stamps in {file} do not increase; seconds in the order of the images are expected.")
    return stamps
