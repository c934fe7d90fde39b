# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import av
import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.sinks import Canvas, VideoWriter
from modaltrack.sinks import video as video_module


def picture(value: int, height: int = 66, width: int = 130) -> np.ndarray:
    image = np.full((height, width, 3), value, dtype=np.uint8)
    image[:, : width // 2, 0] = 200
    return image


def read_back(path: Path) -> tuple[list[np.ndarray], list[float], str, str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        images = [f.to_ndarray(format="rgb24") for f in frames]
        return images, [float(f.pts * f.time_base) for f in frames], stream.codec_context.name, str(stream.format.name)


def test_pictures_and_their_times_come_back(tmp_path: Path) -> None:
    times = [0.5, 0.6, 0.95, 1.0]  # an uneven camera
    with VideoWriter(tmp_path / "a.mp4", fps=30) as video:
        for value, time in zip((10, 60, 120, 180), times, strict=True):
            video.write(picture(value), time)
    images, stamps, codec, pixels = read_back(tmp_path / "a.mp4")
    assert stamps == pytest.approx([0, 0.1, 0.45, 0.5], abs=1e-3)
    assert codec in ("h264", "mpeg4")
    assert pixels == "yuv420p"
    for image, value in zip(images, (10, 60, 120, 180), strict=True):
        assert abs(float(image[:, 70:, 1].mean()) - value) < 6
        assert float(image[:, :60, 0].mean()) > 150


@pytest.mark.parametrize("times", [[np.nan] * 3, [1.0, 1.0, 0.5], [0.0, np.nan, 1e-9]])
def test_unknown_or_repeated_times_still_move_forward(tmp_path: Path, times: list[float]) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=25) as video:
        for time in times:
            video.write(picture(0), time)
    _, stamps, _, _ = read_back(tmp_path / "a.mp4")
    assert len(stamps) == 3
    assert (np.diff(stamps) > 0).all()


def test_nothing_is_left_after_an_exception_and_an_older_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"older")

    def interrupted() -> None:
        with VideoWriter(target) as video:
            video.write(picture(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert target.read_bytes() == b"older"


def test_no_picture_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_layout_always_gives_sizes_that_can_be_encoded(tmp_path: Path) -> None:
    for height, width, count in ((17, 31, 1), (241, 333, 3), (1080, 1920, 4), (2, 2000, 2)):
        canvas = Canvas(tuple(Modality)[:count], height, width)
        assert canvas.size[0] % 2 == 0
        assert canvas.size[1] % 2 == 0
        assert canvas.size[1] <= 1928
    with VideoWriter(tmp_path / "a.mp4") as video:
        video.write(np.zeros((*Canvas((Modality.RGB,), 17, 31).size, 3), dtype=np.uint8))
    assert (tmp_path / "a.mp4").exists()


def test_the_fallback_encoder_works_and_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "ENCODERS", {"mpeg4": video_module.ENCODERS["mpeg4"]})
    with VideoWriter(tmp_path / "a.mp4", fps=29.97) as video:
        with pytest.warns(UserWarning, match=r"no H\.264"):
            video.write(picture(10))
        video.write(picture(20))
    assert len(read_back(tmp_path / "a.mp4")[0]) == 2


def test_without_any_encoder_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "ENCODERS", {"no-such-encoder": {}})
    with pytest.raises(ValueError, match="no-such-encoder"):
        video_module.available_encoder()


@pytest.mark.parametrize("rate", [5e-324, 1e-308, 1e-3, 1e6, 1e308, float("inf"), float("nan"), -1.0])
def test_rates_that_no_camera_has_still_give_a_video(tmp_path: Path, rate: float) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=rate) as video:
        for value in (10, 60, 120):
            video.write(picture(value))
    assert read_back(tmp_path / "a.mp4")[1] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-3)


@pytest.mark.parametrize("jump", [1e9, 1e13, 1e18, 1e300, float("inf"), float("nan"), -1e18])
def test_a_clock_that_jumps_is_followed_from_there(tmp_path: Path, jump: float) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=10) as video:
        for time in (0.0, 0.1, jump, jump + 0.1):
            video.write(picture(90), time)
    stamps = read_back(tmp_path / "a.mp4")[1]
    assert stamps[:3] == pytest.approx([0, 0.1, 0.2], abs=1e-3)
    assert 0.2 < stamps[3] <= 0.3 + 1e-3  # far from 0 a float cannot count tenths


def test_a_full_disk_is_told_with_the_name_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = VideoWriter(tmp_path / "a.mp4")

    class Full:
        def encode(self, frame: object = None) -> list[object]:
            return [object()]

        def mux(self, packet: object) -> None:
            raise OSError(28, "No space left on device", str(tmp_path / ".a.mp4.hidden"))

        close = mux

    video.write(picture(1))
    container, video._container, video._stream = video._container, Full(), Full()
    Full.close = lambda self: self.mux(None)
    with pytest.raises(OSError, match="No space") as caught, video:
        video.write(picture(2))
    assert caught.value.filename == str(tmp_path / "a.mp4")
    container.close()
    assert list(tmp_path.iterdir()) == []
