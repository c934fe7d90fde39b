# SPDX-License-Identifier: Apache-2.0
"""A study's folder: its settings, one folder per run, and a lock for each, so that several processes may share it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modaltrack.files import parse_json, prepare_folder, write_file
from modaltrack.study.plan import Run

SIZES = ("tiny", "laptop")


@dataclass(frozen=True)
class Settings:
    """What is the same for all runs of a study.

    Attributes:
        size: of the models: tiny, or laptop.
        steps, batch: the budget of a run.
        rate: factor on every run's learning rate, for few steps from a finished base.
        clips, frames: of the test half of ``scenes.benchmark``, half easy, half hard.
    """

    steps: int = 1500
    batch: int = 32
    clips: int = 12
    frames: int = 40
    rate: float = 1.0
    size: str = "tiny"

    def __post_init__(self) -> None:
        least = {"steps": 2, "batch": 1, "clips": 2, "frames": 2, "rate": 1e-3}
        for name, floor in least.items():
            if getattr(self, name) < floor:
                raise ValueError(f"The study's {name} is {getattr(self, name)}; give at least {floor}.")
        if self.size not in SIZES:
            raise ValueError(f"The study's size is {self.size!r}; give {' or '.join(SIZES)}.")

    def sized(self, name: str) -> str:
        """The recipe or the weights of that name, which is the tiny one's, in the study's size."""
        return name.replace("-tiny", f"-{self.size}")


@dataclass(frozen=True)
class StudyFolder:
    """Where the files of a study are.

    Attributes:
        path: its folder.
    """

    path: Path

    def run(self, run: Run, seed: int) -> Path:
        """The folder of a run."""
        return self.path / "runs" / f"{run.id}-seed{seed}"

    def weights(self, run: Run, seed: int) -> Path:
        """The weight file of a finished run."""
        return self.run(run, seed) / f"{run.id}-seed{seed}.safetensors"

    def card(self, run: Run, seed: int) -> dict[str, Any] | None:
        """The run card, finished or not; None where there is none."""
        return read_json(self.run(run, seed) / "card.json")

    def evaluation(self, run: Run, seed: int) -> dict[str, Any] | None:
        """What was measured; None where nothing was."""
        return read_json(self.run(run, seed) / "evaluation.json")

    def finished(self, run: Run, seed: int) -> bool:
        """Whether the run has trained to its end (shipped weights always have)."""
        return run.weights is not None or bool((self.card(run, seed) or {}).get("finished"))


def seeds_of(run: Run, seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds that a run is made with: shipped weights exist once."""
    return seeds[:1] if run.weights else seeds


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file, or None where there is no file.

    Raises:
        ValueError: where it cannot be read.
    """
    try:
        found: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ValueError(f"{path} is not a JSON file; remove it, and what made it will make it again.") from None
    return found


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(data, indent=1) + "\n")


def open_folder(path: Path, **wanted: float | str | None) -> tuple[StudyFolder, Settings]:
    """The study in that folder; begun there if there is none yet.

    Args:
        wanted: fields of ``Settings``, None = as it is.

    Raises:
        ValueError: when the folder holds a study with other settings: its numbers could not be compared.
    """
    prepare_folder(path)
    given = {name: value for name, value in wanted.items() if value is not None}
    stored = read_json(path / "study.json")
    if stored is None:
        settings = Settings(**given)  # type: ignore[arg-type]  # tyro has checked them
        write_json(path / "study.json", dataclasses.asdict(settings))
        return StudyFolder(path), settings
    settings = Settings(**stored)
    held = dataclasses.asdict(settings)
    other = {name: value for name, value in given.items() if value != held[name]}
    if other:
        was = ", ".join(f"{name} {held[name]}" for name in other)
        now = ", ".join(f"{name} {value}" for name, value in other.items())
        raise ValueError(f"{path} holds a study with {was}, and {now} was given; leave it out or take another --out.")
    return StudyFolder(path), settings
