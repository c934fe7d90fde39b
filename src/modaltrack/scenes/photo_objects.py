# SPDX-License-Identifier: Apache-2.0
"""Objects of a photograph: where each one is, with soft edges, and what kind of body it is to a thermal camera."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MARGIN = 0.35  # of a box's size, the ring around it that tells background colours
WORK = 32  # longest side in pixels at which colours are told apart
ROUNDS = 2  # of fitting foreground and background colours
FEW = 12  # pixels below which a box is too small to tell colours apart
MOST = 10  # objects of one picture that get bodies of their own, the largest ones

NAMES = {
    "warm": """person pedestrian man woman girl boy child people rider cyclist skater surfer dancer player runner driver
        face head hand fist arm muzzle leg body cat dog puppy pet horse sheep cow elephant bear zebra giraffe bird duck
        goat rhino camel monkey mouse rat wolf fox pig animal mallard flamingo hummingbird swan""",
    "vehicle": """car bus truck motorbike motorcycle train boat aeroplane airplane van suv vehicle othervehicle tractor
        trailer scooter tram bike bicycle drone""",
    "device": """tv tvmonitor monitor laptop microwave oven toaster refrigerator phone lamp torch kettle fan drill
        radiator robot light""",
    "plant": "plant pottedplant tree flower banana apple orange broccoli carrot fruit",
}
KINDS = {word: kind for kind, words in NAMES.items() for word in words.split()}
COCO_KINDS = (  # first and last of COCO's 80 class numbers, as YOLO counts them -> kind
    (0, 0, "warm"), (1, 8, "vehicle"), (9, 9, "device"), (14, 23, "warm"), (46, 47, "plant"), (49, 51, "plant"),
    (58, 58, "plant"), (62, 63, "device"), (66, 70, "device"), (72, 72, "device"), (78, 78, "device"),
)  # fmt: skip


def kind_of(name: str) -> str:
    """Kind of body of a class name: warm, vehicle, device, plant, or thing for whatever else.

    Names of several words count by any of them; a number is one of COCO's 80 classes.
    """
    text = name.strip().lower()
    if text.isdigit():
        return next((kind for first, last, kind in COCO_KINDS if first <= int(text) <= last), "thing")
    words = [text, *re.split(r"[^a-z]+", text)]
    return next((KINDS[word] for word in words if word in KINDS), "thing")


@dataclass(frozen=True, slots=True)
class PhotoObject:
    """One object of a picture.

    Attributes:
        box: (4,) xywh in pixels of the picture; it may reach over its edges.
        name: Class name as annotated, or "".
        mask: (H, W), bool or 0..1, of the whole picture; None = soft edges are found from the box and the colours.
        number: The same number has the same temperatures, relief and parts in every picture of one ``World``.
        mirrored: The picture shows it mirrored, parts and all.
    """

    box: Sequence[float] | NDArray[np.float64]
    name: str = ""
    mask: NDArray[np.bool_] | Array | None = None
    number: int = 0
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Cutout:
    """An object's pixels: alpha (h, w) float32 0..1 of the window of the picture that starts at (top, left).

    Attributes:
        u, v: (w,) and (h,) places inside the box, 0..1 from its left and top edge; outside it beyond that.
        foot: row of the picture at which the object stands.
    """

    top: int
    left: int
    alpha: Array
    u: Array
    v: Array
    foot: float
    kind: str
    number: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def cutouts(rgb: NDArray[np.uint8], objects: Sequence[PhotoObject]) -> list[Cutout]:
    """The objects that the picture (H, W, 3) shows, from far (a high foot) to near."""
    boxes = [np.asarray(one.box, np.float64) for one in objects]
    order = sorted(range(len(objects)), key=lambda k: -float(boxes[k][2] * boxes[k][3]))[:MOST]
    found = [cut for k in order if (cut := _cutout(rgb, objects[k], boxes[k])) is not None]
    return sorted(found, key=lambda cut: cut.foot)


def _cutout(rgb: NDArray[np.uint8], one: PhotoObject, box: NDArray[np.float64]) -> Cutout | None:
    height, width = rgb.shape[:2]
    x, y, w, h = (float(value) for value in box)
    left, right = max(0, int(x)), min(width, int(np.ceil(x + w)))
    top, bottom = max(0, int(y)), min(height, int(np.ceil(y + h)))
    if right - left < 2 or bottom - top < 2 or w <= 0 or h <= 0:
        return None
    if one.mask is not None:
        alpha = np.ascontiguousarray(one.mask[top:bottom, left:right], np.float32)
    else:
        alpha = soft_alpha(rgb, (x, y, w, h))
    if not (alpha > 0.5).any():
        return None
    u = ((np.arange(left, right) + 0.5 - x) / w).astype(np.float32)
    v = ((np.arange(top, bottom) + 0.5 - y) / h).astype(np.float32)
    return Cutout(top, left, alpha, 1 - u if one.mirrored else u, v, y + h, kind_of(one.name), one.number)


def soft_alpha(rgb: NDArray[np.uint8], box: Sequence[float]) -> Array:
    """How much each pixel of a box's part of the picture belongs to its object: (h, w) float32 0..1.

    A rounded box says where the object is likely; two Gaussians of colour, of that and of the ring around the box, say
    which pixels of it look like the ring. No segmentation, but edges that follow the object's where colours differ.
    """
    height, width = rgb.shape[:2]
    x, y, w, h = (float(value) for value in box)
    x0, x1 = max(0, int(x - MARGIN * w)), min(width, int(np.ceil(x + w + MARGIN * w)))
    y0, y1 = max(0, int(y - MARGIN * h)), min(height, int(np.ceil(y + h + MARGIN * h)))
    scale = min(1.0, WORK / max(x1 - x0, y1 - y0))
    size = max(2, round((x1 - x0) * scale)), max(2, round((y1 - y0) * scale))
    small = cv2.resize(rgb[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    u = ((np.arange(size[0]) + 0.5) / size[0] * (x1 - x0) + x0 - x) / w * 2 - 1  # -1..1 inside the box
    v = ((np.arange(size[1]) + 0.5) / size[1] * (y1 - y0) + y0 - y) / h * 2 - 1
    reach = (np.abs(u)[None] ** 3 + np.abs(v)[:, None] ** 3).astype(np.float32)
    inside = (np.abs(u)[None] < 1) & (np.abs(v)[:, None] < 1)
    prior = np.where(inside, 3.0 - 3.6 * reach, -8.0).astype(np.float32)  # log odds; 0 where reach = 0.83
    belief = 1 / (1 + np.exp(-prior))
    if inside.sum() >= FEW and (~inside).sum() >= FEW:
        colours = small.reshape(-1, 3)
        for _ in range(ROUNDS):
            near = _log_density(colours, (belief * inside).reshape(-1))
            far = _log_density(colours, np.where(inside, 0.3 * (1 - belief), 1.0).reshape(-1))
            odds = np.clip(near - far, -3, 3).reshape(prior.shape)
            belief = 1 / (1 + np.exp(-(prior + odds)))
    belief = cv2.GaussianBlur(belief.astype(np.float32), (3, 3), 0.7)
    alpha = cv2.resize(belief, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    top, left = max(0, int(y)) - y0, max(0, int(x)) - x0
    alpha = alpha[top : min(height, int(np.ceil(y + h))) - y0, left : min(width, int(np.ceil(x + w))) - x0]
    soft: Array = np.clip(3 * alpha - 1, 0, 1)  # steep, but no step
    return soft


def _log_density(colours: Array, weights: Array) -> Array:
    """Log density of (N, 3) colours under the Gaussian of the weighted ones."""
    total = float(weights.sum()) + 1e-6
    mean = weights @ colours / total
    centred = colours - mean
    spread = (centred * weights[:, None]).T @ centred / total + 0.003 * np.eye(3, dtype=np.float32)
    inverse = np.linalg.inv(spread)
    density: Array = -0.5 * ((centred @ inverse) * centred).sum(1) - 0.5 * np.log(np.linalg.det(spread))
    return density
