# SPDX-License-Identifier: Apache-2.0
"""The server: who may use it, uploads, pictures, downloads, and what a page that comes back is told."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.app.toy import Driver, video

pytest.importorskip("httpx")
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from modaltrack.app.access import Access
from modaltrack.app.server import PAGE, make_app
from modaltrack.app.workspace import Workspace

HOST = "http://127.0.0.1:8765"
SOCKET = "ws://127.0.0.1:8765/messages"  # a test client does not take its own base for WebSockets
BOX = [6.0, 20.0, 12.0, 12.0]


@pytest.fixture
def client(workspace: Workspace, tmp_path: Path) -> TestClient:
    return TestClient(make_app(workspace, Access("127.0.0.1"), tmp_path / "uploads"), base_url=HOST)


def do(client: TestClient, what: str, **details: Any) -> Any:
    answer = client.post("/do", json={"do": what, **details})
    return answer.json()


def opened(client: TestClient, drive: Driver, path: Path) -> None:
    drive.open(sources={"rgb": str(path)})
    drive("box", index=0, box=BOX)
    drive.play()


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_other_pages_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/do", json={"do": "pause"}, headers=headers).status_code == 403
    assert client.get("/frames/1/0/rgb", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(SOCKET, headers=headers):
        pass


def test_the_own_page_is_served_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/", headers={"origin": HOST})
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for file in PAGE.iterdir():
        assert client.get(f"/{file.name}").status_code == 200
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(src|href|url|from|import)\W{1,3}https?:", text), file
        assert "innerHTML" not in text, file
        assert "insertAdjacentHTML" not in text, file


def test_elsewhere_a_token_is_needed(workspace: Workspace, tmp_path: Path) -> None:
    app = make_app(workspace, Access("0.0.0.0", "secret"), tmp_path)
    with TestClient(app, base_url="http://192.168.1.5:8765") as client:
        assert client.get("/").status_code == 403
        assert client.get("/?token=wrong").status_code == 403
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://192.168.1.5:8765/messages"):
            pass
        moved = client.get("/?token=secret", follow_redirects=False)
        assert (moved.status_code, moved.headers["location"]) == (303, "/")
        assert "HttpOnly" in moved.headers["set-cookie"]
        assert "SameSite=strict" in moved.headers["set-cookie"]
        assert client.get("/").status_code == 200  # the cookie


def test_commands_that_are_none(client: TestClient) -> None:
    for content, kind in ((b"{", "application/json"), (b"[1]", "application/json"), (b'{"do":"pause"}', "text/plain")):
        answer = client.post("/do", content=content, headers={"content-type": kind})
        assert answer.status_code == 400
        assert answer.json()["error"] == "The command is no JSON object."
    assert client.post("/do", content=b'"' * 2_000_000).json()["error"] == "The command is too long."


def test_pictures_and_a_page_that_comes_back(client: TestClient, drive: Driver, tmp_path: Path) -> None:
    opened(client, drive, video(tmp_path / "rgb"))
    picture = client.get("/frames/1/7/rgb")
    assert picture.headers["content-type"] == "image/jpeg"
    assert client.get("/frames/1/7/thermal").status_code == 404
    assert client.get("/frames/1/99/rgb").status_code == 404
    assert client.get("/frames/2/7/rgb").status_code == 204  # of another clip: nothing to tell the console of
    with client.websocket_connect(SOCKET) as socket:
        messages = socket.receive_json()
    kinds = {m["type"]: m for m in messages}
    assert kinds["state"]["clip"]["length"] == 20
    assert kinds["state"]["targets"][0]["keys"] == {"0": BOX}
    assert [row[2] for row in kinds["rows"]["rows"]] == list(range(1, 20))
    assert kinds["at"]["index"] == 19


def test_downloads(client: TestClient, drive: Driver, tmp_path: Path) -> None:
    assert "open one first" in client.get("/download/boxes").json()["error"]
    opened(client, drive, video(tmp_path / "clip" / "rgb"))
    drive("rename", target=1, name="a <b>bird</b>")
    boxes = client.get("/download/boxes")
    assert boxes.headers["content-disposition"] == 'attachment; filename="clip.txt"'
    assert boxes.text.splitlines()[0] == "6,20,12,12"
    assert len(boxes.text.splitlines()) == 20
    result = client.get("/download/json").json()
    assert result["frames"][19]["targets"][0]["status"] == "tracking"
    assert client.get("/download/video").content[4:8] == b"ftyp"
    with zipfile.ZipFile(io.BytesIO(client.get("/download/clip").content)) as archive:
        names = archive.namelist()
    assert {"clip/boxes.txt", "clip/rgb/000000.png", "clip/rgb/000019.png"} <= set(names)
    coco = client.get("/download/coco").json()
    assert (len(coco["annotations"]), coco["categories"][0]["name"]) == (20, "a <b>bird</b>")
    assert b"&lt;b&gt;" in client.get("/download/cvat").content
    with zipfile.ZipFile(io.BytesIO(client.get("/download/mot").content)) as archive:
        assert "clip/gt/gt.txt" in archive.namelist()
    assert "nothing called" in client.get("/download/secrets").json()["error"]
    assert "no lane" in client.get("/download/boxes?lane=Z").json()["error"]


def test_the_exported_clip_folder_has_the_same_pixels(client: TestClient, drive: Driver, tmp_path: Path) -> None:
    from modaltrack.sources import open_clip, open_folder

    opened(client, drive, video(tmp_path / "clip" / "rgb"))
    with zipfile.ZipFile(io.BytesIO(client.get("/download/clip").content)) as archive:
        archive.extractall(tmp_path / "out")
    again, boxes = open_folder(tmp_path / "out" / "clip")
    assert boxes is not None
    assert len(boxes) == 20
    for one, other in zip(again, open_clip({"rgb": str(tmp_path / "clip" / "rgb")}), strict=True):
        assert (one.images["rgb"] == other.images["rgb"]).all()  # type: ignore[index]


def test_uploads(client: TestClient, drive: Driver, tmp_path: Path) -> None:
    for file in sorted(video(tmp_path / "rgb").iterdir()):
        answer = client.post(f"/upload?group=abc/rgb&name={file.name}", content=file.read_bytes())
        assert answer.status_code == 200
    drive.open(upload={"rgb": "abc/rgb"})
    assert drive.workspace.player is not None
    assert drive.workspace.player.clip.footage.length == 20


def test_a_text_called_mp4_is_one_sentence_without_the_server_s_folders(
    client: TestClient, drive: Driver, tmp_path: Path
) -> None:
    name = "<img src=x onerror=alert(1)>.mp4"
    assert client.post("/upload", params={"group": "abc/rgb", "name": name}, content=b"hello " * 999).status_code == 200
    drive("open", upload={"rgb": "abc/rgb"})
    drive.wait(lambda: any(m["type"] == "not opened" for m in drive.messages))
    said = next(m["text"] for m in drive.messages if m["type"] == "not opened")
    assert "cannot be opened" in said
    assert str(tmp_path) not in said
    assert "<img" not in said


@pytest.mark.parametrize(
    ("group", "name", "what"),
    [
        ("../x/rgb", "a.png", "not understood"),
        ("abc/smell", "a.png", "not understood"),
        ("abc/rgb", "..", "no name"),
        ("abc/rgb", "", "no name"),
    ],
)
def test_uploads_stay_in_their_folder(client: TestClient, tmp_path: Path, group: str, name: str, what: str) -> None:
    answer = client.post("/upload", params={"group": group, "name": name}, content=b"x")
    assert answer.status_code == 400
    assert what in answer.json()["error"]
    assert not list((tmp_path / "uploads").rglob("*.png"))


def test_an_upload_too_large_leaves_nothing(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modaltrack.app.uploads.MAX_BYTES", 1000)
    answer = client.post("/upload?group=abc/rgb&name=a.mp4", content=b"x" * 1001)
    assert "larger than" in answer.json()["error"]
    answer = client.post("/upload?group=abc/rgb&name=a.mp4", content=iter([b"x" * 600, b"x" * 600]))
    assert "larger than" in answer.json()["error"]
    assert not [f for f in (tmp_path / "uploads").rglob("*") if f.is_file()]
    assert "empty" in client.post("/upload?group=abc/rgb&name=a.mp4", content=b"").json()["error"]


def test_a_port_in_use_and_a_missing_extra_are_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    from modaltrack import cli
    from modaltrack.commands import app

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["app", "--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in capsys.readouterr().err
    monkeypatch.setattr(app, "NEEDED", ("fastapi", "nothing_of_this_name"))
    assert cli.main(["app"]) == 1
    assert "pip install 'modaltrack[app]'" in capsys.readouterr().err
    assert json.dumps(app.first_clip(app.Options(rgb="a.mp4"))) == '{"sources": {"rgb": "a.mp4"}}'
