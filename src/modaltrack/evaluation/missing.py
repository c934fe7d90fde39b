# SPDX-License-Identifier: Apache-2.0
"""Sensors that are missing by plan, as LasHeR245-Miss and RGBT234-Miss have it: a mask of two flags a frame.

Source: Lu et al., "Modality-missing RGBT Tracking: Invertible Prompt Learning and High-quality Benchmarks", 2024: masks
are JSON, ``{sequence: {"data": [[rgb, tir], ...]}}``, 1 where the sensor has an image, the first frame complete. The
authors' files are read as they are. The masks made here have five patterns and the published rates .3, .6 and .9, drawn
from the sequence's name: [ours], not the authors' draws.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.files import read_json
from modaltrack.frame import Frame, Modality

PATTERNS = {
    "random": "single frames lack one sensor, either of them by chance",
    "switched": "long stretches lack one sensor, the two in turn",
    "prolonged": "one long stretch lacks one sensor, chosen by chance",
    "rgb": "single frames lack RGB, by chance",
    "thermal": "single frames lack the other sensor, by chance",
}
_STRETCHES = 4  # of ``switched``
Mask = NDArray[np.bool_]


def make_mask(pattern: str, rate: float, length: int, name: str) -> Mask:
    """Which of (RGB, the other sensor) have an image: (N, 2) bool, never neither, the first frame both.

    Args:
        rate: share of the frames after the first that lack a sensor.
        name: of the sequence, which is the seed.
    """
    mask = np.ones((length, 2), bool)
    rng = np.random.default_rng(zlib.crc32(f"{name} {pattern} {rate:g}".encode()))
    later, gone = np.arange(1, length), round(rate * (length - 1))
    if pattern in ("rgb", "thermal"):
        mask[rng.permutation(later)[:gone], int(pattern == "thermal")] = False
    elif pattern == "random":
        mask[rng.permutation(later)[:gone], rng.integers(0, 2, gone)] = False
    elif pattern == "prolonged":
        start = 1 + int(rng.integers(0, length - gone)) if gone < length else 1
        mask[start : start + gone, int(rng.integers(0, 2))] = False
    else:
        first = int(rng.integers(0, 2))
        for number, place in enumerate(np.array_split(later, _STRETCHES)):
            share = round(rate * len(place)) if number < _STRETCHES - 1 else gone - int((~mask).sum())
            mask[place[:share], (first + number) % 2] = False
    return mask


@lru_cache(maxsize=8)
def read_masks(file: Path) -> dict[str, Mask]:
    """The masks of a published file: sequence -> (N, 2) bool.

    Raises:
        ValueError: for anything else.
    """
    form = '{"sequence": {"data": [[1, 1], [1, 0], ...]}}'
    try:
        content = read_json(file, f"{form} is expected")
    except FileNotFoundError:
        raise ValueError(f"The file of masks {file} does not exist; check the path.") from None
    if not content:
        raise ValueError(f"The file of masks {file} holds no sequences; {form} is expected.")
    return {str(name): _mask(entry, f"{file}, {name}", form) for name, entry in content.items()}


def _mask(entry: object, what: str, form: str) -> Mask:
    rows = entry.get("data") if isinstance(entry, dict) else None
    try:
        mask = np.array(rows, float)
    except (TypeError, ValueError):
        mask = np.empty(0)
    if mask.ndim != 2 or mask.shape[1] != 2 or not len(mask) or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{what}: the mask is no list of pairs of 0 and 1; {form} is expected.")
    flags = mask > 0
    if not flags[0].all():
        raise ValueError(f"{what}: the first frame lacks a sensor, and the protocol has it complete; correct the mask.")
    if (~flags.any(1)).any():
        raise ValueError(f"{what}: row {int(np.flatnonzero(~flags.any(1))[0])} lacks both sensors; correct the mask.")
    return flags


def check_missing(text: str) -> None:
    """``FILE`` or ``PATTERN:RATE`` as the command line has it; ValueError in one sentence for anything else."""
    if text:
        _parsed(text)


def _parsed(text: str) -> tuple[str, float] | dict[str, Mask]:
    pattern, colon, rate = text.partition(":")
    if pattern not in PATTERNS or not colon:
        if not Path(text).is_file():
            raise ValueError(
                f"--missing {text!r} is neither a file of masks nor PATTERN:RATE; the patterns are "
                f"{', '.join(PATTERNS)}, for example random:0.3."
            )
        return read_masks(Path(text))
    try:
        value = float(rate)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError(f"--missing {text!r} has no rate above 0 and up to 1; published are 0.3, 0.6 and 0.9.")
    return pattern, value


def masked(frames: Iterator[Frame], text: str, name: str, length: int, first: int) -> Iterator[Frame]:
    """The frames of a sequence without the images that the mask takes away.

    Args:
        text: a file of masks or PATTERN:RATE.
        length: frames of the whole sequence.
        first: of them, the one that comes first here, which stays complete.

    Raises:
        ValueError: the file has no mask of this sequence or a short one, or a frame has not RGB and one other sensor.
    """
    parsed = _parsed(text)
    if isinstance(parsed, dict):
        if name not in parsed:
            raise ValueError(f"{text} has no mask of the sequence {name}; check that it is of this benchmark.")
        mask = parsed[name]
        if length and len(mask) < length:
            raise ValueError(f"{text}: the mask of {name} has {len(mask)} rows and the sequence {length} frames.")
    else:
        mask = make_mask(*parsed, max(length, first + 1), name)
    for number, frame in enumerate(frames, start=first):
        if number >= len(mask):
            raise ValueError(f"{text}: the mask of {name} ends at frame {len(mask)} and the sequence goes on.")
        gone = _gone(frame, mask[number]) if number > first else frozenset()
        kept = {m: image for m, image in frame.images.items() if m not in gone}
        yield replace(frame, images=kept, missing=frame.missing | (gone & frame.images.keys()))


def _gone(frame: Frame, present: Mask) -> frozenset[Modality]:
    sensors = set(frame.images) | frame.missing
    others = sensors - {Modality.RGB}
    if Modality.RGB not in sensors or len(others) != 1:
        found = ", ".join(sorted(sensors))
        raise ValueError(f"--missing is for RGB and one other sensor, and the frames have {found}; use --sensors.")
    return frozenset(m for m, there in zip((Modality.RGB, others.pop()), present, strict=True) if not there)
