# SPDX-License-Identifier: Apache-2.0
"""Which sequences there are and how to open each: real benchmarks, the synthetic one, and folders of one's own.

Beside the names of ``modaltrack.benchmarks`` there are two that need no download:

* ``scenes``: the rendered test set of ``modaltrack.scenes.benchmark``;
* ``folder``: one folder per sequence below --data in this package's layout (rgb/ thermal/ depth/ event/, boxes.txt).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modaltrack.evaluation.scene_truth import keep_truth, kept_truth
from modaltrack.frame import Frame, Modality
from modaltrack.scoring.records import Protocol, Switches, Truth
from modaltrack.session import Job, Opened

SENSOR_FOLDERS = (*(m.value for m in Modality), "aux")
OWN = ("scenes", "folder")


@dataclass(frozen=True, slots=True)
class BenchmarkSpec:
    """Which sequences, in words that another machine understands.

    sensors: the modalities that are shown, () for all. encodings: modality -> name, what the model was trained with.
    clips, length: of ``scenes``.
    """

    name: str
    data: str = ""
    sensors: tuple[str, ...] = ()
    encodings: tuple[tuple[str, str], ...] = ()
    clips: int = 40
    length: int = 60


@dataclass(frozen=True, slots=True)
class Task:
    """One sequence before anything of it is opened. entry: a benchmark's sequence with ``clip()`` and ``truth()``."""

    name: str
    length: int
    entry: Any

    def job(self, spec: BenchmarkSpec) -> Job:
        """What a session takes."""

        def opened() -> Opened:
            shown = tuple(Modality(s) for s in spec.sensors)
            # events are encoded as they come: as pictures or as a recording
            encodings = {Modality(m): name for m, name in spec.encodings if m != Modality.EVENT}
            clip = self.entry.clip(modalities=shown or None, encodings=encodings)
            boxes = np.empty((0, 4)) if clip.boxes is None else clip.boxes
            known = np.flatnonzero(np.isfinite(boxes).all(1))
            if not len(known):
                raise ValueError(f"The sequence {self.name} has no annotated box to start from; check its annotation.")
            first = int(known[0])
            return Opened(_shown(_from(clip.frames, first), spec.sensors), clip.boxes[first], first)

        return Job(self.name, opened, self.length)


def _from(frames: Any, first: int) -> Iterator[Frame]:
    if first and hasattr(frames, "__getitem__"):
        return (frames[index] for index in range(first, len(frames)))
    return itertools.islice(iter(frames), first, None)


def load_tasks(spec: BenchmarkSpec) -> list[Task]:
    """The sequences of a benchmark in its own order. ValueError, in one sentence, where it cannot be found."""
    if unknown := [s for s in spec.sensors if s not in list(Modality)]:
        raise ValueError(f"--sensors names {unknown[0]!r}; expected some of {', '.join(Modality)}.")
    entries: Sequence[Any]
    if spec.name == "scenes":
        from modaltrack import scenes

        made = scenes.benchmark(clips=spec.clips, length=spec.length)
        entries = [_Scene(number, made, spec.length) for number in range(len(made))]
    elif spec.name == "folder":
        entries = _folders(spec)
    else:
        entries = _benchmark(spec)
    tasks = [Task(entry.name, _length(entry), entry) for entry in entries]
    twice = {t.name for t in tasks if sum(t.name == other.name for other in tasks) > 1} if len(tasks) < 5000 else set()
    if twice:
        raise ValueError(f"The benchmark has two sequences called {sorted(twice)[0]}; their results would be one file.")
    if not tasks:
        raise ValueError(f"The benchmark {spec.name} has no sequences at {spec.data or 'its place'}; check --data.")
    return tasks


def _benchmark(spec: BenchmarkSpec) -> Sequence[Any]:
    from modaltrack.benchmarks import open_benchmark

    return list(open_benchmark(spec.name, spec.data or None).sequences)


