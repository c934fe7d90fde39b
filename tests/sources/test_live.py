# SPDX-License-Identifier: Apache-2.0
"""Two fake cameras on this machine. What is asserted are orders and counts that hold on a busy machine, too."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.sources.fake_camera import HEIGHT, WIDTH, HttpCamera, UdpCamera, free_port

from modaltrack import cli
from modaltrack.frame import Frame, Modality
from modaltrack.sources import LivePolicy, SourceWarning, open_clip

BOTH = {Modality.RGB, Modality.THERMAL}
PATIENT = LivePolicy(stall=1.0)  # a busy test machine pauses senders for as long


class Said:
    """The texts of the warnings so far."""

    def __init__(self, caught: list[warnings.WarningMessage]) -> None:
        self._caught = caught

    def __iter__(self) -> Iterator[str]:
        return iter([str(w.message) for w in self._caught])


@contextmanager
def running(specs: dict[str, str], **options: Any) -> Iterator[tuple[Any, Iterator[Frame], Said]]:
    """A live clip, its frames, and what is said meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SourceWarning)
        clip = open_clip(specs, **options)
        with closing(clip.frames()) as frames:
            yield clip, frames, Said(caught)


def until(frames: Iterator[Frame], wanted: Callable[[Frame], bool], seconds: float = 20.0) -> list[Frame]:
    """Frames up to the first that is wanted; fails after ``seconds``."""
    end, seen = time.monotonic() + seconds, []
    for frame in frames:
        seen.append(frame)
        if wanted(frame):
            return seen
        if time.monotonic() > end:
            break
    pytest.fail(f"not within {seconds} s: {[sorted(f.images) for f in seen[-5:]]}")


def count(number: int) -> Callable[[Frame], bool]:
    return lambda frame: frame.index >= number - 1


@pytest.mark.parametrize("kind", [HttpCamera, UdpCamera])
def test_one_camera_is_opened_once_and_soon(kind: Any) -> None:
    with kind() as camera, running({"rgb": camera.url}) as (clip, frames, _):
        began = time.monotonic()
        first = next(frames)
        assert time.monotonic() - began < 8  # 0.5 s of probing; five times that was usual
        assert clip.length is None
        assert clip.fps > 0
        seen = [first, *until(frames, count(10))]
        assert [f.index for f in seen] == list(range(10))
        assert all(a.time < b.time for a, b in itertools.pairwise(seen))
        assert all(f.images[Modality.RGB].shape == (HEIGHT, WIDTH, 3) for f in seen)
        assert all(0 <= time.monotonic() - f.captured[Modality.RGB] < 60 for f in seen)
        if kind is HttpCamera:
            assert camera.connections == 1


@pytest.mark.parametrize(("rgb", "thermal"), [(10, 3), (5, 12.5), (25, 9)])
def test_sensors_of_other_rates_are_paired(rgb: float, thermal: float) -> None:
    with (
        HttpCamera(rgb) as one,
        HttpCamera(thermal) as other,
        running({"rgb": one.url, "thermal": other.url}, policy=PATIENT) as (clip, frames, said),
    ):
        seen = until(frames, count(20))
        facts = clip.live_facts()
        assert sum(set(f.images) == BOTH for f in seen) >= 18
        assert facts["instants"] >= 20
        assert facts["rgb"]["used"] >= 18
        assert facts["thermal"]["used"] + facts["thermal"]["repeated"] >= 18
        assert abs(facts["thermal"]["skew_seconds_median"]) <= 1.0
        assert facts["rgb"]["images_per_second"] < 2 * rgb
        assert one.connections == other.connections == 1
        assert not any("breaks off" in s for s in said)


def test_a_silent_camera_does_not_hold_the_other_up() -> None:
    with (
        HttpCamera(20) as rgb,
        HttpCamera(20) as thermal,
        running({"rgb": rgb.url, "thermal": thermal.url}, policy=LivePolicy(stall=0.3)) as (clip, frames, _),
    ):
        until(frames, lambda f: set(f.images) == BOTH)
        thermal.stalled = True
        alone = until(frames, lambda f: f.missing == {Modality.THERMAL})
        began = alone[-1].time
        more = until(frames, lambda f: f.time - began > 1.0)
        assert len(more) > 5
        assert all(f.missing == {Modality.THERMAL} for f in more)
        thermal.stalled = False
        until(frames, lambda f: set(f.images) == BOTH)
        assert clip.live_facts()["thermal"]["missing"] >= len(more)
        assert clip.live_facts()["thermal"]["outages"] == 0


