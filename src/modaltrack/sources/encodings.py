# SPDX-License-Identifier: Apache-2.0
"""From what a sensor stores to what a model sees: one small named function per encoding, numpy and OpenCV only.

Every function takes one raw image and returns uint8 (H, W, 3). The readers of this package hand over colour images in
RGB order, so no function here needs to know where an image came from. The name of the encoding a model was trained
with stands in its card: feeding another one changes the numbers.

Shapes: H, W image height and width; N number of events.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.plugins import Table, expected

Image = NDArray[np.uint8]

DEPTH_LIMIT_MM = 10000  # docs/data.md, "Depth encoding"
DEPTH_LIMIT_MEDIANS = 3
ROBUST_TAIL = 0.001  # 300 pixels of 640x480: sensors are sold with up to as many defects
EVENT_ON_RGB = (220, 30, 30)  # (30, 30, 220) in BGR; docs/data.md, "Event images"
EVENT_OFF_RGB = (30, 30, 200)  # (200, 30, 30) in BGR
EVENT_BACKGROUND = 255


class Events(NamedTuple):
    """A bunch of polarity events; a plain tuple ``(t, x, y, p)`` does as well.

    Attributes:
        t: (N,) microseconds.
        x, y: (N,) pixels from the top left.
        p: (N,) polarity, ON where p > 0 (0/1 or -1/1).
    """

    t: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]


def rgb(image: NDArray[Any]) -> Image:
    """Colour as it is: RGB 8-bit unchanged, grey repeated three times, alpha dropped.

    16-bit values are divided by 257 and rounded (65535 -> 255); that scaling is [ours]. A camera that fills only 10 or
    12 of the 16 bits comes out dark: stretch it before.
    """
    return _three_channels(_to_8bit(image, "rgb"), "rgb")


def thermal_8bit(image: NDArray[Any]) -> Image:
    """Thermal as stored (docs/methods/sdstrack.md 5): 8-bit, grey repeated three times, pseudo-colour left as RGB."""
    if image.dtype != np.uint8:
        raise ValueError(
            f"The encoding 'thermal-8bit' expects an 8-bit image and got {image.dtype}; use 'thermal' "
            "(chooses by itself) or 'thermal-16bit-minmax'."
        )
    return _three_channels(image, "thermal-8bit")


def thermal_16bit_minmax(image: NDArray[Any], tail: float = 0.0) -> Image:
    """Thermal counts (16-bit or float, any unit) stretched to 0..255 by the frame's own minimum and maximum.

    Plain min-max per frame [ours]: no published tracker of this family reads 16-bit thermal. ``tail`` in [0, 0.5)
    cuts that share of the pixels off at each end first (for cameras with dead pixels); 0 is plain min-max. A constant
    frame becomes black. NaN and infinity are no reading: they do not stretch the others, and become black.
    """
    grey = _single_channel(image, "thermal-16bit-minmax", "use 'thermal-8bit' for an image that is already coloured")
    if not 0.0 <= tail < 0.5:
        raise ValueError(f"The option tail is a share of the pixels in [0, 0.5) and is {tail}; 0 means plain min-max.")
    values = grey
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        values = grey[np.isfinite(grey)]
        if not values.size:
            return np.zeros((*grey.shape, 3), np.uint8)
        grey = np.where(np.isfinite(grey), grey, values.min())
    if tail > 0:
        low, high = (float(v) for v in np.quantile(values, (tail, 1.0 - tail)))
    else:
        low, high = float(values.min()), float(values.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    stretched = np.clip((grey.astype(np.float32) - np.float32(low)) * np.float32(scale), 0, 255)
    return _three_channels(np.rint(stretched).astype(np.uint8), "thermal-16bit-minmax")


def thermal_16bit_robust(image: NDArray[Any]) -> Image:
    """As ``thermal-16bit-minmax`` without the coldest and the hottest 0.1 % of the pixels, so dead ones do not count.

    [ours] A target smaller than that saturates, and stays the brightest.
    """
    return thermal_16bit_minmax(image, tail=ROBUST_TAIL)


def thermal(image: NDArray[Any]) -> Image:
    """Thermal chosen by the kind of image: 8-bit -> ``thermal-8bit``, everything wider -> ``thermal-16bit-minmax``."""
    return thermal_8bit(image) if image.dtype == np.uint8 else thermal_16bit_minmax(image)


_STORED = "use --encoding depth=as-stored (encoding='as-stored' in Python) if it is already colour-mapped"


def depth_jet_bgr(image: NDArray[Any], depth_scale: float = 1.0) -> Image:
    """Depth as the published RGB-D trackers see it (docs/data.md, "Depth encoding"): a JET map in **BGR** order.

    Where more than half of the frame has no reading the median is 0 and the published rule would blank the frame; here
    the median of the pixels that have a reading is taken instead ([ours]; ``mostly_without_reading`` tells when). A
    frame without any reading gives the map's lowest colour everywhere.

    Args:
        image: (H, W), value * depth_scale = millimetres, 0 (or NaN) = no reading. Clipped at min(3 * median, 10000)
            with the median of the whole frame *including zeros*, min-max to 0..255, JET, and left in OpenCV's BGR order
            although the colour image is RGB: published weights expect that asymmetry.

    Raises:
        ValueError: for colour images and bad scales.
    """
    if image.ndim == 3 and image.shape[2] > 1 and not is_grey(image):
        raise ValueError(
            f"The depth image has {image.shape[2]} channels of {image.dtype} and a single channel (16-bit) was "
            f"expected; {_STORED}."
        )
    if not (np.isfinite(depth_scale) and depth_scale > 0):
        raise ValueError(
            f"The depth scale is {depth_scale} and a positive number was expected; value * depth_scale must be "
            "millimetres (1 for millimetres, 1000 for metres, 0.2 for TUM's 1/5000 m)."
        )
    raw = _single_channel(
        image,
        "depth-jet-bgr",
        _STORED,
    )
    depth = raw
    if depth_scale != 1.0 or raw.dtype != np.uint16:
        metric = raw.astype(np.float32) * np.float32(depth_scale)
        if raw.dtype.kind == "f":
            metric = np.nan_to_num(metric, nan=0.0, posinf=0.0, neginf=0.0)
        depth = np.clip(np.rint(metric), 0, 65535).astype(np.uint16)
    median = float(np.median(depth))
    if median == 0 and depth.any():
        median = float(np.median(depth[depth > 0]))
    limit = int(min(DEPTH_LIMIT_MEDIANS * median, DEPTH_LIMIT_MM))
    clipped = np.minimum(depth, np.uint16(limit))
    grey = cv2.normalize(clipped, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # a constant frame becomes 0
    return cv2.applyColorMap(grey, cv2.COLORMAP_JET)  # (H, W, 3) BGR on purpose


def mostly_without_reading(image: NDArray[Any]) -> bool:
    """Whether a depth frame has some readings but no reading (0 or NaN) in more than half of its pixels."""
    readings = int(np.count_nonzero(np.nan_to_num(image, nan=0.0) if image.dtype.kind == "f" else image))
    return readings > 0 and 2 * readings < image.size


def has_reading(image: NDArray[Any], modality: Modality) -> bool:
    """Whether a raw depth or float image says anything: depth has a pixel above 0, a float image one that is finite."""
    if modality == Modality.DEPTH:
        return bool((np.nan_to_num(image, nan=0.0, posinf=0.0) if image.dtype.kind == "f" else image).any())
    return image.dtype.kind != "f" or bool(np.isfinite(image).any())


def as_stored(image: NDArray[Any]) -> Image:
    """Depth that was colour-mapped before it was stored (8-bit, three channels): passed through in BGR order.

    The readers hand over RGB; this turns it back, because the published depth input is a JET map in BGR order. So the
    picture that ``cv2.imwrite`` made of a colour-mapped depth frame arrives exactly as ``depth-jet-bgr`` would give it.
    Which colour map was used, and how distances were clipped, is out of our sight: it should be what the model knows.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] < 3:
        raise ValueError(
            f"The encoding 'as-stored' expects an 8-bit image of 3 channels and got {image.dtype} of shape "
            f"{image.shape}; raw depth wants 'depth-jet-bgr'."
        )
    return np.ascontiguousarray(image[:, :, 2::-1])


