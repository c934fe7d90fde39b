# SPDX-License-Identifier: Apache-2.0
"""One training pair from real pictures: where its template and search crops look, and what else is put into them.

Pictures end near their objects, so that a plain search crop is mostly black and the target stands on the only texture.
Here another picture goes on beyond the edge, targets move into other pictures, and other objects (or the target's
twins) stand beside and before them. Source: [ours], after looking at the crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.training.pictures.degrade import Degradation
from modaltrack.training.pictures.geometry import Map, covered, map_box, overlap_share, view, warp

Image = NDArray[np.uint8]
Box = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Composition:
    """Chances (0..1) of what happens to a pair, and how far the search crop may look past the target.

    Attributes:
        shift: half width, in target sizes (square root of the area), of the uniform offset of the target from the
            middle of the search crop.
        far: share of pairs that use the whole of the crop.
        zoom: standard deviation of the logarithm of the search crop's scale.
        turn, far_turn: degrees of rotation, usual and of a share of stills.
        stretch: standard deviation of the logarithm of the aspect.
        jitter: of the template's box, in its sizes.
        fill_search, fill_template: another picture beyond the edge.
        transplant: the target cut out and set into another picture.
        neighbours: of one or two other objects beside it.
        twin: of a copy of the target beside it.
        occluder: of an object before it.
        absent: of a search crop without the target.
        gap: largest distance in stored frames of two frames of a clip.
    """

    shift: float = 1.0
    far: float = 0.25
    zoom: float = 0.22
    turn: float = 12.0
    far_turn: float = 90.0
    far_turn_share: float = 0.12
    stretch: float = 0.1
    jitter: float = 0.05
    fill_search: float = 0.85
    fill_template: float = 0.5
    transplant: float = 0.2
    neighbours: float = 0.35
    twin: float = 0.12
    occluder: float = 0.12
    absent: float = 0.06
    gap: int = 40
    degradation: Degradation = field(default_factory=Degradation)


@dataclass(slots=True)
class Thing:
    """An object to cut out: its picture by sensor, xywh box in pixels, mask (H, W) of 0..255 or None, class."""

    images: Mapping[Modality, Image]
    box: Box
    mask: Image | None = None
    kind: str = ""

    @property
    def size(self) -> float:
        """The square root of the box's area, pixels."""
        return float(np.sqrt(self.box[2] * self.box[3]))

    @property
    def centre(self) -> Box:
        return self.box[:2] + self.box[2:] / 2


@dataclass(slots=True)
class Shown:
    """An object in a crop: xywh box in its pixels, class, alpha (size, size) 0..255 or None, whether mirrored."""

    box: Box
    kind: str
    alpha: Image | None = None
    mirrored: bool = False


@dataclass(slots=True)
class Canvas:
    """A crop in the making: images (size, size, 3) by sensor, and what is shown in it, the target first."""

    images: dict[Modality, Image]
    size: int
    shown: list[Shown] = field(default_factory=list)

    def paste(self, thing: Thing, way: Map) -> Image:
        """Put a thing in under a map; returns its alpha, 0..255."""
        alpha = warp(cutting(thing), way, self.size)
        weight = alpha[:, :, None].astype(np.uint16)
        for modality, image in self.images.items():
            if modality in thing.images:
                new = warp(thing.images[modality], way, self.size)
                mixed = (new * weight + image * (255 - weight) + 127) // 255
                self.images[modality] = mixed.astype(np.uint8)
        self.shown.append(Shown(map_box(thing.box, way), thing.kind, alpha, bool(np.linalg.det(way[:, :2]) < 0)))
        return alpha


def cutting(thing: Thing) -> Image:
    """The alpha (H, W), 0..255, that cuts a thing out: its mask with a soft edge, or a soft rounded box."""
    height, width = next(iter(thing.images.values())).shape[:2]
    if thing.mask is not None:
        return np.asarray(cv2.blur(thing.mask, (3, 3)), np.uint8)
    alpha = np.zeros((height, width), np.uint8)
    x, y, w, h = thing.box
    # between an ellipse and a rectangle: the corners of a box are nearly always background
    rounded = int(0.3 * min(w, h))
    left, top, right, bottom = (round(v) for v in (x, y, x + w, y + h))
    cv2.rectangle(alpha, (left + rounded, top), (right - rounded, bottom), 255, -1)
    cv2.rectangle(alpha, (left, top + rounded), (right, bottom - rounded), 255, -1)
    for cx in (left + rounded, right - rounded):
        for cy in (top + rounded, bottom - rounded):
            cv2.circle(alpha, (cx, cy), rounded, 255, -1)
    soft = max(1, int(0.04 * min(w, h))) * 2 + 1
    return np.asarray(cv2.blur(alpha, (soft, soft)), np.uint8)


