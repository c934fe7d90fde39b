# SPDX-License-Identifier: Apache-2.0
"""What ``track`` and ``demo`` leave behind: videos, box files and ``result.json``, all of one run or none."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from modaltrack.files import Partial, parse_json, prepare_folder
from modaltrack.frame import Result

RESULT = "result.json"
_OWN = re.compile(r"boxes(-\d+)?\.(txt|jsonl)|(video|fused)\.mp4|" + re.escape(RESULT))


def versions() -> dict[str, str]:
    """What produced a file, for ``result.json``."""
    import platform
    from importlib.metadata import version

    import modaltrack

    names = ("torch", "numpy", "opencv-python-headless", "av")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except ImportError:  # PackageNotFoundError: another wheel of the same library
            found[name] = "unknown"
    return {"modaltrack": modaltrack.__version__, "python": platform.python_version(), **found}


class RunFolder:
    """The folder of one run. Its files are made in a hidden place inside and appear together; a context.

    An earlier run's files stay until then and are all replaced, with a warning at the start; whatever else is in the
    folder is left alone. Without ``publish`` (an error, a second Ctrl-C) the folder is as it was.

    Args:
        folder: made where it is not there; ValueError where it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = prepare_folder(folder)
        self._earlier = earlier_files(folder)
        if self._earlier:
            warnings.warn(
                f"{folder} holds an earlier run ({', '.join(self._earlier)}), which is replaced when this one ends.",
                stacklevel=2,
            )
        self._making: Partial | None = None

    def __enter__(self) -> RunFolder:
        self._making = Partial(self.folder / "run", folder=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._making is not None:
            self._making.drop()
            hidden = f"{self._making.path}{os.sep}"
            if isinstance(error, OSError) and str(error.filename).startswith(hidden):  # a full disk
                shown = self.folder / str(error.filename).removeprefix(hidden)
                raise OSError(error.errno, error.strerror, str(shown)) from error

    def place(self, name: str) -> Path:
        """Where to write the file that will be called ``name``."""
        assert self._making is not None, "RunFolder is a context"
        return self._making.path / name

    def publish(self, results: Sequence[Result], facts: dict[str, Any]) -> list[Path]:
        """Write the box files and ``result.json`` beside what was made so far, and let all appear; -> the files.

        ``result.json`` goes first and comes last: where it is, the files that it names are of its run.
        """
        from modaltrack.sinks import result_document, write_boxes, write_json

        names = ["boxes.txt"] if len(results) == 1 else [f"boxes-{i}.txt" for i in range(1, len(results) + 1)]
        for name, result in zip(names, results, strict=True):
            write_boxes(self.place(name), result.boxes)
        made = sorted(path.name for path in self.place("").iterdir() if path.name not in names)
        files = [*made, *names, RESULT]
        write_json(self.place(RESULT), result_document(results, {**facts, "files": files}))
        for name in sorted(self._earlier, key=lambda name: name != RESULT):
            (self.folder / name).unlink(missing_ok=True)
        assert self._making is not None, "RunFolder is a context"
        self._making.keep_files(files, self.folder)
        return [self.folder / name for name in files]


def earlier_files(folder: Path) -> list[str]:
    """Names of the files that an earlier run has left in a folder, by its ``result.json``; none without it."""
    try:
        document = parse_json((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        document = {}
    listed = document.get("files") if isinstance(document, dict) else None
    there = sorted(path.name for path in folder.iterdir() if _OWN.fullmatch(path.name) and path.is_file())
    return [name for name in there if not isinstance(listed, list) or name in listed]
