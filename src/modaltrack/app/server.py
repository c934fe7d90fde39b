# SPDX-License-Identifier: Apache-2.0
"""The web server: one static page, commands by POST, messages by WebSocket, frames as JPEG, downloads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import cv2
import numpy as np
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modaltrack.app.access import COOKIE, Access
from modaltrack.app.downloads import download
from modaltrack.app.footage import FrameGoneError
from modaltrack.app.hub import Hub
from modaltrack.app.uploads import receive
from modaltrack.app.workspace import Workspace, sentence
from modaltrack.files import parse_json
from modaltrack.frame import Modality

PAGE = Path(__file__).parent / "page"
MAX_SIDE = 1920  # pixels of a shown picture
QUALITY = 88
MAX_COMMAND = 1_000_000  # bytes
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses what ``Access`` refuses, for requests and WebSockets alike, and adds the safety headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        refusal = self._access.refusal(headers, given)
        if refusal and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
            return
        if refusal:
            await JSONResponse({"error": refusal}, 403, HEADERS)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def make_app(workspace: Workspace, access: Access, uploads: Path) -> FastAPI:
    """The application; its workspace is closed by the caller."""
    app = FastAPI(title="modaltrack", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, access=access)
    hub = Hub()
    workspace.publish = hub.publish

    @app.get("/")
    async def page(request: Request) -> Response:
        if access.token and "token" in request.query_params:  # the token leaves the address bar
            moved = RedirectResponse("/", 303)
            moved.set_cookie(COOKIE, access.token, httponly=True, samesite="strict")
            return moved
        return Response((PAGE / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    @app.post("/do")
    async def do(request: Request) -> Response:
        return await answered(lambda: _do(workspace, request))

    @app.post("/upload")
    async def upload(request: Request, group: str, name: str) -> Response:
        async def work() -> dict[str, Any]:
            length = request.headers.get("content-length", "")
            size = int(length) if length.isdecimal() else None
            return {"bytes": await receive(uploads, group, name, request.stream(), size)}

        return await answered(work)

    @app.get("/frames/{clip}/{index}/{sensor}")
    async def frame(clip: int, index: int, sensor: str) -> Response:
        return await run_in_threadpool(picture, workspace, clip, index, sensor)

    @app.get("/align/{number}/{instant}/{sensor}")
    async def align(number: int, instant: int, sensor: str, blend: int = 0) -> Response:
        image = await run_in_threadpool(workspace.alignment.picture, number, instant, sensor, blend > 0)
        return Response(status_code=404) if image is None else await run_in_threadpool(as_jpeg, image)

    @app.get("/download/{what}")
    async def get(what: str, lane: str = "A", target: int = 0) -> Response:
        try:
            return await download(workspace, what, lane, target)
        except (ValueError, OSError, ImportError) as error:
            return JSONResponse({"error": sentence(error)}, 400)

    @app.websocket("/messages")
    async def messages(socket: WebSocket) -> None:
        await _serve_page(socket, hub, workspace)

    app.mount("/", StaticFiles(directory=PAGE))
    return app


async def answered(work: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
    """The answer of a command, or its error as a sentence."""
    try:
        return JSONResponse(await work())
    except Exception as error:  # noqa: BLE001 - a tracker or a file may raise anything; the page shows it
        return JSONResponse({"error": sentence(error)}, 400)


async def _do(workspace: Workspace, request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_COMMAND:
            raise ValueError("The command is too long.")
    try:
        command = parse_json(body)
    except ValueError:
        command = None
    if not isinstance(command, dict) or request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise ValueError("The command is no JSON object.")
    answer: dict[str, Any] = await asyncio.wrap_future(workspace.do(command))
    return answer


def picture(workspace: Workspace, clip: int, index: int, sensor: str) -> Response:
    """One sensor's image of a frame as JPEG; kept by the browser, since a clip's frames do not change."""
    player = workspace.player
    if clip != workspace.clip_number:
        return Response(status_code=204)  # a page that asked just before another clip was opened
    if player is None or sensor not in list(Modality):
        return Response(status_code=404)
    try:
        frame = player.clip.footage.frame(index)
    except FrameGoneError:
        return Response(status_code=204)  # a live clip went on since the page asked
    except Exception as error:  # noqa: BLE001 - whatever a damaged file does to its reader
        return JSONResponse({"error": sentence(error)}, 404)
    image = None if frame is None else frame.images.get(Modality(sensor))
    if image is None:
        return Response(status_code=404)
    return as_jpeg(image)


def as_jpeg(image: NDArray[np.uint8]) -> Response:
    """An image (H, W, 3) for the page, made smaller where no screen would show all of it."""
    scale = MAX_SIDE / max(image.shape[:2])
    shown = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    done, data = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done, "a uint8 image becomes a JPEG"
    return Response(
        data.tobytes(), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600, immutable"}
    )


async def _serve_page(socket: WebSocket, hub: Hub, workspace: Workspace) -> None:
    """Send a page what there is and then what comes, several messages at a time where they come fast."""
    await socket.accept()
    waiting = hub.join()
    gone = asyncio.create_task(_until_gone(socket))
    try:
        first = await asyncio.wrap_future(workspace.ask(workspace.snapshot))
        await socket.send_json(first)
        while not gone.done():
            get = asyncio.create_task(waiting.get())
            await asyncio.wait((get, gone), return_when=asyncio.FIRST_COMPLETED)
            if not get.done():
                get.cancel()
                break
            batch = [get.result()]
            while not waiting.empty():
                batch.append(waiting.get_nowait())
            await socket.send_json([message for message in batch if message is not None])
            if None in batch:
                await socket.close(1013)
                break
    except (WebSocketDisconnect, RuntimeError):  # the page has gone in the middle of a message
        pass
    finally:
        hub.leave(waiting)
        gone.cancel()


async def _until_gone(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive_text()  # pages say nothing; whatever comes keeps the connection open
    except (WebSocketDisconnect, RuntimeError, KeyError):
        return
