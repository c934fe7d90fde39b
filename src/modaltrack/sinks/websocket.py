# SPDX-License-Identifier: Apache-2.0
"""Rows pushed to WebSocket clients: each gets the messages from when it connects, and none can hold the run up."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from modaltrack.frame import Row
from modaltrack.sinks.address import cannot_listen, is_loopback, listening_address
from modaltrack.sinks.row_message import RowMessage

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection

WAITING = 64  # messages kept for a client that is slow; of more, the oldest are dropped
_OWN_PAGES = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_CLOSE_SECONDS = 2.0


class WebSocketPush:
    """A WebSocket server that sends one message a row; an observer and a context.

    Listening on this machine alone, it refuses browsers whose page is from elsewhere: any page on the web could connect
    to 127.0.0.1 otherwise. Listening elsewhere, it serves every page.

    Args:
        address: ``PORT`` (of 127.0.0.1) or ``HOST:PORT``; port 0 is any free one.
        message: makes the messages.

    Attributes:
        url: where it listens.

    Raises:
        ValueError: an address that cannot be understood or listened on.
        ImportError: the package ``websockets`` is missing.
    """

    def __init__(self, address: str, message: RowMessage) -> None:
        host, port = listening_address(address, "--ws")
        try:
            from websockets.asyncio.server import serve
        except ImportError:
            raise ImportError("--ws needs the package websockets; install it: pip install 'modaltrack[live]'") from None
        self._message = message
        self._last = ""
        self._clients: set[asyncio.Queue[str]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modaltrack-websocket", daemon=True)
        self._thread.start()
        origins = [None, _OWN_PAGES] if is_loopback(host) else None
        options: dict[str, Any] = {"origins": origins, "max_size": 1024, "close_timeout": 1.0, "compression": None}

        async def listen() -> Server:
            return await serve(self._talk, host, port, **options)

        try:
            self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result()
        except OSError as error:
            self._end_loop()
            raise cannot_listen(error, host, port, "--ws") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"ws://{shown}:{self._server.sockets[0].getsockname()[1]}"

    def __repr__(self) -> str:
        return f"WebSocketPush({self.url!r})"

    def row(self, row: Row) -> None:
        """Hand one row to the clients' queues; never waits."""
        text = self._message.text(row)
        self._loop.call_soon_threadsafe(self._spread, text)

    def _spread(self, text: str) -> None:
        self._last = text
        for queue in self._clients:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(text)

    async def _talk(self, connection: ServerConnection) -> None:
        """Send one client what comes, beginning with the newest message there is."""
        from websockets.exceptions import ConnectionClosed

        queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        if self._last:
            queue.put_nowait(self._last)
        self._clients.add(queue)
        try:
            with suppress(ConnectionClosed):
                while True:
                    await connection.send(await queue.get())
        finally:
            self._clients.discard(queue)

    def __enter__(self) -> WebSocketPush:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async def close() -> None:
            self._server.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), _CLOSE_SECONDS)
            left = asyncio.all_tasks() - {asyncio.current_task()}  # clients that do not answer
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
