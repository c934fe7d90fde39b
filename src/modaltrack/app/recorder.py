# SPDX-License-Identifier: Apache-2.0
"""Recording the sources of a live clip from the page, into folders below one that the server names."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from modaltrack.app.player import Player
from modaltrack.app.target_commands import Command, Message
from modaltrack.sources.recording import Recording

TOLD_EVERY = 0.5  # seconds


class Owner(Protocol):
    """What these commands need of the workspace."""

    publish: Callable[[Message], None]

    def there(self) -> Player: ...

    def notice(self, text: str, level: str = "warning") -> None: ...

    def say_state(self) -> None: ...


class RecordCommands:
    """The commands by name in ``table``; all but ``folder`` belongs to the workspace's thread.

    Args:
        folder: in which each recording gets a folder of its own, named by date and time.

    Attributes:
        last: the newest recording that is complete.
    """

    def __init__(self, workspace: Owner, folder: Path) -> None:
        self._workspace, self.folder = workspace, folder
        self.last: Path | None = None
        self._recording: Recording | None = None
        self._began = self._told = 0.0
        self.table: dict[str, Callable[[Command], Any]] = {"record": self._begin, "stop recording": self._stop}

    @property
    def running(self) -> Recording | None:
        """The recording that goes on."""
        return self._recording

    def _begin(self, command: Command) -> Message:
        clip = self._workspace.there().clip
        if clip.reader is None or not clip.footage.live:
            raise ValueError("Recording is for cameras and streams; this clip is in files already.")
        self._recording = clip.reader.record(_new_folder(self.folder))
        self._began = time.monotonic()
        self._workspace.say_state()
        return {"folder": str(self._recording.folder)}

    def _stop(self, command: Command) -> Message:
        if self._recording is None:
            raise ValueError("Nothing is being recorded.")
        return {"said": self.finish()}

    def finish(self) -> str:
        """Complete the recording that goes on, if any; one sentence about it, "" without one."""
        recording = self._recording
        if recording is None:
            return ""
        recording.close()
        if recording.instants:
            self.last = recording.folder
            text = f"{recording.instants} instants are recorded in {recording.folder}; open it as a clip folder."
        else:
            text = "Nothing came while the clip was recorded, and nothing was kept."
        self._workspace.notice(text, "warning" if recording.failed or not recording.instants else "note")
        self._recording = None  # from here on nothing runs any more: the files are whole
        self._workspace.say_state()
        return text

    def watch(self) -> None:
        """Look whether the recording goes on, and tell the page; called every now and then."""
        recording = self._recording
        if recording is None:
            return
        if recording.closed or recording.failed:  # the clip has ended, or the disk is full
            self.finish()
        elif time.monotonic() - self._told >= TOLD_EVERY:
            self._told = time.monotonic()
            self._workspace.publish({"type": "recording", "recording": self.plain()})

    def plain(self) -> Message | None:
        """For the page; None where nothing is recorded."""
        if self._recording is None:
            return None
        seconds = round(time.monotonic() - self._began, 1)
        return {"folder": str(self._recording.folder), "seconds": seconds, "instants": self._recording.instants}


def _new_folder(parent: Path) -> Path:
    stem = time.strftime("%Y-%m-%d_%H-%M-%S")
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    return next(place for name in names if not (place := parent.resolve() / name).exists())
