# SPDX-License-Identifier: Apache-2.0
"""A video file that browsers play: H.264 where the installed PyAV writes it, real time stamps, whole or absent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from modaltrack.files import Partial

# the first of these that the installed FFmpeg knows; the wheels of PyAV differ in what they were built with
ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libopenh264": {},
    "mpeg4": {"qscale": "3"},
}
TIME_BASE = Fraction(1, 60000)  # fits 24, 25, 29.97, 30, 60 frames/s, and MPEG-4 part 2 allows no finer than 1/65535

_RATES = (1e-2, 1e3)  # frames per second that a file may state; others come from damaged inputs, 30 is stated then
_GAP = 24 * 3600.0  # seconds between two pictures above which the clock has jumped: the container counts no further


def available_encoder() -> str:
    """The name of the encoder that ``VideoWriter`` will use."""
    for name in ENCODERS:
        if name in av.codecs_available:
            return name
    raise ValueError(f"The installed PyAV writes none of {', '.join(ENCODERS)}; reinstall it with: pip install -U av")


class VideoWriter:
    """Write RGB pictures to an mp4 file. Use it as a context: on an exception the file is not left behind.

    >>> # with VideoWriter(Path("out.mp4"), fps=30) as video: video.write(picture, time)
    """

    def __init__(self, path: Path, fps: float = 30.0) -> None:
        self.path = path
        self.frames = 0
        self._fps = fps if _RATES[0] <= fps <= _RATES[1] else 30.0
        self._partial: Partial | None = None
        self._container: Any = None
        self._stream: Any = None
        self._start = math.nan
        self._last = -1  # time stamp of the last picture in TIME_BASE

    def __repr__(self) -> str:
        return f"VideoWriter({str(self.path)!r}, {self.frames} pictures)"

    def write(self, picture: NDArray[np.uint8], time: float = math.nan) -> None:
        """Append a picture: uint8 RGB (H, W, 3), even height and width.

        Args:
            time: seconds since the start of the clip; nan, or a jump of more than a day, stands for one frame after
                the last.

        Raises:
            OSError: naming the file, where it cannot be written (a full disk).
        """
        if self._container is None:
            self._open(*picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = self._stamp(time), TIME_BASE
        with self._named():
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name. Without a single picture there is no file."""
        if self._container is None:
            return
        try:
            with self._named():
                for packet in self._stream.encode():
                    self._container.mux(packet)
                self._container.close()
            assert self._partial is not None
            self._partial.keep()
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop what was written."""
        try:
            if self._container is not None:
                with suppress(OSError, av.error.FFmpegError):  # it may be what could not be written
                    self._container.close()
                self._container = None
        finally:
            if self._partial is not None:
                self._partial.drop()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of writing name the file that was asked for, not the hidden one it is written to."""
        try:
            yield
        except (OSError, av.error.FFmpegError) as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _open(self, height: int, width: int) -> None:
        name = available_encoder()
        if name == "mpeg4":
            warnings.warn(
                "The installed PyAV has no H.264 encoder; the video is MPEG-4 part 2, which players open and "
                "browsers do not.",
                stacklevel=3,
            )
        self._partial = Partial(self.path)
        self._container = av.open(str(self._partial.path), "w", format="mp4", options={"movflags": "+faststart"})
        rate = Fraction(self._fps).limit_denominator(1001)
        self._stream = self._container.add_stream(name, rate=rate, options=dict(ENCODERS[name]))
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TIME_BASE

    def _stamp(self, time: float) -> int:
        """The time stamp of the next picture: never before or at the last one's, whatever the source says."""
        step = round(1 / self._fps / TIME_BASE)
        if self._last < 0:
            self._start, self._last = time, 0
            return 0
        wanted = (time - self._start) / float(TIME_BASE)
        if abs(wanted - self._last) * TIME_BASE < _GAP:
            self._last = max(round(wanted), self._last + 1)
        else:
            self._last += step
            if math.isfinite(time):
                self._start = time - float(self._last * TIME_BASE)
        return self._last
