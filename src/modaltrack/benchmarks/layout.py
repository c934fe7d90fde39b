# SPDX-License-Identifier: Apache-2.0
"""How a benchmark lies on a disk: one ``Layout`` per benchmark, one function that reads a sequence by it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.benchmarks.annotation import (
    Flags,
    Rows,
    last_number,
    number_of,
    read_rows,
    read_text,
    read_values,
    settle_polarity,
    without_area,
)
from modaltrack.frame import Modality

Frames = dict[Modality, list[Path]]


@dataclass(frozen=True)
class Layout:
    """What stands in the folder of one sequence.

    ``{name}`` in any path is the sequence's name.

    Attributes:
        images: modality -> folders, the first that exists counts; "." is the folder itself.
        truth: annotation files, the first that exists counts.
        truth_of: the same for benchmarks that annotate "visible" and "infrared" each.
        corners: rows are x1 y1 x2 y2.
        absent_row: a box that means "absent".
        labels: (file, value that means absent); several are joined by "or".
        optional: modalities whose folder may be missing.
        window: the file with the first and last frame (from 1) that are annotated.
        starts_present: the benchmark's own truth begins at the first frame with a target.
        every: one row per so many images, by file number.
        offsets: sequence -> number of the first annotated file.
        vot: also read ``sequence``, ``anchor.value`` and ``*.tag``.
        first_only: a single row may be all that is public.
        variant: picks another layout by what it sees in a folder.
        windows: sequence -> first and last file number that the benchmark uses.
        targets: "<stem>.{target}.txt": a folder with several of them holds several sequences, named <folder>-<target>.
    """

    images: Mapping[Modality, tuple[str, ...]]
    truth: tuple[str, ...]
    truth_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    corners: bool = False
    absent_row: tuple[float, float, float, float] | None = None
    labels: tuple[tuple[str, int], ...] = ()
    optional: frozenset[Modality] = frozenset()
    window: str = ""
    starts_present: bool = False
    every: int = 1
    offsets: Callable[[Path, str], int | None] | None = None
    vot: bool = False
    first_only: bool = False
    variant: Callable[[Path], Layout | None] | None = None
    windows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    targets: str = ""


@dataclass
class Reading:
    """What was found in one sequence folder.

    Attributes:
        frames: modality -> images, all of one length.
        rows: (N, 4) as written, None where there is no usable annotation.
        rows_of: modality name -> (N, 4).
        absent: (N,) by the labels.
        positions: (N,) the frame of each row where annotation is sparse.
        problems: what is broken.
        notes: what was met and dealt with. One sentence each.
    """

    frames: Frames = field(default_factory=dict)
    rows: Rows | None = None
    rows_of: dict[str, Rows] = field(default_factory=dict)
    absent: Flags | None = None
    positions: NDArray[np.int64] | None = None
    frame_attributes: dict[str, Flags] = field(default_factory=dict)
    anchors: Rows | None = None
    image_size: tuple[int, int] | None = None
    first_only: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Number of frames, 0 where none was found."""
        return min((len(files) for files in self.frames.values()), default=0)


def first_of(folder: Path, names: tuple[str, ...], name: str) -> Path | None:
    """The first of ``names`` that exists in ``folder``."""
    paths = (folder / n.format(name=name, target=name.rpartition("-")[2]) for n in names)
    return next((path for path in paths if path.exists()), None)


def is_sequence(folder: Path, layout: Layout, inside: set[str] | None = None) -> bool:
    """Whether a folder is a sequence of that layout: it has one of its image folders or one of its annotation files.

    Args:
        inside: the names in it, where they have been listed already. An ``img`` alone is not enough where images stand
            in the sequence folder itself (GOT-10k): there the annotation decides.
    """
    wanted = [n for names in layout.images.values() for n in names if n != "."]
    wanted += list(layout.truth) + [n for names in layout.truth_of.values() for n in names]
    for n in wanted:
        n = n.format(name=folder.name, target=1)
        if ("/" not in n and inside is not None and n in inside) or (
            (inside is None or "/" in n) and (folder / n).exists()
        ):
            return True
    return False


