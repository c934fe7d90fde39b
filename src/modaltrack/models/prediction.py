# SPDX-License-Identifier: Apache-2.0
"""What every model says about a search crop, and the images it may be given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from modaltrack.frame import Modality

Images = Mapping[Modality, Tensor] | Mapping[str, Tensor]  # modality -> (B, 3, h, w), normalised
Presence = Mapping[Modality, Tensor] | Mapping[str, Tensor]  # modality -> (B,) bool


class Prediction(NamedTuple):
    """The maps of a head on an H x W grid over the search crop, all float32; a tuple, so that it can be exported.

    score_map (B, 1, H, W) in 0..1; size_map (B, 2, H, W) width and height in 0..1 of the crop; offset_map (B, 2, H, W)
    in cells; boxes (B, 4) cxcywh in 0..1 of the crop at the maximum of the plain score map.

    Attributes:
        features: (B, N, D) the tokens that the head read, before its projection where there is one.
        confidence_map: (B, 1, H, W) in 0..1: the chance that the box read at a cell is on the target; the score map
        itself where the
            model has not learned it.
    """

    score_map: Tensor
    size_map: Tensor
    offset_map: Tensor
    boxes: Tensor
    features: Tensor | None = None
    confidence_map: Tensor | None = None


def check_images(template: Images, search: Images, template_size: int, search_size: int) -> list[Modality]:
    """Modalities that have both a template and a search crop.

    Raises:
        ValueError: on an unknown name or a wrong shape.
    """
    for role, images, size in (("template", template, template_size), ("search", search, search_size)):
        for key, image in images.items():
            if key not in list(Modality):
                known = ", ".join(Modality)
                raise ValueError(f"The {role} has a modality {str(key)!r}; expected one of {known}.")
            if image.ndim != 4 or tuple(image.shape[1:]) != (3, size, size):
                raise ValueError(
                    f"The {role} of {key} has the shape {tuple(image.shape)}; expected (batch, 3, {size}, {size})."
                )
    both = [modality for modality in Modality if modality in template and modality in search]
    everything = [image for images in (template, search) for image in images.values()]
    if any(image.shape[0] != everything[0].shape[0] for image in everything):
        found = sorted({image.shape[0] for image in everything})
        raise ValueError(f"The images have different batch sizes {found}; expected one size for all of them.")
    return both
