# SPDX-License-Identifier: Apache-2.0
"""Video files through PyAV (FFmpeg): real presentation time stamps, and grey of more than 8 bits kept as it is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from modaltrack.file_kinds import START, not_a_video
from modaltrack.sources.notices import Notices, shown

TIMEOUT_SECONDS = 10.0  # to open a camera or a stream
SILENCE_SECONDS = 5.0  # of a stream until it counts as broken
UPRIGHT = (1, 0, 0, 1)
_HIDDEN_FRAMES = ("vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9")  # some packets are never shown
_WIDE_GREY = re.compile(r"gray(9|10|12|14|16)(le|be)")


def raw_picture(frame: av.VideoFrame, matrix: tuple[int, int, int, int] | None = None) -> NDArray[Any]:
    """A decoded frame as (H, W) uint8 / uint16 where the format is grey, else RGB uint8 (H, W, 3).

    Wide grey is read from the plane itself: FFmpeg's own conversion would rescale 10 to 14 bits, and depth is in
    millimetres. Turned upright by the display matrix a phone or a drone wrote, as players do; matrix: see
    ``display_matrix``, asked of this frame where None.
    """
    picture = _stored_picture(frame)
    a, b, c, d = display_matrix(frame) if matrix is None else matrix
    if (a, b, c, d) == UPRIGHT:
        return picture
    if abs(b) > abs(a):  # x' = a x + c y, y' = b x + d y
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """How a stored picture is to be shown: the upper left 2x2 of the matrix in the container, by rows, as signs.

    To be asked once per stream: the view of a frame's side data keeps the frame until the garbage collector comes, and
    a stream of frames would pile up.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    values = np.frombuffer(bytes(data), "<i4")
    if len(values) < 5:
        return UPRIGHT
    largest = max(1, int(np.abs(values[[0, 1, 3, 4]]).max()))
    a, b, c, d = (round(int(values[k]) / largest) for k in (0, 1, 3, 4))
    return (a, b, c, d) if a * d - b * c else UPRIGHT


def _stored_picture(frame: av.VideoFrame) -> NDArray[Any]:
    wide = _WIDE_GREY.fullmatch(frame.format.name)
    if wide is not None:
        plane = frame.planes[0]
        kind = "<u2" if wide.group(2) == "le" else ">u2"
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // 2)
        return rows[: frame.height, : frame.width].astype(np.uint16)
    if frame.format.name == "gray":
        return frame.to_ndarray(format="gray")
    plane = frame.reformat(format="rgb24").planes[0]  # the array below is a view of it: not copied, and kept by it
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : 3 * frame.width]
    return np.ascontiguousarray(rows).reshape(frame.height, frame.width, 3)


def pictures(
    container: InputContainer, name: str, notices: Notices, broke: Callable[[str], None] | None = None
) -> Iterator[tuple[float | None, NDArray[Any] | None]]:
    """Yield (time in seconds or None, raw picture or None where a packet is damaged) of an open container.

    Args:
        broke: called with the reason where it breaks off, instead of a notice that the rest is lost.
    """
    stream = container.streams.video[0]
    packets = container.demux(stream)
    matrix: tuple[int, int, int, int] | None = None
    rotation = 0
    raw_size = None if stream.codec_context is not None else raw_grey_size(container)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            if broke is not None:
                broke(reason(error))
            else:
                notices.note(f"cut {name}", f"{name} breaks off ({reason(error)}); what follows is lost.")
            return
        if raw_size is not None:
            if packet.size:
                yield _seconds(packet), _raw_grey(packet, raw_size)
            continue
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            notices.note(
                f"damaged {name}",
                f"{name} has parts that cannot be decoded ({reason(error)}); those frames are missing.",
            )
            yield None, None
            continue
        for frame in frames:
            if matrix is None or frame.rotation != rotation:
                matrix, rotation = display_matrix(frame), frame.rotation
            if matrix != UPRIGHT:
                how = f"by {frame.rotation % 360} degrees" if frame.rotation % 360 else "over"
                notices.note(f"turned {name}", f"{name} is turned {how}, as its display matrix says.")
            yield frame.time, raw_picture(frame, matrix)


def open_container(location: str, what: str, **options: object) -> InputContainer:
    """``av.open`` with its errors turned into one sentence; ``what`` names the thing ("video file", "camera")."""
    if "://" in location:
        what = "stream"
    if what != "video file":
        options["timeout"] = (TIMEOUT_SECONDS, SILENCE_SECONDS)
    try:
        container = av.open(location, **options)
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(
            f"The {what} {shown(location)} cannot be opened ({reason(error)}); "
            f"{_what_it_is(Path(location)) if what == 'video file' else _ADVICE[what]}."
        ) from error
    if not container.streams.video:
        container.close()
        raise ValueError(
            f"The {what} {shown(location)} has no video stream (only sound or data); give one with pictures."
        )
    if container.streams.video[0].codec_context is None and raw_grey_size(container) is None:
        codec = _codec_tag(container)
        container.close()
        raise ValueError(
            f"The {what} {shown(location)} is of a codec{codec} that the FFmpeg here does not know; convert it, 16-bit "
            "grey for example to gray16le in FFV1 (.mkv)."
        )
    return container


