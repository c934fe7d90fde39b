# SPDX-License-Identifier: Apache-2.0
"""Training pairs from data sets as downloaded: causal pairs, read when they are drawn.

A sample is a pure function of (recipe, seed, step, place in the batch): what was drawn before does not matter, nor how
many processes draw. Sources: docs/methods/ostrack.md 8, and what each method's chapter adds.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.benchmarks import Benchmark, SequenceEntry, find, open_benchmark
from modaltrack.benchmarks.roots import folder_inside
from modaltrack.benchmarks.sequences import LazyFrames
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.scenes.pairs import MEMORY_SCALE, MEMORY_SHIFT, SAME_MEMORY, Pairs
from modaltrack.training.augment import Augmentation, Cut, augment, cut, jittered, misaligned
from modaltrack.training.recipe import Recipe

log = logging.getLogger(__name__)
LENGTH, VISIBLE = 20, 5  # frames, and visible ones, that a sequence must have (published: >= 20, > 4)
GAP, WIDER = 200, 5  # frames from the template that the search frame is drawn from, widened until one is visible
# Width and height that a visible target exceeds, in pixels. Published: LasHeR, DepthTrack, VisEvent; the others follow
# the set of their kind [inferred].
SMALLEST = {
    "depthtrack": 10, "rgbd1k": 10, "arkittrack": 10, "cdtb": 10,
    "visevent": 5, "coesot": 5, "fe108": 5, "fe240hz": 5, "eventvot": 5,
}  # fmt: skip
TRIES = 200  # sequences that may be too short before a data set is given up; unreadable samples before a batch is


class BadSample(ValueError):
    """A frame of a sample that cannot be read."""


@dataclass(slots=True)
class Footage:
    """What sampling has to know of a sequence, kept small: training sets have a thousand of them and more.

    Attributes:
        files: sensor -> (folder, file names).
        boxes: (N, 4) float64, nan = absent.
        visible: (V,) numbers of the frames in which a template or a search may be.
        size: (height, width) of its images, once one has been read.
    """

    name: str
    files: dict[Modality, tuple[Path, list[str]]]
    boxes: NDArray[np.float64]
    visible: NDArray[np.int64]
    size: tuple[int, int] | None = None

    def frames(self, numbers: Sequence[int], modalities: Sequence[Modality]) -> list[Frame]:
        """The frames of these numbers, decoded. BadSample where an image of a sensor is missing or broken."""
        chosen = {m: [self.files[m][0] / self.files[m][1][n] for n in numbers] for m in modalities}
        lazy = LazyFrames(chosen, {})
        try:
            if self.size is None:  # of the first image of the sequence, as a clip's
                first = {m: [folder / name for name in names] for m, (folder, names) in self.files.items()}
                self.size = LazyFrames(first, {}).size
            lazy.size = self.size
            frames = [lazy[k] for k in range(len(numbers))]
        except (ValueError, OSError) as error:
            raise BadSample(f"{self.name}: {error}") from error
        for k, frame in enumerate(frames):
            if frame.missing:
                broken = min(frame.missing)
                raise BadSample(f"{chosen[broken][k]} cannot be decoded")
        return frames


@dataclass
class DataSet:
    """A data set of a recipe, its sequences read one by one when they are drawn."""

    benchmark: Benchmark
    weight: float
    static: bool = False  # single pictures: template and search are the same one
    _read: dict[int, Footage | None] = field(default_factory=dict, repr=False)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.benchmark.modalities

    def footage(self, number: int) -> Footage | None:
        """A sequence; None where it cannot be trained on, which is said once."""
        if number not in self._read:
            entry = self.benchmark.sequences[number]
            entry = entry if self.static else SequenceEntry(entry.name, entry.folder, self.benchmark.row)
            found = self._footage(entry)  # of an entry of its own: the benchmark's would keep what it has read
            if self.static:
                return found
            self._read[number] = found
        return self._read[number]

    def _footage(self, entry: SequenceEntry) -> Footage | None:
        boxes, smallest = entry.boxes, SMALLEST.get(self.benchmark.name, 0)
        visible = np.flatnonzero((np.nan_to_num(boxes[:, 2:], nan=-1.0) > smallest).all(1))
        needed = (1, 1) if self.static else (LENGTH, VISIBLE)
        if len(entry) < needed[0] or len(visible) < needed[1]:
            if not self.static:
                why = entry.problems or [f"it has {len(entry)} frames and {len(visible)} visible ones"]
                log.warning("%s of %s is not trained on: %s", entry.name, self.benchmark.title, why[0])
            return None
        files = {}
        for modality, paths in entry.frames.items():
            folders = {path.parent for path in paths}
            assert len(folders) == 1, "one folder per sensor"
            files[modality] = folders.pop(), [path.name for path in paths]
        return Footage(entry.name, files, boxes, visible)

    def draw(self, random: np.random.Generator, needed: Sequence[Modality]) -> Footage:
        """A sequence at random with these sensors, each as likely as the others."""
        for _ in range(TRIES):
            found = self.footage(int(random.integers(len(self.benchmark))))
            if found is not None and all(m in found.files for m in needed):
                return found
        raise ValueError(
            f"None of {TRIES} sequences drawn from {self.benchmark.root} ({self.benchmark.title}, "
            f"{self.benchmark.split}) has {LENGTH} frames and {VISIBLE} visible ones of {', '.join(needed)}: "
            f"check it with `modaltrack data check {self.benchmark.name}`."
        )


def open_data(recipe: Recipe) -> list[DataSet]:
    """The data sets of a recipe, each in its training split unless its name ends in another (``vtuav-train-lt``).

    data_root is the folder of a data set, or one that holds folders named like the data sets.

    Raises:
        ValueError: where one is not found, has no training split, or where a sensor of the recipe is in none of them.
    """
    opened = []
    for name, weight in recipe.data.items():
        if not weight > 0:
            raise ValueError(f"The data set {name} has the weight {weight}: give a number above 0, or leave it out.")
        row, split = find(name)
        split = split or next((s for s in row.splits if s.startswith("train")), None)
        if split is None:
            raise ValueError(f"{row.title} has no training split; name one of {', '.join(row.splits)} ({name}-...).")
        root = Path(recipe.data_root).expanduser() if recipe.data_root else None
        if root is not None and root.is_dir():
            root = folder_inside(root, row.title) or root
        benchmark = open_benchmark(row.name, root, split, quiet=True)
        if benchmark.missing:
            known = len(benchmark) + len(benchmark.missing)
            log.warning("%s has %d of the %d sequences of %s", benchmark.root, len(benchmark), known, row.title)
        opened.append(DataSet(benchmark, weight, row.reader == "coco"))
    mixed = [sensor for sensor, share in recipe.input_mix.items() if share]
    for sensor in recipe.modalities or mixed or ("rgb",):
        if not any(_has(data, (sensor,) if not recipe.modalities else ("rgb", sensor)) for data in opened):
            raise ValueError(f"The recipe trains with {sensor} and none of {', '.join(recipe.data)} has it: add one.")
    return opened


def _has(data: DataSet, sensors: Sequence[str]) -> bool:
    return all(m in data.modalities for m in sensors)


def describe(data: DataSet) -> dict[str, Any]:
    """A data set in a few numbers: its split, how many sequences, a hash of their names, how many are missing."""
    benchmark = data.benchmark
    if data.static:
        names = hashlib.sha256(str(len(benchmark)).encode())  # 860,000 objects: their number has to do
    else:
        names = hashlib.sha256("\n".join(entry.name for entry in benchmark).encode())
    return {
        "split": benchmark.split,
        "weight": data.weight,
        "sequences": len(benchmark),
        "names": names.hexdigest()[:16],
        "missing": len(benchmark.missing),
        "listed": benchmark.listed,
    }


@dataclass
class BenchmarkPairs:
    """Draws pairs from data sets; see ``data.Sampler``."""

    sets: list[DataSet]
    template_size: int
    search_size: int
    seed: int
    augmentation: Augmentation = field(default_factory=Augmentation)
    template_factor: float = 2.0
    search_factor: float = 4.0
    templates: int = 1

    def sample(self, batch: int, step: int, modalities: Sequence[str]) -> Pairs:
        """``batch`` pairs of these sensors.

        Args:
            step: any number, equal numbers give equal pairs.
        """
        sensors = tuple(Modality(m) for m in modalities)
        failed: list[str] = []
        randoms, samples = [], []
        for place in range(batch):
            random, cuts = self._one(step, place, sensors, failed)
            randoms.append(random)
            samples.append(cuts)
        everywhere = torch.ones(batch, dtype=torch.bool)

        def stack(cuts: list[Cut]) -> dict[Modality, torch.Tensor]:
            crops = {m: np.stack([one.crops[m] for one in cuts]) for m in sensors}
            return {m: torch.from_numpy(c).permute(0, 3, 1, 2).float().div_(255) for m, c in crops.items()}

        pairs = Pairs(
            template=stack([s[0] for s in samples]),
            search=stack([s[1] for s in samples]),
            box=torch.from_numpy(np.stack([s[1].box for s in samples])).float(),
            visible=torch.ones(batch),
            present=dict.fromkeys(sensors, everywhere),
            memory=stack([s[2] for s in samples]) if self.templates == 2 else None,
            failed=tuple(failed),
        )
        return augment(pairs, self.augmentation, randoms)

    def sample_clip(self, length: int, step: int, place: int, modalities: Sequence[str]) -> Clip:
        """``length`` frames in a row with their boxes, from one whose target is visible on; decoded when asked for."""
        sensors = tuple(Modality(m) for m in modalities)
        random = self._random(step, place, 0)
        for _ in range(TRIES):
            footage = self._set(random, sensors).draw(random, sensors)
            starts = footage.visible[footage.visible + length <= len(footage.boxes)]
            if len(starts):
                first = int(starts[random.integers(len(starts))])
                window = slice(first, first + length)
                files = {m: [footage.files[m][0] / name for name in footage.files[m][1][window]] for m in sensors}
                return Clip(footage.name, LazyFrames(files, {}), footage.boxes[window])
        raise ValueError(f"None of {TRIES} sequences shows a target in {length} frames: ask for shorter clips.")

    def _random(self, step: int, place: int, attempt: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, 3, step, place, attempt))

    def _one(
        self, step: int, place: int, sensors: tuple[Modality, ...], failed: list[str]
    ) -> tuple[np.random.Generator, list[Cut]]:
        for attempt in range(TRIES):
            random = self._random(step, place, attempt)
            try:
                return random, self._draw(random, sensors)
            except BadSample as error:
                failed.append(str(error))
        raise ValueError(f"None of {TRIES} samples could be read; the last: {failed[-1]}")

    def _set(self, random: np.random.Generator, sensors: Sequence[Modality]) -> DataSet:
        able = [data for data in self.sets if _has(data, sensors)]
        assert able, "open_data has checked that"
        weights = np.array([data.weight for data in able])
        return able[int(random.choice(len(able), p=weights / weights.sum()))]

    def _draw(self, random: np.random.Generator, sensors: tuple[Modality, ...]) -> list[Cut]:
        """Template, search and, where there are two templates, the second one."""
        data = self._set(random, sensors)
        footage = data.draw(random, sensors)
        first, now = (0, 0) if data.static else causal(footage.visible, random)
        between = later_template(footage.visible, first, now, random) if self.templates == 2 else first
        numbers = list(dict.fromkeys((first, now, between)))
        frames = dict(zip(numbers, footage.frames(numbers, sensors)))
        how, boxes = self.augmentation, footage.boxes
        past = misaligned(boxes[first], how, random)

        def template(number: int, around: NDArray[np.float64]) -> Cut:
            return cut(frames[number].images, boxes[number], around, past, self.template_factor, self.template_size)

        around = jittered(boxes[now], how, random)
        search = cut(frames[now].images, boxes[now], around, past, self.search_factor, self.search_size)
        cuts = [template(first, boxes[first]), search]
        if self.templates == 2:
            loose = Augmentation(centre_jitter=MEMORY_SHIFT, scale_jitter=MEMORY_SCALE)
            cuts.append(cuts[0] if between == first else template(between, jittered(boxes[between], loose, random)))
        return cuts


def causal(visible: NDArray[np.int64], random: np.random.Generator) -> tuple[int, int]:
    """Numbers of the template's and the search's frame: a random visible one, and one of those soon after it."""
    first = int(visible[random.integers(len(visible) - 1)])
    reach = GAP
    while True:
        soon = visible[(visible > first) & (visible <= first + reach)]
        if len(soon):
            return first, int(soon[random.integers(len(soon))])
        reach += WIDER


def later_template(visible: NDArray[np.int64], first: int, now: int, random: np.random.Generator) -> int:
    """A frame between template and search, within 200 of the search; the template's in a tenth and where none is."""
    choice = visible[(visible > first) & (visible < now) & (visible >= now - GAP)]
    same = random.random() < SAME_MEMORY
    return first if same or not len(choice) else int(choice[random.integers(len(choice))])
