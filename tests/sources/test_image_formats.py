# SPDX-License-Identifier: Apache-2.0
"""Images and videos that were lost, lying on their side or refused: formats, pages, patterns and orientation."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from modaltrack.sources import SourceWarning, open_clip, open_source
from modaltrack.sources.folder import read_image

Make = Callable[..., Any]
RAMP = np.arange(64 * 72, dtype=np.uint16).reshape(64, 72) * 10 + 1000
PICTURE = np.stack([np.full((24, 36), v, np.uint8) for v in (200, 90, 30)], axis=2)
PICTURE[:8, :8] = (20, 250, 60)  # a corner that tells how a picture lies


def images_of(spec: Any, modality: str = "rgb", **options: Any) -> list[Any]:
    return [image for _, image in open_source(spec, modality, **options)]


@pytest.mark.parametrize("suffix", [".pgm", ".jp2", ".png", ".tif", ".npy"])
def test_16_bit_folders(tmp_path: Path, suffix: str) -> None:
    for k in range(3):
        file = tmp_path / f"{k}{suffix}"
        if suffix == ".npy":
            np.save(file, RAMP)
        else:
            assert cv2.imwrite(
                str(file), RAMP, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if suffix == ".jp2" else []
            )
    assert np.array_equal(read_image(tmp_path / f"0{suffix}"), RAMP)
    assert len(images_of(tmp_path, "thermal")) == 3


@pytest.mark.parametrize("suffix", [".ppm", ".webp", ".bmp", ".pnm"])
def test_colour_folders(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"0{suffix}"), PICTURE[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert np.abs(images_of(tmp_path)[0].astype(int) - PICTURE).max() <= 2


def test_openexr_depth(tmp_path: Path) -> None:
    depth = (RAMP / 1000).astype(np.float32)
    with av.open(str(tmp_path / "0.exr"), "w", format="image2") as container:
        stream = container.add_stream("exr")
        stream.height, stream.width, stream.pix_fmt = *depth.shape, "grayf32le"
        for packet in (*stream.encode(av.VideoFrame.from_ndarray(depth, format="grayf32le")), *stream.encode()):
            container.mux(packet)
    assert np.allclose(read_image(tmp_path / "0.exr"), depth, atol=2e-3)  # half precision at worst
    with pytest.warns(SourceWarning, match="metres"):
        open_source(tmp_path, "depth")
    assert len(images_of(tmp_path, "depth", depth_scale=1000)) == 1


@pytest.mark.parametrize("channels", [2, 4])
def test_depth_with_alpha(tmp_path: Path, channels: int) -> None:
    pillow = pytest.importorskip("PIL.Image")
    if channels == 4:
        cv2.imwrite(str(tmp_path / "0.png"), np.stack([RAMP] * 3 + [np.full_like(RAMP, 65535)], axis=2))
    else:
        grey = (RAMP // 256).astype(np.uint8)
        pillow.fromarray(np.stack([grey, np.full_like(grey, 255)], axis=2), "LA").save(tmp_path / "0.png")
    assert images_of(tmp_path, "depth", depth_scale=0.1 if channels == 4 else 20)[0].shape == (64, 72, 3)


def fff(counts: Any, png: bool, order: str = "<") -> bytes:
    """A FLIR file with one record: the raw image, after a record of another kind."""
    height, width = counts.shape
    pixels = cv2.imencode(".png", counts.byteswap())[1].tobytes() if png else counts.astype(order + "u2").tobytes()
    raw = struct.pack(order + "HHH26x", 2, width, height) + pixels
    other = bytes(40)
    directory = struct.pack(order + "HHIIII12x", 0x20, 0, 100, 1, 128, len(other))
    directory += struct.pack(order + "HHIIII12x", 1, 3, 100, 2, 128 + len(other), len(raw))
    return struct.pack(order + "4s16sIII32x", b"FFF\0", b"ATAU", 101, 64, 2) + directory + other + raw


@pytest.mark.parametrize("png", [True, False])
def test_radiometric_jpeg_gives_its_counts(tmp_path: Path, png: bool) -> None:
    jpeg = cv2.imencode(".jpg", cv2.applyColorMap((RAMP // 256).astype(np.uint8), cv2.COLORMAP_HOT))[1].tobytes()
    content = fff(RAMP, png)
    parts = [content[k : k + 3000] for k in range(0, len(content), 3000)]
    segments = b""
    for number, part in enumerate(parts):
        body = b"FLIR\0\x01" + bytes([number, len(parts) - 1]) + part
        segments += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    (tmp_path / "1.jpg").write_bytes(jpeg[:2] + segments + jpeg[2:])
    with pytest.warns(SourceWarning, match="16-bit counts"):
        source = open_source(tmp_path, "thermal")
    assert np.array_equal(source.reader.first, RAMP)
    assert np.array_equal(next(raw for _, raw in source.reader.frames()), RAMP)
    assert open_source(tmp_path, "rgb").reader.first.ndim == 3
    broken = jpeg[:2] + segments[:1000].ljust(len(segments), b"\0") + jpeg[2:]
    (tmp_path / "1.jpg").write_bytes(broken)
    with pytest.warns(SourceWarning, match="palette picture is taken"):
        open_source(tmp_path, "thermal")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_sequence_of_flir_frames(tmp_path: Path, order: str) -> None:
    frames = [RAMP + 7 * k for k in range(5)]
    (tmp_path / "a.seq").write_bytes(b"".join(fff(f, False, order) for f in frames))
    source = open_source(tmp_path / "a.seq", "thermal", fps=30)
    assert len(source) == 5
    assert all(np.array_equal(raw, f) for (_, raw), f in zip(source.reader.frames(), frames, strict=True))
    (tmp_path / "b.seq").write_bytes(b"FFF\0" * 100)
    with pytest.raises(ValueError, match=r"decoded|single image"):
        open_source(tmp_path / "b.seq", "thermal")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.transpose(1, 0, 2),
        6: np.rot90(PICTURE, 1),
        7: PICTURE.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(PICTURE, -1),
    }[orientation]
    jpeg = cv2.imencode(".jpg", np.ascontiguousarray(stored[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    (tmp_path / "0.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:])
    if orientation == 1:
        image = images_of(tmp_path)[0]
    else:
        with pytest.warns(SourceWarning, match="EXIF"):
            image = images_of(tmp_path)[0]
    assert image.shape == PICTURE.shape
    assert np.abs(image[:6, :6].astype(int) - PICTURE[:6, :6]).max() < 30


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_display_matrix_is_applied(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    if not degrees and not mirrored:
        return
    upright = PICTURE[:, ::-1] if mirrored else PICTURE  # turned first, then mirrored
    stored = np.ascontiguousarray(np.rot90(upright, -degrees // 90))
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = *stored.shape[:2], "yuvj444p"
        stream.set_display_rotation(degrees, hflip=mirrored)
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    source = open_source(tmp_path / "a.mov", "rgb")
    with pytest.warns(SourceWarning, match="display matrix"):
        images = [image for _, image in source]
    assert source.size == PICTURE.shape[:2]
    assert np.abs(images[2][:6, :6].astype(int) - PICTURE[:6, :6]).max() < 30


def test_every_page_of_a_tiff_is_a_frame(tmp_path: Path) -> None:
    pages = [RAMP + k for k in range(40)]
    cv2.imwritemulti(str(tmp_path / "run1.tif"), pages[:25])
    cv2.imwritemulti(str(tmp_path / "run2.tif"), pages[25:])
    whole = open_source(tmp_path, "thermal")
    assert len(whole) == 40
    assert [int(raw[0, 0]) for _, raw in whole.reader.frames()] == [1000 + k for k in range(40)]
    assert len(images_of(tmp_path / "run1.tif", "thermal")) == 25
    cv2.imwrite(str(tmp_path / "one.tif"), RAMP)
    with pytest.raises(ValueError, match="single image"):
        open_source(tmp_path / "one.tif", "thermal")


def test_a_tiff_that_points_at_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "loop.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8) + bytes(8))
    with pytest.raises(ValueError, match=r"single image|decoded"):
        open_source(tmp_path / "loop.tif", "thermal")


def test_a_stack_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", np.stack([RAMP + k for k in range(5)]))
    assert len(images_of(tmp_path / "depth.npy", "depth")) == 5
    np.save(tmp_path / "float.npy", np.stack([RAMP + k for k in range(5)]).astype(np.float64))
    assert len(images_of(tmp_path / "float.npy", "thermal")) == 5


@pytest.mark.parametrize(
    ("pattern", "count"), [("*.png", 12), ("a_%03d.png", 12), ("a_%d.png", 12), ("a_00?.png", 10), ("a_[01]*", 12)]
)
def test_patterns(write_folder: Make, colours: Make, pattern: str, count: int) -> None:
    folder = write_folder("rgb", colours(12))
    for file in folder.iterdir():
        file.rename(folder / f"a_{file.stem[3:]}.png")
    (folder / "notes_1.txt").write_text("no picture")
    assert [int(image[0, 0, 0]) for image in images_of(folder / pattern)] == [10 * k for k in range(count)]
    with pytest.raises(ValueError, match="No image fits"):
        open_source(folder / "b_%03d.png", "rgb")
    with pytest.raises(ValueError, match="does not exist"):
        open_source(folder / "nowhere" / "*.png", "rgb")


def test_a_file_address_is_a_file(write_video: Make, colours: Make) -> None:
    video = write_video("a b.mkv", colours(12))
    for address in (
        f"file://{video}",
        f"file:{video}",
        f"file://localhost{video}",
        f"FILE://{str(video).replace(' ', '%20')}",
    ):
        source = open_source(address, "rgb")
        assert not source.live
        assert len(list(source)) == 12


def test_time_stamps_that_go_back_are_counted_on(write_video: Make, colours: Make) -> None:
    parts = [write_video(f"{k}.ts", colours(5), "mpeg2video", "yuv420p", rate=25) for k in range(2)]
    joined = parts[0].with_name("joined.ts")
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.warns(SourceWarning, match="go back"):
        times = [time for time, _ in open_source(joined, "rgb")]
    assert len(times) >= 9
    assert all(b > a for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_a_clock_that_starts_late_ends_where_it_ends(write_video: Make, colours: Make, suffix: str) -> None:
    codec = {} if suffix == ".mkv" else {"codec": "mjpeg", "pixels": "yuvj420p"}
    late = write_video(f"a{suffix}", colours(8), milliseconds=[100_000 + 40 * k for k in range(8)], **codec)
    later = write_video(f"b{suffix}", colours(8), milliseconds=[130_000 + 40 * k for k in range(8)], **codec)
    source = open_source(late, "rgb")
    if source.start is not None and source.start > 1:  # some containers shift the first frame to 0 themselves
        assert source.end == pytest.approx(100.3, abs=0.1)
    with pytest.warns(SourceWarning) if suffix == ".mkv" else pytest.MonkeyPatch.context():
        frames = list(open_clip({"rgb": late, "thermal": later}))
    assert not any(f.missing for f in frames)


def raw_avi(file: Path, frames: list[Any], tag: bytes) -> None:
    """Uncompressed grey in the smallest AVI that FFmpeg opens."""
    height, width = frames[0].shape
    size = frames[0].nbytes

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    main = struct.pack("<10I16x", 33333, 0, 0, 0x10, len(frames), 0, 1, size, width, height)
    stream = (
        b"vids"
        + tag
        + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 30, 0, len(frames), size, 0, 0, 0, 0, width, height)
    )
    form = struct.pack("<IiiHH", 40, width, height, 1, 16) + tag + struct.pack("<IiiII", size, 0, 0, 0, 0)
    lists = chunk(
        b"LIST",
        b"hdrl" + chunk(b"avih", main) + chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form)),
    )
    body = (
        b"AVI " + lists + chunk(b"LIST", b"movi" + b"".join(chunk(b"00dc", f.astype("<u2").tobytes()) for f in frames))
    )
    file.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_y16_video_is_raw_grey(tmp_path: Path) -> None:
    raw_avi(tmp_path / "a.avi", [RAMP + k for k in range(4)], b"Y16 ")
    source = open_source(tmp_path / "a.avi", "thermal")
    raw = [image for _, image in source.reader.frames()]
    assert len(raw) == 4
    assert all(np.array_equal(image, RAMP + k) for k, image in enumerate(raw))
    assert source.fps == pytest.approx(30)


def test_a_codec_nobody_knows_is_named(tmp_path: Path) -> None:
    raw_avi(tmp_path / "a.avi", [RAMP] * 2, b"QZ7X")
    with pytest.raises(ValueError, match=r"codec \('QZ7X'\).*does not know"):
        open_source(tmp_path / "a.avi", "thermal")


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:secret@127.0.0.1:9/cam",
        "rtsp://user:se?cret@127.0.0.1:9/cam",
        "http://user:se@cret@127.0.0.1:9/a.mp4",
        "http://127.0.0.1:9/video.cgi?user=admin&password=secret&size=2",
        "http://127.0.0.1:9/cam?apiKey=secret",
    ],
)
def test_no_password_in_messages(address: str) -> None:
    with pytest.raises(ValueError, match="127") as caught:
        next(iter(open_source(address, "rgb")))
    assert "cret" not in str(caught.value)


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = tmp_path / "\x1b[2J\x1b]0;pwn\x07x\nerror: forged"
    evil.mkdir()
    cv2.imwrite(str(evil / "1.png"), RAMP)
    with pytest.warns(SourceWarning) as said:
        source = open_source(evil, "thermal")
    texts = [str(w.message) for w in said] + [source.name]
    for bad in (evil / "no\x1b[0m", evil / "no\x1b[0m.mp4", evil / "no\x9b.npz"):
        with pytest.raises(ValueError, match="x") as caught:
            open_source(bad, "event")
        texts.append(str(caught.value))
    assert all(text.isprintable() for text in texts)
    assert any("\\x1b[2J" in text for text in texts)
