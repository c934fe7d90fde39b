# SPDX-License-Identifier: Apache-2.0
"""Commands about lanes: which model follows, which sensors it is shown, and following once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from modaltrack.app.lanes import Lane
from modaltrack.app.player import Player
from modaltrack.app.target_commands import Command
from modaltrack.frame import Modality

LANES = ("A", "B")


class Owner(Protocol):
    """What these commands need of the workspace."""

    lanes: dict[str, Lane]
    player: Player | None

    def there(self) -> Player: ...

    def say_state(self) -> None: ...

    def load(self, lane: Lane) -> None: ...

    def play(self, command: Command) -> None: ...

    def follow_anew(self) -> None: ...

    def drop_rows(self, lane: str) -> None: ...


class LaneCommands:
    """The commands by name in ``table``."""

    def __init__(self, workspace: Owner) -> None:
        self._workspace = workspace
        self.table: dict[str, Callable[[Command], Any]] = {
            "lane": self._set_lane,
            "no lane": self._drop_lane,
            "sensors": self._set_sensors,
            "again": self._again,
        }

    def _set_lane(self, command: Command) -> None:
        name = str(command.get("lane"))
        if name not in LANES:
            raise ValueError(f"There is no lane {name!r:.20}; there are A and B.")
        old = self._workspace.lanes.get(name)
        model, runtime, precision = (str(command.get(f) or "") for f in ("model", "runtime", "precision"))
        lane = Lane(
            name, model or self._workspace.lanes["A"].model, runtime, precision, old.off if old else frozenset()
        )
        if self._workspace.player is not None or old is None:
            self._workspace.load(lane)
        if self._workspace.player is not None:
            self._workspace.player.stop_back()
            if name == "A":
                self._workspace.player.settle()
        if old is not None:
            old.forget()
        self._workspace.lanes[name] = lane
        self._workspace.drop_rows(name)
        self._workspace.say_state()

    def _drop_lane(self, command: Command) -> None:
        lane = self._workspace.lanes.pop("B", None)
        if lane is not None:
            lane.forget()
            self._workspace.drop_rows("B")
        self._workspace.say_state()

    def _set_sensors(self, command: Command) -> None:
        lane = self._workspace.lanes.get(str(command.get("lane") or "A"))
        off = command.get("off")
        if lane is None or not isinstance(off, list) or not all(m in list(Modality) for m in off):
            raise ValueError("The sensors to switch off are not understood; give a lane and a list of sensors.")
        lane.off = frozenset(Modality(m) for m in off)
        self._workspace.say_state()

    def _again(self, command: Command) -> None:
        """Follow all targets once more from their first boxes, with the sensors and models of now."""
        player = self._workspace.there()
        firsts = [min(t.keys) for t in player.targets.values() if t.keys]
        if not firsts:
            raise ValueError("There is no target; drag a box around one first.")
        self._workspace.follow_anew()
        if not player.clip.footage.live:
            player.show(min(firsts))
        self._workspace.play(command)
