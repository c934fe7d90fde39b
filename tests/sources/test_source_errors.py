# SPDX-License-Identifier: Apache-2.0
"""Every sentence a user may meet: what was found, what was expected, what to do."""

from __future__ import annotations

import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from modaltrack.sources import open_clip, open_source
from modaltrack.sources.camera import camera_address, is_live


def sentence(error: pytest.ExceptionInfo[ValueError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.rstrip().endswith((".", "?"))
    return text


def folder_with(tmp_path: Path, **files: bytes) -> Path:
    for name, content in files.items():
        (tmp_path / name.replace("__", ".")).write_bytes(content)
    return tmp_path


def a_cut_video(tmp_path: Path, write_video: Callable[..., Path], colours: Callable[..., list[Any]]) -> Path:
    file = write_video("cut.mp4", colours(5), "mpeg4", "yuv420p")
    file.write_bytes(file.read_bytes()[:200])
    return file


def sound_only(tmp_path: Path) -> Path:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return tmp_path / "sound.wav"


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def image(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return path


GREY = np.zeros((8, 8), np.uint8)
COLOUR = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


@pytest.mark.parametrize(
    ("make", "modality", "options", "words"),
    [
        (lambda p: p / "nowhere", "rgb", {}, "does not exist"),
        (lambda p: p / "nowhere.mp4", "rgb", {}, "does not exist"),
        (lambda p: p / "nowhere.npz", "event", {}, "does not exist"),
        (lambda p: p, "rgb", {}, "is empty"),
        (lambda p: folder_with(p, a__txt=b"", b__CSV=b""), "rgb", {}, r"\.csv, \.txt"),
        (lambda p: image(p / "rgb" / "1.png", GREY).parents[1], "rgb", {}, "folders rgb"),
        (lambda p: folder_with(p, a1__png=b"x", a2__png=b""), "rgb", {}, "None of the 2 images"),
        (lambda p: image(p / "1.png", GREY), "rgb", {}, "single image"),
        (lambda p: written(p / "a.mp4", b"not a video at all"), "rgb", {}, "it is plain text"),
        (lambda p: written(p / "a.mp4", b""), "rgb", {}, "it is empty"),
        (lambda p: written(p / "a.mp4", b"<!DOCTYPE html><p>Not found"), "rgb", {}, "web page"),
        (lambda p: written(p / "a.mkv", b"version https://git-lfs.github.com/spec/v1\n"), "rgb", {}, "git lfs pull"),
        (lambda p: written(p / "a.avi", b"PK\x03\x04" + bytes(99)), "rgb", {}, "zip archive; unpack"),
        (lambda p: written(p / "a.mp4", b"#ROSBAG V2.0\n" + bytes(99)), "rgb", {}, "ROS bag; export its images"),
        (lambda p: written(p / "a.xyz", bytes(range(7, 200))), "rgb", {}, "no video of a kind that FFmpeg knows"),
        (sound_only, "rgb", {}, "no video stream"),
        (lambda p: None, "rgb", {}, "No source was given"),
        (lambda p: "", "rgb", {}, "No source was given"),
        (lambda p: p, "infrared", {}, "rgb, thermal, depth, event"),
        (lambda p: p, "thermal", {"encoding": "thermal-8bits"}, "did you mean 'thermal-8bit'"),
        (lambda p: p, "rgb", {"encoding": "depth-jet-bgr"}, "no encoding 'depth-jet-bgr' for rgb"),
        (lambda p: p, "depth", {"depth_scale": -1.0}, "positive"),
        (lambda p: p, "depth", {"depth_scale": 0.0}, "positive"),
        (lambda p: p, "rgb", {"fps": float("nan")}, "positive"),
        (lambda p: image(p / "1.png", COLOUR).parent, "depth", {}, "encoding='as-stored'"),
        (lambda p: image(p / "1.png", GREY).parent, "depth", {"encoding": "as-stored"}, "depth-jet-bgr"),
        (lambda p: image(p / "1.png", GREY).parent, "event", {"encoding": "event-accumulate"}, "event-image"),
        (lambda p: written(p / "e.csv", b"1,1,1,1"), "event", {"encoding": "event-image"}, "event-accumulate"),
        (lambda p: written(p / "e.csv", b"1,1,1,1"), "rgb", {}, "give it as event"),
        (lambda p: written(p / "e.bag", b""), "event", {}, "convert them to .npz"),
        (
            lambda p: folder_with(image(p / "1.png", GREY).parent, timestamps__txt=b"0.0\n0.1"),
            "rgb",
            {},
            "2 time stamps",
        ),
        (lambda p: folder_with(image(p / "1.png", GREY).parent, timestamps__txt=b"soon"), "rgb", {}, "no number"),
    ],
)
def test_opening_says_what_is_wrong(
    tmp_path: Path, make: Callable[[Path], Any], modality: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as error:
        open_source(make(tmp_path), modality, **options)
    sentence(error)


def test_stamps_that_go_back(tmp_path: Path) -> None:
    image(tmp_path / "1.png", GREY)
    image(tmp_path / "2.png", GREY)
    (tmp_path / "timestamps.txt").write_text("1.0\n0.5")
    with pytest.raises(ValueError, match="do not increase"):
        open_source(tmp_path, "rgb")


def test_cut_video(tmp_path: Path, write_video: Callable[..., Path], colours: Callable[..., list[Any]]) -> None:
    with pytest.raises(ValueError, match="begins as a video and is cut or damaged") as error:
        open_source(a_cut_video(tmp_path, write_video, colours), "rgb")
    sentence(error)


def test_cameras_and_streams_are_opened_late_and_fail_clearly() -> None:
    camera = open_source("47", "rgb")  # nothing is opened yet
    with pytest.raises(ValueError, match=r"camera .*47.* cannot be opened.*plugged in") as error:
        next(iter(camera))
    sentence(error)
    stream = open_source("rtsp://127.0.0.1:9/none", "thermal")
    with pytest.raises(ValueError, match=re.escape("rtsp://127.0.0.1:9/none") + ".*check the address") as error:
        next(iter(stream))
    sentence(error)
    with pytest.raises(ValueError, match="cannot be opened"):
        list(open_clip({"rgb": 47}))


def test_camera_names_per_platform() -> None:
    assert camera_address("2", "linux") == ("/dev/video2", "v4l2")
    assert camera_address("/dev/video1", "linux") == ("/dev/video1", "v4l2")
    assert camera_address("0", "darwin") == ("0:none", "avfoundation")
    assert camera_address("video=Cam", "win32") == ("video=Cam", "dshow")
    assert [is_live(s) for s in ("0", "rtsp://a/b", "clip.mp4", "video=Cam")] == [True, True, False, True]


@pytest.mark.parametrize(
    ("specs", "options", "words"),
    [
        ({}, {}, "all are None"),
        ({"rgb": None, "thermal": None}, {}, "all are None"),
        ({"colour": "x"}, {}, "no modality 'colour'"),
        ({"rgb": "here"}, {"encodings": {"thermal": "thermal"}}, "no source of this clip"),
        ({"rgb": "here"}, {"offsets": {"rgb": float("inf")}}, "finite"),
        ({"rgb": "here"}, {"offsets": {"event": 1.0}}, "no source of this clip"),
        ({"rgb": "here"}, {"tolerance": -1.0}, "0 or more"),
        ({"rgb": "here"}, {"depth_scale": -0.5}, "positive"),
        ({"rgb": "here"}, {"align": {"rgb": np.eye(3)}}, "leave it out"),
        ({"rgb": "here"}, {"align": {"thermal": np.eye(3)}}, "no source of this clip"),
        ({"rgb": "here", "depth": "here"}, {"align": {"depth": np.zeros((3, 3))}}, "singular|as-stored"),
    ],
)
def test_clips_say_what_is_wrong(tmp_path: Path, specs: dict[str, Any], options: dict[str, Any], words: str) -> None:
    image(tmp_path / "1.png", COLOUR)
    with pytest.raises(ValueError, match=words) as error:
        open_clip({k: tmp_path if v == "here" else v for k, v in specs.items()}, **options)
    sentence(error)