def read_sequence(folder: Path, name: str, layout: Layout) -> Reading:
    """Read one sequence; nothing is raised for what is broken in it: it stands in ``problems``."""
    reading = Reading()
    try:
        if layout.variant is not None:
            layout = layout.variant(folder) or layout
        _read_frames(reading, folder, name, layout)
        _read_truth(reading, folder, name, layout)
        if reading.rows is not None:
            _read_labels(reading, folder, name, layout)
            if layout.vot:
                _read_vot(reading, folder)
            _fit(reading, folder, name, layout)
    except ValueError as error:
        reading.problems.append(str(error))
        reading.rows = None
    return reading


def list_images(folder: Path) -> list[Path]:
    """As ``sources.folder.list_images``, by the same rule, without a question to the disk per file: sets are large."""
    from modaltrack.sources.images import OPENCV_SUFFIXES  # imports OpenCV, which truth alone does not need

    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() in OPENCV_SUFFIXES and not stem.startswith(".") and entry.is_file():
                found.append((last_number(stem), entry.name))
    return [folder / name for _, name in sorted(found)]


def _read_frames(reading: Reading, folder: Path, name: str, layout: Layout) -> None:
    for modality, names in layout.images.items():
        place = first_of(folder, names, name)
        if place is None or not place.is_dir():
            says = reading.notes if modality in layout.optional else reading.problems
            says.append(f"There is no folder {' or '.join(n.format(name=name) for n in names)} with {modality} images.")
            continue
        try:
            files = list_images(place)
        except OSError as error:
            reading.problems.append(f"{place.name}/ cannot be listed ({error.strerror}); {modality} is missing.")
            continue
        if files:
            reading.frames[modality] = files
        else:
            reading.problems.append(f"{place.name}/ holds no images; {modality} is missing.")
    counts = {m: len(files) for m, files in reading.frames.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{n} {m}" for m, n in counts.items())
        reading.problems.append(f"The sensors have different numbers of images ({said}); {_align(reading.frames)}.")


def _align(frames: Frames) -> str:
    """Make lists of different length equal: by file number where both sides have one, else cut to the shorter."""
    first, *others = frames
    numbers = {m: [number_of(f) for f in files] for m, files in frames.items()}
    unique = all(len(set(n)) == len(n) for n in numbers.values())
    shared = set.intersection(*(set(n) for n in numbers.values()))
    if unique and len(shared) == min(len(n) for n in numbers.values()) and set(numbers[first]) >= shared:
        for modality in others:
            by_number = dict(zip(numbers[modality], frames[modality], strict=True))
            place = frames[modality][0].parent
            # a path without a file: the frame reader says that this sensor is missing there
            frames[modality] = [by_number.get(n, place / f"no-image-{n:06d}") for n in numbers[first]]
        return f"they are paired by file number and the gaps are missing frames; {first} counts"
    shortest = min(len(files) for files in frames.values())
    for modality in frames:
        frames[modality] = frames[modality][:shortest]
    return f"they are paired by position and cut to {shortest}"


def _read_truth(reading: Reading, folder: Path, name: str, layout: Layout) -> None:
    file = first_of(folder, layout.truth, name)
    for kind, names in layout.truth_of.items():
        own = first_of(folder, names, name)
        if own is not None:
            reading.rows_of[kind] = read_rows(own, layout.corners)
        else:
            reading.notes.append(f"{names[0]} is missing; {file.name if file else 'nothing'} stands for it.")
    if file is None:
        wanted = " or ".join(n.format(name=name) for n in layout.truth)
        reading.problems.append(f"There is no annotation: {wanted} was expected.")
        return
    if file.name != layout.truth[0].format(name=name).rsplit("/", 1)[-1] and not layout.truth_of:
        reading.notes.append(f"{layout.truth[0].format(name=name)} is missing; {file.name} is read.")
    rows = [r for k, r in reading.rows_of.items() if first_of(folder, layout.truth_of[k], name) == file]
    reading.rows = rows[0] if rows else read_rows(file, layout.corners)
    for kind in layout.truth_of:
        reading.rows_of.setdefault(kind, reading.rows)
    lengths = {kind: len(r) for kind, r in reading.rows_of.items()}
    if len({len(reading.rows), *lengths.values()}) > 1:
        shortest = min(len(reading.rows), *lengths.values())
        said = ", ".join(f"{n} for {kind}" for kind, n in lengths.items())
        reading.problems.append(f"The annotation files differ in length ({said}); all are cut to {shortest}.")
        reading.rows = reading.rows[:shortest]
        reading.rows_of = {kind: r[:shortest] for kind, r in reading.rows_of.items()}


def _read_labels(reading: Reading, folder: Path, name: str, layout: Layout) -> None:
    assert reading.rows is not None
    for label, absent_value in layout.labels:
        file = first_of(folder, (label,), name)
        if file is None:
            continue
        values = read_values(file)
        if len(values) != len(reading.rows):
            reading.problems.append(
                f"{file.name} has {len(values)} labels for {len(reading.rows)} boxes; frames without a label count as "
                "present."
            )
            fitted = np.full(len(reading.rows), 1 - absent_value, np.float64)
            fitted[: min(len(values), len(fitted))] = values[: len(fitted)]
            values = fitted
        absent, turned = settle_polarity(values, absent_value, reading.rows)
        if turned:
            reading.problems.append(
                f"{file.name} calls the frames with a box absent: its polarity ({absent_value} = absent) is turned "
                "round."
            )
        reading.absent = absent if reading.absent is None else reading.absent | absent


def _read_vot(reading: Reading, folder: Path) -> None:
    assert reading.rows is not None
    length = len(reading.rows)
    if (folder / "sequence").is_file():
        pairs = [line.split("=", 1) for line in read_text(folder / "sequence").splitlines() if "=" in line]
        facts = {key.strip(): value.strip() for key, value in pairs}
        if facts.get("width", "").isdigit() and facts.get("height", "").isdigit():
            reading.image_size = int(facts["width"]), int(facts["height"])
    if (folder / "anchor.value").is_file():
        reading.anchors = _padded(read_values(folder / "anchor.value"), length)
    for tag in sorted(folder.glob("*.tag")):
        reading.frame_attributes[tag.stem] = _padded(read_values(tag), length) > 0


def _padded(values: Rows, length: int) -> Rows:
    """VOT pads short value files with zeros and ignores what is too long."""
    fitted = np.zeros(length)
    fitted[: min(length, len(values))] = values[:length]
    return fitted


def _fit(reading: Reading, folder: Path, name: str, layout: Layout) -> None:
    """Bring frames and rows together: the annotated window, sparse rows, lengths, the first present frame."""
    assert reading.rows is not None
    rows, frames = len(reading.rows), reading.length
    if layout.window and (folder / layout.window).is_file() and frames and frames != rows:
        _cut_to_window(reading, folder / layout.window)
        frames = reading.length
    if name in layout.windows and frames:
        _cut_to_numbers(reading, *layout.windows[name])
        rows, frames = len(reading.rows), reading.length
    if layout.every > 1 and frames:
        return _fit_sparse(reading, folder, name, layout)
    if layout.first_only and rows == 1 and frames != 1:
        reading.first_only = True
        reading.notes.append("Only the first box is public; the rest is scored by the benchmark's server.")
        return None
    if frames and frames != rows:
        less = "images" if frames < rows else "boxes"
        reading.problems.append(
            f"There are {frames} images and {rows} boxes{_gap(reading)}; both are cut to the {less}, "
            f"{min(frames, rows)}."
        )
        _cut(reading, 0, min(frames, rows))
    if layout.starts_present:
        absent = without_area(reading.rows) if reading.absent is None else without_area(reading.rows) | reading.absent
        start = int(np.argmin(absent)) if not absent.all() else 0
        if start:
            reading.notes.append(
                f"The target is absent in the first {start} frames; the clip starts with the first present one, as the "
                "benchmark's own truth does."
            )
            _cut(reading, start, len(reading.rows))
    return None


def _gap(reading: Reading) -> str:
    """Which numbers are missing between the first and the last image, where that explains a difference."""
    files = next(iter(reading.frames.values()))
    numbers = [number_of(f) for f in files]
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers[0] >= 0 else []
    if not missing or len(missing) > len(files):
        return ""
    return f" (no image has the number {', '.join(map(str, missing[:5]))}{' ...' if len(missing) > 5 else ''})"


def _cut_to_window(reading: Reading, file: Path) -> None:
    values = read_values(file)
    if len(values) < 2 or values[0] < 1 or values[1] < values[0]:
        raise ValueError(f"{file} holds {values.tolist()} and the first and last annotated frame were expected.")
    first, last = int(values[0]), int(values[1])
    if last <= reading.length:
        reading.frames = {m: files[first - 1 : last] for m, files in reading.frames.items()}
        reading.notes.append(f"{file.name} says that frames {first} to {last} are annotated; the others are left out.")
    else:
        reading.problems.append(f"{file.name} ends at frame {last} and there are {reading.length} images.")


def _cut_to_numbers(reading: Reading, first: int, last: int) -> None:
    """Keep the images numbered first to last; rows are kept with them where there is one for every image."""
    assert reading.rows is not None
    numbers = [number_of(f) for f in next(iter(reading.frames.values()))]
    kept = [k for k, n in enumerate(numbers) if first <= n <= last]
    if len(kept) < len(numbers):
        whole = len(reading.rows) == len(numbers)
        reading.frames = {m: [files[k] for k in kept] for m, files in reading.frames.items()}
        reading.rows = reading.rows[kept] if whole else reading.rows
        reading.notes.append(f"The benchmark uses images {first} to {last} of this sequence.")


def _cut(reading: Reading, start: int, end: int) -> None:
    assert reading.rows is not None
    reading.frames = {m: files[start:end] for m, files in reading.frames.items()}
    reading.rows = reading.rows[start:end]
    reading.rows_of = {kind: r[start:end] for kind, r in reading.rows_of.items()}
    reading.absent = None if reading.absent is None else reading.absent[start:end]
    reading.anchors = None if reading.anchors is None else reading.anchors[start:end]
    reading.frame_attributes = {kind: f[start:end] for kind, f in reading.frame_attributes.items()}


def _fit_sparse(reading: Reading, folder: Path, name: str, layout: Layout) -> None:
    """One row per ``every`` images: row k belongs to the file with the number every * k + offset (VTUAV)."""
    assert reading.rows is not None
    numbers = np.array([number_of(f) for f in next(iter(reading.frames.values()))])
    published = layout.offsets(folder, name) if layout.offsets is not None else None
    offset = int(numbers[0]) if published is None or published < numbers[0] else published
    if offset > numbers[0]:
        start = int(np.searchsorted(numbers, offset))
        reading.frames = {m: files[start:] for m, files in reading.frames.items()}
        reading.notes.append(f"The first box belongs to image {offset}; the clip starts there.")
        numbers = numbers[start:]
    wanted = offset + layout.every * np.arange(len(reading.rows))
    position_of = {int(n): p for p, n in enumerate(numbers)}
    kept = [k for k, n in enumerate(wanted) if int(n) in position_of]
    expected = 1 + (int(numbers[-1]) - offset) // layout.every if len(numbers) else 0
    if len(kept) < len(wanted) or abs(expected - len(wanted)) > 1:
        reading.problems.append(
            f"{len(wanted)} boxes, one in {layout.every} images from number {offset} on, do not fit {len(numbers)} "
            f"images (about {expected} boxes); {len(kept)} that have an image are kept."
        )
    positions = np.array([position_of[int(wanted[k])] for k in kept], np.int64)
    reading.rows = reading.rows[kept]
    reading.rows_of = {kind: r[kept] for kind, r in reading.rows_of.items()}
    reading.absent = None if reading.absent is None else reading.absent[kept]
    reading.positions = positions
