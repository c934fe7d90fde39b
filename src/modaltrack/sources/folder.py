# SPDX-License-Identifier: Apache-2.0
"""A folder of numbered images, a pattern of file names, or one file that holds many frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.images import IMAGE_SUFFIXES, frames_in, is_turned, read_frames, read_image
from modaltrack.sources.notices import Notices, shown
from modaltrack.sources.order import Order, order_names
from modaltrack.sources.radiometric import is_radiometric, read_radiometric

__all__ = ["IMAGE_SUFFIXES", "FolderReader", "list_images", "read_image"]

STAMP_FILES = ("timestamps.txt", "timestamp.txt")
_PRINTF = re.compile(r"%0?(\d*)d")


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in the order of ``order.order_names``; hidden and other files are ignored."""
    files = _images_of(folder)
    return [files[i] for i in order_names([f.stem for f in files]).places]


def _images_of(folder: Path) -> list[Path]:
    """The images of a folder; arrays only where there is nothing else, since they also hold stamps and the like."""
    files = [
        f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".") and f.is_file()
    ]
    return [f for f in files if f.suffix.lower() != ".npy"] or files


def is_pattern(spec: str) -> bool:
    """Whether a spec names several files: ``frames/*.png``, ``frames/img_%05d.png``."""
    return any(c in spec for c in "*?[") or _PRINTF.search(spec) is not None


