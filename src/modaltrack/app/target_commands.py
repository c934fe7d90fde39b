# SPDX-License-Identifier: Apache-2.0
"""Commands about targets: boxes that a person gives, and the labels that become of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from modaltrack.app.player import Player
from modaltrack.app.targets import Box, Target
from modaltrack.boxes import check_box, clip_box
from modaltrack.frame import Frame

MAX_TARGETS = 32

Message = dict[str, Any]
Command = Mapping[str, Any]


class Owner(Protocol):
    """What these commands need of the workspace."""

    publish: Callable[[Message], None]

    def there(self) -> Player: ...

    def say_state(self) -> None: ...

    def load_all(self) -> None: ...


class TargetCommands:
    """The commands by name in ``table``; each takes what the page sent and answers a mapping or nothing."""

    def __init__(self, workspace: Owner) -> None:
        self._workspace = workspace
        self.table: dict[str, Callable[[Command], Any]] = {
            "box": self._set_box,
            "absent": self._set_absent,
            "no key": self._drop_key,
            "rename": self._rename,
            "remove": self._remove,
            "back": self._back,
            "accept": self._accept,
            "next": self._next,
        }

    def _target(self, command: Command) -> Target:
        targets = self._workspace.there().targets
        number = whole(command, "target")
        if number not in targets:
            raise ValueError(f"There is no target {number}; it was removed.")
        return targets[number]

    def _set_box(self, command: Command) -> Message:
        """A box of a new target, or a better one of a known target; what trackers said from there on is dropped."""
        player = self._workspace.there()
        index = whole(command, "index")
        box = self._box(command.get("box"), player, index)
        if command.get("target") is None:
            if len(player.targets) >= MAX_TARGETS:
                raise ValueError(f"There are {MAX_TARGETS} targets already; remove one first.")
            target = player.add_target()
        else:
            target = self._target(command)
        self._set_key(player, target, index, box)
        return {"target": target.number}

    def _set_absent(self, command: Command) -> None:
        self._set_key(self._workspace.there(), self._target(command), whole(command, "index"), None)

    def _set_key(self, player: Player, target: Target, index: int, box: Box | None) -> None:
        player.forget(target)
        first, end = target.set_key(index, box)
        self._workspace.publish({"type": "drop", "lane": None, "target": target.number, "from": first, "to": end})
        self._workspace.say_state()

    def _drop_key(self, command: Command) -> None:
        player, target, index = self._workspace.there(), self._target(command), whole(command, "index")
        if index not in target.keys:
            raise ValueError(f"{target.name} has no box of yours in frame {index}.")
        player.forget(target)
        first, end = target.drop(index, target.key_after(index))
        del target.keys[index]
        if not target.keys:
            first, end = target.drop(0, None)
        self._workspace.publish({"type": "drop", "lane": None, "target": target.number, "from": first, "to": end})
        self._workspace.say_state()

    def _box(self, given: object, player: Player, index: int) -> Box:
        frame = self._seen(player, index)
        height, width = next(iter(frame.images.values())).shape[:2]
        x, y, w, h = (float(v) for v in clip_box(check_box(given, height, width), height, width, 2.0))
        return x, y, w, h

    def _seen(self, player: Player, index: int) -> Frame:
        frame = player.clip.footage.frame(index) if index >= 0 else None
        if frame is None:
            raise ValueError(f"There is no frame {index} in this clip.")
        return frame

    def _rename(self, command: Command) -> None:
        name = command.get("name")
        if not isinstance(name, str) or not name.strip() or len(name) > 80:
            raise ValueError("The name of a target is 1 to 80 characters.")
        self._target(command).name = name.strip()
        self._workspace.say_state()

    def _remove(self, command: Command) -> None:
        player, target = self._workspace.there(), self._target(command)
        player.forget(target)
        del player.targets[target.number]
        self._workspace.say_state()

    def _back(self, command: Command) -> None:
        player, target = self._workspace.there(), self._target(command)
        self._workspace.load_all()
        player.follow_back(target)
        self._workspace.say_state()

    def _accept(self, command: Command) -> Message:
        player, target = self._workspace.there(), self._target(command)
        count = target.accept("A", player.index)
        self._workspace.say_state()
        return {"accepted": count}

    def _next(self, command: Command) -> Message:
        player, target = self._workspace.there(), self._target(command)
        length = player.clip.footage.length or 0
        frame = target.next_doubt("A", player.index, length)
        if frame is None:
            frame = target.next_doubt("A", -1, length)
        if frame is None:
            return {"index": None}
        player.playing = False
        player.show(frame)
        self._workspace.publish(player.where())
        return {"index": frame}


def whole(command: Command, name: str) -> int:
    """A whole number of a command; ValueError where it is none."""
    value = command.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**53:
        raise ValueError(f"The command's {name} is {value!r:.40}; a whole number was expected.")
    return value
