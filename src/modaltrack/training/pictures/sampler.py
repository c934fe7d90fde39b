# SPDX-License-Identifier: Apache-2.0
"""Endless training pairs from labelled pictures and clips, as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.scenes.pairs import Pairs
from modaltrack.training.pictures.compose import (
    Canvas,
    Composition,
    Shown,
    Thing,
    inside_view,
    open_canvas,
    place_beside,
    search_view,
    template_view,
)
from modaltrack.training.pictures.degrade import degrade, draw_light, relight
from modaltrack.training.pictures.geometry import Map, covered, map_box, overlap_share, warp
from modaltrack.training.pictures.library import Library, usable, usable_frames
from modaltrack.training.pictures.records import Contents, LabelledClip, LabelledPicture

Image = NDArray[np.uint8]
Images = dict[Modality, Image]


@dataclass(frozen=True, slots=True)
class Shares:
    """How often a pair comes from where, as weights; what is not there is not drawn.

    Attributes:
        pictures: Stills with boxes.
        clips: Two frames of a real clip.
        other_sensors: Stills of a sensor that is not RGB.
        aligned: Stills seen by RGB and another sensor.
        rendered: Share of a batch of many sensors that comes from the rendered world of ``scenes`` instead.
    """

    pictures: float = 0.62
    clips: float = 0.3
    other_sensors: float = 0.05
    aligned: float = 0.03
    rendered: float = 0.2


@dataclass(slots=True)
class Pair:
    """template, search: sensor -> uint8 (h, w, 3); box: (4,) xywh in 0..1 of the search crop; visible: 0 to 1."""

    template: Images
    search: Images
    box: NDArray[np.float64]
    visible: float


@dataclass(slots=True)
class Draft:
    """A pair before light and sensors: both crops, the target first in what they show.

    Attributes:
        moment_ago: The search crop in the frame before, where it is of a real clip and nothing was put into it.
        visible: Share of the target that nothing hides; 0 where the search crop shows something else.
        real: Whether all images are what sensors saw, so that none has to be simulated.
    """

    template: Canvas
    search: Canvas
    moment_ago: Image | None
    visible: float
    real: bool = False


class PicturePairs:
    """Pairs of one sensor, shown as RGB: ``sample(batch, step, modalities)``.

    Args:
        contents: What the folders hold.
        template_size, search_size: Sides of the crops, pixels.
        template_factor, search_factor: Sides of the crops in target sizes.
        seed: With the step, decides everything.
        how: What happens to a pair.
        shares: How often a pair comes from where.

    Raises:
        ValueError: There is nothing usable.
    """

    def __init__(
        self,
        contents: Contents,
        template_size: int = 128,
        search_size: int = 256,
        template_factor: float = 2.0,
        search_factor: float = 4.0,
        seed: int = 0,
        how: Composition | None = None,
        shares: Shares | None = None,
    ) -> None:
        self.template_size, self.search_size = template_size, search_size
        self.template_factor, self.search_factor = template_factor, search_factor
        self.seed, self.how = seed, how or Composition()
        self.library = Library()
        self.stills = [p for p in contents.pictures if Modality.RGB in p.files]
        self.others = [p for p in contents.pictures if Modality.RGB not in p.files]
        self.aligned = [p for p in self.stills if len(p.files) > 1]
        self.clips = [c for c in contents.clips if Modality.RGB in c.files and len(usable_frames(c)) > 1]
        self.aligned_clips = [c for c in self.clips if len(c.files) > 1]
        self.scenery = self.stills or frames_of(self.clips)
        self.shares = shares or Shares()
        pools: dict[str, Sequence[object]] = {
            "pictures": self.stills,
            "clips": self.clips,
            "other_sensors": self.others,
            "aligned": [*self.aligned, *self.aligned_clips],
        }
        weights = {name: getattr(self.shares, name) if pool else 0.0 for name, pool in pools.items()}
        if not sum(weights.values()) or not self.scenery:
            raise ValueError(f"{contents.folder} holds no RGB picture or clip with a usable box to train on.")
        self.sources = list(weights)
        self.chances = np.array(list(weights.values())) / sum(weights.values())
        self.by_kind: dict[str, list[int]] = {}
        for i, picture in enumerate(self.scenery):
            for kind in set(picture.classes):
                self.by_kind.setdefault(kind, []).append(i)
        lengths = np.array([min(len(usable_frames(c)), 60) ** 0.5 for c in self.clips] or [1.0])
        self.clip_chances = lengths / lengths.sum()

    def sample(self, batch: int, step: int, modalities: Sequence[str] = ("rgb",)) -> Pairs:
        """``batch`` pairs; images as the trackers see them, float32 in 0..1."""
        return stacked([self.one(np.random.default_rng((self.seed, step, i))) for i in range(batch)], modalities)

    def one(self, random: np.random.Generator) -> Pair:
        """One pair."""
        for _ in range(20):
            source = self.sources[int(random.choice(len(self.sources), p=self.chances))]
            draft = self.of_clip(random) if source == "clips" else self.of_still(random, source)
            if draft is not None:
                return self.finish(random, draft)
        raise ValueError("Twenty draws in a row gave no usable target: the boxes are too small or too slender.")

    def finish(self, random: np.random.Generator, draft: Draft) -> Pair:
        """The pair as the sensors see it."""
        how = self.how.degradation
        light = draw_light(random, how)
        a = degrade(relight(draft.template.images[Modality.RGB], light), random, how)
        b = degrade(relight(draft.search.images[Modality.RGB], light.near(random, how)), random, how)
        return Pair({Modality.RGB: a}, {Modality.RGB: b}, draft.search.shown[0].box / self.search_size, draft.visible)

    def of_still(self, random: np.random.Generator, source: str) -> Draft | None:
        """A pair from one picture; of another sensor its image stands under the name of RGB."""
        pool = {"pictures": self.stills, "other_sensors": self.others, "aligned": self.aligned}[source]
        if not pool:
            return None
        picture = pool[int(random.integers(len(pool)))]
        others = [m for m in picture.files if m != Modality.RGB]
        sensor = Modality.RGB if source == "pictures" else others[int(random.integers(len(others)))]
        things = self._things(picture, sensor)
        if not things:
            return None
        thing = things[int(random.integers(len(things)))]
        return self.draft(random, thing, thing)

    def of_clip(self, random: np.random.Generator) -> Draft | None:
        """A pair from two frames of a clip."""
        clip = self.clips[int(random.choice(len(self.clips), p=self.clip_chances))]
        frames = usable_frames(clip)
        first = int(frames[random.integers(len(frames))])
        near = frames[np.abs(frames - first) <= self.how.gap]
        second = int(near[random.integers(len(near))])
        files = clip.files[Modality.RGB]
        template, search = (Thing({Modality.RGB: self.library.image(files[i])}, clip.boxes[i]) for i in (first, second))
        if not (usable(template) and usable(search)):
            return None
        before = self.library.image(files[second - 1]) if second else None
        return self.draft(random, template, search, still=False, before=before)

    def draft(
        self,
        random: np.random.Generator,
        first: Thing,
        second: Thing,
        still: bool = True,
        before: Image | None = None,
        how: Composition | None = None,
    ) -> Draft:
        """A template of the first thing and a search crop with the second.

        Args:
            before: the picture a moment earlier.
            how: what happens to the pair; None = the sampler's own.
        """
        how = how or self.how
        way = template_view(first, self.template_size, self.template_factor, how, random)
        beyond = self._backdrop(random) if random.random() < how.fill_template else None
        template = open_canvas(first.images, way, self.template_size, beyond, random)
        template.shown.append(shown(first, way, self.template_size))
        if random.random() >= how.absent:
            return Draft(template, *self._with(random, second, still, before, how))
        other = self._other(random, first.kind)
        while other is None:
            other = self._other(random)
        search, _, _ = self._with(random, other, True, None, how)
        return Draft(template, search, None, 0.0)

    def _with(
        self, random: np.random.Generator, thing: Thing, still: bool, before: Image | None, how: Composition
    ) -> tuple[Canvas, Image | None, float]:
        """A search crop with a thing in it and what else is put there; ``moment_ago`` and ``visible`` of ``Draft``."""
        size = self.search_size
        way = search_view(thing, size, self.search_factor, how, random, still)
        moment_ago: Image | None = None
        if still and random.random() < how.transplant:
            backdrop = self._backdrop(random)
            canvas = open_canvas(backdrop, inside_view(backdrop, size, random), size, None, random)
            canvas.paste(thing, way)
            canvas.shown[0].box = target_box(thing, way)
        else:
            beyond = self._backdrop(random) if random.random() < how.fill_search else None
            canvas = open_canvas(thing.images, way, size, beyond, random)
            canvas.shown.append(shown(thing, way, size))
            if before is not None:
                moment_ago = warp(before, way, size)
                outside = covered(before.shape, way, size)
                if outside is not None:
                    moment_ago[~outside] = canvas.images[Modality.RGB][~outside]
        target = canvas.shown[0].box
        if random.random() < how.neighbours:
            for _ in range(int(random.integers(1, 3))):
                self._put(random, canvas, target, self._other(random, thing.kind))
        if random.random() < how.twin:
            self._put(random, canvas, target, thing)
        visible = 1.0
        if random.random() < how.occluder and (other := self._other(random)) is not None:
            placed = place_beside(target, size, other, random, apart=False)
            if placed is not None and overlap_share(target, placed[1]) < 0.6:
                canvas.paste(other, placed[0])
                visible = 1 - 0.75 * overlap_share(target, placed[1])
        return canvas, moment_ago if len(canvas.shown) == 1 else None, visible

    def _put(
        self, random: np.random.Generator, canvas: Canvas, target: NDArray[np.float64], thing: Thing | None
    ) -> None:
        if thing is not None and (placed := place_beside(target, canvas.size, thing, random)) is not None:
            canvas.paste(thing, placed[0])

    def _things(self, picture: LabelledPicture, sensor: Modality) -> list[Thing]:
        """The objects of a picture as one sensor sees them, under the name of RGB."""
        seen = self.library.things(picture, (sensor,))
        return [Thing({Modality.RGB: t.images[sensor]}, t.box, t.mask, t.kind) for t in seen]

    def _other(self, random: np.random.Generator, like: str = "") -> Thing | None:
        """Some other object, every second time of the same class if there is one."""
        rows = self.by_kind.get(like, []) if like and random.random() < 0.5 else []
        row = rows[int(random.integers(len(rows)))] if rows else int(random.integers(len(self.scenery)))
        things = self._things(self.scenery[row], Modality.RGB)
        same = [t for t in things if t.kind == like] or things
        return same[int(random.integers(len(same)))] if same else None

    def _backdrop(self, random: np.random.Generator) -> Images:
        picture = self.scenery[int(random.integers(len(self.scenery)))]
        return {Modality.RGB: self.library.image(picture.files[Modality.RGB])}


def frames_of(clips: Sequence[LabelledClip]) -> list[LabelledPicture]:
    """A few frames of each clip as stills, for what goes on beyond an edge where there are no other pictures."""
    return [
        LabelledPicture(f"{c.name}/{c.target}/{i}", {m: c.files[m][i] for m in c.files}, c.boxes[i : i + 1], ("",))
        for c in clips
        for i in usable_frames(c)[::10]
    ]


def shown(thing: Thing, way: Map, size: int) -> Shown:
    """A thing as it stands in a crop."""
    alpha = None if thing.mask is None else warp(thing.mask, way, size)
    return Shown(target_box(thing, way), thing.kind, alpha, bool(np.linalg.det(way[:, :2]) < 0))


def target_box(thing: Thing, way: Map) -> NDArray[np.float64]:
    """The target's box in the crop: around its mapped mask where that is turned, else around the ellipse in its box."""
    if thing.mask is not None and abs(way[0, 1]) + abs(way[1, 0]) > 0.2 * abs(way[0, 0] + way[1, 1]):
        points = cv2.findNonZero(thing.mask)
        if points is not None:
            mapped = points.reshape(-1, 2).astype(np.float64) @ way[:, :2].T + way[:, 2]
            low, high = mapped.min(0), mapped.max(0) + 1
            return np.concatenate([low, high - low])
    return map_box(thing.box, way)


def stacked(made: Sequence[Pair], modalities: Sequence[str]) -> Pairs:
    """Pairs as tensors; a sensor that a pair lacks is black and marked missing."""
    sensors = [Modality(m) for m in modalities]

    def stack(images: list[Images], m: Modality) -> torch.Tensor:
        black = np.zeros_like(next(iter(images[0].values())))
        array = np.stack([of_pair.get(m, black) for of_pair in images])
        return torch.from_numpy(array).permute(0, 3, 1, 2).float().div_(255)

    return Pairs(
        {m: stack([pair.template for pair in made], m) for m in sensors},
        {m: stack([pair.search for pair in made], m) for m in sensors},
        torch.tensor(np.array([pair.box for pair in made]), dtype=torch.float32),
        torch.tensor([pair.visible for pair in made], dtype=torch.float32),
        {m: torch.tensor([m in pair.search for pair in made]) for m in sensors},
    )
