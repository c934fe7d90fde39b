# SPDX-License-Identifier: Apache-2.0
"""Film strips: small pictures of a sequence with the boxes of all trackers, as JPEG inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from modaltrack.printable import markup as escape
from modaltrack.report.entries import Picture, Strip

WIDTH = 300  # pixels of one picture
QUALITY = 72


def strip_html(strip: Strip, inks: Mapping[str, str]) -> str:
    """The pictures of a strip side by side, one row per sensor.

    Args:
        inks: tracker -> its colour, ``#rrggbb``.
    """
    figures = []
    for picture in strip.pictures:
        images = "".join(
            f'<img alt="{escape(sensor)}, frame {picture.index}" src="{_jpeg(with_boxes(image, picture, inks))}">'
            for sensor, image in picture.images.items()
        )
        figures.append(f"<figure>{images}<figcaption>frame {picture.index}</figcaption></figure>")
    return f'<div class="film">{"".join(figures)}</div>'


def with_boxes(image: NDArray[np.uint8], picture: Picture, inks: Mapping[str, str]) -> NDArray[np.uint8]:
    """The image at ``WIDTH`` pixels with the boxes on it: RGB. The truth is white on black, on top of all."""
    import cv2

    scale = WIDTH / image.shape[1]
    height = max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.ascontiguousarray(cv2.resize(image, (WIDTH, height), interpolation=how))
    for name, box in picture.boxes.items():
        code = inks[name].lstrip("#")
        _rectangle(canvas, box * scale, (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)), 2)
    _rectangle(canvas, picture.truth * scale, (0, 0, 0), 3)
    _rectangle(canvas, picture.truth * scale, (255, 255, 255), 1)
    return canvas


def _rectangle(canvas: NDArray[np.uint8], box: NDArray[np.float64], ink: tuple[int, int, int], thickness: int) -> None:
    from modaltrack.sinks.picture import rectangle

    if np.isfinite(box).all() and (box[2:] > 0).all():
        rectangle(canvas, box, ink, thickness)


def _jpeg(image: NDArray[np.uint8]) -> str:
    import cv2

    good, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert good, "a uint8 image can be written as JPEG"
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
