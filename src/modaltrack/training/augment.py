# SPDX-License-Identifier: Apache-2.0
"""What is changed in training pairs on purpose. Sensors are keys of a mapping, so each change says whom it is for.

The published loaders stack both images to six channels: their greyscale raises an exception there, which a catch-all
turns into another draw, so it never happened (docs/methods/ostrack.md 8). Here it works, on RGB alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from modaltrack.boxes import cxcywh_to_xywh
from modaltrack.frame import Modality
from modaltrack.scenes.pairs import Pairs, PairSampler
from modaltrack.vision.crop import box_to_crop, crop

LUMA = (0.299, 0.587, 0.114)  # of OpenCV's conversion to grey
KINDS = ("noise", "blur", "dark", "block", "blank")  # ways in which a sensor's search image is spoilt
DRAWS = 16  # numbers that every sample draws whatever is switched on, so that one change leaves the others' alone
Images = Mapping[Modality, Tensor]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How pairs are cut and changed; the defaults are the published numbers.

    Attributes:
        centre_jitter, scale_jitter: of the search crop: the centre moves by U(-0.5, 0.5) x centre_jitter x the root of
            the jittered area per axis, each side is multiplied by exp(scale_jitter x N(0, 1)); 4.5 and 0.5 go with
            search factor 5.
        greyscale: probability that all RGB images of a sample lose their colour.
        flip: that the whole sample is mirrored.
        crop_flip: that a crop is mirrored by itself, template and search apart: a quirk of the published loaders; 0
            takes it out.
        brightness: every crop's images are multiplied by one draw of U(1 - brightness, 1 + brightness).
        misalign_pixels, misalign_share: [ours] standard deviation of a shift of the second sensor against RGB, in
        pixels
            of the image and as a share of the target's size (root of its area); 0 by default.
        corrupt: [ours] probability that one sensor of the search crop is spoilt (noise, blur, darkness, a blank block,
            all blank); 0 by default. A missing sensor is the recipe's ``modality_dropout``.

    Source: docs/methods/ostrack.md 8.
    """

    centre_jitter: float = 3.0
    scale_jitter: float = 0.25
    greyscale: float = 0.05
    flip: float = 0.5
    crop_flip: float = 0.5
    brightness: float = 0.2
    misalign_pixels: float = 0.0
    misalign_share: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, share = getattr(self, field.name), field.name in ("greyscale", "flip", "crop_flip", "corrupt")
            if not 0 <= value <= (1 if share or field.name == "brightness" else np.inf):
                limit = "a probability" if share else "0 <= brightness <= 1" if field.name == "brightness" else ">= 0"
                raise ValueError(f"The augmentation {field.name} is {value}: give {limit}.")

    def changed(self, changes: Mapping[str, float]) -> Augmentation:
        """With other values.

        Raises:
            ValueError: with the list of names for one that does not exist.
        """
        known = [field.name for field in fields(self)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"There is no augmentation {unknown[0]!r}: choose among {', '.join(known)}.")
        return replace(self, **dict(changes))


UNCHANGED = Augmentation(**{field.name: 0.0 for field in fields(Augmentation)})


@dataclass(frozen=True, slots=True)
class Cut:
    """One target in one frame, cut out.

    Attributes:
        crops: sensor -> (size, size, 3) uint8.
        box: (4,) xywh, 0..1 of the crop.
    """

    crops: dict[Modality, NDArray[np.uint8]]
    box: NDArray[np.float64]


def jittered(box: NDArray[np.float64], how: Augmentation, random: np.random.Generator) -> NDArray[np.float64]:
    """Where the search crop is cut instead of at the xywh box."""
    size = box[2:] * np.exp(how.scale_jitter * random.standard_normal(2))
    reach = how.centre_jitter * np.sqrt(size.prod())
    centre = box[:2] + box[2:] / 2 + reach * random.uniform(-0.5, 0.5, 2)
    around: NDArray[np.float64] = np.concatenate([centre - size / 2, size])
    return around


def misaligned(box: NDArray[np.float64], how: Augmentation, random: np.random.Generator) -> NDArray[np.float64]:
    """(2,) pixels by which the second sensor of a sample looks past the first."""
    spread = np.hypot(how.misalign_pixels, how.misalign_share * np.sqrt(box[2:].prod()))
    shift: NDArray[np.float64] = spread * random.standard_normal(2)
    return shift


