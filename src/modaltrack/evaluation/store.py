# SPDX-License-Identifier: Apache-2.0
"""Where results go: OUT/<tracker>/<benchmark>/<sequence>.txt and what stands beside it, complete or not there at all.

    OUT/mine/lasher/
      run.json                    which tracker on what, speed, failures; rewritten after every sequence
      <sequence>.txt              x,y,w,h per frame; written last, so that it stands for the whole sequence
      <sequence>_time.txt         seconds per frame in the tracker alone
      <sequence>_confidence.txt   score per frame, where the tracker gives one
      <sequence>_status.txt       0 tracking, 1 uncertain, 2 lost, where the tracker says so
      manifest.json               checksums, written at the end

A process that dies at any instant (kill -9) leaves whole sequences and at most hidden files, which the
next run removes. A lock held by the living process keeps a second run out of the folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from modaltrack.box_text import format_rows
from modaltrack.files import locked, prepare_folder, read_json, write_file
from modaltrack.frame import Result
from modaltrack.sinks.result_file import write_json

FORMAT = "modaltrack-run/1"
_LOCK = ".lock"


class ResultFolder:
    """One tracker's results on one benchmark; a context, for the lock.

    Args:
        facts: what makes the results these results (tracker, weights, benchmark, sensors). A folder that holds results
            with other facts is refused with a ValueError, since half of each would be averaged.
    """

    def __init__(self, out: Path, tracker: str, benchmark: str, facts: Mapping[str, Any]) -> None:
        check_name(tracker, "tracker")
        self.path = out / tracker / benchmark
        self.facts = json.loads(json.dumps({"tracker": tracker, "benchmark": benchmark, **facts}))
        self._lock = ExitStack()

    def __repr__(self) -> str:
        return f"ResultFolder({str(self.path)!r})"

    def __enter__(self) -> ResultFolder:
        prepare_folder(self.path)
        if not self._lock.enter_context(locked(self.path / _LOCK)):
            raise ValueError(f"Another run is writing into {self.path}; wait for it or pass another --out.")
        earlier = self.read_run()
        if earlier is not None and earlier.get("facts") != self.facts:
            raise ValueError(
                f"{self.path} holds results of another run ({_difference(earlier.get('facts') or {}, self.facts)}); "
                "pass another --out or --name, or remove that folder."
            )
        if earlier is None and any(self.path.glob("*.txt")):
            raise ValueError(
                f"{self.path} holds result files without a run.json, of an unknown tracker; pass another --out."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    def read_run(self) -> dict[str, Any] | None:
        """The content of run.json, None where there is none."""
        try:
            return read_json(self.path / "run.json", "remove that folder or pass another --out")
        except FileNotFoundError:
            return None

    def write_run(self, document: Mapping[str, Any]) -> None:
        """Replace run.json."""
        write_json(self.path / "run.json", {"format": FORMAT, "facts": self.facts, **document})

    def finished(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """The sequences that are there -> rows of boxes, rows of times."""
        return {
            name: (_rows(file), _rows(self.path / f"{name}_time.txt"))
            for name in names
            if (file := self.path / f"{name}.txt").is_file()
        }

    def write(self, result: Result) -> None:
        """Write one sequence, nothing rounded; the boxes come last."""
        check_name(result.name, "sequence")
        scores, first = result.scores.copy(), result.first
        write_file(self.path / f"{result.name}_time.txt", format_rows(result.seconds))
        if np.isfinite(scores[first + 1 :]).all():
            scores[first : first + 1] = np.nan_to_num(scores[first : first + 1], nan=1.0)  # the box that was given
            write_file(self.path / f"{result.name}_confidence.txt", format_rows(scores))
        if len(result.status) == len(result.boxes):
            write_file(self.path / f"{result.name}_status.txt", format_rows(result.status))
        write_file(self.path / f"{result.name}.txt", format_rows(result.boxes))

    def write_manifest(self, names: Sequence[str]) -> None:
        """Write manifest.json with the checksums of these sequences' files, for those who receive them."""
        from modaltrack.results import write_manifest

        ends = ("", "_time", "_confidence", "_status")
        files = [file for name in names for end in ends if (file := self.path / f"{name}{end}.txt").is_file()]
        if files:
            write_manifest(self.path, files, "community", str(self.facts["tracker"]))

    def forget(self, name: str) -> None:
        """Remove a sequence that does not fit any more; the boxes go first."""
        for end in ("", "_status", "_confidence", "_time"):
            (self.path / f"{name}{end}.txt").unlink(missing_ok=True)


def check_name(name: str, what: str) -> None:
    """ValueError for a name that cannot be a file's everywhere."""
    if not name or name.startswith(".") or re.search(r'[/\\:*?"<>|\n]', name):
        raise ValueError(f"The {what}'s name {name!r} cannot be a file's name; give one of letters, digits, -, _ and .")


def _rows(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.is_file() else 0


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return "; ".join(f"{key}: there {before.get(key)!r:.80}, now {now.get(key)!r:.80}" for key in keys)