def test_the_reference_may_be_silent_too() -> None:
    with (
        HttpCamera(20) as rgb,
        HttpCamera(20) as thermal,
        running({"rgb": rgb.url, "thermal": thermal.url}, policy=LivePolicy(stall=0.3)) as (_, frames, _said),
    ):
        until(frames, lambda f: set(f.images) == BOTH)
        rgb.stalled = True
        seen = until(frames, lambda f: f.missing == {Modality.RGB})
        assert seen[-1].images[Modality.THERMAL].shape == (HEIGHT, WIDTH, 3)
        until(frames, lambda f: f.missing == {Modality.RGB})
        rgb.stalled = False
        until(frames, lambda f: set(f.images) == BOTH)


@pytest.mark.parametrize("which", ["rgb", "thermal"])
def test_a_camera_that_is_unplugged_and_plugged_in_again_comes_back(which: str) -> None:
    with HttpCamera(20) as rgb, HttpCamera(20) as thermal:
        pulled = {"rgb": rgb, "thermal": thermal}[which]
        with running({"rgb": rgb.url, "thermal": thermal.url}) as (clip, frames, said):
            until(frames, lambda f: set(f.images) == BOTH)
            for outage in (1, 2):
                pulled.unplug()
                until(frames, lambda f: f.missing == {which})
                pulled_at = time.monotonic()
                until(frames, lambda f, at=pulled_at: time.monotonic() - at > 0.7)  # several attempts
                pulled.plug()
                until(frames, lambda f: set(f.images) == BOTH)
                assert clip.live_facts()[which]["outages"] == outage
            assert sum("breaks off" in s for s in said) == 2  # once per outage, not per attempt
            assert sum("is back" in s for s in said) == 2


def test_cameras_that_are_gone_for_good_end_the_clip_with_one_sentence() -> None:
    with HttpCamera(20) as camera, running({"rgb": camera.url}, policy=LivePolicy(reconnect=1.0)) as (_, frames, said):
        until(frames, count(3))
        camera.unplug()
        list(frames)
        assert sum("the clip ends" in s for s in said) == 1
    with HttpCamera(20) as camera, running({"rgb": camera.url}, policy=LivePolicy(reconnect=0.0)) as (_, frames, said):
        until(frames, count(3))
        camera.unplug()
        list(frames)
        assert sum("what follows is lost" in s for s in said) == 1


def test_a_slow_consumer_gets_the_newest_and_drops_are_counted() -> None:
    with HttpCamera(40) as camera, running({"rgb": camera.url}) as (clip, frames, _):
        ages = []
        for _ in range(6):
            frame = next(frames)
            ages.append(time.monotonic() - frame.captured[Modality.RGB])
            time.sleep(0.4)
        facts = clip.live_facts()["rgb"]
        assert facts["dropped"] >= 10
        assert facts["used"] == 6
        assert float(np.median(ages)) < 0.4  # not the 2.4 s that a queue would have grown to


def test_waiting_for_every_image_loses_none() -> None:
    with HttpCamera(30) as camera, running({"rgb": camera.url}, policy=LivePolicy(late="wait")) as (clip, frames, _):
        for _ in range(12):
            next(frames)
            time.sleep(0.05)
        facts = clip.live_facts()["rgb"]
        assert facts["used"] == 12
        assert facts["dropped"] <= 10  # those still in the ring, no gaps between


def test_a_frozen_camera_counts_as_missing() -> None:
    with (
        HttpCamera(20) as rgb,
        HttpCamera(20) as thermal,
        running({"rgb": rgb.url, "thermal": thermal.url}, policy=PATIENT) as (clip, frames, said),
    ):
        until(frames, lambda f: set(f.images) == BOTH)
        thermal.still = True
        until(frames, lambda f: f.missing == {Modality.THERMAL})
        thermal.still = False
        until(frames, lambda f: set(f.images) == BOTH)
        assert clip.live_facts()["thermal"]["frozen"] > 0
        assert sum("same image" in s for s in said) == 1


@pytest.mark.parametrize("which", ["rgb", "thermal"])
def test_a_stream_that_changes_its_size_is_scaled_to_its_first(which: str) -> None:
    with (
        HttpCamera(20) as rgb,
        HttpCamera(20) as thermal,
        running({"rgb": rgb.url, "thermal": thermal.url}, policy=PATIENT) as (_, frames, said),
    ):
        until(frames, lambda f: set(f.images) == BOTH)
        {"rgb": rgb, "thermal": thermal}[which].size = (2 * HEIGHT, 2 * WIDTH)
        seen = until(frames, lambda f: any("changes from" in s for s in said))
        assert all(i.shape == (HEIGHT, WIDTH, 3) for f in seen for i in f.images.values())