def cut(
    images: Mapping[Modality, NDArray[np.uint8]],
    box: NDArray[np.float64],
    around: NDArray[np.float64],
    past: NDArray[np.float64],
    factor: float,
    size: int,
) -> Cut:
    """Cut all sensors at one place, but the second by ``past`` (2,) pixels aside; the box is RGB's."""
    crops, resize = {}, 1.0
    for k, (modality, image) in enumerate(images.items()):
        place = around if k == 0 else around + np.array([*past, 0, 0])
        crops[modality], resize = crop(image, place, factor, size)
    return Cut(crops, cxcywh_to_xywh(box_to_crop(box, around, resize, size)))


@dataclass
class AugmentedScenes:
    """Rendered pairs with changes on top; see ``data.Sampler``."""

    scenes: PairSampler
    how: Augmentation

    def sample(self, batch: int, step: int, modalities: Sequence[str]) -> Pairs:
        """The pairs of that step, changed by numbers of their own."""
        randoms = [np.random.default_rng((self.scenes.seed, 4, step, place)) for place in range(batch)]
        return augment(self.scenes.sample(batch, step, modalities), self.how, randoms)


def augment(pairs: Pairs, how: Augmentation, randoms: Sequence[np.random.Generator]) -> Pairs:
    """Colours, mirrors, brightness and spoilt sensors; images float 0..1.

    Args:
        randoms: a generator for every sample.
    """
    draws = torch.from_numpy(np.stack([random.random(DRAWS) for random in randoms])).float()  # (B, DRAWS)
    draws = draws.to(pairs.box.device)
    grey, both, own_template, own_search, own_memory = (draws[:, k] for k in range(5))
    light_template, light_search, light_memory = ((2 * draws[:, k] - 1) * how.brightness + 1 for k in (5, 6, 7))
    template, memory = dict(pairs.template), None if pairs.memory is None else dict(pairs.memory)
    if memory is not None:  # a second template that is the first one stays the first one
        same = torch.stack([(memory[m] == template[m]).flatten(1).all(1) for m in memory]).all(0)
        own_memory = torch.where(same, own_template, own_memory)
        light_memory = torch.where(same, light_template, light_memory)
    whole, colourless = both < how.flip, grey < how.greyscale
    turned = whole ^ (own_search < how.crop_flip)
    box = pairs.box.clone()
    box[turned, 0] = 1 - box[turned, 0] - box[turned, 2]

    def change(images: Images, mirrored: Tensor, light: Tensor) -> dict[Modality, Tensor]:
        changed = {}
        for modality, given in images.items():
            image = given * _rows(light) if how.brightness else given.clone()
            if modality == Modality.RGB and bool(colourless.any()):
                image[colourless] = torch.einsum("bchw,c->bhw", image[colourless], image.new_tensor(LUMA))[:, None]
            image[mirrored] = image[mirrored].flip(-1)
            changed[modality] = image.clamp_(0, 1) if how.brightness else image
        return changed

    search = change(pairs.search, turned, light_search)
    for row in torch.nonzero(draws[:, 8] < how.corrupt).flatten().tolist():
        sensors = list(search)
        sensor = sensors[int(draws[row, 9] * len(sensors))]
        search[sensor][row] = spoil(search[sensor][row], KINDS[int(draws[row, 10] * len(KINDS))], draws[row, 11:])
    return dataclasses.replace(
        pairs,
        template=change(template, whole ^ (own_template < how.crop_flip), light_template),
        search=search,
        box=box,
        memory=None if memory is None else change(memory, whole ^ (own_memory < how.crop_flip), light_memory),
    )


def _rows(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def spoil(image: Tensor, kind: str, draws: Tensor) -> Tensor:
    """An image (3, h, w), 0..1, as a failing sensor gives it.

    Args:
        draws: (5,) in 0..1; how strong, where, which noise.
    """
    strength = float(draws[0])
    height, width = image.shape[-2:]
    if kind == "noise":
        generator = torch.Generator().manual_seed(int(float(draws[1]) * 2**24))
        noise = torch.randn(image.shape, generator=generator).to(image)
        return (image + (0.1 + 0.3 * strength) * noise).clamp(0, 1)
    if kind == "blur":
        cells = max(2, round(min(height, width) * (0.25 - 0.18 * strength)))
        small = F.adaptive_avg_pool2d(image[None], cells)
        return F.interpolate(small, (height, width), mode="bilinear", align_corners=False)[0]
    if kind == "dark":
        return image * (0.4 - 0.35 * strength)
    if kind == "block":
        tall, wide = round(height * (0.25 + 0.45 * strength)), round(width * (0.25 + 0.45 * float(draws[1])))
        top, left = int(float(draws[2]) * (height - tall)), int(float(draws[3]) * (width - wide))
        image = image.clone()
        image[:, top : top + tall, left : left + wide] = 0
        return image
    assert kind == "blank", kind
    return torch.zeros_like(image)
