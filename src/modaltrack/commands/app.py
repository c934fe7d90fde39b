# SPDX-License-Identifier: Apache-2.0
"""``modaltrack app``: the local page."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

from tyro.conf import arg

from modaltrack.extras import need

if TYPE_CHECKING:
    from fastapi import FastAPI

    from modaltrack.app.workspace import Workspace

Source = Annotated[str | None, arg(metavar="PATH|URL|INDEX")]
NEEDED = ("fastapi", "uvicorn", "websockets")


@dataclass
class Options:
    """Open a page in the browser to choose targets, watch them being followed, correct, label and export.

    Prints the page's address and runs until Ctrl-C. Without a source, the page asks for one.
    """

    rgb: Source = None
    """Visible images to begin with: a folder, a video file, a camera index, a URL."""
    thermal: Source = None
    """Thermal images."""
    depth: Source = None
    """Depth images."""
    event: Source = None
    """Event images or a recording."""
    folder: Annotated[Path | None, arg(metavar="CLIP")] = None
    """A clip folder (rgb/, thermal/, depth/, event/, boxes.txt) to begin with."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "modaltrack-laptop"
    """A name from 'modaltrack models' or a weights file; the page can choose another."""
    runtime: Literal["", "torch", "onnx", "openvino", "auto"] = ""
    """auto: the fastest that is installed and exact; torch by default."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    host: str = "127.0.0.1"
    """Address to listen on; another than this machine's own asks for a token, which is printed."""
    port: int = 8765
    """Port to listen on; 0 takes a free one."""
    recordings: Annotated[Path, arg(metavar="FOLDER")] = Path("modaltrack-recordings")
    """Where the page's recordings of live clips go, each into a folder of its own."""
    browser: bool = False
    """Open the page in the default browser."""


def run(options: Options) -> int:
    """Serve until interrupted; -> 0."""
    need(NEEDED, "The page", "app")
    import secrets

    from modaltrack.app.access import Access
    from modaltrack.app.model_store import ModelStore
    from modaltrack.app.server import make_app
    from modaltrack.app.workspace import Workspace
    from modaltrack.commands.terminal import out
    from modaltrack.sinks.address import is_loopback

    request = first_clip(options)
    listening = listen(options.host, options.port)
    port = listening.getsockname()[1]
    token = "" if is_loopback(options.host) else secrets.token_urlsafe(18)
    with tempfile.TemporaryDirectory(prefix="modaltrack-app-") as folder:
        workspace = Workspace(
            options.model, ModelStore(options.device), Path(folder), options.runtime, options.recordings
        )
        try:
            tell_warnings(workspace)
            if request:
                workspace.do({"do": "open", **request})
            shown = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
            place = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/" + (f"?token={token}" if token else "")
            out().print(f"modaltrack app: {place} (Ctrl-C ends)")
            if options.browser:
                import webbrowser

                webbrowser.open(place)
            serve(make_app(workspace, Access(options.host, token), Path(folder)), listening)
        finally:
            workspace.close()
    return 0


def first_clip(options: Options) -> dict[str, Any]:
    """The clip of the command line, as the page would ask for it."""
    from modaltrack.frame import Modality

    sources = {m.value: spec for m in Modality if (spec := getattr(options, m.value)) is not None}
    if sources and options.folder is not None:
        raise ValueError("--folder names a whole clip; leave it out, or --rgb, --thermal, --depth and --event.")
    if options.folder is not None:
        return {"folder": str(options.folder)}
    return {"sources": sources} if sources else {}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ValueError: in one sentence, for a port in use or an address that is none of this machine's.
    """
    if not 0 <= port < 65536:
        raise ValueError(f"--port is {port}; give a number from 0 to 65535.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (socket.gaierror, UnicodeError):
        reason = "there is no such address"
    except OSError as error:  # its own text names the address once more
        reason = os.strerror(error.errno) if error.errno else str(error)
    raise ValueError(f"The page cannot listen on {host}:{port} ({reason}); pass another --port or --host.")


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Run the server until Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1)
    with suppress(KeyboardInterrupt):  # uvicorn raises it once more when all is closed
        uvicorn.Server(config).run([listening])


def tell_warnings(workspace: Workspace) -> None:
    """Show what is warned of in the page as well; the command's own way of showing goes on."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        before(message, category, filename, lineno, file, line)
        if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning)):
            workspace.notice(str(message))

    warnings.showwarning = show
    sys.stdout.flush()
