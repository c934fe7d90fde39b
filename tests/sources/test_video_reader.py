# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from modaltrack.sources import SourceWarning, open_source
from modaltrack.sources.encodings import encode

STAMPS = [0, 100, 250, 300, 600]


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "exact"),
    [("a.mkv", "ffv1", "bgr0", True), ("a.mp4", "mpeg4", "yuv420p", False), ("a.avi", "mjpeg", "yuvj420p", False)],
)
def test_frames_and_colours(
    write_video: Callable[..., Path], colours: Callable[..., list[Any]], name: str, codec: str, pixels: str, exact: bool
) -> None:
    source = open_source(write_video(name, colours(6), codec, pixels), "rgb")
    images = [image for _, image in source]
    assert len(source) == len(images) == 6
    assert source.size == (32, 48)
    assert source.fps == pytest.approx(10)
    for got, expected in zip(images, colours(6), strict=True):
        assert got is not None
        off = np.abs(got.astype(int) - expected)
        assert (off if exact else off[:16]).max() <= (0 if exact else 12)  # above the sharp corner


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.mkv", "ffv1", "bgr0"), ("a.mp4", "mpeg4", "yuv420p")])
def test_variable_frame_times_are_the_real_ones(
    write_video: Callable[..., Path], colours: Callable[..., list[Any]], name: str, codec: str, pixels: str
) -> None:
    source = open_source(write_video(name, colours(5), codec, pixels, milliseconds=STAMPS), "rgb")
    assert source.has_time
    assert [t for t, _ in source] == pytest.approx([s / 1000 for s in STAMPS])


@pytest.mark.parametrize(("pixels", "top"), [("gray16le", 65535), ("gray12le", 4095), ("gray10le", 1023)])
def test_wide_grey_keeps_its_values(tmp_path: Path, write_video: Callable[..., Path], pixels: str, top: int) -> None:
    # The 12- and 10-bit files are made by scaling 16-bit values down; what matters is that reading does not scale up.
    depth = np.linspace(0, 65535, 32 * 48).astype(np.uint16).reshape(32, 48)
    source = open_source(write_video("d.mkv", [depth] * 2, "ffv1", pixels), "thermal", "thermal-16bit-minmax")
    raw = next(iter(source.reader.frames()))[1]
    assert raw.dtype == np.uint16
    assert raw.max() == top
    if top == 65535:
        assert np.array_equal(raw, depth)
    image = next(iter(source))[1]
    assert image is not None
    assert np.array_equal(image, encode("thermal-16bit-minmax", raw))


def test_grey_video_is_one_channel_and_fits_depth(write_video: Callable[..., Path]) -> None:
    depth = np.arange(1000, 1000 + 32 * 48, dtype=np.uint16).reshape(32, 48)
    image = next(iter(open_source(write_video("d.mkv", [depth], "ffv1", "gray16le"), "depth")))[1]
    assert image is not None
    assert np.array_equal(image, encode("depth-jet-bgr", depth))


def test_cut_matroska_gives_what_is_there(write_video: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(20)]
    file = write_video("a.mkv", noise)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    with pytest.warns(SourceWarning, match=r"2\.00 s.*may be cut"):
        images = [image for _, image in open_source(file, "rgb")]
    assert 5 <= sum(image is not None for image in images) < 20


def test_damaged_packet_is_a_missing_frame(write_video: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(10)]
    file = write_video("a.mp4", noise, "png", "rgb24")
    content = bytearray(file.read_bytes())
    third = [i for i in range(len(content)) if content[i : i + 4] == b"\x89PNG"][2]
    content[third : third + 60] = bytes(60)
    file.write_bytes(content)
    with pytest.warns(SourceWarning, match="cannot be decoded"):
        images = [image for _, image in open_source(file, "rgb")]
    assert [i for i, image in enumerate(images) if image is None] == [2]
    assert len(images) == 10


def test_closing_early_leaves_no_thread(write_video: Callable[..., Path], colours: Callable[..., list[Any]]) -> None:
    stream = open_source(write_video("a.mkv", colours(20)), "rgb").images()
    next(stream)
    stream.close()
    assert not any(t.name == "modaltrack-prefetch" for t in threading.enumerate())


def test_frames_are_let_go_one_by_one(write_video: Callable[..., Path], colours: Callable[..., list[Any]]) -> None:
    """A live stream runs for hours: nothing may keep its frames until the garbage collector comes."""
    source = open_source(write_video("a.mkv", colours(25)), "rgb")
    gc.collect()
    gc.disable()
    try:
        assert len(list(source.reader.frames())) == 25
        alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive < 5
