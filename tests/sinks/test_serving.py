# SPDX-License-Identifier: Apache-2.0
"""Boxes by WebSocket and pictures by HTTP: what clients get, and that none of them can hold the run up."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from modaltrack.cli import main
from modaltrack.frame import Frame, Modality, Row, Status
from modaltrack.sinks import MjpegStream, RowMessage, WebSocketPush
from modaltrack.sinks.address import is_loopback, listening_address

RGB = Modality.RGB


def row(index: int, size: tuple[int, int] = (240, 320), status: Status = Status.TRACKING) -> Row:
    image = np.full((*size, 3), 20 * (index % 10), np.uint8)
    box = np.array([[70.0, 50, 20, 20]])
    return Row("", index, Frame({RGB: image}, index / 25, index), box, np.ones(1), np.array([status]), 0.01, 10.0)


@contextmanager
def rows_coming(*sinks: MjpegStream | WebSocketPush, rate: float = 50.0) -> Iterator[None]:
    """Rows are handed to the sinks by a thread, as a run would."""
    stop = threading.Event()

    def work() -> None:
        index = 0
        while not stop.is_set():
            for sink in sinks:
                sink.row(row(index))
            index += 1
            time.sleep(1 / rate)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def pictures(response: object) -> Iterator[np.ndarray]:
    """The pictures of a multipart stream, as a client reads them: headers, then as many bytes as these say."""
    while True:
        head = {}
        while (line := response.readline().strip()) or not head:  # type: ignore[attr-defined]
            name, _, value = line.decode().partition(":")
            head[name.lower()] = value.strip()
        data = response.read(int(head["content-length"]))  # type: ignore[attr-defined]
        yield cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_a_websocket_client_gets_the_messages_in_their_order() -> None:
    client = pytest.importorskip("websockets.sync.client")
    with WebSocketPush("0", RowMessage()) as push:
        push.row(row(0))
        with client.connect(push.url) as one, client.connect(push.url) as other:
            first = [json.loads(c.recv(60)) for c in (one, other)]
            for index in range(1, 4):
                push.row(row(index, status=Status.LOST))
            for connection, before in zip((one, other), first, strict=True):
                found = [before, *(json.loads(connection.recv(60)) for _ in range(3))]
                assert [m["frame"] for m in found] == [0, 1, 2, 3]
                assert [m["targets"][0]["phase"] for m in found] == ["tracking", "lost", "searching", "searching"]
                assert found[0]["format"] == "modaltrack-row/1"


def test_clients_that_go_away_or_read_nothing_do_not_hold_the_run_up() -> None:
    client = pytest.importorskip("websockets.sync.client")
    with WebSocketPush("0", RowMessage()) as push:
        gone, deaf = client.connect(push.url), client.connect(push.url, max_queue=1)
        gone.socket.close()
        many = Row("", 0, row(0).frame, np.ones((500, 4)), np.ones(500), np.zeros(500, np.int64), 0.0, 0.0)
        for _ in range(300):  # 20 MB, more than all buffers on the way
            push.row(many)
        done = threading.Event()
        push._loop.call_soon_threadsafe(done.set)
        assert done.wait(60)  # all were handed over
        assert all(queue.qsize() <= 64 for queue in push._clients)
        with client.connect(push.url) as healthy:
            assert json.loads(healthy.recv(60))["format"]
        deaf.socket.close()


@pytest.mark.parametrize(
    ("origin", "served"), [(None, True), ("http://localhost:8000", True), ("https://evil.example", False)]
)
def test_pages_from_elsewhere_cannot_listen_to_this_machine(origin: str | None, served: bool) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with WebSocketPush("0", RowMessage()) as push:
        push.row(row(0))
        if served:
            with client.connect(push.url, origin=origin) as connection:
                assert connection.recv(60)
        else:
            with pytest.raises(Exception, match="403"):
                client.connect(push.url, origin=origin)


def test_the_stream_shows_the_newest_picture_to_everyone() -> None:
    with MjpegStream("0", [RGB]) as stream, rows_coming(stream):
        assert b"stream.mjpg" in urllib.request.urlopen(stream.url, timeout=60).read()
        still = urllib.request.urlopen(stream.url + "picture.jpg", timeout=60).read()
        assert cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_COLOR).shape == (240 + 52, 320, 3)
        address = stream.url + "stream.mjpg"
        with urllib.request.urlopen(address, timeout=60) as one, urllib.request.urlopen(address, timeout=60) as other:
            seen = [[next(shown) for _ in range(3)] for shown in (pictures(one), pictures(other))]
        for shown in seen:
            assert any(not np.array_equal(shown[0], later) for later in shown[1:])


def test_the_stream_is_a_source_of_this_package() -> None:
    from modaltrack.sources import open_clip

    with MjpegStream("0", [RGB]) as stream, rows_coming(stream):
        frames = iter(open_clip({"rgb": stream.url + "stream.mjpg"}))
        assert next(frames).images[RGB].shape == (292, 320, 3)
        frames.close()  # type: ignore[attr-defined]


def test_nothing_is_drawn_while_nobody_looks_and_slow_lookers_cost_nothing() -> None:
    with MjpegStream("0", [RGB]) as stream:
        for index in range(50):
            stream.row(row(index))
        assert stream._jpeg[0] == -1
        host, port = stream.url.removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(b"GET /stream.mjpg HTTP/1.0\r\n\r\n")
            with rows_coming(stream), urllib.request.urlopen(stream.url + "stream.mjpg", timeout=60) as healthy:
                shown = pictures(healthy)
                assert len([next(shown) for _ in range(20)]) == 20
        assert stream._clients <= 2


def test_paths_that_are_not_there_and_too_many_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack.sinks import mjpeg

    monkeypatch.setattr(mjpeg, "MOST_CLIENTS", 1)
    with MjpegStream("0", [RGB]) as stream, rows_coming(stream):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(stream.url + "../etc/passwd", timeout=60)
        with urllib.request.urlopen(stream.url + "stream.mjpg", timeout=60) as one:
            next(pictures(one))
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(stream.url + "stream.mjpg", timeout=60)


def test_another_name_for_this_machine_is_not_served() -> None:
    with MjpegStream("0", [RGB]) as stream, rows_coming(stream):
        for host, code in (("localhost:1", 200), ("[::1]:1", 200), ("127.0.0.1", 200), ("evil.example", 403)):
            request = urllib.request.Request(stream.url + "picture.jpg", headers={"Host": host})
            try:
                found = urllib.request.urlopen(request, timeout=60).status
            except urllib.error.HTTPError as error:
                found = error.code
            assert (host, found) == (host, code)


def test_addresses() -> None:
    assert listening_address("8080", "--ws") == ("127.0.0.1", 8080)
    assert listening_address("0.0.0.0:80", "--ws") == ("0.0.0.0", 80)
    assert listening_address("[::1]:80", "--ws") == ("::1", 80)
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.2", "camera")] == [
        *[True] * 3,
        *[False] * 3,
    ]


@pytest.mark.parametrize("flag", ["--ws", "--mjpeg"])
@pytest.mark.parametrize("text", ["", "a", "80:", ":80", "127.0.0.1:70000", "localhost:-1"])
def test_addresses_that_are_none(
    flag: str, text: str, cameras: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["track", "--rgb", str(cameras / "rgb"), "--box", "1,1,9,9", "--out", str(tmp_path), f"{flag}={text}"]
    assert main(words) == 1
    assert f"{flag} {text!r} is no PORT" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--ws", "--mjpeg"])
def test_a_port_in_use_is_one_sentence(
    flag: str, cameras: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = ["track", "--rgb", str(cameras / "rgb"), "--box", "1,1,9,9", "--out", str(tmp_path), flag, port]
        assert main(words) == 1
    said = capsys.readouterr().err
    assert said == f"error: Port {port} of 127.0.0.1 is in use by another program; give {flag} another one.\n"


def test_track_serves_both_while_it_runs(cameras: Path, random_weights: Path, tmp_path: Path) -> None:
    words = ["track", "--rgb", str(cameras / "rgb"), "--box", "20,20,16,12", "--model", str(random_weights)]
    assert main([*words, "--out", str(tmp_path), "--no-video", "--ws", "0", "--mjpeg", "0"]) == 0
    assert (tmp_path / "boxes.txt").is_file()
