# SPDX-License-Identifier: Apache-2.0
"""Is a folder fit for training? One sentence for every picture, box or clip that is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.training.pictures.image_files import image_size, read_encoded
from modaltrack.training.pictures.records import Contents, LabelledClip, LabelledPicture, Problem

INSIDE = 0.5  # share of a box that has to lie in its picture
SMALLEST = 3.0  # width or height in pixels below which a box says nothing of what its object looks like


def check(contents: Contents, deep: bool = False) -> tuple[Contents, list[Problem]]:
    """The records that can be trained on, and what is wrong with the others.

    Args:
        contents: What ``read_folder`` found.
        deep: Decode every image; else only sizes are read, from the headers.

    Returns:
        The same contents without unreadable pictures and frames' clips and without bad boxes, and all problems,
        those of reading first.
    """
    problems = list(contents.problems)
    kept = Contents(contents.folder, formats=dict(contents.formats))
    for picture in contents.pictures:
        found = _check_picture(picture, deep, problems)
        kept.pictures += [found] if found else []
    sizes: dict[Path, tuple[int, int] | None] = {}  # several targets of a clip share its frames
    for clip in contents.clips:
        clip = replace(clip, boxes=clip.boxes.copy())  # bad ones become nan
        kept.clips += [clip] if _check_clip(clip, deep, problems, sizes) else []
    return kept, problems


def _size(file: Path, modality: Modality, deep: bool, depth_scale: float) -> tuple[int, int] | None:
    """(height, width) of an image; None where it is unreadable."""
    if not deep:
        return image_size(file)
    try:
        image = read_encoded(file, modality, depth_scale)
    except ValueError:
        return None
    return image.shape[0], image.shape[1]


def _check_picture(picture: LabelledPicture, deep: bool, problems: list[Problem]) -> LabelledPicture | None:
    sizes = {m: _size(file, m, deep, picture.depth_scale) for m, file in picture.files.items()}
    unread = [str(picture.files[m]) for m, size in sizes.items() if size is None]
    if unread:
        problems.append(Problem(unread[0], "the picture cannot be decoded."))
        return None
    known = {m: size for m, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        found = ", ".join(f"{m} {width}x{height}" for m, (height, width) in known.items())
        problems.append(Problem(picture.name, f"aligned images of one size are expected and they are {found}."))
        return None
    height, width = next(iter(known.values()))
    if picture.mask is not None and image_size(picture.mask) != (height, width):
        problems.append(Problem(str(picture.mask), f"the mask is not of its picture's size {width}x{height}."))
        return None
    good = []
    for k, box in enumerate(picture.boxes):
        wrong = list(_wrong(box, height, width))
        problems += [Problem(f"{picture.name}, box {k + 1}", sentence) for sentence in wrong]
        if not wrong:
            good.append(k)
    nameless = sum(not kind for kind in picture.classes)
    if nameless and nameless < len(picture.classes):
        problems.append(Problem(picture.name, f"{nameless} of its {len(picture.classes)} objects have no class."))
    if not good:
        return None
    identities = picture.identities or ("",) * len(picture.boxes)
    return LabelledPicture(
        picture.name,
        picture.files,
        picture.boxes[good],
        tuple(picture.classes[k] for k in good),
        picture.mask,
        tuple(identities[k] for k in good),
        picture.depth_scale,
    )


def _wrong(box: NDArray[np.float64], height: int, width: int) -> Iterator[str]:
    x, y, w, h = (float(value) for value in box)
    text = "({:.6g}, {:.6g}, {:.6g}, {:.6g})".format(*box)
    if min(w, h) < SMALLEST:
        yield f"the box {text} is narrower or lower than {SMALLEST:g} pixels."
        return
    inner = max(0.0, min(x + w, width) - max(x, 0.0)) * max(0.0, min(y + h, height) - max(y, 0.0))
    if inner < INSIDE * w * h:
        share = inner / (w * h)
        yield f"{1 - share:.0%} of the box {text} lies outside its picture of {width}x{height}."


def _check_clip(
    clip: LabelledClip, deep: bool, problems: list[Problem], sizes: dict[Path, tuple[int, int] | None]
) -> bool:
    """Whether all its frames can be read, are of one size, and its boxes lie in them; bad boxes only speak."""
    name = f"{clip.name} {clip.target}".strip()
    for modality, files in clip.files.items():
        for file in files:
            if file not in sizes:
                sizes[file] = _size(file, modality, deep, clip.depth_scale)
            if sizes[file] is None:
                problems.append(Problem(str(file), "the frame cannot be decoded."))
                return False
    kinds = {sizes[file] for files in clip.files.values() for file in files}
    if len(kinds) > 1:
        problems.append(Problem(name, f"its frames have {len(kinds)} different sizes and one is expected."))
        return False
    found = kinds.pop()
    assert found is not None
    for k in np.flatnonzero(np.isfinite(clip.boxes).all(1)):
        for sentence in _wrong(clip.boxes[k], *found):
            problems.append(Problem(f"{name}, frame {k + 1}", sentence))
            clip.boxes[k] = np.nan
    return bool(np.isfinite(clip.boxes).any())