def test_another_size_than_the_reference_is_scaled_to_it() -> None:
    with HttpCamera(20) as rgb, HttpCamera(20) as thermal:
        thermal.size = (24, 32)
        with running({"rgb": rgb.url, "thermal": thermal.url}, policy=PATIENT) as (_, frames, said):
            seen = until(frames, lambda f: set(f.images) == BOTH)
            assert seen[-1].images[Modality.THERMAL].shape == (HEIGHT, WIDTH, 3)
            assert any("scaled to rgb" in s for s in said)


def test_an_offset_moves_a_sensor_in_time() -> None:
    with HttpCamera(20) as rgb, HttpCamera(20) as thermal:
        options: Any = {"offsets": {"thermal": -0.2}, "policy": PATIENT}
        with running({"rgb": rgb.url, "thermal": thermal.url}, **options) as (clip, frames, _):
            until(frames, count(15))
            assert clip.live_facts()["thermal"]["skew_seconds_median"] < -0.1


def test_standard_input_is_read_whole(write_video: Any, colours: Any) -> None:
    code = (
        "import sys, time, warnings\n"
        "from modaltrack.sources import open_clip\n"
        "warnings.simplefilter('ignore')\n"
        "for frame in open_clip({'rgb': '-'}):\n"
        "    time.sleep(0.02)\n"
        "    print(frame.images['rgb'][0, 0, 0])\n"
    )
    with write_video("a.mkv", colours(20)).open("rb") as video:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=video, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.stdout.split() == [str(10 * k) for k in range(20)], done.stderr


def test_frames_through_a_pipe_are_tracked_to_the_boxes_of_the_file(
    write_video: Any, cameras: Path, random_weights: Path, tmp_path: Path
) -> None:
    images = [cv2.imread(str(file))[..., ::-1] for file in sorted((cameras / "rgb").glob("*.png"))]
    file = write_video("a.mkv", images)
    words = ["track", "--box", "20,20,16,12", "--model", str(random_weights), "--no-video"]
    piped = [*words, "--rgb", "-", "--out", str(tmp_path / "piped")]
    with file.open("rb") as video:
        done = subprocess.run(
            [sys.executable, "-m", "modaltrack", *piped],
            stdin=video,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert cli.main([*words, "--rgb", str(file), "--out", str(tmp_path / "read")]) == 0
    boxes = (tmp_path / "read" / "boxes.txt").read_text()
    assert boxes == (tmp_path / "piped" / "boxes.txt").read_text()
    assert len(boxes.splitlines()) == 6


def test_standard_input_has_one_reader() -> None:
    with pytest.raises(ValueError, match="two sensors"):
        open_clip({"rgb": "-", "thermal": "-"})


@pytest.mark.parametrize("second", [False, True])
def test_an_address_that_nobody_answers_is_one_sentence(second: bool) -> None:
    nobody = f"http://user:secret@127.0.0.1:{free_port()}/cam"
    with HttpCamera() as camera:
        specs = {"rgb": camera.url, "thermal": nobody} if second else {"rgb": nobody}
        with pytest.raises(ValueError, match="cannot be opened") as caught:
            list(open_clip(specs))
    assert "secret" not in str(caught.value)


def test_closing_lets_cameras_go() -> None:
    with HttpCamera() as camera:
        for _ in range(2):
            with running({"rgb": camera.url}) as (_, frames, _said):
                next(frames)
        assert camera.connections == 2


@pytest.mark.parametrize(
    "fields", [{"late": "never"}, {"stall": -1.0}, {"stall": float("nan")}, {"tolerance": -0.1}, {"reconnect": -1.0}]
)
def test_absurd_policies_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="policy"):
        LivePolicy(**fields)


def test_a_stop_ends_the_wait_for_cameras_that_are_silent() -> None:
    """Ctrl-C must not have to wait for a next image, which may never come; the policy alone would wait 60 s."""
    with HttpCamera() as camera:
        stop = threading.Event()
        clip = open_clip({"rgb": camera.url}, policy=PATIENT)
        with closing(clip.frames(stop)) as frames:
            next(frames)
            camera.stalled = True
            began = time.monotonic()
            threading.Timer(0.3, stop.set).start()
            left = list(frames)
            assert time.monotonic() - began < 30
    assert stop.is_set()
    assert all(frame.images for frame in left)
