# SPDX-License-Identifier: Apache-2.0
"""A tracker that takes no time, who drives a workspace, and a server that runs in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the page's server is not installed: pip install 'modaltrack[app]'")

from modaltrack.app.access import Access
from modaltrack.app.workspace import Workspace
from modaltrack.frame import Frame, Status


class Brightest:
    """Follows the centre of the brightest pixels; lost where there are none. Its state is the boxes."""

    batches = True
    steps = 0

    def start(self, frames: Sequence[Frame], boxes: Sequence[Any]) -> Any:
        return np.array(boxes, np.float64), np.ones(len(boxes)), [frame.images.keys() for frame in frames]

    def step(self, state: Any, frames: Sequence[Frame]) -> Any:
        type(self).steps += 1
        boxes, scores = state[0].copy(), np.zeros(len(frames))
        for i, frame in enumerate(frames):
            image = frame.images.get("rgb")  # type: ignore[call-overload]
            rows, columns = np.nonzero(image[:, :, 0] > 230) if image is not None else ([], [])
            if len(rows):
                boxes[i, :2] = (
                    (columns.min() + columns.max() + 1 - boxes[i, 2]) / 2,
                    rows.mean() + 0.5 - boxes[i, 3] / 2,
                )
                scores[i] = 0.9
        return boxes, scores, [frame.images.keys() for frame in frames]

    def select(self, state: Any, rows: Sequence[int]) -> Any:
        return state[0][rows], state[1][rows], [state[2][row] for row in rows]

    def read(self, state: Any) -> Any:
        status = np.where(state[1] > 0.5, Status.TRACKING, Status.LOST)
        return state[0], state[1], status


class Store:
    """Instead of weights: every name is the tracker above, but for one."""

    def load(self, name: str, runtime: str = "", precision: str = "") -> Any:
        if name == "broken":
            raise ValueError("There is no model 'broken'; known are others.")
        return type("Model", (), {"card": {}})()


def video(path: Path, frames: int = 20, gone: Sequence[int] = ()) -> Path:
    """A clip of 96 x 64 with a bright square of 12 that goes 3 pixels right in every frame; dark where it is gone."""
    cv2 = pytest.importorskip("cv2")
    path.mkdir(parents=True)
    for index in range(frames):
        image = np.full((64, 96, 3), 40, np.uint8)
        image[::7, ::5] = 90
        if index not in gone:
            image[20:32, 6 + 3 * index : 18 + 3 * index] = 255
        cv2.imwrite(str(path / f"{index:03d}.png"), image)
    return path


def engine_of(model: Any) -> Brightest:
    engine = Brightest()
    engine.model = model  # type: ignore[attr-defined]
    return engine


class Driver:
    """Gives commands and waits for what comes of them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.messages: list[dict[str, Any]] = []
        workspace.publish = self.messages.append

    def __call__(self, do: str, **details: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.workspace.do({"do": do, **details}).result(20)
        return answer

    def open(self, **request: Any) -> None:
        before = self.workspace.clip_number
        self("open", **request)
        self.wait(lambda: self.workspace.clip_number > before)

    def wait(self, until: Callable[[], Any], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"it did not happen; the last messages: {self.messages[-3:]}"
            time.sleep(0.005)

    def play(self) -> None:
        """Play to where the clip stops by itself."""
        self("speed", speed=0)
        self("play")
        self.wait(lambda: not self.workspace.player.playing)  # type: ignore[union-attr]

    def rows(self, target: int = 1, lane: str = "A") -> list[int]:
        assert self.workspace.player is not None
        return sorted(self.workspace.player.targets[target].rows.get(lane, {}))


def served(workspace: Workspace, uploads: Path) -> tuple[str, Callable[[], None]]:
    """The address of a server in a thread, and what ends it."""
    uvicorn = pytest.importorskip("uvicorn")
    from modaltrack.app.server import make_app

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(workspace, Access("127.0.0.1"), uploads), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()

    def end() -> None:
        server.should_exit = True
        thread.join(10)

    return f"http://127.0.0.1:{listening.getsockname()[1]}", end
