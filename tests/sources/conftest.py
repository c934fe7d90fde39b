# SPDX-License-Identifier: Apache-2.0
"""Little videos and folders made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

HEIGHT, WIDTH = 32, 48


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """write_video(name, images, codec, pixels, milliseconds): images (H, W) uint8/uint16 or RGB (H, W, 3)."""

    def write(
        name: str,
        images: Sequence[Any],
        codec: str = "ffv1",
        pixels: str = "bgr0",
        milliseconds: Sequence[int] | None = None,
        rate: int = 10,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = pixels
            tick = Fraction(1, rate) if milliseconds is None else Fraction(1, 1000)
            stream.codec_context.time_base = tick
            for i, image in enumerate(images):
                form = "rgb24" if image.ndim == 3 else ("gray16le" if image.dtype == np.uint16 else "gray")
                frame = av.VideoFrame.from_ndarray(image, format=form)
                frame.pts = milliseconds[i] if milliseconds is not None else i
                frame.time_base = tick
                for packet in stream.encode(frame):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """write_folder(name, images, stamps): PNG files 000000.png ... and timestamps.txt; RGB images (H, W, 3) or grey."""

    def write(name: str, images: Sequence[Any], stamps: Sequence[float] | None = None, suffix: str = ".png") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for i, image in enumerate(images):
            cv2.imwrite(str(folder / f"{i:06d}{suffix}"), image[..., ::-1] if image.ndim == 3 else image)
        if stamps is not None:
            (folder / "timestamps.txt").write_text("\n".join(f"{s:.6f}" for s in stamps))
        return folder

    return write


@pytest.fixture
def colours() -> Callable[..., list[Any]]:
    """colours(n, height, width): n RGB images, flat but for a grey corner; red is ten times their number."""

    def make(count: int, height: int = HEIGHT, width: int = WIDTH) -> list[Any]:
        images = [np.full((height, width, 3), (10 * i, 100, 200), np.uint8) for i in range(count)]
        for image in images:
            image[-height // 4 :, -width // 4 :] = 30
        return images

    return make
