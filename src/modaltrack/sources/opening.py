# SPDX-License-Identifier: Apache-2.0
"""Several sources become one clip: ``open_clip``."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modaltrack.frame import Modality
from modaltrack.sources.align import Homographies, load_alignment
from modaltrack.sources.clip import ClipReader, choose_reference
from modaltrack.sources.events import DEFAULT_WINDOW
from modaltrack.sources.live import LivePolicy
from modaltrack.sources.notices import Notices
from modaltrack.sources.sensor_folders import Spec, sensor_folders
from modaltrack.sources.source import Source, check_modality, open_source


def open_clip(
    specs: Mapping[str, Spec] | Mapping[Modality, Spec] | str | os.PathLike[str],
    align: Homographies | str | os.PathLike[str] | None = None,
    depth_scale: float = 1.0,
    encodings: Mapping[Any, str] | None = None,
    fps: float | None = None,
    window: float | None = None,
    event_size: tuple[int, int] | None = None,
    event_unit: str | None = None,
    offsets: Mapping[Any, float] | None = None,
    tolerance: float | None = None,
    policy: LivePolicy | None = None,
    record: str | os.PathLike[str] | None = None,
) -> ClipReader:
    """Open one clip seen by several sensors: ``open_clip({"rgb": "rgb.mp4", "thermal": "thermal/"})``.

    Args:
        specs: modality -> what ``open_source`` takes (None: left out), or a folder with rgb/, thermal/ ... in it.
        align: modality -> 3x3 homography from that sensor's pixels to RGB's, or a JSON file of them.
        depth_scale: value * depth_scale = millimetres.
        encodings: modality -> name.
        fps: the rate of image folders without time stamps.
        window: seconds per event image where RGB has no clock (by default RGB's frame interval, 1/30 s if unknown).
        event_size: (height, width) of an event sensor whose file does not say.
        event_unit: of the stamps in event tables (s, ms, us, ns), guessed if None.
        offsets: modality -> seconds added to that stream's time stamps.
        tolerance: seconds within which two stamps are one instant (default half a frame interval).
        policy: of live sources (late images, silence, reopening).
        record: a new folder for all images of live sources, as they come; ``open_recording`` reads it.

    Raises:
        ValueError: in one sentence, for what cannot be opened.
    """
    given_specs = specs if isinstance(specs, Mapping) else sensor_folders(specs)
    wanted = {check_modality(key): spec for key, spec in given_specs.items() if spec is not None}
    if not wanted:
        raise ValueError("No source was given (all are None); give at least one of rgb, thermal, depth, event.")
    if [str(spec) for spec in wanted.values()].count("-") > 1:
        raise ValueError("Standard input (-) is given for two sensors and has one reader; give one of them a file.")
    names = {check_modality(key): name for key, name in (encodings or {}).items()}
    shifts = {check_modality(key): float(seconds) for key, seconds in (offsets or {}).items()}
    for what, given in (("encodings", names), ("offsets", shifts)):
        if strange := [modality for modality in given if modality not in wanted]:
            raise ValueError(f"The {what} name {strange[0]}, which is no source of this clip; leave it out.")
    _check_numbers(shifts, tolerance, depth_scale)
    notices = Notices()
    opened: dict[Modality, Source] = {}
    for modality in sorted(wanted, key=lambda m: m != Modality.RGB):  # RGB first: it tells the event window
        rgb = opened.get(Modality.RGB)
        interval = 1.0 / rgb.fps if rgb is not None and not rgb.live and rgb.fps else DEFAULT_WINDOW
        opened[modality] = open_source(
            wanted[modality],
            modality,
            encoding=names.get(modality),
            depth_scale=depth_scale if modality == Modality.DEPTH else 1.0,
            fps=fps,
            window=interval if window is None else window,
            event_size=event_size,
            event_unit=event_unit,
            notices=notices,
        )
    sources = {modality: opened[modality] for modality in wanted}
    reference = choose_reference(sources)
    if record is not None and not all(source.live for source in sources.values()):
        file = next(source.name for source in sources.values() if not source.live)
        raise ValueError(f"Recording is for cameras and streams, and {file} is a file; leave --record out.")
    place = None if record is None else Path(record)
    homographies = load_alignment(str(align) if isinstance(align, os.PathLike) else align, tuple(sources), reference)
    return ClipReader(sources, homographies, notices, shifts, tolerance, policy, place)


def _check_numbers(shifts: Mapping[Modality, float], tolerance: float | None, depth_scale: float) -> None:
    if not all(math.isfinite(seconds) for seconds in shifts.values()):
        raise ValueError(f"The offsets are {shifts} and finite seconds were expected; correct them.")
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"The tolerance is {tolerance} and seconds of 0 or more were expected; correct it.")
    if not (math.isfinite(depth_scale) and depth_scale > 0):
        raise ValueError(f"The depth_scale is {depth_scale} and a positive number was expected; correct it.")
