# SPDX-License-Identifier: Apache-2.0
"""What a run leaves to read: ``log.jsonl``, ``card.json`` and lines on the terminal."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from modaltrack.files import parse_json, write_file


class Log:
    """Appends one JSON object per line; on resume, lines written after the checkpoint are removed first."""

    def __init__(self, path: Path, from_step: int, active: bool) -> None:
        self.file = None
        if not active:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _read(path) if line["step"] <= from_step] if from_step else []
        write_file(path, "".join(json.dumps(line) + "\n" for line in kept), durable=True)
        self.file = path.open("a", encoding="utf-8")

    def write(self, **values: object) -> None:
        """Append a line and hand it to the operating system."""
        if self.file is not None:
            self.file.write(json.dumps(values) + "\n")
            self.file.flush()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def _read(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            line = parse_json(text)
        except ValueError:
            continue  # the line that a killed process was writing
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def read_log(out_dir: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return _read(Path(out_dir) / "log.jsonl")


def curves(out_dir: str | Path, points: int = 200) -> dict[str, list[float | None]]:
    """A run's log in so many points at most: step, every loss, lr and grad_norm, each a list. For the run's card."""
    lines = [line for line in read_log(out_dir) if "losses" in line]
    chosen = lines[:: max(1, math.ceil(len(lines) / points))]
    found: dict[str, list[float | None]] = {"step": [line["step"] for line in chosen]}
    for name in chosen[0]["losses"] if chosen else ():
        found[name] = [line["losses"].get(name) for line in chosen]
    return found | {name: [line[name] for line in chosen] for name in ("lr", "grad_norm")}


def hardware(device: torch.device) -> str:
    """One line on what the numbers were computed with."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and the git commit of the package (None outside a checkout)."""
    from modaltrack import __version__

    try:
        here = Path(__file__).parent
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5, check=False
        )
        commit = asked.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        commit = None
    return {
        "modaltrack": __version__,
        "commit": commit,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "device": str(device),
        "hardware": hardware(device),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def write_card(out_dir: Path, card: dict[str, Any]) -> None:
    """Write ``card.json`` atomically."""
    write_file(out_dir / "card.json", json.dumps(card, indent=2) + "\n", durable=True)


class Display:
    """A progress bar on a terminal, plain lines elsewhere, silence on every rank but the first."""

    def __init__(self, name: str, total: int, active: bool) -> None:
        self.bar: Any = None
        self.active = active
        if active and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))
            self.task = self.bar.add_task(name, total=total, note="")

    def __enter__(self) -> Display:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def note(self, step: int, text: str) -> None:
        """Say where the run is."""
        if not self.active:
            return
        if self.bar is not None:
            self.bar.update(self.task, completed=step, note=text)
        else:
            print(f"step {step}: {text}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Say something that must not scroll away with the bar."""
        if not self.active:
            return
        if self.bar is not None:
            self.bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)
