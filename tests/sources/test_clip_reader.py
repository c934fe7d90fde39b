# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modaltrack.frame import Frame, Modality
from modaltrack.sources import LivePolicy, SourceWarning, open_clip
from modaltrack.sources.encodings import encode

Make = Callable[..., Path]
Colours = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def no_threads_left() -> Any:
    yield
    assert not [t for t in threading.enumerate() if t.name == "modaltrack-prefetch"]


def heard(action: Callable[[], Any]) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = action()
    return result, [str(w.message) for w in said if issubclass(w.category, SourceWarning)]


def number(frame: Frame, modality: str) -> int | None:
    """Which of the colours() images a frame holds."""
    image = frame.images.get(Modality(modality))
    return None if image is None else round(int(image[image.shape[0] // 2, image.shape[1] // 2, 0]) / 10)


def test_two_folders_by_position(write_folder: Make, colours: Colours) -> None:
    specs = {"rgb": write_folder("rgb", colours(5)), "thermal": write_folder("t", colours(5))}
    reader, said = heard(lambda: open_clip(specs, fps=10))
    frames = list(reader)
    assert said == []
    assert len(reader) == len(frames) == 5
    assert reader.fps == 10
    assert reader.size == (32, 48)
    assert reader.modalities == (Modality.RGB, Modality.THERMAL)
    assert [f.index for f in frames] == list(range(5))
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert all(number(f, "rgb") == number(f, "thermal") == i for i, f in enumerate(frames))
    assert all(f.missing == frozenset() for f in frames)
    assert len(list(reader)) == 5


def test_shorter_sensor_goes_missing_and_longer_is_cut(write_folder: Make, colours: Colours) -> None:
    short, long = write_folder("short", colours(3)), write_folder("long", colours(6))
    (reader, frames), said = heard(lambda: (r := open_clip({"rgb": long, "thermal": short}), list(r)))
    assert len(frames) == len(reader) == 6
    assert [f.missing for f in frames] == [frozenset()] * 3 + [frozenset({Modality.THERMAL})] * 3
    assert len(said) == 1
    assert "thermal has ended by frame 3 of 6" in said[0]
    (reader, frames), said = heard(lambda: (r := open_clip({"rgb": short, "thermal": long}), list(r)))
    assert len(frames) == len(reader) == 3
    assert len(said) == 1
    assert "longer" in said[0]


def test_without_rgb_the_longest_leads(write_folder: Make, colours: Colours) -> None:
    specs = {"thermal": write_folder("t", colours(3)), "event": write_folder("e", colours(5))}
    reader, said = heard(lambda: open_clip(specs))
    assert reader.reference == Modality.EVENT
    assert len(list(reader)) == 5
    assert len(said) == 1


def test_videos_are_paired_by_their_stamps(write_video: Make, colours: Colours) -> None:
    rgb = write_video("rgb.mkv", colours(5), milliseconds=[0, 100, 200, 300, 400])
    thermal = write_video("t.mkv", colours(4), milliseconds=[20, 190, 260, 420])  # two are near 200: the nearer counts
    (_, frames), said = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": thermal}), list(r)))
    assert [number(f, "thermal") for f in frames] == [0, None, 1, 2, 3]
    assert frames[1].missing == {Modality.THERMAL}
    assert len(frames) == 5
    assert len(said) <= 1  # the rates differ, which may be said


def test_other_rate_by_time_and_by_position(write_video: Make, write_folder: Make, colours: Colours) -> None:
    rgb = write_video("rgb.mkv", colours(8), rate=20)
    slow = write_video("slow.mkv", colours(4), rate=10)
    (_, frames), said = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": slow}), list(r)))
    assert [number(f, "thermal") for f in frames] == [0, None, 1, None, 2, None, 3, None]
    assert len(said) == 1
    assert "thermal runs at 10 and rgb at 20" in said[0]
    assert "paired by time" in said[0]
    (_, frames), _ = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": slow}, tolerance=0.06), list(r)))
    assert None not in [number(f, "thermal") for f in frames]
    folder = write_folder("t", colours(8))
    (_, frames), said = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": folder}, fps=5), list(r)))
    assert [number(f, "thermal") for f in frames] == list(range(8))
    assert len(said) == 1
    assert "paired by position" in said[0]


def test_stamps_of_one_clock_with_an_offset(write_folder: Make, colours: Colours) -> None:
    rgb = write_folder("rgb", colours(4), [1000.0, 1000.1, 1000.2, 1000.3])
    late = write_folder("t", colours(4), [1000.2, 1000.3, 1000.4, 1000.5])
    (_, frames), _ = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": late}), list(r)))
    assert [number(f, "thermal") for f in frames] == [None, None, 0, 1]
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    (_, frames), _ = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": late}, offsets={"thermal": -0.2}), list(r)))
    assert [number(f, "thermal") for f in frames] == [0, 1, 2, 3]


def test_clocks_that_do_not_overlap_start_together(write_folder: Make, colours: Colours) -> None:
    rgb = write_folder("rgb", colours(3), [0.0, 0.1, 0.2])
    other = write_folder("t", colours(3), [1000.0, 1000.1, 1000.2])
    (_, frames), said = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": other}), list(r)))
    assert [number(f, "thermal") for f in frames] == [0, 1, 2]
    assert len(said) == 1
    assert "do not overlap" in said[0]


def test_events_are_cut_at_the_rgb_stamps(tmp_path: Path, write_folder: Make, colours: Colours) -> None:
    rgb = write_folder("rgb", colours(5), [0.0, 0.1, 0.2, 0.3, 0.4])
    at = np.array([0, 50, 100, 101, 300]) * 1000  # milliseconds, one pixel column each
    np.savez(tmp_path / "e.npz", t=at, x=range(5), y=[0] * 5, p=[1] * 5, width=48, height=32)
    (_, frames), said = heard(lambda: (r := open_clip({"rgb": rgb, "event": tmp_path / "e.npz"}), list(r)))
    drawn = [
        np.flatnonzero((f.images[Modality.EVENT][0] != 255).any(axis=-1)).tolist() if not f.missing else None
        for f in frames
    ]
    assert drawn == [[0], [1, 2], [3], [4], None]  # after 0.3 s the recording has ended
    assert len(said) == 1
    assert "event has ended by frame 4" in said[0]


def test_events_beside_a_folder_without_clock_use_windows(tmp_path: Path, write_folder: Make, colours: Colours) -> None:
    at = np.arange(100) * 10_000 + 10_000
    np.savez(tmp_path / "e.npz", t=at, x=[0] * 100, y=[0] * 100, p=[1] * 100, width=48, height=32)
    specs = {"rgb": write_folder("rgb", colours(10)), "event": tmp_path / "e.npz"}
    reader, said = heard(lambda: open_clip(specs, fps=10))
    assert len(reader.sources[Modality.EVENT]) == 10
    assert said == []
    assert all(not f.missing for f in reader)


def test_other_size_is_scaled_and_said_once(write_folder: Make, colours: Colours) -> None:
    specs = {"rgb": write_folder("rgb", colours(3)), "thermal": write_folder("t", colours(3, 16, 24))}
    (_, frames, _), said = heard(lambda: (r := open_clip(specs), list(r), list(r)))
    assert all(f.images[Modality.THERMAL].shape == (32, 48, 3) for f in frames)
    assert len(said) == 1
    assert "24x16" in said[0]
    assert "48x32" in said[0]
    assert "homography" not in said[0]


def test_other_aspect_ratio_recommends_a_homography(write_folder: Make, colours: Colours) -> None:
    specs = {"rgb": write_folder("rgb", colours(2)), "thermal": write_folder("t", colours(2, 30, 30))}
    _, said = heard(lambda: list(open_clip(specs)))
    assert len(said) == 1
    assert "--align homography.json" in said[0]
    scale = [[1.6, 0, 0], [0, 32 / 30, 0], [0, 0, 1]]
    _, said = heard(lambda: list(open_clip(specs, align={"thermal": scale})))
    assert said == []


def test_depth_is_scaled_before_it_is_coloured(write_folder: Make, colours: Colours) -> None:
    depth = np.random.default_rng(0).integers(500, 3000, (16, 24)).astype(np.uint16)
    specs = {"rgb": write_folder("rgb", colours(1)), "depth": write_folder("d", [depth])}
    (frame,), _ = heard(lambda: list(open_clip(specs)))
    assert np.array_equal(
        frame.images[Modality.DEPTH], encode("depth-jet-bgr", np.kron(depth, np.ones((2, 2), np.uint16)))
    )


def test_damaged_frames_are_missing_frames(write_folder: Make, colours: Colours) -> None:
    rgb, thermal = write_folder("rgb", colours(4)), write_folder("t", colours(4))
    (rgb / "000002.png").write_bytes(b"")
    (thermal / "000001.png").write_bytes(b"rubbish")
    (thermal / "000002.png").write_bytes(b"rubbish")
    (_, frames), said = heard(lambda: (r := open_clip({"rgb": rgb, "thermal": thermal}), list(r)))
    assert [f.missing for f in frames] == [
        frozenset(),
        {Modality.THERMAL},
        {Modality.RGB, Modality.THERMAL},
        frozenset(),
    ]
    assert frames[2].images == {}
    assert len(said) == 3
    assert any(str(rgb / "000002.png") in s for s in said)
    (_, frames), _ = heard(lambda: (r := open_clip({"rgb": rgb}), list(r)))
    assert frames[2].images == {}
    assert frames[2].missing == {Modality.RGB}


def test_first_frame_unreadable_everywhere(write_folder: Make, colours: Colours) -> None:
    rgb, thermal = write_folder("rgb", colours(3)), write_folder("t", colours(3))
    (rgb / "000000.png").write_bytes(b"")
    with pytest.warns(SourceWarning, match="000000"):
        assert len(list(open_clip({"rgb": rgb, "thermal": thermal}))) == 3  # thermal can show the target
    (thermal / "000000.png").write_bytes(b"")
    with pytest.warns(SourceWarning, match="000000"), pytest.raises(ValueError, match="first frame"):
        list(open_clip({"rgb": rgb, "thermal": thermal}))


def test_warnings_as_errors_reach_the_caller(write_folder: Make, colours: Colours) -> None:
    rgb = write_folder("rgb", colours(4))
    (rgb / "000002.png").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SourceWarning, match="000002"):
            list(open_clip({"rgb": rgb}))


def test_closing_early_stops_everything(write_video: Make, colours: Colours) -> None:
    reader = open_clip({"rgb": write_video("a.mkv", colours(20)), "thermal": write_video("b.mkv", colours(20))})
    stream = reader.frames()
    next(stream)
    stream.close()  # the fixture looks for threads


def test_stream_is_opened_late_and_stamped_on_arrival(write_video: Make, colours: Colours) -> None:
    video = write_video("a.mkv", colours(4))
    address = f"async:file://{video}"  # read like a network stream
    reader = open_clip({"rgb": address}, policy=LivePolicy(reconnect=0.0))
    assert reader.length is None
    with pytest.raises(TypeError, match="not known"):
        len(reader)
    frames = list(reader)
    assert 1 <= len(frames) <= 4  # a live source may drop frames, but never the last
    assert frames[0].time == 0
    assert number(frames[-1], "rgb") == 3
    assert all(a.time <= b.time for a, b in itertools.pairwise(frames))


def test_recording_beside_a_live_source_is_said(write_video: Make, write_folder: Make, colours: Colours) -> None:
    specs = {
        "rgb": f"async:file://{write_video('a.mkv', colours(4))}",
        "thermal": write_folder("t", colours(9), [i / 10 for i in range(9)]),
    }
    frames, said = heard(lambda: list(open_clip(specs)))
    assert all(not f.missing for f in frames)
    assert any("share no clock" in s for s in said)


def test_two_live_sources(write_video: Make, colours: Colours) -> None:
    specs = {kind: f"async:file://{write_video(f'{kind}.mkv', colours(4))}" for kind in ("rgb", "thermal")}
    frames, _ = heard(lambda: list(open_clip(specs, policy=LivePolicy(tolerance=10.0, reconnect=0.0))))
    assert all(set(f.images) == {Modality.RGB, Modality.THERMAL} for f in frames)
