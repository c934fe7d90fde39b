# SPDX-License-Identifier: Apache-2.0
"""Watches what comes in: sensors that are blind, frozen, of an absurd size or rate, or not what they were taken for.

Nothing here changes an image; a sentence is noted once per sensor and the clip goes on.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.sources.encodings import DEPTH_LIMIT_MM
from modaltrack.sources.notices import Notices

_LOOKS = 3  # images before a sensor is called blind
_TAIL = 0.5  # percent of the pixels at each end that say nothing of contrast
_FLAT = 3  # grey levels between these ends: less is no picture
_SQUEEZED = 16  # grey levels of a 16-bit thermal image: less means that a few pixels took the rest
_FAR_SHARE = 0.9
_NEAR_MM = 60.0  # below it no depth camera measures
_DEPTH_UNITS = {0.1: "0.1 mm", 0.25: "0.25 mm", 10.0: "cm", 1000.0: "m", 0.001: "um"}
_USUAL_MM = 1500.0
_SMALL, _LONG, _HUGE = 16, 10, 100_000_000  # pixels of a side, ratio of the sides, pixels
_SLOW, _FAST = 0.5, 1000.0  # frames per second
FREEZE_SECONDS = 0.5  # a thermal shutter takes longer, a dropped frame does not
_FREEZE_INTERVALS = 5


class SensorWatch:
    """Looks at one sensor's first images: is there contrast, does the unit fit, is the size believable?"""

    def __init__(self, name: str, modality: Modality, encoding: str, scale: float, notices: Notices) -> None:
        self._name, self._modality, self._encoding = name, modality, encoding
        self._scale = scale
        self._notices = notices
        self._seen = 0
        self._flat = True

    def open(self, size: tuple[int, int], fps: float | None) -> None:
        """Note an absurd size or rate as they are known when the source is opened."""
        height, width = size
        small, large = min(size), max(size)
        if small < _SMALL or large > _LONG * small or height * width > _HUGE:
            self._note("size", f"has images of {width}x{height} pixels; is that the right file?")
        if fps is not None and not _SLOW <= fps <= _FAST:
            self._note("rate", f"states {fps:.4g} frames per second; its time stamps may be wrong.")

    def see(self, raw: object, image: NDArray[np.uint8]) -> None:
        """Look at one of the first images, as it came and as the model sees it."""
        if self._seen >= _LOOKS:
            return
        self._seen += 1
        if self._encoding == "depth-jet-bgr" and isinstance(raw, np.ndarray) and self._unfit_unit(raw):
            self._seen = _LOOKS
            return
        low, high = _ends(image, 0.0 if self._modality == Modality.EVENT else _TAIL)
        if (
            self._modality == Modality.THERMAL
            and isinstance(raw, np.ndarray)
            and raw.dtype != np.uint8
            and 0 < high - low < _SQUEEZED
            and self._encoding != "thermal-8bit"
        ):
            self._note_squeezed(raw, high - low)
            self._flat = False
        self._flat &= high - low <= _FLAT
        if self._seen == _LOOKS and self._flat:
            text = f"shows nothing in its first {_LOOKS} images: all pixels lie between {low:.0f} and {high:.0f} of 255"
            if self._modality == Modality.EVENT:
                text = f"shows no events in its first {_LOOKS} images"
            self._note("contrast", f"{text}; is the sensor covered, or the unit or the encoding another?")

    def _note(self, topic: str, text: str) -> None:
        taken = f"{self._modality.value}, encoding {self._encoding!r}"
        self._notices.note(f"{topic} {self._name} {self._modality}", f"{self._name} (taken for {taken}) {text}")

    def _note_squeezed(self, raw: NDArray[Any], levels: float) -> None:
        finite = raw[np.isfinite(raw)] if raw.dtype.kind == "f" else raw
        usual = np.percentile(finite, (_TAIL, 100 - _TAIL))
        self._note(
            "squeezed",
            f"uses {levels:.0f} of 256 grey levels for 99 % of its pixels: they lie between {usual[0]:g} and "
            f"{usual[1]:g}, a few reach from {finite.min():g} to {finite.max():g} (dead or hot pixels?). "
            "--encoding thermal=thermal-16bit-robust leaves those out.",
        )

    def _unfit_unit(self, raw: NDArray[Any]) -> bool:
        """Note a depth scale that puts nearly all readings beyond the clipping distance, or nearer than is possible."""
        values = np.asarray(raw, np.float64)
        readings = values[np.isfinite(values) & (values > 0)]
        if not readings.size:
            return False
        metric = readings * self._scale
        far = float((metric >= DEPTH_LIMIT_MM).mean())
        near = float(np.percentile(metric, 95))
        if far < _FAR_SHARE and near >= _NEAR_MM:
            return False
        median = float(np.median(readings))
        scale = min(_DEPTH_UNITS, key=lambda s: abs(math.log(median * s / _USUAL_MM)))
        where = (
            f"{100 * far:.0f} % of its readings lie beyond the clipping distance of 10 m, so the model sees one colour"
            if far >= _FAR_SHARE
            else f"95 % of its readings lie within {near:.3g} mm, so that only a few distances are left"
        )
        self._note(
            "unit",
            f"has a median of {median:.4g}: with depth_scale {self._scale:g} (value * scale = millimetres) {where}. "
            f"The unit is probably {_DEPTH_UNITS[scale]}: --depth-scale {scale:g}.",
        )
        return True


def _ends(image: NDArray[np.uint8], tail: float) -> tuple[float, float]:
    """The darkest and the brightest value without ``tail`` percent of the pixels, of the channel that spans most."""
    small = image[:: max(1, image.shape[0] // 240), :: max(1, image.shape[1] // 240)]
    if tail == 0.0:
        small = image
    low, high = np.percentile(small.reshape(-1, image.shape[2]), (tail, 100 - tail), axis=0)
    widest = int(np.argmax(high - low))
    return float(low[widest]), float(high[widest])


class FreezeWatch:
    """Tells when a sensor has sent the same image for longer than its rate explains.

    Thermal cameras do so for 1 to 3 s while their shutter is closed.

    Args:
        rate: images per second it should bring.
    """

    def __init__(self, rate: float | None) -> None:
        self._interval = 1.0 / rate if rate else 0.0
        self._image: NDArray[Any] | None = None
        self._changed = math.nan
        self._steps: deque[float] = deque(maxlen=20)

    def frozen(self, time: float, image: NDArray[Any] | None) -> bool:
        """Whether ``image``, seen at ``time`` (seconds, rising), is one that has stood still for too long."""
        if image is None:
            return False
        if self._image is None or not _same(self._image, image):
            if not math.isnan(self._changed):
                self._steps.append(time - self._changed)
            self._image, self._changed = image, time
            return False
        self._image = image
        usual = max(self._interval, float(np.median(self._steps)) if self._steps else 0.0)
        return time - self._changed > max(FREEZE_SECONDS, _FREEZE_INTERVALS * usual)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(np.array_equal(one[::16, ::16], other[::16, ::16]) and np.array_equal(one, other))