def event_image(image: NDArray[Any]) -> Image:
    """An event picture that is rendered already (as VisEvent and COESOT ship them): as stored, in RGB order."""
    return _three_channels(_to_8bit(image, "event-image"), "event-image")


def event_accumulate(events: Events | tuple[Any, Any, Any, Any], height: int, width: int) -> Image:
    """Draw events on white: ON red, OFF blue, OFF over ON (docs/data.md, "Event images"); returned in RGB.

    Args:
        events: ``Events`` or ``(t, x, y, p)``, each (N,); t is not looked at, the caller has cut the window.

    Returns:
        (height, width, 3).

    Raises:
        ValueError: for events outside the image.
    """
    _, x, y, p = events
    columns, rows = np.asarray(x, np.int64), np.asarray(y, np.int64)
    if columns.size and (columns.min() < 0 or rows.min() < 0 or columns.max() >= width or rows.max() >= height):
        raise ValueError(
            f"The events reach from ({columns.min()}, {rows.min()}) to ({columns.max()}, {rows.max()}) and the sensor "
            f"is {width}x{height}; give the sensor's true size."
        )
    canvas = np.full((height, width, 3), EVENT_BACKGROUND, np.uint8)
    on = np.asarray(p) > 0
    canvas[rows[on], columns[on]] = EVENT_ON_RGB
    canvas[rows[~on], columns[~on]] = EVENT_OFF_RGB  # after ON: OFF wins where both fell on a pixel
    return canvas


