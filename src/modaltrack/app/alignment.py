# SPDX-License-Identifier: Apache-2.0
"""Aligning the sensors of the open clip: pictures to click on, a homography from points or by search, and its use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.app.opening import OpenedClip
from modaltrack.app.player import Player
from modaltrack.app.target_commands import Command, Message
from modaltrack.frame import Modality
from modaltrack.sources import ClipReader
from modaltrack.sources.registration import (
    Alignment,
    alignment_document,
    alignment_from_points,
    blended,
    estimate_alignment,
)

INSTANTS = 8  # pictures of each sensor
LIVE_STEP, LIVE_SECONDS = 0.25, 10.0  # between two live instants, and in all
REACH = 120  # frames of a stored clip before and behind the one that is shown, over which its instants are spread
MAX_PAIRS = 200

Images = Mapping[Modality, NDArray[np.uint8]]


class Owner(Protocol):
    """What these commands need of the workspace."""

    def there(self) -> Player: ...

    def clip_changed(self) -> None: ...

    def recorded(self) -> str: ...


class AlignmentCommands:
    """The commands by name: ``slow`` run in threads of their own, ``table`` in the workspace's.

    Attributes:
        number: of the pictures, so that a page does not mix old and new ones.
        instants: sensor -> image in its own pixels, of the same moment, from ``align pictures`` on.
        found: sensor -> its newest alignment.
    """

    def __init__(self, workspace: Owner) -> None:
        self._workspace = workspace
        self.number = 0
        self.reference = Modality.RGB
        self.instants: list[Images] = []
        self.found: dict[Modality, Alignment] = {}
        self.slow: dict[str, Callable[[Command], Message]] = {
            "align pictures": self._take,
            "align search": self._search,
        }
        self.table: dict[str, Callable[[Command], Any]] = {"align points": self._points, "align use": self._use}

    def _take(self, command: Command) -> Message:
        """Pictures of all sensors at some instants around the frame that is shown; of cameras, the next ones."""
        player = self._workspace.there()
        reader = reader_of(player.clip)
        live = player.clip.footage.live
        instants = _live_instants(reader) if live else _stored_instants(reader, player.index)
        if not instants:
            raise ValueError(
                "There is no instant in which all sensors have an image; check that none of them is covered or gone."
            )
        if self._workspace.there() is not player:
            raise ValueError("Another clip was opened meanwhile; take its pictures.")
        self.number += 1
        self.instants, self.reference, self.found = instants, reader.reference, {}
        sizes = {m.value: [image.shape[1], image.shape[0]] for m, image in instants[0].items()}
        return {"number": self.number, "reference": reader.reference.value, "sizes": sizes, "instants": len(instants)}

    def _search(self, command: Command) -> Message:
        sensor = self._sensor(command)
        instants = self.instants
        reference = [images[self.reference] for images in instants]
        found = estimate_alignment(reference, [images[sensor] for images in instants])
        if instants is not self.instants:  # what was found belongs to the old ones, perhaps to another clip
            raise ValueError("Other pictures were taken meanwhile; search in those.")
        return self._keep(sensor, found)

    def _points(self, command: Command) -> Message:
        sensor = self._sensor(command)
        pairs = command.get("pairs")
        try:
            points = np.array(pairs, np.float64).reshape(-1, 4)
        except (TypeError, ValueError):
            points = np.full((0, 4), np.nan)
        if not isinstance(pairs, list) or len(points) != len(pairs) or len(points) > MAX_PAIRS:
            raise ValueError(f"The pairs are not understood; give up to {MAX_PAIRS} of x, y, x, y.")
        found = alignment_from_points(points)
        moved = cv2.perspectiveTransform(points[None, :, :2], found.homography)[0]
        errors = [round(float(d), 2) for d in np.hypot(*(moved - points[:, 2:]).T)]
        return {**self._keep(sensor, found), "errors": errors}

    def _keep(self, sensor: Modality, found: Alignment) -> Message:
        self.found[sensor] = found
        return {"homography": found.homography.tolist(), **found.facts()}

    def _use(self, command: Command) -> None:
        """Show and track with what was found for a sensor, or, where ``drop`` is set, with no homography of it."""
        clip = self._workspace.there().clip
        reader, sensor = reader_of(clip), self._sensor(command, known=bool(command.get("drop")))
        if folder := self._workspace.recorded():
            raise ValueError(f"A recording has one alignment from beginning to end; stop the one in {folder} first.")
        given: dict[str, Any] = {m.value: matrix for m, matrix in reader.homographies.items() if m != sensor}
        if not command.get("drop"):
            given[sensor.value] = self._found(sensor).homography
        reader.align(given)
        self._workspace.clip_changed()

    def picture(self, number: int, instant: int, sensor: str, blend: bool) -> NDArray[np.uint8] | None:
        """An image to show, None for what there is not; called by any thread.

        Args:
            blend: both sensors on each other, by what was found.
        """
        instants, found = self.instants, self.found.get(Modality(sensor)) if sensor in list(Modality) else None
        if number != self.number or not 0 <= instant < len(instants) or sensor not in instants[instant]:
            return None
        images = instants[instant]
        if not blend:
            return images[Modality(sensor)]
        return None if found is None else blended(images[self.reference], images[Modality(sensor)], found.homography)

    def document(self, clip: OpenedClip) -> dict[str, Any]:
        """What ``track --align`` reads: the clip's homographies, and those that were found since.

        Raises:
            ValueError: there is none.
        """
        reader = reader_of(clip)
        if not reader.homographies and not self.found:
            raise ValueError("No sensor is aligned; click matched points first, or search.")
        known = {m.value: matrix.tolist() for m, matrix in reader.homographies.items()}
        return known | alignment_document(self.reference, self.found)

    def forget(self) -> None:
        """Of another clip."""
        self.instants, self.found = [], {}

    def _sensor(self, command: Command, known: bool = False) -> Modality:
        sensor, sensors = command.get("sensor"), self.instants[0] if self.instants else {}
        if sensor in list(Modality) and (known or (sensor in sensors and sensor != self.reference)):
            return Modality(str(sensor))
        raise ValueError(f"There are no pictures of {sensor!r:.20} to align; take them first.")

    def _found(self, sensor: Modality) -> Alignment:
        if sensor not in self.found:
            raise ValueError(f"Nothing was found for {sensor} yet; click at least four points, or search.")
        return self.found[sensor]


def reader_of(clip: OpenedClip) -> ClipReader:
    """What reads a clip that can be aligned.

    Raises:
        ValueError: for scenes and for clips of one sensor.
    """
    if clip.reader is None:
        raise ValueError("The sensors of a rendered scene lie on each other already.")
    if len(clip.reader.sources) < 2:
        raise ValueError("The clip has one sensor; open two or more to align them.")
    return clip.reader


def _live_instants(reader: ClipReader) -> list[Images]:
    found: list[Images] = []
    until = time.monotonic() + LIVE_SECONDS
    while len(found) < INSTANTS and time.monotonic() < until:
        images = reader.live_images()
        if images.keys() == reader.sources.keys():
            found.append(images)
        time.sleep(LIVE_STEP)
    return found


def _stored_instants(reader: ClipReader, around: int) -> list[Images]:
    first, last = max(0, around - REACH), around + REACH
    if reader.length is not None:
        last = min(last, reader.length - 1)
    step = max(1, math.ceil((last - first + 1) / INSTANTS))
    found: list[Images] = []
    frames = reader.in_own_pixels().frames()
    try:
        for frame in frames:
            if frame.index > last or len(found) == INSTANTS:
                break
            if frame.index >= first + step * len(found) and frame.images.keys() == reader.sources.keys():
                found.append(frame.images)
    finally:
        frames.close()
    return found
