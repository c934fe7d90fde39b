# SPDX-License-Identifier: Apache-2.0
"""Video files through PyAV (FFmpeg): real presentation time stamps, and grey of more than 8 bits kept as it is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.notices import Notices

TIMEOUT_SECONDS = 10.0  # to open a camera or a stream, and for each read of it
_HIDDEN_FRAMES = ("vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9")  # some packets are never shown
_WIDE_GREY = re.compile(r"gray(9|10|12|14|16)(le|be)")


def raw_picture(frame: Any) -> NDArray[Any]:
    """A decoded frame as (H, W) uint8 / uint16 where the format is grey, else RGB uint8 (H, W, 3).

    Wide grey is read from the plane itself: FFmpeg's own conversion would rescale 10 to 14 bits, and depth is in
    millimetres. The rotation that a container may carry is ignored.
    """
    wide = _WIDE_GREY.fullmatch(frame.format.name)
    if wide is not None:
        plane = frame.planes[0]
        kind = "<u2" if wide.group(2) == "le" else ">u2"
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // 2)
        return rows[: frame.height, : frame.width].astype(np.uint16)
    picture: NDArray[Any] = frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")
    return picture


def pictures(container: Any, name: str, notices: Notices) -> Iterator[tuple[float | None, NDArray[Any] | None]]:
    """Yield (time in seconds or None, raw picture or None where a packet is damaged) of an open container."""
    stream = container.streams.video[0]
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            notices.note(f"cut {name}", f"{name} breaks off ({_reason(error)}); what follows is lost.")
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            notices.note(
                f"damaged {name}",
                f"{name} has parts that cannot be decoded ({_reason(error)}); those frames are missing.",
            )
            yield None, None
            continue
        for frame in frames:
            yield frame.time, raw_picture(frame)


def open_container(location: str, what: str, **options: Any) -> Any:
    """``av.open`` with its errors turned into one sentence; ``what`` names the thing ("video file", "camera")."""
    if "://" in location:
        what = "stream"
    if what != "video file":
        options["timeout"] = TIMEOUT_SECONDS
    try:
        container = av.open(location, **options)
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(f"The {what} {location} cannot be opened ({_reason(error)}); {_ADVICE[what]}.") from error
    if not container.streams.video:
        container.close()
        raise ValueError(f"The {what} {location} has no video stream (only sound or data); give one with pictures.")
    return container


_ADVICE = {
    "video file": "it is truncated or not a video",
    "stream": "check the address, the network and whether the sender is running",
    "camera": "check that it is plugged in, that no other program uses it and that you may read it",
}


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


class VideoReader:
    """Reads one video file (or a file behind http); the first frame is decoded at once, so a broken file is said early.

    length: what the container states, else its packets counted, None where packets are no frames. has_time: whether
    frames carry time stamps. fps: used only where the file states no rate.
    """

    live = False

    def __init__(self, location: str, notices: Notices, fps: float | None = None) -> None:
        self.name = location
        self._notices = notices
        if "://" not in location and not Path(location).exists():
            raise ValueError(f"The video file {location} does not exist; check the path.")
        with open_container(self.name, "video file") as container:
            stream = container.streams.video[0]
            self.length: int | None = stream.frames or None
            rate = stream.average_rate or stream.guessed_rate
            duration = None
            if stream.duration is not None:
                duration = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                duration = container.duration / av.time_base
            # With sound in the file the stated end may be the sound's.
            self._stated_end = duration if len(container.streams) == 1 else None
            time, first = next(
                ((t, p) for t, p in pictures(container, self.name, Notices()) if p is not None), (None, None)
            )
        if first is None:
            raise ValueError(f"No frame of the video file {location} can be decoded; it is truncated or damaged.")
        if self.length is None:
            self.length = self._count_packets()
        self.first: NDArray[Any] = first
        self.size = (int(first.shape[0]), int(first.shape[1]))
        self.fps = float(rate) if rate else fps
        self.has_time = time is not None
        self.start: float | None = time
        self.end: float | None = None
        if time is not None and duration is not None:
            self.end = time + duration

    def _count_packets(self) -> int | None:
        """Matroska states no number of frames; without decoding, its packets are counted in well under a second."""
        with open_container(self.name, "video file") as container:
            stream = container.streams.video[0]
            if stream.codec_context.name in _HIDDEN_FRAMES or "://" in self.name:
                return None
            try:
                return sum(1 for packet in container.demux(stream) if packet.size > 0)
            except av.error.FFmpegError:  # cut short; frames() says so when it gets there
                return None

    def frames(self) -> Iterator[tuple[float, NDArray[Any] | None]]:
        """Yield (time in seconds, raw picture or None where a packet is damaged)."""
        step = 1.0 / self.fps if self.fps else math.nan
        last = -step
        count = 0
        with open_container(self.name, "video file") as container:
            container.streams.video[0].thread_type = "AUTO"
            for time, picture in pictures(container, self.name, self._notices):
                last = last + step if time is None else time
                count += 1
                yield last, picture if picture is None else self._in_size(picture)
        if self.length is not None and count < self.length:
            self._notices.note(
                f"short {self.name}",
                f"{self.name} states {self.length} frames and {count} could be read; it may be cut.",
            )
        elif self._stated_end is not None and last + 2 * step < self._stated_end:
            self._notices.note(
                f"short {self.name}",
                f"{self.name} states a length of {self._stated_end:.2f} s and its last frame is at {last:.2f} s; "
                "it may be cut.",
            )

    def _in_size(self, picture: NDArray[Any]) -> NDArray[Any]:
        if picture.shape[:2] == self.size:
            return picture
        self._notices.note(
            f"mixed {self.name}",
            f"{self.name} changes from {self.size[1]}x{self.size[0]} to {picture.shape[1]}x{picture.shape[0]}; "
            "all frames are scaled to the first.",
        )
        nearest = picture.dtype == np.uint16  # what may be depth
        resized: NDArray[Any] = cv2.resize(
            picture, self.size[::-1], interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        )
        return resized
