# SPDX-License-Identifier: Apache-2.0
"""Pictures of a rig as its sensors have them: paired in time like a clip's, not brought to one size."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.sources.clip import ClipReader
from modaltrack.sources.notices import Notices
from modaltrack.sources.source import open_source

_LIVE_STEP = 5  # instants of live sources between two that are used, so that they differ
_SEARCHED = 4  # times as many instants are looked at until enough are found that all sensors have


class _OwnPixels(ClipReader):
    _own_pixels = True


def rig_pictures(specs: Mapping[Modality, str], count: int) -> tuple[Modality, dict[Modality, list[NDArray[np.uint8]]]]:
    """The reference sensor, and up to ``count`` pictures (H, W, 3) of each at instants that all sensors have seen.

    Args:
        specs: modality -> a picture, a folder, a video, a camera or an address. Of recordings the instants are spread
            over the whole, of live sources they are the next ones.

    Raises:
        ValueError: for sources that cannot be opened, and where no instant has all sensors.
    """
    notices = Notices()
    sources = {m: open_source(spec, m, notices=notices, single=True) for m, spec in specs.items()}
    clip = _OwnPixels(sources, {}, notices)
    live = any(source.live for source in clip.sources.values())
    step = _LIVE_STEP if live else max(1, (clip.length or count) // count)
    images: dict[Modality, list[NDArray[np.uint8]]] = {m: [] for m in specs}
    last = -step
    with closing(clip.frames()) as frames:
        for frame in islice(frames, _SEARCHED * count * step):
            if set(frame.images) != set(specs) or frame.index - last < step:
                continue
            last = frame.index
            for modality, image in frame.images.items():
                images[modality].append(image)
            if len(images[clip.reference]) == count:
                break
    if last < 0:
        raise ValueError("There is no instant in which all sensors have an image; check their clocks and lengths.")
    return clip.reference, images
