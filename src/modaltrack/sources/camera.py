# SPDX-License-Identifier: Apache-2.0
"""Cameras on this machine and network streams, opened at the first iteration and not before."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer
from numpy.typing import NDArray

from modaltrack.sources.notices import Notices, shown
from modaltrack.sources.video import open_container, pictures

PIPE = "-"  # ffmpeg ... -f matroska - | modaltrack track --rgb -
# Half a second of probing instead of five. (With "nobuffer" what is probed would be lost, a first key frame with it.)
QUICK = {"analyzeduration": "500000", "probesize": "1000000", "rtsp_transport": "tcp"}


def is_live(spec: str) -> bool:
    """Whether a spec names a camera ("0", "video=Name" on Windows), a stream ("rtsp://...") or standard input ("-")."""
    return spec == PIPE or spec.isdigit() or "://" in spec or spec.startswith(("video=", "/dev/video"))


class LiveReader:
    """Reads a camera or a network stream; nothing is opened before ``size``, ``fps`` or ``frames`` is asked for.

    Each frame's time is the moment it arrived, on this machine's monotonic clock: time stamps of different cameras and
    senders share no zero, arrival times do.

    Raises:
        ValueError: when it cannot be opened or gives no frame within 10 s.
    """

    live = True
    length: int | None = None
    has_time = True
    start: float | None = None
    end: float | None = None

    def __init__(self, spec: str, notices: Notices, fps: float | None = None) -> None:
        self.name = "standard input" if spec == PIPE else shown(spec if "://" in spec else f"camera {spec}")
        self.is_pipe = spec == PIPE
        self._spec = spec
        self._notices = notices
        self._fps = fps
        self._rate: float | None = None
        self._known: tuple[tuple[int, int], float | None] | None = None
        self._pending: Any = None  # the open container and its pictures from the second on, after ``size`` was asked
        self._first: NDArray[Any] | None = None
        self.broken = ""  # why the last ``frames`` ended, empty where the stream just ended

    @property
    def first(self) -> NDArray[Any] | None:
        """Never known in advance: looking would take a frame out of the stream."""
        return None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a first frame; opens the camera for it, and ``frames`` goes on from there.

        Opening it a second time would fail: a camera, and a UDP port, has one reader.
        """
        if self._known is None:
            container = self._open()
            shown = pictures(container, self.name, self._notices, self._broke)
            self._first = next((picture for _, picture in shown if picture is not None), None)
            if self._first is None:
                container.close()
                raise ValueError(f"{self.name} was opened and gives no frame; check the camera or the sender.")
            self._pending = container, shown
            self._note_known(self._first)
        assert self._known is not None
        return self._known[0]

    @property
    def fps(self) -> float | None:
        """Frames per second the camera states, None if it states none or has not been opened yet."""
        return self._fps or (self._known[1] if self._known is not None else None)

    def _note_known(self, picture: NDArray[Any]) -> None:
        self._known = (int(picture.shape[0]), int(picture.shape[1])), self._rate

    def _open(self) -> InputContainer:
        if self.is_pipe:
            container = open_container("pipe:0", "stream")
        elif "://" in self._spec:
            container = open_container(self._spec, "stream", options=QUICK)
        else:
            location, driver = camera_address(self._spec, sys.platform)
            container = open_container(location, "camera", format=driver)
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        self._rate = float(rate) if rate else None
        return container

    def _broke(self, reason: str) -> None:
        self.broken = reason

    def frames(self) -> Iterator[tuple[float, NDArray[Any] | None]]:
        """Yield (arrival time in seconds, raw picture or None where a packet is damaged)."""
        if self._pending is not None:
            (container, shown), self._pending = self._pending, None
            yield time.monotonic(), self._first
        else:
            container = self._open()
            shown = pictures(container, self.name, self._notices, self._broke)
        with container:
            for _, picture in shown:
                if self._known is None and picture is not None:
                    self._note_known(picture)
                yield time.monotonic(), picture


def camera_address(spec: str, platform: str) -> tuple[str, str]:
    """FFmpeg's name and driver for a camera, for example ("/dev/video0", "v4l2")."""
    if platform.startswith("linux"):
        return (f"/dev/video{spec}" if spec.isdigit() else spec), "v4l2"
    if platform == "darwin":
        return f"{spec}:none", "avfoundation"
    if not spec.isdigit():
        return spec, "dshow"
    names = _windows_cameras()
    if int(spec) >= len(names):
        raise ValueError(
            f"Camera {spec} does not exist ({len(names)} found: {', '.join(names) or 'none'}); plug it in or "
            "give its name as 'video=NAME'."
        )
    return f"video={names[int(spec)]}", "dshow"


def _windows_cameras() -> list[str]:
    enumerate_devices = getattr(av, "enumerate_input_devices", None)  # PyAV 17 and later
    if enumerate_devices is None:
        raise ValueError(
            "This PyAV cannot list cameras by number; give the camera's name as 'video=NAME' or update av."
        )
    return [
        d.description for d in enumerate_devices("dshow") if "video" in (getattr(d, "media_types", None) or ["video"])
    ]
