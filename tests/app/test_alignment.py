# SPDX-License-Identifier: Apache-2.0
"""Aligning from the page: pictures of all sensors, a homography from points, its use on files and on live clips."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.app.toy import Driver, video
from tests.sources.fake_camera import HttpCamera

pytest.importorskip("httpx")
from starlette.testclient import TestClient

from modaltrack.app.access import Access
from modaltrack.app.server import make_app
from modaltrack.app.workspace import Workspace
from modaltrack.sources import open_clip

SHIFT = np.array([[2.0, 0, 10], [0, 2, 6], [0, 0, 1]])  # from the thermal pixels to RGB's
BOX = [6.0, 20.0, 12.0, 12.0]


@pytest.fixture
def rig(tmp_path: Path) -> dict[str, str]:
    """The toy clip, and a thermal camera of half its pixels that sees a part of it."""
    rgb = video(tmp_path / "rgb")
    (tmp_path / "thermal").mkdir()
    for file in rgb.iterdir():
        image = cv2.warpPerspective(cv2.imread(str(file)), np.linalg.inv(SHIFT), (40, 26))
        cv2.imwrite(str(tmp_path / "thermal" / file.name), image)
    return {"rgb": str(rgb), "thermal": str(tmp_path / "thermal")}


def pairs(points: list[list[float]]) -> list[list[float]]:
    there = cv2.perspectiveTransform(np.array([points], float), SHIFT)[0]
    return [[*own, *place] for own, place in zip(points, there.tolist())]


FOUR = pairs([[1, 2], [38, 3], [37, 24], [2, 23]])
FIVE = [*FOUR, *pairs([[20, 9]])]


def test_points_become_a_homography_that_is_used_and_saved(
    drive: Driver, workspace: Workspace, rig: Mapping[str, str], tmp_path: Path
) -> None:
    drive.open(sources=rig)
    drive("box", index=0, box=BOX)
    drive.play()
    taken = drive("align pictures")
    assert (taken["reference"], taken["sizes"]) == ("rgb", {"rgb": [96, 64], "thermal": [40, 26]})
    assert taken["instants"] == 7  # every third of the frames, as the clip ends
    found = drive("align points", sensor="thermal", pairs=FIVE)
    np.testing.assert_allclose(found["homography"], SHIFT, atol=1e-6)
    assert max(found["errors"]) < 0.01
    client = TestClient(make_app(workspace, Access("127.0.0.1"), tmp_path), base_url="http://127.0.0.1:8765")
    drive.workspace.publish = drive.messages.append  # the server has taken it
    number = taken["number"]
    own = cv2.imdecode(np.frombuffer(client.get(f"/align/{number}/0/thermal").content, np.uint8), 1)
    assert own.shape == (26, 40, 3)
    blend = cv2.imdecode(np.frombuffer(client.get(f"/align/{number}/0/thermal?blend=1").content, np.uint8), 1)
    assert blend.shape == (128, 96, 3)
    for place in (f"{number + 1}/0/thermal", f"{number}/99/thermal", f"{number}/0/smell", f"{number}/0/rgb?blend=1"):
        assert client.get(f"/align/{place}").status_code == 404
    before, clip = workspace.player.clip.footage.frame(3), workspace.clip_number  # type: ignore[union-attr]
    drive("align use", sensor="thermal")
    assert workspace.clip_number == clip + 1
    assert workspace.state()["clip"]["aligned"] == ["thermal"]
    assert drive.rows() == []  # what was followed with the old pictures is dropped, the box stays
    assert list(workspace.player.targets[1].keys) == [0]  # type: ignore[union-attr]
    after = workspace.player.clip.footage.frame(3)  # type: ignore[union-attr]
    saved = client.get("/download/alignment").json()
    (tmp_path / "align.json").write_text(json.dumps(saved))
    expected = list(open_clip(rig, align=tmp_path / "align.json"))[3]
    assert (after.images["thermal"] == expected.images["thermal"]).all()  # type: ignore[index,union-attr]
    assert (before.images["thermal"] != after.images["thermal"]).any()  # type: ignore[index,union-attr]
    drive("align use", sensor="thermal", drop=True)
    again = workspace.player.clip.footage.frame(3)  # type: ignore[union-attr]
    assert (before.images["thermal"] == again.images["thermal"]).all()  # type: ignore[index,union-attr]


def test_a_search_answers_while_the_page_goes_on(
    drive: Driver, rig: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modaltrack.app import alignment

    drive.open(sources=rig)
    drive("align pictures")
    seen: list[Any] = []

    def slow(references: Any, others: Any) -> Any:
        drive("seek", index=5)  # the workspace's thread is free
        seen.extend((references[0].shape, others[0].shape))
        raise ValueError("The two sensors' pictures have too little in common.")

    monkeypatch.setattr(alignment, "estimate_alignment", slow)
    with pytest.raises(ValueError, match="too little in common"):
        drive("align search", sensor="thermal")
    assert seen == [(64, 96, 3), (26, 40, 3)]
    assert drive.workspace.player.index == 5  # type: ignore[union-attr]


def test_what_is_found_in_pictures_of_another_clip_is_not_kept(
    drive: Driver, rig: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modaltrack.app import alignment

    drive.open(sources=rig)
    drive("align pictures")

    def slow(references: Any, others: Any) -> Any:
        drive.open(sources=rig)
        drive("align pictures")
        return alignment.alignment_from_points(np.array(FOUR))

    monkeypatch.setattr(alignment, "estimate_alignment", slow)
    with pytest.raises(ValueError, match="Other pictures were taken"):
        drive("align search", sensor="thermal")
    assert drive.workspace.alignment.found == {}
    stored = alignment._stored_instants

    def late(*of: Any) -> Any:
        drive.open(sources=rig)
        return stored(*of)

    monkeypatch.setattr(alignment, "_stored_instants", late)
    with pytest.raises(ValueError, match="Another clip was opened"):
        drive("align pictures")
    assert drive.workspace.alignment.instants == []


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ({"do": "align points", "sensor": "thermal", "pairs": FOUR[:3]}, "needs at least 4"),
        ({"do": "align points", "sensor": "thermal", "pairs": [[1, 2, 3]]}, "not understood"),
        ({"do": "align points", "sensor": "thermal", "pairs": "x"}, "not understood"),
        ({"do": "align points", "sensor": "thermal", "pairs": [[0, 0, 0, None]] * 4}, "NaN"),
        ({"do": "align points", "sensor": "thermal", "pairs": [[i, i, i, i] for i in range(9)]}, "lie on a line"),
        ({"do": "align points", "sensor": "rgb", "pairs": FOUR}, "no pictures of 'rgb'"),
        ({"do": "align use", "sensor": "thermal"}, "Nothing was found"),
    ],
)
def test_what_cannot_be_aligned_is_a_sentence(
    drive: Driver, rig: Mapping[str, str], command: dict[str, Any], what: str
) -> None:
    drive.open(sources=rig)
    drive("align pictures")
    with pytest.raises(ValueError, match=what):
        drive(**command)


def test_scenes_and_single_sensors_are_not_aligned(drive: Driver, rig: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match="open one first"):
        drive("align pictures")
    drive.open(sources={"rgb": rig["rgb"]})
    with pytest.raises(ValueError, match="has one sensor"):
        drive("align pictures")
    assert not drive.workspace.state()["clip"]["can_align"]
    drive.open(scene={"length": 2})
    with pytest.raises(ValueError, match="lie on each other already"):
        drive("align pictures")


def test_a_live_clip_is_aligned_without_opening_its_cameras_again(drive: Driver) -> None:
    with HttpCamera(20) as rgb, HttpCamera(20) as thermal:
        thermal.size = (24, 32)
        drive.open(sources={"rgb": rgb.url, "thermal": thermal.url})
        taken = drive("align pictures")
        assert taken["sizes"] == {"rgb": [64, 48], "thermal": [32, 24]}
        move = [[0, 0, 8, 4], [30, 0, 38, 4], [30, 20, 38, 24], [0, 20, 8, 24]]
        drive("align points", sensor="thermal", pairs=move)
        drive("align use", sensor="thermal")
        player = drive.workspace.player
        assert player is not None

        def border() -> bool:
            frame = player.clip.footage.frame((player.clip.footage.length or 1) - 1)
            image = frame.images.get("thermal") if frame else None  # type: ignore[call-overload]
            return image is not None and not image[:4].any() and bool(image[4:28, 8:40].any())

        drive.wait(border)
        assert (rgb.connections, thermal.connections) == (1, 1)
