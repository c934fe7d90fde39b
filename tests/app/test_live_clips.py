# SPDX-License-Identifier: Apache-2.0
"""The workspace on a camera: it goes on by itself, a box in the past catches up, a lost camera is a sentence."""

from __future__ import annotations

import warnings

import pytest
from tests.app.toy import Driver
from tests.sources.fake_camera import HttpCamera

from modaltrack.app.footage import FrameGoneError, LiveFootage
from modaltrack.frame import Modality


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore")


def test_a_camera_is_watched_followed_and_lost(drive: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack.sources import LivePolicy

    monkeypatch.setattr("modaltrack.app.opening.POLICY", LivePolicy(reconnect=0.3))
    with HttpCamera(rate=50) as camera:
        drive.open(sources={"rgb": camera.url})
        player = drive.workspace.player
        assert player is not None
        assert player.clip.footage.live
        drive.wait(lambda: player.index >= 5)
        drive("pause")
        paused = player.index
        drive.wait(lambda: (player.clip.footage.length or 0) > paused + 20)
        drive("box", index=paused, box=[0, 0, 20, 20])
        newest = player.clip.footage.length or 0
        drive("play")
        drive.wait(lambda: player.index > newest)
        rows = drive.rows()
        assert rows[0] > paused
        assert rows[0] < newest  # it began to catch up in the past
        assert player.lanes["A"].latency
        player.clip.footage._budget = 10 * 48 * 64 * 3  # the first box's picture goes
        drive.wait(lambda: player.clip.footage.oldest > paused)
        drive("lane", lane="B", model="other")
        drive.wait(lambda: len(drive.rows(lane="B")) > 2)
        drive("again")
        drive.wait(lambda: len(drive.rows()) > 2)
        assert player.playing
        with pytest.raises(ValueError, match="live clip cannot be followed backwards"):
            drive("back", target=1)
        camera.unplug()
        drive.wait(lambda: not player.playing)
    said = [m["text"] for m in drive.messages if m["type"] == "notice" and m["level"] == "error"]
    assert len(said) == 1
    assert "ended" in said[0]


def test_a_busy_camera_and_an_address_that_never_answers_are_sentences(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os
    import socket

    from modaltrack.sources import video

    def said(source: str) -> str:
        drive.messages.clear()
        drive("open", sources={"rgb": source})
        drive.wait(lambda: any(m["type"] == "not opened" for m in drive.messages))
        assert drive.workspace.state()["busy"] == ""
        return str(next(m["text"] for m in drive.messages if m["type"] == "not opened"))

    monkeypatch.setattr(video, "TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        text = said(f"http://127.0.0.1:{silent.getsockname()[1]}/camera")
        assert "cannot be opened (nothing came in time); check the address" in text

    def busy(location: str, **_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), location)

    monkeypatch.setattr(video.av, "open", busy)
    text = said("0")
    assert "cannot be opened (Device or resource busy)" in text
    assert "no other program uses it" in text


def test_a_feed_forgets_its_oldest_frames() -> None:
    import numpy as np

    from modaltrack.frame import Frame

    def read(stop: object) -> object:
        for index in range(10):
            yield Frame({Modality.RGB: np.zeros((4, 4, 3), np.uint8)}, index=index)

    feed = LiveFootage(read, (Modality.RGB,), 30.0, budget=3 * 48)  # type: ignore[arg-type]
    feed.wait(8, 5)
    assert feed.length == 10
    assert feed.frame(9) is not None
    assert feed.frame(10) is None
    with pytest.raises(FrameGoneError, match="no longer kept; the oldest one is 7"):
        feed.frame(2)
