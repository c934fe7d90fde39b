# SPDX-License-Identifier: Apache-2.0
"""Cameras made of a thread, MJPEG over HTTP and MPEG-TS over UDP on 127.0.0.1, that stall, freeze and break at will."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections import deque
from typing import Any

import av
import cv2
import numpy as np

HEIGHT, WIDTH = 48, 64


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Noise, and in the upper left corner a grey of ten times the number: RGB uint8 (H, W, 3)."""
    image = np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 10 * (number % 25)
    return image


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class HttpCamera:
    """MJPEG over HTTP. Set ``stalled``, ``still``, ``size``; ``unplug`` cuts all connections and refuses new ones.

    Args:
        delay: seconds from the moment of a picture until it is sent.
    """

    def __init__(self, rate: float = 25.0, port: int = 0, delay: float = 0.0) -> None:
        self.rate, self.stalled, self.still, self.size = rate, False, False, (HEIGHT, WIDTH)
        self._late: deque[bytes] = deque(maxlen=1 + round(delay * rate))
        self.connections = 0
        self._plugged = threading.Event()
        self.port = port or free_port()
        self._number = 0
        self.plug()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/cam"

    def plug(self) -> None:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    while camera._plugged.is_set():
                        if not camera.stalled:
                            self.wfile.write(camera.part())
                        time.sleep(1 / camera.rate)
                except OSError:
                    pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._plugged.set()
        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def part(self) -> bytes:
        if not self.still:
            self._number += 1
        jpeg = cv2.imencode(".jpg", picture(self._number, *self.size)[..., ::-1])[1].tobytes()
        self._late.append(jpeg)
        jpeg = self._late[0]
        return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)

    def unplug(self) -> None:
        self._plugged.clear()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> HttpCamera:
        return self

    def __exit__(self, *_: object) -> None:
        if self._plugged.is_set():
            self.unplug()


class UdpCamera:
    """MPEG-TS over UDP, sent whether anybody listens or not."""

    def __init__(self, rate: float = 25.0) -> None:
        self.rate, self.port, self.stalled = rate, free_port(), False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"udp://127.0.0.1:{self.port}"

    def _send(self) -> None:
        with av.open(f"{self.url}?pkt_size=1316", "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", 5
            number = 0
            while not self._stop.is_set():
                if not self.stalled:
                    frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
                    frame.pts = number
                    for packet in stream.encode(frame):
                        container.mux(packet)
                    number += 1
                time.sleep(1 / self.rate)

    def __enter__(self) -> UdpCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
