# SPDX-License-Identifier: Apache-2.0
"""The workspace without a browser: following, going back, choosing again, sensors, two lanes, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.app.toy import Brightest, Driver, video

from modaltrack.app.targets import Mark, between
from modaltrack.frame import Status

BOX = [6.0, 20.0, 12.0, 12.0]


def at(index: int) -> list[float]:
    return [6.0 + 3 * index, 20.0, 12.0, 12.0]


def test_a_drawn_box_is_followed_to_the_end(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb"))})
    drive("box", index=0, box=BOX)
    drive.play()
    player = drive.workspace.player
    assert player is not None
    assert (player.index, drive.rows()) == (19, list(range(1, 20)))
    assert np.allclose(player.targets[1].rows["A"][19].box, at(19), atol=1)


def test_choosing_again_keeps_what_was_before(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb"))})
    drive("box", index=0, box=BOX)
    drive.play()
    drive("seek", index=8)
    drive("box", target=1, index=8, box=[20, 10, 30, 30])
    assert drive.rows() == list(range(1, 8))
    drive.play()
    assert drive.rows() == [f for f in range(1, 20) if f != 8]
    found = drive.workspace.player.targets[1].rows["A"]  # type: ignore[union-attr]
    assert (found[7].box[2], found[9].box[2]) == (12, 30)
    drive("no key", target=1, index=8)
    assert drive.rows() == list(range(1, 8))


def test_playing_through_known_rows_does_not_follow_again(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb"))})
    drive("box", index=0, box=BOX)
    drive.play()
    before = Brightest.steps
    drive.play()  # from the end it begins anew
    assert drive.workspace.player.index == 19  # type: ignore[union-attr]
    assert Brightest.steps == before


def test_a_target_that_is_added_later_is_followed_beside_the_first(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb"))})
    drive("box", index=0, box=BOX)
    drive("box", index=5, box=at(5))
    drive.play()
    assert drive.rows(1) == list(range(1, 20))
    assert drive.rows(2) == list(range(6, 20))


def test_sensors_off_are_not_shown_to_the_tracker(drive: Driver, tmp_path: Path) -> None:
    video(tmp_path / "rgb")
    video(tmp_path / "thermal")
    drive.open(folder=str(tmp_path))
    drive("box", index=0, box=BOX)
    drive("sensors", lane="A", off=["rgb"])
    drive.play()
    assert {m.status.name for m in drive.workspace.player.targets[1].rows["A"].values()} == {"LOST"}  # type: ignore[union-attr]
    drive("sensors", lane="A", off=["thermal"])
    drive("again")
    drive.wait(lambda: drive.rows() == list(range(1, 20)))
    assert drive.workspace.player.targets[1].rows["A"][19].score == 0.9  # type: ignore[union-attr]


def test_two_lanes_follow_the_same_targets_with_their_own_sensors(drive: Driver, tmp_path: Path) -> None:
    video(tmp_path / "rgb")
    video(tmp_path / "thermal")
    drive.open(folder=str(tmp_path))
    drive("box", index=0, box=BOX)
    drive("lane", lane="B", model="other")
    drive("sensors", lane="B", off=["rgb"])
    drive.play()
    rows = drive.workspace.player.targets[1].rows  # type: ignore[union-attr]
    assert (rows["A"][19].score, rows["B"][19].score) == (0.9, 0)
    drive("no lane")
    assert "B" not in rows


def test_lost_and_found_are_said_once(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb", gone=range(5, 9)))})
    drive("box", index=0, box=BOX)
    drive.play()
    phases = {f: m.phase for f, m in drive.workspace.player.targets[1].rows["A"].items() if m.phase != "tracking"}  # type: ignore[union-attr]
    assert phases == {5: "lost", 6: "searching", 7: "searching", 8: "searching", 9: "found"}


def test_following_back_stops_at_a_box_of_the_person(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb"))})
    drive("box", index=4, box=at(4))
    drive("box", target=1, index=12, box=at(12))
    drive("seek", index=12)
    drive("back", target=1)
    drive.wait(lambda: not drive.workspace.player.playing)  # type: ignore[union-attr]
    assert drive.rows() == list(range(5, 12))
    assert np.allclose(drive.workspace.player.targets[1].rows["A"][5].box, at(5), atol=1)  # type: ignore[union-attr]


def test_accepted_boxes_stay_and_doubts_are_found(drive: Driver, tmp_path: Path) -> None:
    drive.open(sources={"rgb": str(video(tmp_path / "rgb", gone=[10]))})
    drive("box", index=0, box=BOX)
    drive.play()
    drive("seek", index=6)
    assert drive("accept", target=1) == {"accepted": 7}
    assert drive("next", target=1) == {"index": 10}
    drive("absent", target=1, index=10)
    drive("box", target=1, index=11, box=at(11))
    drive.play()
    assert drive("next", target=1) == {"index": None}


def test_what_cannot_be_done_is_a_sentence(drive: Driver, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open one first"):
        drive("play")
    with pytest.raises(ValueError, match="no command"):
        drive("shut down")
    drive.open(sources={"rgb": str(video(tmp_path / "rgb"))})
    for box, what in (([1, 2, 3], "four numbers"), ([500, 5, 3, 3], "outside"), ("x", "four numbers"), (None, "four")):
        with pytest.raises(ValueError, match=what):
            drive("box", index=0, box=box)
    with pytest.raises(ValueError, match="no frame 99"):
        drive("box", index=99, box=BOX)
    with pytest.raises(ValueError, match="no target"):
        drive("remove", target=7)
    with pytest.raises(ValueError, match="no model 'broken'"):
        drive("lane", lane="B", model="broken")
    with pytest.raises(ValueError, match="speed"):
        drive("speed", speed=-1)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        ({}, "Nothing to open"),
        ({"sources": {"rgb": "nowhere.mp4"}}, "does not exist"),
        ({"sources": {"smell": "x"}}, "sensors are smell"),
        ({"sources": "x"}, "an object was expected"),
        ({"scene": {"seed": 0, "length": 1e9}}, "whole number"),
        ({"folder": "nowhere"}, "does not exist"),
        ({"upload": {"rgb": "../../x/rgb"}}, "no longer there"),
        ({"sources": {"rgb": "http://127.0.0.1:9/camera"}}, "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence(drive: Driver, request_: dict, what: str) -> None:
    drive("open", **request_)
    drive.wait(lambda: any(m["type"] == "not opened" for m in drive.messages))
    (said,) = [m["text"] for m in drive.messages if m["type"] == "not opened"]
    assert what in said
    assert drive.workspace.state()["busy"] == ""


def test_a_large_picture_is_refused(drive: Driver, tmp_path: Path) -> None:
    import cv2

    (tmp_path / "rgb").mkdir()
    cv2.imwrite(str(tmp_path / "rgb" / "0.png"), np.zeros((5000, 8000), np.uint8))
    drive("open", sources={"rgb": str(tmp_path / "rgb")})
    drive.wait(lambda: any(m["type"] == "not opened" for m in drive.messages))
    assert "40 megapixels" in next(m["text"] for m in drive.messages if m["type"] == "not opened")


def test_a_clip_that_does_not_fit_in_memory_is_read_again(tmp_path: Path) -> None:
    from modaltrack.app.footage import StoredFootage
    from modaltrack.sources import open_clip

    reader = open_clip({"rgb": str(video(tmp_path / "rgb"))})
    one = 64 * 96 * 3
    footage = StoredFootage(reader.frames, reader.modalities, reader.fps, reader.length, budget=4 * one)
    expected = [frame.images["rgb"] for frame in reader]  # type: ignore[index]
    for index in (0, 19, 3, 4, 2, 18, 0):
        frame = footage.frame(index)
        assert frame is not None
        assert frame.index == index
        assert (frame.images["rgb"] == expected[index]).all()  # type: ignore[index]
        assert len(footage._kept) <= 4
    assert footage.frame(20) is None
    footage.close()


def test_two_ways_through_a_stretch_are_joined() -> None:
    forward = Mark((0.0, 0.0, 10.0, 10.0), 0.9, Status.TRACKING)
    close = Mark((2.0, 0.0, 10.0, 10.0), 0.5, Status.UNCERTAIN)
    far = Mark((50.0, 0.0, 10.0, 10.0), 0.5, Status.TRACKING)
    assert between(forward, close, 0.25).box == (0.5, 0.0, 10.0, 10.0)
    assert between(forward, close, 0.25).status == Status.TRACKING
    assert between(forward, close, 0.75).score == 0.5
    assert between(forward, far, 0.4) == forward
    assert between(forward, far, 0.6) == far
    assert between(Mark(None, 0, Status.LOST), far, 0.6) == far
