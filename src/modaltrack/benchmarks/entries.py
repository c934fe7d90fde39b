# SPDX-License-Identifier: Apache-2.0
"""One sequence of a benchmark as it lies on a disk: its truth, and a clip whose frames are decoded when asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from modaltrack.benchmarks.annotation import Flags, Rows, without_area
from modaltrack.benchmarks.layout import Layout, Reading, read_sequence
from modaltrack.benchmarks.table import Row
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.scoring.records import Truth

FPS = 30.0


class BenchmarkWarning(UserWarning):
    """Something about a data set on disk changes what is scored (missing sequences, cut lengths, turned labels)."""


class LazyFrames(Sequence[Frame]):
    """Frames decoded one by one when they are asked for; all in the size of the first sensor's first image.

    A file that is missing or damaged puts its sensor into ``Frame.missing``. Indexing is thread-safe.
    """

    def __init__(
        self, files: Mapping[Modality, Sequence[Path]], encodings: Mapping[Modality, str], fps: float = FPS
    ) -> None:
        from modaltrack.sources.encodings import DEFAULT_ENCODING, check_encoding  # OpenCV: only when frames are read

        self._files = {m: list(paths) for m, paths in files.items()}
        self._encodings = {m: check_encoding(encodings.get(m, DEFAULT_ENCODING[m]), m) for m in files}
        self._fps = fps

    def __len__(self) -> int:
        return min((len(paths) for paths in self._files.values()), default=0)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) of every image."""
        from modaltrack.sources.folder import read_image

        for paths in self._files.values():
            for path in paths:
                image = read_image(path)
                if image is not None:
                    return int(image.shape[0]), int(image.shape[1])
        first = next(iter(self._files.values()))[0]
        raise ValueError(f"None of the images of this clip can be decoded (the first is {first}); load it down again.")

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | Sequence[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        from modaltrack.sources.folder import read_image

        index %= len(self)
        images = {}
        for modality, paths in self._files.items():
            raw = read_image(paths[index])
            if raw is not None:
                images[modality] = self._seen(raw, modality, paths[index])
        missing = frozenset(m for m in self._files if m not in images)
        return Frame(images, index / self._fps, index, missing)

    def _seen(self, raw: NDArray[Any], modality: Modality, path: Path) -> NDArray[np.uint8]:
        from modaltrack.sources.align import rescale
        from modaltrack.sources.encodings import encode

        encoding = self._encodings[modality]
        try:
            # raw depth is moved before it is encoded, and to the nearest pixel, as modaltrack.sources does
            if encoding == "depth-jet-bgr":
                return encode(encoding, rescale(raw, self.size, nearest=True))
            image: NDArray[np.uint8] = rescale(encode(encoding, raw), self.size, nearest=encoding == "as-stored")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return image


def truth_of(name: str, reading: Reading, layout: Layout, attributes: frozenset[str] = frozenset()) -> Truth:
    """The scorer's truth of what was read.

    Raises:
        ValueError: where there is nothing to score with.
    """
    if reading.rows is None:
        why = reading.problems[-1] if reading.problems else "there is no annotation"
        raise ValueError(f"{name} has no truth: {why}")
    if reading.first_only:
        raise ValueError(f"{name} has no public truth but its first box; its scores come from the benchmark's server.")
    positions = reading.positions
    if positions is None and layout.every > 1:
        positions = layout.every * np.arange(len(reading.rows), dtype=np.int64)
    return Truth(
        name=name,
        boxes=present_boxes(reading, layout),
        raw=reading.rows,
        boxes_by_modality=reading.rows_of,
        absent=reading.absent,
        attributes=attributes,
        frame_attributes=reading.frame_attributes,
        rows=positions,
        image_size=reading.image_size,
        anchors=reading.anchors,
    )


def present_boxes(reading: Reading, layout: Layout) -> Rows:
    """(N, 4) the rows as written, nan where the target is absent by its box or by a label."""
    assert reading.rows is not None
    absent = without_area(reading.rows)
    if layout.absent_row is not None:
        absent |= (reading.rows == np.array(layout.absent_row)).all(axis=1)
    if reading.absent is not None:
        absent |= reading.absent
    boxes = reading.rows.copy()
    boxes[absent] = np.nan
    return boxes


class SequenceEntry:
    """One sequence: nothing is read before it is asked for, and everything once.

    name; folder.

    Attributes:
        frames: modality -> image files, all lists of one length.
        notes: what was met and dealt with.
        problems: what is broken. Both are sentences. annotated: (N,) which frames have a row.
        start: the first frame in which the target is present (0 nearly always; a tracker begins there and leaves
            earlier rows empty).
    """

    def __init__(self, name: str, folder: Path, row: Row, attributes: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.folder = folder
        self.attributes = attributes
        self._layout = row.layout

    def __repr__(self) -> str:
        return f"SequenceEntry({self.name!r}, {str(self.folder)!r})"

    @cached_property
    def reading(self) -> Reading:
        return read_sequence(self.folder, self.name, self._layout)

    @property
    def frames(self) -> Mapping[Modality, list[Path]]:
        return self.reading.frames

    @property
    def problems(self) -> list[str]:
        return self.reading.problems

    @property
    def notes(self) -> list[str]:
        return self.reading.notes

    def __len__(self) -> int:
        return self.reading.length

    @cached_property
    def boxes(self) -> Rows:
        """(N, 4) a row per frame, nan where the target is absent and where nothing is annotated (see ``annotated``)."""
        reading = self.reading
        boxes = np.full((reading.length, 4), np.nan)
        if reading.rows is not None:
            known = present_boxes(reading, self._layout)
            boxes[np.arange(len(known)) if reading.positions is None else reading.positions] = known
        return boxes

    @cached_property
    def annotated(self) -> Flags:
        reading = self.reading
        flags = np.zeros(reading.length, np.bool_)
        if reading.rows is not None:
            flags[np.arange(len(reading.rows)) if reading.positions is None else reading.positions] = True
        return flags

    @property
    def start(self) -> int:
        present = ~np.isnan(self.boxes).any(axis=1)
        return int(np.argmax(present)) if present.any() else 0

    def truth(self) -> Truth:
        """What the scorer needs. Warns of problems; raises ValueError where there is no usable annotation."""
        self._speak()
        clipped = self._layout.vot or self._layout.first_only  # VOT's and GOT-10k's rules cut boxes to the image
        if clipped and self.reading.image_size is None and self.reading.frames:
            from modaltrack.sources.folder import read_image

            image = read_image(next(iter(self.reading.frames.values()))[0])
            self.reading.image_size = None if image is None else (int(image.shape[1]), int(image.shape[0]))
        return truth_of(self.name, self.reading, self._layout, self.attributes)

    def clip(
        self, modalities: Iterable[Modality | str] | None = None, encodings: Mapping[Modality, str] | None = None
    ) -> Clip:
        """The clip, its frames decoded on demand, of all or the named sensors.

        Raises:
            ValueError: where one has no images.
        """
        self._speak()
        frames = self.reading.frames
        wanted = tuple(frames) if modalities is None else tuple(Modality(m) for m in modalities)
        if not wanted or any(m not in frames for m in wanted):
            lost = next((m for m in wanted if m not in frames), "any")
            raise ValueError(f"{self.name} has no {lost} images in {self.folder}; {' '.join(self.reading.problems)}")
        files = LazyFrames({m: frames[m] for m in wanted}, encodings or {})
        return Clip(self.name, files, self.boxes, None, self.attributes, FPS)

    def _speak(self) -> None:
        for problem in self.reading.problems:
            warnings.warn(f"{self.name}: {problem}", BenchmarkWarning, stacklevel=3)