@dataclass(frozen=True)
class Encoding:
    """An encoding that a plug-in adds.

    Args:
        modality: of the images it takes.
        draw: raw image -> uint8 (H, W, 3).
    """

    modality: Modality
    draw: Callable[..., Image]


ENCODINGS: dict[str, Callable[..., Image]] = {  # this package's; those of plug-ins are in ADDED
    "rgb": rgb,
    "thermal": thermal,
    "thermal-8bit": thermal_8bit,
    "thermal-16bit-minmax": thermal_16bit_minmax,
    "thermal-16bit-robust": thermal_16bit_robust,
    "depth-jet-bgr": depth_jet_bgr,
    "as-stored": as_stored,
    "event-image": event_image,
    "event-accumulate": event_accumulate,
}


def _encoding(name: str, found: object) -> Encoding:
    if not isinstance(found, Encoding):
        raise expected("a modaltrack.sources.encodings.Encoding", found)
    return found


ADDED: Table[Encoding] = Table("modaltrack.encodings", {}, _encoding)
ENCODINGS_OF: dict[Modality, tuple[str, ...]] = {  # the first is the default
    Modality.RGB: ("rgb",),
    Modality.THERMAL: ("thermal", "thermal-8bit", "thermal-16bit-minmax", "thermal-16bit-robust"),
    Modality.DEPTH: ("depth-jet-bgr", "as-stored"),
    Modality.EVENT: ("event-image", "event-accumulate"),
}

DEFAULT_ENCODING: dict[Modality, str] = {modality: names[0] for modality, names in ENCODINGS_OF.items()}


def check_encoding(name: str, modality: Modality | None = None) -> str:
    """Return ``name`` if it is an encoding (of that modality), else raise ValueError with the closest names."""
    known = list(ENCODINGS if modality is None else ENCODINGS_OF[modality])
    if name in known:
        return name
    known += [added for added, encoding in ADDED.items() if modality in (None, encoding.modality)]
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}?" if close else f"use one of {', '.join(known)}."
    of = "" if modality is None else f" for {modality.value}"
    raise ValueError(f"There is no encoding {name!r}{of}; {hint}")


def encode(name: str, image: object, **options: object) -> Image:
    """Apply the encoding ``name`` to a raw image (or to ``Events`` for ``event-accumulate``): uint8 (H, W, 3).

    options are the keyword arguments of that encoding's function.

    Raises:
        ValueError: for unknown names and unfit images.
    """
    check_encoding(name)
    return (ENCODINGS[name] if name in ENCODINGS else ADDED[name].draw)(image, **options)


def _single_channel(image: NDArray[Any], name: str, advice: str) -> NDArray[Any]:
    if image.ndim == 3 and image.shape[2] == 1:
        return image[:, :, 0]
    if image.ndim == 2:
        return image
    if is_grey(image):
        return image[:, :, 0]
    raise ValueError(f"The encoding {name!r} expects one channel and got an image of shape {image.shape}; {advice}.")


def is_grey(image: NDArray[Any]) -> bool:
    """Whether three channels are equal: the RGB picture of a grey image (with alpha), of which one says all."""
    if image.ndim != 3 or image.shape[2] < 3:
        return False
    return bool((image[:, :, 0] == image[:, :, 1]).all() and (image[:, :, 0] == image[:, :, 2]).all())


def _three_channels(image: NDArray[np.uint8], name: str) -> Image:
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim == 3 and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.ndim == 3 and image.shape[2] in (3, 4):
        return np.ascontiguousarray(image[:, :, :3])
    raise ValueError(
        f"The encoding {name!r} expects an image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) and got shape {image.shape}."
    )


def _to_8bit(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    raise ValueError(
        f"The encoding {name!r} expects 8- or 16-bit unsigned values and got {image.dtype}; scale the image to 0..255."
    )