def _length(entry: Any) -> int:
    frames: Mapping[Any, Any] = getattr(entry, "frames", None) or {}
    return max((len(paths) for paths in frames.values()), default=0)


def _shown(frames: Iterator[Frame], sensors: tuple[str, ...]) -> Iterator[Frame]:
    """The frames as somebody with only these sensors sees them; the others are neither there nor missed."""
    if not sensors:
        return frames
    return (
        replace(
            frame,
            images={m: image for m, image in frame.images.items() if m in sensors},
            missing=frozenset(m for m in frame.missing if m in sensors),
        )
        for frame in frames
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    """A rendered clip. All sensors are drawn whichever are shown: their noise comes from one generator."""

    number: int
    made: Any
    length: int

    @property
    def name(self) -> str:
        return f"{'hard' if self.number >= len(self.made) // 2 else 'easy'}-{self.number:03d}"

    @property
    def frames(self) -> dict[str, range]:
        return {"scene": range(self.length)}

    def clip(self, modalities: Any = None, encodings: Any = None) -> Any:
        made = replace(self.made[self.number], name=self.name)
        keep_truth(self.made.version, len(self.made), self.length, self.name, made)
        return made

    def truth(self) -> Any:
        kept = kept_truth(self.made.version, len(self.made), self.length, self.name)
        if kept is not None:
            return kept
        clip = self.clip()
        return Truth(self.name, clip.boxes, attributes=clip.attributes)


@dataclass(frozen=True, slots=True)
class _Folder:
    """One clip in this package's own layout."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def frames(self) -> dict[str, list[Path]]:
        from modaltrack.sources.folder import list_images

        return {m: list_images(self.path / m) for m in SENSOR_FOLDERS if (self.path / m).is_dir()}

    def clip(self, modalities: Any = None, encodings: Mapping[Any, str] | None = None) -> Any:
        from modaltrack.frame import Clip
        from modaltrack.sources import open_folder

        there = {m: name for m, name in (encodings or {}).items() if (self.path / m).is_dir()}
        reader, boxes = open_folder(self.path, encodings=there)
        return Clip(self.name, reader, boxes, fps=reader.fps)  # type: ignore[arg-type]

    def truth(self) -> Any:
        from modaltrack.sources import open_folder

        reader, boxes = open_folder(self.path)
        if boxes is None:
            raise ValueError(f"{self.path} has no boxes.txt; without true boxes there is nothing to score.")
        height, width = reader.size
        return Truth(self.name, boxes, image_size=(width, height))


def own_protocol(name: str) -> Protocol:
    """How ``scenes`` and ``folder`` are scored: LaSOT's curves over the frames that have a target, no repairs."""
    assert name in OWN, name
    switches = Switches(
        pixels="continuous",
        invalid_truth="nan",
        absent="removed",
        denominator="kept rows",
        bad_prediction="as written",
        zero_curves="kept",
    )
    metrics = {"PR": "precision", "NPR": "normalised", "SR": "success"}
    return Protocol(name, "modaltrack's own, 1.0", metrics, switches, source="ours", benchmark=name)


def _folders(spec: BenchmarkSpec) -> list[_Folder]:
    if not spec.data:
        raise ValueError("--benchmark folder needs --data ROOT, a folder with one folder per sequence.")
    root = Path(spec.data)
    if not root.is_dir():
        raise ValueError(f"The folder {root} does not exist; check --data.")

    def is_clip(folder: Path) -> bool:
        return folder.is_dir() and any((folder / sensor).is_dir() for sensor in SENSOR_FOLDERS)

    places = [root] if is_clip(root) else sorted(f for f in root.iterdir() if is_clip(f))
    if not places:
        raise ValueError(
            f"{root} holds no sequences; each is a folder with rgb/, thermal/, depth/ or event/ and boxes.txt in it."
        )
    return [_Folder(place) for place in places]