def files_of_pattern(spec: str) -> list[Path]:
    """The images that a glob or a printf pattern names, not in order.

    Raises:
        ValueError: where there are none.
    """
    path = Path(spec)
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(f"The folder {shown(folder)} of the pattern {shown(spec)} does not exist; check the path.")
    printf = _PRINTF.search(path.name)
    if printf is None:
        files = [f for f in folder.glob(path.name) if f.is_file()]
    else:
        digits = rf"\d{{{printf[1]},}}" if printf[1] else r"\d+"
        name = re.compile(re.escape(path.name[: printf.start()]) + digits + re.escape(path.name[printf.end() :]))
        files = [f for f in folder.iterdir() if name.fullmatch(f.name) and f.is_file()]
    images = [f for f in files if f.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise ValueError(
            f"No image fits the pattern {shown(spec)} ({len(files)} other files do); check it, or give the folder."
        )
    return images


class FolderReader:
    """Reads images as they are stored; images of another size than the first are scaled to it.

    Args:
        place: a folder, or the file or folder that ``files`` come from.
        fps: the rate where there are no time stamps, neither in a file beside the images nor in their names.
        radiometric: the counts of FLIR's JPEG files are read where they have some, not the palette.

    Raises:
        ValueError: for a missing or empty folder, for one without images, one without a single readable image, and for
            time stamps that do not fit.
    """

    live = False

    def __init__(
        self,
        place: Path,
        notices: Notices,
        fps: float | None = None,
        nearest: bool = False,
        files: list[Path] | None = None,
        radiometric: bool = False,
    ) -> None:
        if not place.exists():
            raise ValueError(f"The image folder {shown(place)} does not exist; check the path.")
        self.name = shown(place)
        self._notices = notices
        self._interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        found = _images_of(place) if files is None else files
        if not found:
            raise ValueError(_nothing_found(place))
        order = order_names([f.stem for f in found])
        self.files = [found[i] for i in order.places]
        self._radiometric = radiometric and self._has_counts(self.files[0])
        self._counts = [frames_in(f) for f in self.files]
        self.length: int | None = sum(self._counts)
        folder = place if place.is_dir() else place.parent
        stamps = _read_stamps(folder, self.length, strict=files is None)
        self._note_order(order, stamps is not None)
        if stamps is None and self.length == len(self.files):
            stamps = order.times
        self.has_time = stamps is not None
        self.fps = fps
        if stamps is not None:
            if len(stamps) > 1:
                self.fps = float(1.0 / np.median(np.diff(stamps)))
            self._times = stamps
        else:
            self._times = np.arange(self.length) / fps if fps else np.full(self.length, np.nan)
        self.start: float | None = float(self._times[0]) if self.has_time else None
        self.end: float | None = float(self._times[-1]) if self.has_time else None
        self.first = self._first_readable()
        self.size = (int(self.first.shape[0]), int(self.first.shape[1]))

    def _has_counts(self, file: Path) -> bool:
        if not is_radiometric(file):
            return False
        counts = read_radiometric(file)
        what = (
            "its palette picture is taken, because its counts cannot be read"
            if counts is None
            else f"its 16-bit counts ({counts.shape[1]}x{counts.shape[0]}) are taken, not its palette picture"
        )
        self._notices.note(f"radiometric {self.name}", f"{shown(file)} is a radiometric JPEG; {what}.")
        return counts is not None

    def _read(self, file: Path, count: int) -> Iterator[NDArray[Any] | None]:
        return iter([read_radiometric(file)]) if self._radiometric else read_frames(file, count)

    def _note_order(self, order: Order, stamped: bool) -> None:
        if order.remark:
            self._notices.note(f"order {self.name}", f"The images in {self.name} are {order.remark}.")
        if order.times is not None and not stamped:
            self._notices.note(
                f"names {self.name}",
                f"The names of the images in {self.name} are time stamps ({self.files[0].stem} to "
                f"{self.files[-1].stem}) and are taken as their clock.",
            )
        stems = Counter(f.stem for f in self.files)
        twice = next((stem for stem, count in stems.items() if count > 1), None)
        if twice is not None:
            self._notices.note(
                f"twice {self.name}", f"{self.name} holds several images named {twice!r}; each counts as a frame."
            )

    def _first_readable(self) -> NDArray[Any]:
        for file, count in zip(self.files, self._counts, strict=True):
            image = next(self._read(file, count))
            if image is None:
                continue
            if not self._radiometric and is_turned(file):
                self._notices.note(
                    f"turned {self.name}", f"{shown(file)} is turned as its EXIF orientation says, as viewers do."
                )
            return image
        raise ValueError(
            f"None of the {len(self.files)} images in {self.name} can be decoded (the first is "
            f"{shown(self.files[0].name)}); the files are damaged or not what their suffix says."
        )

    def frames(self) -> Iterator[tuple[float, NDArray[Any] | None]]:
        """Yield (time in seconds or nan, raw image or None where the file is damaged)."""
        times = iter(self._times)
        for file, count in zip(self.files, self._counts, strict=True):
            for page, image in enumerate(self._read(file, count)):
                yield (
                    float(next(times)),
                    self._in_size(image, shown(file) + (f", page {page + 1}," if count > 1 else "")),
                )

    def _in_size(self, image: NDArray[Any] | None, name: str) -> NDArray[Any] | None:
        if image is None:
            self._notices.note(f"damaged {name}", f"{name} cannot be decoded; its modality is missing in that frame.")
            return None
        if image.shape[:2] == self.size:
            return image
        self._notices.note(
            f"mixed {self.name}",
            f"{name} is {image.shape[1]}x{image.shape[0]} and the first image of its folder is "
            f"{self.size[1]}x{self.size[0]}; all are scaled to the first.",
        )
        resized: NDArray[Any] = cv2.resize(image, self.size[::-1], interpolation=self._interpolation)
        return resized


def _nothing_found(place: Path) -> str:
    folder = shown(place)
    wanted = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    entries = [f for f in place.iterdir() if not f.name.startswith(".")]
    if not entries:
        return f"The folder {folder} is empty and images ({wanted}) were expected; check the path."
    subfolders = sorted(shown(f.name) for f in entries if f.is_dir())
    suffixes = sorted({shown(f.suffix.lower()) or "no suffix" for f in entries if not f.is_dir()})
    found = [f"files of type {', '.join(suffixes)}"] if suffixes else []
    found += [f"folders {', '.join(subfolders[:5])}"] if subfolders else []
    advice = "give the folder that holds the frames" if subfolders else "convert them or give another path"
    return f"The folder {folder} holds no images ({wanted}) but {' and '.join(found)}; {advice}."


def _read_stamps(folder: Path, count: int, strict: bool) -> NDArray[np.float64] | None:
    """The stamps beside the images; not strict: for some of a folder's images, None where the numbers differ."""
    file = next((folder / name for name in STAMP_FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    try:
        words = file.read_text(encoding="utf-8").split()
        stamps = np.array([float(word) for word in words], np.float64)
    except ValueError:
        raise ValueError(
            f"{file} holds something that is no number; one time in seconds per line is expected."
        ) from None
    if len(stamps) != count:
        if not strict:
            return None
        raise ValueError(
            f"{file} holds {len(stamps)} time stamps for {count} images; one per image is expected, so add the missing "
            "ones or remove the file."
        )
    if not np.isfinite(stamps).all() or (np.diff(stamps) <= 0).any():
        raise ValueError(f"The time stamps in {file} do not increase; seconds in the order of the images are expected.")
    return stamps
