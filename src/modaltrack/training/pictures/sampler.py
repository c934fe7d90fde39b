# SPDX-License-Identifier: Apache-2.0
"""Endless training pairs from labelled pictures and clips, as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.scenes.pairs import Pairs
from modaltrack.training.pictures.compose import (
    Canvas,
    Composition,
    Thing,
    open_canvas,
    place_beside,
    search_view,
    template_view,
)
from modaltrack.training.pictures.degrade import degrade, draw_light, relight
from modaltrack.training.pictures.geometry import Map, map_box, overlap_share
from modaltrack.training.pictures.image_files import read_encoded
from modaltrack.training.pictures.masks import masks_of, read_labels
from modaltrack.training.pictures.records import Contents, LabelledClip, LabelledPicture

Image = NDArray[np.uint8]
SMALLEST = 10.0  # pixels: the square root of a box's area below which there is nothing to learn from
MOST_SLENDER = 8.0  # largest ratio of a box's sides


@dataclass
class Library:
    """Decoded pictures, kept: a few thousand of a few hundred pixels fit into memory.

    limit: bytes of decoded images that are kept; beyond it images are decoded anew each time.
    """

    limit: int = 3 << 30
    images: dict[tuple[str, str], Image] = field(default_factory=dict)
    masks: dict[str, list[Image | None]] = field(default_factory=dict)
    used: int = 0

    def image(self, path: str, modality: Modality, depth_scale: float) -> Image:
        key = (path, str(modality))
        if key not in self.images:
            from pathlib import Path

            image = read_encoded(Path(path), modality, depth_scale)
            if self.used + image.nbytes > self.limit:
                return image
            self.images[key] = image
            self.used += image.nbytes
        return self.images[key]

    def things(self, picture: LabelledPicture, modalities: Sequence[Modality]) -> list[Thing]:
        """All objects of a picture, with the sensors that it has of those asked for."""
        images = {m: self.image(str(f), m, picture.depth_scale) for m, f in picture.files.items() if m in modalities}
        if picture.name not in self.masks:
            masks: list[Image | None] = [None] * len(picture.boxes)
            if picture.mask is not None:
                found = masks_of(read_labels(picture.mask), picture.boxes)
                masks = [None if m is None else m.astype(np.uint8) * 255 for m in found]
            self.masks[picture.name] = masks
        return [
            Thing(images, box, mask, kind)
            for box, mask, kind in zip(picture.boxes, self.masks[picture.name], picture.classes)
        ]


@dataclass(frozen=True, slots=True)
class Shares:
    """How often a pair comes from where; what is not there is not drawn. Normalised.

    pictures: stills with boxes. clips: two frames of a real clip. aligned: stills seen by two sensors.
    other_sensors: stills of a sensor that is not RGB (a thermal still shown as grey).
    """

    pictures: float = 0.62
    clips: float = 0.3
    other_sensors: float = 0.05
    aligned: float = 0.03


class PicturePairs:
    """Pairs of one sensor, shown as RGB: ``sample(batch, step, modalities)``.

    Args:
        contents: What the folders hold.
        template_size, search_size: Sides of the crops, pixels.
        template_factor, search_factor: Sides of the crops in target sizes.
        seed: With the step, decides everything.
        how: What happens to a pair.
        shares: How often a pair comes from where.
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
        shares = shares or Shares()
        sources = {
            "pictures": shares.pictures if self.stills else 0.0,
            "clips": shares.clips if self.clips else 0.0,
            "other_sensors": shares.other_sensors if self.others else 0.0,
            "aligned": shares.aligned if self.aligned else 0.0,
        }
        if not sum(sources.values()):
            raise ValueError(f"{contents.folder} holds no picture and no clip with a usable box to train on.")
        self.sources, weights = list(sources), np.array(list(sources.values()))
        self.weights = weights / weights.sum()
        self.by_kind: dict[str, list[int]] = {}
        for i, picture in enumerate(self.stills):
            for kind in set(picture.classes):
                self.by_kind.setdefault(kind, []).append(i)
        clip_weights = np.array([min(len(usable_frames(c)), 60) ** 0.5 for c in self.clips] or [1.0])
        self.clip_weights = clip_weights / clip_weights.sum()

    def sample(self, batch: int, step: int, modalities: Sequence[str] = ("rgb",)) -> Pairs:
        """``batch`` pairs; images as the trackers see them, float32 in 0..1."""
        made = [self.one(np.random.default_rng((self.seed, step, i))) for i in range(batch)]

        def stack(images: list[Image]) -> torch.Tensor:
            return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)

        return Pairs(
            {Modality.RGB: stack([pair.template for pair in made])},
            {Modality.RGB: stack([pair.search for pair in made])},
            torch.tensor(np.array([pair.box for pair in made]), dtype=torch.float32),
            torch.tensor([pair.visible for pair in made], dtype=torch.float32),
            {Modality.RGB: torch.ones(batch, dtype=torch.bool)},
        )

    def one(self, random: np.random.Generator) -> Pair:
        """One pair."""
        for _ in range(20):
            source = self.sources[int(random.choice(len(self.sources), p=self.weights))]
            drawn = self._clip(random) if source == "clips" else self._still(random, source)
            if drawn is not None:
                return drawn
        raise ValueError("Twenty draws in a row gave no usable target: the boxes are too small or too slender.")

    def _still(self, random: np.random.Generator, source: str) -> Pair | None:
        pool = {"pictures": self.stills, "other_sensors": self.others, "aligned": self.aligned}[source]
        picture = pool[int(random.integers(len(pool)))]
        modality = Modality.RGB
        if source != "pictures":
            others = [m for m in picture.files if m != Modality.RGB]
            modality = others[int(random.integers(len(others)))]
        things = [t for t in self._things(picture, modality) if usable(t)]
        if not things:
            return None
        thing = things[int(random.integers(len(things)))]
        return self._pair(random, thing, thing, still=True)

    def _clip(self, random: np.random.Generator) -> Pair | None:
        clip = self.clips[int(random.choice(len(self.clips), p=self.clip_weights))]
        frames = usable_frames(clip)
        first = int(frames[random.integers(len(frames))])
        near = frames[np.abs(frames - first) <= self.how.gap]
        second = int(near[random.integers(len(near))])
        files = clip.files[Modality.RGB]
        template, search = (
            Thing({Modality.RGB: self.library.image(str(files[i]), Modality.RGB, 1.0)}, clip.boxes[i])
            for i in (first, second)
        )
        if not (usable(template) and usable(search)):
            return None
        return self._pair(random, template, search, still=False)

    def _things(self, picture: LabelledPicture, modality: Modality) -> list[Thing]:
        """The objects of a picture as one sensor sees them, under the name of RGB."""
        return [
            Thing({Modality.RGB: t.images[modality]}, t.box, t.mask, t.kind)
            for t in self.library.things(picture, (modality,))
        ]

    def _other(self, random: np.random.Generator, like: str = "") -> Thing | None:
        """Some other object, of the same class if there is one and the dice say so."""
        rows = self.by_kind.get(like, []) if like and random.random() < 0.5 else []
        row = rows[int(random.integers(len(rows)))] if rows else int(random.integers(len(self.stills)))
        things = [t for t in self._things(self.stills[row], Modality.RGB) if usable(t)]
        same = [t for t in things if t.kind == like] or things
        return same[int(random.integers(len(same)))] if same else None

    def _backdrop(self, random: np.random.Generator) -> Mapping[Modality, Image]:
        picture = self.stills[int(random.integers(len(self.stills)))]
        return {Modality.RGB: self.library.image(str(picture.files[Modality.RGB]), Modality.RGB, 1.0)}

    def _pair(self, random: np.random.Generator, first: Thing, second: Thing, still: bool) -> Pair:
        how = self.how
        way = template_view(first, self.template_size, self.template_factor, how, random)
        beyond = self._backdrop(random) if random.random() < how.fill_template else None
        template = open_canvas(first.images, way, self.template_size, beyond, random)
        if random.random() < how.absent and self.stills:
            search, box, visible = self._without(random, first)
        else:
            search, box, visible = self._with(random, second, still)
        light = draw_light(random, how.degradation)
        a = degrade(relight(template.images[Modality.RGB], light), random, how.degradation)
        b = degrade(relight(search.images[Modality.RGB], light.near(random, how.degradation)), random, how.degradation)
        return Pair(a, b, box / self.search_size, visible)

    def _with(
        self, random: np.random.Generator, thing: Thing, still: bool
    ) -> tuple[Canvas, NDArray[np.float64], float]:
        """A search crop with the target in it, and what else is put there: crop, box in pixels, visible share."""
        how, size = self.how, self.search_size
        way = search_view(thing, size, self.search_factor, how, random, still)
        target = target_box(thing, way)
        if still and random.random() < how.transplant:
            backdrop = self._backdrop(random)
            canvas = open_canvas(backdrop, whole_view(backdrop, size, random), size, None, random)
            canvas.paste(thing, way)
        else:
            beyond = self._backdrop(random) if random.random() < how.fill_search else None
            canvas = open_canvas(thing.images, way, size, beyond, random)
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
        return canvas, target, visible

    def _put(
        self, random: np.random.Generator, canvas: Canvas, target: NDArray[np.float64], thing: Thing | None
    ) -> None:
        if thing is not None and (placed := place_beside(target, canvas.size, thing, random)) is not None:
            canvas.paste(thing, placed[0])

    def _without(self, random: np.random.Generator, first: Thing) -> tuple[Canvas, NDArray[np.float64], float]:
        """A search crop around something else, of the same class where there is one; visible 0."""
        other = self._other(random, first.kind)
        while other is None:
            other = self._other(random)
        canvas, box, _ = self._with(random, other, True)
        return canvas, box, 0.0