def open_canvas(
    images: Mapping[Modality, Image],
    way: Map,
    size: int,
    beyond: Mapping[Modality, Image] | None,
    random: np.random.Generator,
) -> Canvas:
    """The crop of a picture; where the picture ends, ``beyond`` goes on (black without one)."""
    made = {m: warp(image, way, size) for m, image in images.items()}
    outside = covered(next(iter(images.values())).shape, way, size)
    if outside is not None and beyond is not None:
        place = inside_view(beyond, size, random)
        for m, image in made.items():
            if m in beyond:
                image[~outside] = warp(beyond[m], place, size)[~outside]
    return Canvas(made, size)


def template_view(thing: Thing, size: int, factor: float, how: Composition, random: np.random.Generator) -> Map:
    """Where the template crop looks: at the target, with a jittered box."""
    side = factor * thing.size * float(np.exp(random.normal(0, how.jitter)))
    centre = thing.centre + random.normal(0, how.jitter, 2) * thing.box[2:]
    return view(centre, side, size)


def search_view(
    thing: Thing, size: int, factor: float, how: Composition, random: np.random.Generator, still: bool
) -> Map:
    """Where the search crop looks: somewhere near the target, at another scale, turned and stretched a little."""
    angle = how.turn * random.uniform(-1, 1)
    if still and random.random() < how.far_turn_share:
        angle = how.far_turn * random.uniform(-1, 1)
    stretch = float(np.exp(random.normal(0, how.stretch)))
    scale = float(np.exp(np.clip(random.normal(0, how.zoom), -0.7, 0.7)))
    reach = 0.42 * factor if random.random() < how.far else how.shift
    offset = random.uniform(-reach, reach, 2) * thing.size
    flip = still and random.random() < 0.05
    return view(thing.centre - offset, factor * thing.size * scale, size, np.deg2rad(angle), stretch, flip)


def place_beside(
    target: Box, size: int, thing: Thing, random: np.random.Generator, apart: bool = True
) -> tuple[Map, Box] | None:
    """A map that puts a thing near a target's box in a crop of ``size`` pixels, hardly over it; None where it fails.

    apart False puts it over a part of the target.
    """
    target_size = float(np.sqrt(target[2] * target[3]))
    for _ in range(6):
        wanted = target_size * float(np.exp(random.normal(0, 0.3))) * (1.0 if apart else 0.7)
        reach = random.uniform(0.9, 1.9) if apart else random.uniform(0.35, 0.75)
        direction = random.uniform(0, 2 * np.pi)
        centre = target[:2] + target[2:] / 2
        centre = centre + reach * np.array([np.cos(direction), np.sin(direction)]) * target[2:]
        if not (0 <= centre[0] < size and 0 <= centre[1] < size):
            continue
        turn = np.deg2rad(random.uniform(-15, 15))
        # the view of a crop as large as the thing shall be, shifted to where it shall be
        way = view(
            thing.centre,
            thing.size * size / wanted,
            size,
            turn,
            float(np.exp(random.normal(0, 0.1))),
            random.random() < 0.5,
        )
        way = way.copy()
        way[:, 2] += centre - size / 2
        box = map_box(thing.box, way)
        if not apart or overlap_share(target, box) < 0.2:
            return way, box
    return None


def inside_view(images: Mapping[Modality, Image], size: int, random: np.random.Generator) -> Map:
    """A view of some place of a picture, the whole of it inside."""
    height, width = next(iter(images.values())).shape[:2]
    side = min(height, width) * float(random.uniform(0.5, 0.98))
    centre = [float(random.uniform(side / 2, extent - side / 2)) for extent in (width, height)]
    return view(centre, side, size)
