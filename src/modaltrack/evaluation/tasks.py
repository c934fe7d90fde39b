# SPDX-License-Identifier: Apache-2.0
"""Which sequences there are and how to open each: real benchmarks, the synthetic one, and folders of one's own.

Beside the names of ``modaltrack.benchmarks`` there are two that need no download:

* ``scenes``: the rendered test set of ``modaltrack.scenes.benchmark``;
* ``folder``: one folder per sequence below --data in this package's layout (rgb/ thermal/ depth/ event/, boxes.txt).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from modaltrack.evaluation.missing import check_missing, masked
from modaltrack.frame import Frame, Modality
from modaltrack.session import Job, Opened
from modaltrack.truth.own import OWN, SequenceSource, own_entries


@dataclass(frozen=True, slots=True)
class BenchmarkSpec:
    """Which sequences, in words that another machine understands.

    Attributes:
        sensors: the modalities that are shown, () for all.
        encodings: modality -> name, what the model was trained with.
        clips, length: of ``scenes``.
        missing: a file of masks or PATTERN:RATE, see ``evaluation.missing``; "" for none.
    """

    name: str
    data: str = ""
    sensors: tuple[str, ...] = ()
    encodings: tuple[tuple[str, str], ...] = ()
    clips: int = 40
    length: int = 60
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One sequence before anything of it is opened.

    Attributes:
        entry: a benchmark's sequence with ``clip()`` and ``truth()``.
    """

    name: str
    length: int
    entry: SequenceSource

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
            frames = _shown(_from(clip.frames, first), spec.sensors)
            if spec.missing:
                frames = masked(frames, spec.missing, self.name, len(boxes), first)
            return Opened(frames, boxes[first], first)

        return Job(self.name, opened, self.length)


def _from(frames: Sequence[Frame], first: int) -> Iterator[Frame]:
    if first and hasattr(frames, "__getitem__"):
        return (frames[index] for index in range(first, len(frames)))
    return itertools.islice(iter(frames), first, None)


def load_tasks(spec: BenchmarkSpec) -> list[Task]:
    """The sequences of a benchmark in its own order.

    Raises:
        ValueError: in one sentence, where it cannot be found.
    """
    if unknown := [s for s in spec.sensors if s not in list(Modality)]:
        raise ValueError(f"--sensors names {unknown[0]!r}; expected some of {', '.join(Modality)}.")
    check_missing(spec.missing)
    own = spec.name in OWN
    entries = own_entries(spec.name, spec.data, spec.clips, spec.length) if own else _benchmark(spec)
    tasks = [Task(entry.name, _length(entry), entry) for entry in entries]
    twice = {t.name for t in tasks if sum(t.name == other.name for other in tasks) > 1} if len(tasks) < 5000 else set()
    if twice:
        raise ValueError(f"The benchmark has two sequences called {sorted(twice)[0]}; their results would be one file.")
    if not tasks:
        raise ValueError(f"The benchmark {spec.name} has no sequences at {spec.data or 'its place'}; check --data.")
    return tasks


def _benchmark(spec: BenchmarkSpec) -> Sequence[SequenceSource]:
    from modaltrack.benchmarks import open_benchmark

    return list(open_benchmark(spec.name, spec.data or None).sequences)


def _length(entry: SequenceSource) -> int:
    return max((len(images) for images in entry.frames.values()), default=0)


def _shown(frames: Iterator[Frame], sensors: tuple[str, ...]) -> Iterator[Frame]:
    """The frames as seen with these sensors only; the others are neither there nor missed."""
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