def _what_it_is(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return not_a_video(stream.read(START))
    except OSError:
        return "it cannot be read"


def raw_grey_size(container: InputContainer) -> tuple[int, int] | None:
    """(height, width) of a stream of uncompressed 16-bit grey ("Y16 ", as thermal USB cameras write), else None.

    FFmpeg has no decoder by this name. The size stands in the BITMAPINFOHEADER that AVI and Matroska carry.
    """
    header = _bitmap_header(container)
    if header is None or header[2] not in (b"Y16 ", b"Y16\0", b"Y160"):
        return None
    return header[:2]


def _codec_tag(container: InputContainer) -> str:
    header = _bitmap_header(container)
    return "" if header is None else f" ({shown(header[2].decode('latin-1').strip())!r})"


def _bitmap_header(container: InputContainer) -> tuple[int, int, bytes] | None:
    path = Path(container.name)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(1 << 16)
    # biSize 40, biWidth, biHeight (negative: top row first), biPlanes 1, biBitCount, biCompression
    found = re.search(rb"\x28\0\0\0(....)(....)\x01\0(..)(....)", head, re.DOTALL)
    if found is None:
        return None
    width, height = (int.from_bytes(found[k], "little", signed=True) for k in (1, 2))
    return (abs(height), width, found[4]) if 0 < width <= 16384 and 0 < abs(height) <= 16384 else None


def _raw_grey(packet: av.Packet, size: tuple[int, int]) -> NDArray[np.uint16] | None:
    values = np.frombuffer(bytes(packet), "<u2")
    return values[: size[0] * size[1]].reshape(size).copy() if len(values) >= size[0] * size[1] else None


def _seconds(packet: av.Packet) -> float | None:
    return None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)


_ADVICE = {
    "stream": "check the address, the network and whether the sender is running",
    "camera": "check that it is plugged in, that no other program uses it and that you may read it",
}


def reason(error: BaseException) -> str:
    """What went wrong, in FFmpeg's words where they say it."""
    if isinstance(error, av.error.ExitError):  # "Immediate exit requested": the timeout above
        return "nothing came in time"
    return str(getattr(error, "strerror", None) or error).rstrip(".")


class VideoReader:
    """Reads one video file (or a file behind http); the first frame is decoded at once, so a broken file is said early.

    Args:
        fps: used only where the file states no rate.

    Attributes:
        length: what the container states, else its packets counted, None where packets are no frames.
        has_time: whether frames carry time stamps.
    """

    live = False

    def __init__(self, location: str, notices: Notices, fps: float | None = None) -> None:
        self.name = shown(location)
        self._location = location
        self._notices = notices
        if "://" not in location and not Path(location).exists():
            raise ValueError(f"The video file {self.name} does not exist; check the path.")
        with open_container(location, "video file") as container:
            stream = container.streams.video[0]
            self.length: int | None = stream.frames or None
            rate = stream.average_rate or stream.guessed_rate
            duration = None
            if stream.duration is not None and stream.time_base is not None:
                duration = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                duration = container.duration / av.time_base
            # With sound in the file the stated end may be the sound's.
            self._stated_end = duration if len(container.streams) == 1 else None
            time, first = next(
                ((t, p) for t, p in pictures(container, self.name, Notices()) if p is not None), (None, None)
            )
        if first is None:
            raise ValueError(f"No frame of the video file {self.name} can be decoded; it is truncated or damaged.")
        counted_end = None
        if self.length is None:
            self.length, counted_end = self._count_packets()
        self.first: NDArray[Any] = first
        self.size = (int(first.shape[0]), int(first.shape[1]))
        self.fps = float(rate) if rate else fps
        self.has_time = time is not None
        self.start: float | None = time
        self.end: float | None = None
        if time is not None and counted_end is not None:
            self.end = counted_end  # Matroska's duration counts from 0, wherever its first frame lies
        elif time is not None and duration is not None:
            self.end = time + duration

    def _count_packets(self) -> tuple[int | None, float | None]:
        """(packets, end of the last in seconds) of a file that states no number of frames, as Matroska.

        Without decoding, an hour takes well under a second. None where packets are no frames or the file is cut.
        """
        with open_container(self._location, "video file") as container:
            stream = container.streams.video[0]
            if "://" in self._location:
                return None, None
            hidden = stream.codec_context is not None and stream.codec_context.name in _HIDDEN_FRAMES
            count, end = 0, None
            try:
                for packet in container.demux(stream):
                    if packet.size > 0:
                        count += 1
                        begin = _seconds(packet)
                        if begin is not None:
                            end = max(end or begin, begin + float((packet.duration or 0) * packet.time_base))
            except av.error.FFmpegError:  # cut short; frames() says so when it gets there
                return None, end
            return None if hidden else count, end

    def frames(self) -> Iterator[tuple[float, NDArray[Any] | None]]:
        """Yield (time in seconds, raw picture or None where a packet is damaged)."""
        step = 1.0 / self.fps if self.fps else math.nan
        last, shift = -step, 0.0
        count = 0
        with open_container(self._location, "video file") as container:
            stream = container.streams.video[0]
            if stream.codec_context is not None:
                stream.thread_type = "AUTO"
            for time, picture in pictures(container, self.name, self._notices):
                if time is not None and count and time + shift <= last:
                    self._notices.note(
                        f"back {self.name}",
                        f"The time stamps of {self.name} go back from {last:.3f} to {time + shift:.3f} s (joined "
                        "parts?); they are counted on from there.",
                    )
                    shift = last + (0.0 if math.isnan(step) else step) - time
                last = last + step if time is None else time + shift
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
