# SPDX-License-Identifier: Apache-2.0
"""Label Studio's video rectangles: a region that somebody has begun is followed to the end of the video.

``examples/label_studio`` holds the ML backend that Label Studio talks to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality, Status
from modaltrack.models.model import Model
from modaltrack.sources import open_clip
from modaltrack.tracking import Tracker


def track_regions(
    model: Model,
    video: str | os.PathLike[str],
    regions: Sequence[Mapping[str, Any]],
    most_frames: int = 0,
    modality: Modality | str = Modality.RGB,
) -> list[dict[str, Any]]:
    """The regions with their sequences continued from the last keyframe on.

    Label Studio counts frames from 1 at the rate of its own ``Video`` tag (framesCount / duration), which need not be
    the file's: both are brought together by time. Where a target is lost its region is switched off (``enabled`` false)
    until it is found again.

    Args:
        model: as ``load_model`` gives it.
        video: the file.
        regions: ``context["result"]`` of a request; regions that are no video rectangles come back as they are.
        most_frames: of Label Studio's frames to track, 0 = to the end.
        modality: what the video shows.

    Raises:
        ValueError: a region without framesCount, duration or keyframes, or a keyframe behind the video's end.
    """
    return [_continued(model, video, dict(region), most_frames, Modality(modality)) for region in regions]


def _continued(
    model: Model, video: str | os.PathLike[str], region: dict[str, Any], most_frames: int, modality: Modality
) -> dict[str, Any]:
    if region.get("type") != "videorectangle":
        return region
    value = dict(region.get("value") or {})
    keys = sorted(value.get("sequence") or [], key=lambda key: key["frame"])
    count, seconds = float(value.get("framesCount") or 0), float(value.get("duration") or 0)
    if not keys or count <= 0 or seconds <= 0:
        raise ValueError(
            "The region has no keyframe, framesCount or duration; draw a box on a frame of the video first."
        )
    rate, last = count / seconds, keys[-1]
    end = int(last["frame"]) + most_frames if most_frames else count
    found = _follow(model, video, modality, last, rate, end)
    return {**region, "value": {**value, "sequence": [*keys, *found]}}


def _follow(
    model: Model,
    video: str | os.PathLike[str],
    modality: Modality,
    last: Mapping[str, Any],
    rate: float,
    end: float,
) -> list[dict[str, Any]]:
    """What comes after the last keyframe, one entry per frame of Label Studio up to ``end``."""
    begin, tracker, found = int(last["frame"]), Tracker(model), []
    seen, off = 0, False
    for frame in open_clip({modality: video}):
        image = frame.images.get(modality)
        number = round(frame.time * rate) + 1 if np.isfinite(frame.time) else frame.index + 1
        if image is None or number < begin:
            continue
        if number > end:
            break
        if tracker.state is None:
            tracker.init({modality: image}, _pixels(last, image))
            seen = number
            continue
        answer = tracker.update({modality: image})
        if number == seen:  # the file has more frames than Label Studio counts
            continue
        seen, lost = number, answer.status is Status.LOST
        if not lost or not off:
            found.append(_entry(number, rate, answer.box, image, enabled=not lost))
        off = lost
    if tracker.state is None:
        raise ValueError(
            f"The last keyframe is frame {begin} and the video ends before it; check the Video tag's frameRate."
        )
    return found


def _pixels(key: Mapping[str, Any], image: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = image.shape[:2]
    shares = np.array([float(key[name]) for name in ("x", "y", "width", "height")])
    return shares / 100 * (width, height, width, height)


def _entry(
    number: int, rate: float, box: NDArray[np.float64], image: NDArray[np.uint8], enabled: bool
) -> dict[str, Any]:
    height, width = image.shape[:2]
    shares = box / (width, height, width, height) * 100
    place = {name: round(float(v), 4) for name, v in zip(("x", "y", "width", "height"), shares, strict=True)}
    return {"frame": number, "enabled": enabled, "rotation": 0, **place, "time": round((number - 1) / rate, 6)}
