# SPDX-License-Identifier: Apache-2.0
"""All that the page shows, in one thread: commands come in, messages go out, and between them the clip goes on."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from modaltrack.app.alignment import AlignmentCommands
from modaltrack.app.footage import StoredFootage
from modaltrack.app.lane_commands import LaneCommands
from modaltrack.app.lanes import Lane
from modaltrack.app.model_store import ModelStore, choices
from modaltrack.app.opening import OpenedClip, open_request
from modaltrack.app.player import Player
from modaltrack.app.recorder import TOLD_EVERY, RecordCommands
from modaltrack.app.target_commands import Command, Message, TargetCommands, whole
from modaltrack.frame import Modality

_NOTICES = 20


class Workspace:
    """One clip, its targets and the lanes that follow them.

    Args:
        model: of lane A, loaded with the first clip.
        store: loads models.
        uploads: the folder of uploaded files.
        recordings: the folder for recordings of live clips.

    Attributes:
        publish: takes messages for all pages, from any thread; set by the server.
        lanes: "A", and "B" where there is a second model.
        player: None without a clip. Read by other threads, changed by the workspace's own.
    """

    def __init__(
        self,
        model: str,
        store: ModelStore,
        uploads: Path,
        runtime: str = "",
        recordings: Path = Path("modaltrack-recordings"),
    ) -> None:
        self.publish: Callable[[Message], None] = lambda message: None
        self.player: Player | None = None
        self.clip_number = 0
        self._store, self._uploads = store, uploads
        self.lanes = {"A": Lane("A", model, runtime)}
        self._speed = 1.0  # of stored clips, in times of their own rate; 0 is as fast as possible
        self._notices: deque[Message] = deque(maxlen=_NOTICES)
        self._busy = ""
        self._opening = self._opened_number = 0
        self._closed = False
        self._queue: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self.alignment = AlignmentCommands(self)
        self.recorder = RecordCommands(self, recordings)
        self._commands: dict[str, Callable[[Command], Any]] = {
            "open": self._open,
            "cancel": self._cancel,
            "close": self._close_clip,
            "play": self.play,
            "pause": self._pause,
            "seek": self._seek,
            "step": self._step,
            "speed": self._set_speed,
            **TargetCommands(self).table,
            **LaneCommands(self).table,
            **self.alignment.table,
            **self.recorder.table,
        }
        self._thread = threading.Thread(target=self._work, name="modaltrack-app", daemon=True)
        self._thread.start()

    def do(self, command: Command) -> Future[Any]:
        """Have a command done; the answer is a mapping, or ValueError in one sentence."""
        done: Future[Any] = Future()
        what = command.get("do")
        action = self._commands.get(what) if isinstance(what, str) else None
        if isinstance(what, str) and what in self.alignment.slow:
            slow = self.alignment.slow[what]
            threading.Thread(target=_fulfil, args=(lambda: slow(command), done), name=what, daemon=True).start()
        elif action is None:
            done.set_exception(ValueError(f"There is no command {what!r:.40}."))
        else:
            self._queue.put((lambda: action(command), done))
        return done

    def ask(self, question: Callable[[], Any]) -> Future[Any]:
        """Have something looked up in the workspace's thread, between two frames."""
        done: Future[Any] = Future()
        self._queue.put((question, done))
        return done

    def close(self) -> None:
        """End the thread and let the clip go."""
        self._closed = True
        self._queue.put((lambda: None, Future()))
        self._thread.join(10)
        self.recorder.finish()
        if self.player is not None:
            self.player.clip.footage.close()

    def notice(self, text: str, level: str = "warning") -> None:
        """A sentence for the page; from any thread."""
        message = {"type": "notice", "level": level, "text": text, "number": time.monotonic_ns()}
        self._notices.append(message)
        self.publish(message)

    def snapshot(self) -> list[Message]:
        """Messages that bring a fresh page to what all others show; called by ``ask``."""
        rows = [
            [lane, target.number, frame, *mark.plain()]
            for target in (self.player.targets.values() if self.player else ())
            for lane, kept in target.rows.items()
            for frame, mark in kept.items()
        ]
        messages: list[Message] = [self.state(), *({"type": "rows", "rows": rows} for _ in [0] if rows)]
        messages += [self.player.at] if self.player else []
        messages += [{**notice, "old": True} for notice in self._notices]
        return messages

    def state(self) -> Message:
        """Everything but the rows."""
        clip = None
        if self.player is not None:
            here = self.player.clip
            clip = {
                "number": self.clip_number,
                "name": here.name,
                "live": here.footage.live,
                "fps": here.footage.fps,
                "length": here.footage.length,
                "size": [here.size[1], here.size[0]],
                "modalities": list(here.footage.modalities),
                "sources": dict(here.sources),
                "truth": _truth(here),
                "aligned": sorted(here.reader.homographies) if here.reader is not None else [],
                "can_align": here.reader is not None and len(here.footage.modalities) > 1,
            }
        return {
            "type": "state",
            "clip": clip,
            "targets": [t.plain() for t in self.player.targets.values()] if self.player else [],
            "lanes": {name: lane.plain() for name, lane in self.lanes.items()},
            "player": self.player.where() if self.player else None,
            "speed": self._speed,
            "busy": self._busy,
            "recording": self.recorder.plain(),
            "recorded": str(self.recorder.last or ""),
            "opened": self._opened_number,
            "choices": {**choices(), "modalities": list(Modality)},
        }

    # the thread

    def _work(self) -> None:
        due = 0.0
        while not self._closed:
            playing = self.player is not None and self.player.playing
            self.recorder.watch()
            wait = max(0.0, due - time.monotonic()) if playing else (TOLD_EVERY if self.recorder.running else None)
            try:
                action, done = self._queue.get(timeout=wait) if wait is None or wait else self._queue.get_nowait()
            except queue.Empty:
                if not playing:
                    continue
                assert self.player is not None
                began = time.monotonic()
                self._advance(self.player)
                pace = 0.0 if self.player.clip.footage.live or not self._speed else 1 / self.player.clip.footage.fps
                due = max(began, due if due > began - 0.1 else 0.0) + (pace / self._speed if pace else 0.0)
                continue
            _fulfil(action, done)

    def _advance(self, player: Player) -> None:
        try:
            player.advance()
        except Exception as error:  # noqa: BLE001 - a tracker or a file may raise anything, and the page lives on
            player.pause()
            self.notice(sentence(error), "error")

    def say_state(self) -> None:
        """Send the state to all pages."""
        self.publish(self.state())

    def _set_busy(self, text: str) -> None:
        self._busy = text
        self.publish({"type": "busy", "text": text})

    # opening

    def _open(self, command: Command) -> Message:
        self._opening += 1
        number, lane = self._opening, self.lanes["A"]
        self._set_busy("opening the clip")

        def work() -> None:
            try:
                if lane.engine is None:
                    self.load(lane)
                clip = open_request(command, lane.engine.model.card, self._uploads)
            except Exception as error:  # noqa: BLE001 - whatever a file does to its reader is said in the page
                text = sentence(error).replace(str(self._uploads) + "/", "")
                self.ask(lambda: self._not_opened(number, text))
            else:
                self.ask(lambda: self._opened(number, clip))

        threading.Thread(target=work, name="modaltrack-app-open", daemon=True).start()
        return {"opening": number}

    def _not_opened(self, number: int, text: str) -> None:
        if number == self._opening:
            self._set_busy("")
            self.publish({"type": "not opened", "opening": number, "text": text})
            self.notice(text, "error")

    def _opened(self, number: int, clip: OpenedClip) -> None:
        if number != self._opening:
            clip.footage.close()
            return
        self._let_go()
        self._busy = ""
        self._opened_number = number
        self.clip_number += 1
        self.player = Player(clip, self.lanes, self.publish, lambda: not self._queue.empty())
        self.player.playing = clip.footage.live
        for lane in self.lanes.values():
            lane.off &= set(clip.footage.modalities)
        self.say_state()
        self.player.show(self.player.index)

    def _cancel(self, command: Command) -> None:
        self._opening += 1
        self._set_busy("")

    def _close_clip(self, command: Command) -> None:
        self._cancel(command)
        self._let_go()
        self.say_state()

    def clip_changed(self) -> None:
        """Another alignment: stored frames are read anew, and the targets are followed anew from their boxes."""
        player = self.there()
        self.follow_anew()
        if isinstance(player.clip.footage, StoredFootage):
            player.playing = False
            player.clip.footage.forget()
            self.clip_number += 1  # pages have the old pictures under the old number
        self.say_state()
        player.show(player.index)

    def recorded(self) -> str:
        """The folder that is being recorded to, "" for none."""
        return str(self.recorder.running.folder) if self.recorder.running else ""

    def _let_go(self) -> None:
        self.recorder.finish()
        self.alignment.forget()
        if self.player is not None:
            self.player.stop_back()
            self.player.clip.footage.close()
        for lane in self.lanes.values():
            lane.forget()
            lane.seconds.clear()
            lane.latency.clear()
        self.player = None

    # the playhead

    def there(self) -> Player:
        """The player; ValueError without a clip."""
        if self.player is None:
            raise ValueError("There is no clip; open one first.")
        return self.player

    def play(self, command: Command) -> None:
        """Let the clip go on, from the beginning where it is at its end."""
        player = self.there()
        self.load_all()
        length = player.clip.footage.length
        if not player.clip.footage.live and length is not None and player.index >= length - 1:
            player.show(0)
        player.play()
        self.publish(player.where())

    def _pause(self, command: Command) -> None:
        self.there().pause()

    def _seek(self, command: Command) -> None:
        player = self.there()
        if "by" in command:  # a step pauses
            player.playing = False
            player.show(player.index + whole(command, "by"))
        else:
            player.show(whole(command, "index"))
        self.publish(player.where())

    def _step(self, command: Command) -> None:
        """One frame on, followed."""
        player = self.there()
        self.load_all()
        player.pause()
        player.advance()

    def _set_speed(self, command: Command) -> None:
        speed = command.get("speed")
        if not isinstance(speed, int | float) or not 0 <= speed <= 16:
            raise ValueError(f"The speed is {speed!r}; give a number from 0 (as fast as possible) to 16.")
        self._speed = float(speed)
        self.say_state()

    # models

    def load_all(self) -> None:
        """Load the models that are not loaded yet."""
        for lane in self.lanes.values():
            if lane.engine is None:
                self.load(lane)

    def load(self, lane: Lane) -> None:
        """Load a lane's model."""
        from modaltrack.tracking import ModelEngine

        before = self._busy
        self._set_busy(f"loading {lane.model}" + (f" in {lane.runtime}" if lane.runtime else ""))
        try:
            lane.engine = ModelEngine(self._store.load(lane.model, lane.runtime, lane.precision))
        finally:
            self._set_busy(before)

    def follow_anew(self) -> None:
        """Forget what trackers said and go on from the boxes of persons."""
        player = self.there()
        player.stop_back()
        player.settle()
        for lane in self.lanes.values():
            lane.forget()
            self.drop_rows(lane.name)

    def drop_rows(self, lane: str) -> None:
        """Forget a lane's rows of all targets."""
        for target in self.player.targets.values() if self.player else ():
            target.rows.pop(lane, None)
            self.publish({"type": "drop", "lane": lane, "target": target.number, "from": 0, "to": 2**53 - 1})


def _fulfil(action: Callable[[], Any], done: Future[Any]) -> None:
    try:
        done.set_result(action() or {})
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
        done.set_exception(error)


def sentence(error: Exception) -> str:
    """What went wrong, for a page."""
    if isinstance(error, ValueError | ImportError):
        return str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    traceback.print_exception(error)  # our mistake: the terminal gets the whole of it
    return f"{type(error).__name__}: {error}"


def _truth(clip: OpenedClip) -> list[list[float] | None] | None:
    if clip.truth is None:
        return None
    return [[round(float(v), 2) for v in box] if (box == box).all() else None for box in clip.truth]
