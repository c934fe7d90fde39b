# SPDX-License-Identifier: Apache-2.0
"""The annotated pictures as MJPEG over HTTP: for a browser, VLC, ffmpeg, or another ``modaltrack track --rgb``."""

from __future__ import annotations

import http.server
import socket
import socketserver
import threading
from collections.abc import Sequence
from types import TracebackType

import cv2

from modaltrack.frame import Frame, Modality, Row
from modaltrack.sinks.address import cannot_listen, is_loopback, listening_address
from modaltrack.sinks.annotated import marks_of
from modaltrack.sinks.phases import Phases
from modaltrack.sinks.picture import Canvas, DrawnTarget, draw

QUALITY = 80
MOST_CLIENTS = 16
SEND_SECONDS = 10.0  # a client that takes nothing for so long is let go
STREAM, STILL = "/stream.mjpg", "/picture.jpg"
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>modaltrack</title>"
    "<style>body{margin:0;background:#181a1e}img{width:100%}</style>"
    f'<img src="{STREAM[1:]}" alt="annotated stream">'
)


class MjpegStream:
    """An HTTP server of annotated pictures; an observer and a context.

    A picture is drawn and encoded by a thread of its own, only while somebody looks, and always the newest: a client
    that is slow gets fewer, and never holds the run up.

    Args:
        address: ``PORT`` (of 127.0.0.1) or ``HOST:PORT``; port 0 is any free one.
        modalities: the panels from left to right.

    Attributes:
        url: the page with the stream; the stream itself is ``stream.mjpg`` beside it, one picture ``picture.jpg``.

    Raises:
        ValueError: an address that cannot be understood or listened on.
    """

    def __init__(self, address: str, modalities: Sequence[Modality]) -> None:
        host, port = listening_address(address, "--mjpeg")
        self._modalities = tuple(modalities)
        self._phases = Phases()
        self._own = is_loopback(host)
        self._canvas: Canvas | None = None
        self._news = threading.Condition()
        self._newest: tuple[int, Frame, list[DrawnTarget]] | None = None
        self._jpeg: tuple[int, bytes] = (-1, b"")  # the frame's number and its picture
        self._clients, self._closed = 0, False
        try:
            self._server = _Server((host, port), _handler_of(self))
        except OSError as error:
            raise cannot_listen(error, host, port, "--mjpeg") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/"
        works = (self._draw, lambda: self._server.serve_forever(poll_interval=0.1))
        self._threads = [threading.Thread(target=work, name="modaltrack-mjpeg", daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def __repr__(self) -> str:
        return f"MjpegStream({self.url!r})"

    def row(self, row: Row) -> None:
        """Offer one row to be drawn; never waits."""
        marks = marks_of(row, self._phases)
        with self._news:
            self._newest = (row.index, row.frame, marks)
            self._news.notify_all()

    def _draw(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or (self._clients and self._is_new(self._jpeg[0])))
                if self._closed:
                    return
                assert self._newest is not None
                number, frame, marks = self._newest
            if self._canvas is None and frame.images:
                height, width = next(iter(frame.images.values())).shape[:2]
                self._canvas = Canvas(self._modalities, height, width)
            data = b""
            if self._canvas is not None:
                picture = draw(self._canvas, frame, marks)[..., ::-1]
                data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            with self._news:
                self._jpeg = (number, data)
                self._news.notify_all()

    def _is_new(self, number: int) -> bool:
        return self._newest is not None and self._newest[0] > number

    def serves(self, host: str) -> bool:
        """Whether a request may be answered: on this machine alone, only if it was asked for by its own name.

        A page on the web can let its name point to 127.0.0.1 and would read what comes back.
        """
        name = host.rpartition("]")[0].strip("[]") or host.partition(":")[0]
        return not self._own or not host or is_loopback(name)

    def enter(self) -> bool:
        """Whether one more client may look."""
        with self._news:
            if self._closed or self._clients == MOST_CLIENTS:
                return False
            self._clients += 1
            self._news.notify_all()
            return True

    def leave(self) -> None:
        """A client has gone."""
        with self._news:
            self._clients -= 1

    def next_picture(self, after: int | None = None) -> tuple[int, bytes] | None:
        """The JPEG of a frame behind ``after`` (default: of the newest there is), waited for; None at the run's end."""
        with self._news:
            if after is None:
                after = -1 if self._newest is None else self._newest[0] - 1
            self._news.wait_for(lambda: self._closed or (self._jpeg[0] > after and self._jpeg[1]))
            return None if self._closed else self._jpeg

    def __enter__(self) -> MjpegStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the name service, which can take seconds
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error."""


def _handler_of(stream: MjpegStream) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = SEND_SECONDS

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not stream.serves(self.headers.get("Host", "")):
                self.send_error(403, "Ask for 127.0.0.1 or localhost")
                return
            if path == "/":
                self._answer("text/html; charset=utf-8", _PAGE.encode())
            elif path in (STREAM, STILL):
                self._look(path)
            else:
                self.send_error(404)

        def _look(self, path: str) -> None:
            if not stream.enter():
                self.send_error(503, f"{MOST_CLIENTS} clients look already")
                return
            try:
                first = stream.next_picture()
                if first is None:
                    self.send_error(503, "The run has ended")
                elif path == STILL:
                    self._answer("image/jpeg", first[1])
                else:
                    self._send_all(first)
            finally:
                stream.leave()

        def _send_all(self, found: tuple[int, bytes] | None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            while found is not None:
                number, jpeg = found
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                self.wfile.write(head + jpeg + b"\r\n")
                found = stream.next_picture(number)

        def _answer(self, kind: str, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

    return Handler