@dataclass(slots=True)
class Pair:
    """template, search: uint8 (h, w, 3); box: (4,) xywh in 0..1 of the search crop; visible: 0 (absent) to 1."""

    template: Image
    search: Image
    box: NDArray[np.float64]
    visible: float


def whole_view(images: Mapping[Modality, Image], size: int, random: np.random.Generator) -> Map:
    """A place inside a picture."""
    from modaltrack.training.pictures.geometry import view

    height, width = next(iter(images.values())).shape[:2]
    side = min(height, width) * float(random.uniform(0.5, 0.98))
    centre = [float(random.uniform(side / 2, extent - side / 2)) for extent in (width, height)]
    return view(centre, side, size)


def target_box(thing: Thing, way: Map) -> NDArray[np.float64]:
    """The target's box in the crop: around its mapped mask where there is one, else around the ellipse in its box."""
    if thing.mask is not None and abs(way[0, 1]) + abs(way[1, 0]) > 0.2 * abs(way[0, 0] + way[1, 1]):
        points = cv2.findNonZero(thing.mask)
        if points is not None:
            mapped = points.reshape(-1, 2).astype(np.float64) @ way[:, :2].T + way[:, 2]
            low, high = mapped.min(0), mapped.max(0) + 1
            return np.concatenate([low, high - low])
    return map_box(thing.box, way)


def usable(thing: Thing) -> bool:
    """Whether a thing is large and compact enough to be followed."""
    w, h = thing.box[2:]
    return bool(thing.size >= SMALLEST and max(w, h) <= MOST_SLENDER * min(w, h))


def usable_frames(clip: LabelledClip) -> NDArray[np.int64]:
    """Indices of the frames whose box is known and usable."""
    w, h = clip.boxes[:, 2], clip.boxes[:, 3]
    with np.errstate(invalid="ignore"):
        good = (np.sqrt(w * h) >= SMALLEST) & (np.maximum(w, h) <= MOST_SLENDER * np.minimum(w, h))
    return np.flatnonzero(good)
