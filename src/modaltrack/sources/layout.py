# SPDX-License-Identifier: Apache-2.0
"""The one folder layout of this package, and the boxes beside it.

    my_clip/
      rgb/ thermal/ depth/ event/     images named by number; any of the four, at least one
      boxes.txt                       x, y, w, h per frame; nan = absent  (groundtruth.txt is read too)

``aux/`` may stand for the second sensor when its modality is given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.box_text import parse_boxes, read_bytes
from modaltrack.frame import Modality
from modaltrack.sources.clip import ClipReader
from modaltrack.sources.notices import Notices
from modaltrack.sources.opening import open_clip
from modaltrack.sources.source import check_modality

BOX_FILES = ("boxes.txt", "groundtruth.txt")


def open_folder(
    path: str | os.PathLike[str], aux: Modality | str | None = None, **options: object
) -> tuple[ClipReader, NDArray[np.float64] | None]:
    """Open a clip folder: (reader, boxes (N, 4) float64 xywh with nan rows where absent, or None without a box file).

    Args:
        aux: the modality of the images in ``aux/``.
        options: those of ``open_clip``.

    More boxes than frames are cut, fewer are left as they are, both with a warning.

    Raises:
        ValueError: if none of the sensor folders is there.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"The clip folder {folder} does not exist; check the path.")
    specs: dict[Modality, Path] = {m: folder / m.value for m in Modality if (folder / m.value).is_dir()}
    if (folder / "aux").is_dir():
        if aux is None:
            raise ValueError(
                f"{folder} has a folder aux/ and its modality was not given; add aux='thermal', 'depth' or 'event'."
            )
        kind = check_modality(aux)
        if kind in specs:
            raise ValueError(f"{folder} has both {kind}/ and aux/, which was said to be {kind}; keep one of them.")
        specs[kind] = folder / "aux"
    elif aux is not None:
        raise ValueError(f"{folder} has no folder aux/ and the modality {aux} was given for it; leave that out.")
    if not specs:
        found = ", ".join(sorted(f.name for f in folder.iterdir())[:6]) or "nothing"
        raise ValueError(f"{folder} holds {found} and at least one of rgb/, thermal/, depth/, event/ was expected.")
    chosen: dict[str, Any] = options
    reader = open_clip(specs, **chosen)
    file = next((folder / name for name in BOX_FILES if (folder / name).is_file()), None)
    if file is None:
        return reader, None
    boxes = read_boxes(file)
    length = reader.length
    if length is not None and length != len(boxes):
        notices = Notices()
        done = "the rest is cut" if len(boxes) > length else "later frames have no box"
        notices.note("boxes", f"{file} holds {len(boxes)} boxes for {length} frames; {done}.")
        notices.speak()
        boxes = boxes[:length]
    return reader, boxes


def read_boxes(file: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Read one box per line: (N, 4) float64 xywh, a row of nan where the target is absent.

    Commas, semicolons, tabs or blanks; 4 numbers x y w h or a polygon of 8 (its bounding box is taken); nan, an empty
    line between others, or a width or height of 0 or less mean absent (docs/data.md, "Rules of reading", 2 and 4).
    Numbers are not shifted between 0- and 1-based.

    Raises:
        ValueError: naming the line that does not fit.
    """
    boxes = parse_boxes(read_bytes(file), str(file))
    with np.errstate(invalid="ignore"):
        boxes[~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))] = np.nan
    return boxes
