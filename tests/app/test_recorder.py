# SPDX-License-Identifier: Apache-2.0
"""Recording from the page: it begins and ends while the clip goes on, and comes back as it was."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.app.toy import Driver, video
from tests.sources.fake_camera import HttpCamera

pytest.importorskip("httpx")
from starlette.testclient import TestClient

from modaltrack.app.access import Access
from modaltrack.app.server import make_app
from modaltrack.app.workspace import Workspace
from modaltrack.sources import LivePolicy


def recorded(folder: str) -> int:
    return int(json.loads((Path(folder) / "recording.json").read_text())["instants"])


def test_what_was_followed_live_is_followed_to_the_same_boxes_from_the_recording(
    drive: Driver, workspace: Workspace, tmp_path: Path
) -> None:
    with HttpCamera(20) as rgb, HttpCamera(8) as thermal:
        drive.open(sources={"rgb": rgb.url, "thermal": thermal.url})
        player = workspace.player
        assert player is not None
        drive.wait(lambda: player.index >= 3)
        folder = drive("record")["folder"]
        assert Path(folder).parent == workspace.recorder.folder
        with pytest.raises(ValueError, match="recorded already"):
            drive("record")
        drive.wait(lambda: (m := workspace.recorder.running) is not None and m.instants >= 3)
        drive("pause")
        frames = {player.index: player.clip.footage.frame(player.index)}
        drive("box", index=player.index, box=[2, 2, 20, 16])
        drive("play")
        drive.wait(lambda: len(drive.rows()) >= 8)
        drive("pause")
        rows = player.targets[1].rows["A"]
        frames |= {index: player.clip.footage.frame(index) for index in rows}
        drive.wait(lambda: any(m["type"] == "recording" for m in drive.messages))  # paused, and still told
        drive.wait(lambda: (m := workspace.recorder.running) is not None and m.instants > len(rows))
        said = drive("stop recording")["said"]
        assert folder in said
        with pytest.raises(ValueError, match="Nothing is being recorded"):
            drive("stop recording")
        assert recorded(folder) > 8
        boxes = {index: mark.box for index, mark in rows.items()}
    drive.open(folder=folder)
    again = workspace.player
    assert again is not None
    length = again.clip.footage.length
    assert length == recorded(folder)
    stored = [again.clip.footage.frame(i) for i in range(length)]
    start = next(i for i, f in enumerate(stored) if same(f, frames[min(frames)]))
    place = {index: start + index - min(frames) for index in frames}
    for index, frame in frames.items():  # the instants of the live run
        assert same(stored[place[index]], frame)
    drive("box", index=start, box=[2, 2, 20, 16])
    drive("seek", index=start)
    drive.play()
    found = again.targets[1].rows["A"]
    for index, box in boxes.items():
        np.testing.assert_array_equal(found[place[index]].box, box)


def same(one: Any, other: Any) -> bool:
    return one.images.keys() == other.images.keys() and all(
        np.array_equal(one.images[m], other.images[m]) for m in one.images
    )


def test_a_recording_is_whole_when_its_clip_goes_away_and_can_be_taken_along(
    drive: Driver, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modaltrack.app.opening.POLICY", LivePolicy(reconnect=0.3))
    client = TestClient(make_app(workspace, Access("127.0.0.1"), tmp_path), base_url="http://127.0.0.1:8765")
    workspace.publish = drive.messages.append  # the server has taken it
    assert "There is no recording" in client.get("/download/recording").json()["error"]
    with HttpCamera(30) as camera:
        drive.open(sources={"rgb": camera.url})
        folder = drive("record")["folder"]
        drive.wait(lambda: (m := workspace.recorder.running) is not None and m.instants >= 3)
        drive.open(sources={"rgb": str(video(tmp_path / "rgb", 3))})  # another clip
        assert recorded(folder) >= 3
        assert workspace.recorder.last == Path(folder)
        with zipfile.ZipFile(io.BytesIO(client.get("/download/recording").content)) as archive:
            names = {f"{Path(folder).name}/{name}" for name in ("rgb.mkv", "instants.jsonl", "recording.json")}
            assert set(archive.namelist()) == names
        with pytest.raises(ValueError, match="in files already"):
            drive("record")
        drive.open(sources={"rgb": camera.url})
        second = drive("record")["folder"]
        drive.wait(lambda: (m := workspace.recorder.running) is not None and m.instants >= 3)
        camera.unplug()
        drive.wait(lambda: workspace.recorder.running is None)
    assert recorded(second) >= 3
    assert [m["level"] for m in drive.messages if m["type"] == "notice" and "recorded in" in m["text"]] == ["note"] * 2


def test_ending_the_program_completes_a_recording(drive: Driver, workspace: Workspace) -> None:
    with HttpCamera(30) as camera:
        drive.open(sources={"rgb": camera.url})
        folder = drive("record")["folder"]
        drive.wait(lambda: (m := workspace.recorder.running) is not None and m.instants >= 3)
        workspace.close()
    about = json.loads((Path(folder) / "recording.json").read_text())
    assert about["complete"]
    assert about["videos"]["rgb"]["pictures"] >= 3
