# SPDX-License-Identifier: Apache-2.0
"""Messages from the workspace's thread to every open page; a page that does not keep up is cut off and comes back."""

from __future__ import annotations

import asyncio
from typing import Any

WAITING = 5000  # messages for one page; it gets everything anew when it comes back


class Hub:
    """Hands messages out; ``publish`` may be called from any thread, the rest belongs to the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pages: set[asyncio.Queue[dict[str, Any] | None]] = set()

    def publish(self, message: dict[str, Any]) -> None:
        """Send a message to all pages."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, message)

    def join(self) -> asyncio.Queue[dict[str, Any] | None]:
        """The messages for a new page; None ends them."""
        self._loop = asyncio.get_running_loop()
        page: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._pages.add(page)
        return page

    def leave(self, page: asyncio.Queue[dict[str, Any] | None]) -> None:
        """A page has gone."""
        self._pages.discard(page)

    def _hand_out(self, message: dict[str, Any]) -> None:
        for page in list(self._pages):
            if page.qsize() > WAITING:
                self._pages.discard(page)
                page.put_nowait(None)
            else:
                page.put_nowait(message)
