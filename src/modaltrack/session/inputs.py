# SPDX-License-Identifier: Apache-2.0
"""What a user may hand to a tracker as a frame, and what is said when it is something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Frame, Modality

Picture = NDArray[np.generic]  # what cv2 and av return is typed so; anything but uint8 is refused
FrameLike = Frame | Picture | Mapping[Modality, Picture | None] | Mapping[str, Picture | None]
"""A ``Frame``; an RGB image, uint8 (H, W, 3), in RGB order; or a mapping modality -> image, None for a missing one."""


def as_frame(frame: FrameLike, index: int = 0) -> Frame:
    """The ``Frame`` that was meant, with its images checked.

    Raises:
        ValueError: for other types, unknown modalities, images that are not uint8 (H, W, 3) or not of one size.
    """
    if isinstance(frame, np.ndarray):
        frame = Frame({Modality.RGB: cast(NDArray[np.uint8], frame)}, index=index)  # checked below
    elif isinstance(frame, Mapping):
        given = cast(Mapping[str, NDArray[np.uint8] | None], frame)
        unknown = [str(key) for key in given if key not in list(Modality)]
        if unknown:
            known = ", ".join(Modality)
            raise ValueError(f"The frame has an image of {unknown[0]!r}; expected one of {known} as the key.")
        images = {Modality(key): image for key, image in given.items() if image is not None}
        frame = Frame(images, index=index, missing=frozenset(Modality(key) for key in given if given[key] is None))
    elif not isinstance(frame, Frame):
        raise ValueError(
            f"The frame is a {type(frame).__name__}; give a modaltrack.Frame, an RGB image as a uint8 array (H, W, 3), "
            'or a mapping such as {"rgb": image, "thermal": image}.'
        )
    for modality, image in frame.images.items():
        _check_image(str(modality), image)
    sizes = {image.shape[:2] for image in frame.images.values()}
    if len(sizes) > 1:
        found = ", ".join(f"{m} {image.shape[1]}x{image.shape[0]}" for m, image in frame.images.items())
        raise ValueError(f"The images of one frame differ in size ({found}); align them to one pixel grid first.")
    return frame


def _check_image(modality: str, image: object) -> None:
    if not isinstance(image, np.ndarray):
        raise ValueError(f"The {modality} image is a {type(image).__name__}; expected a numpy uint8 array (H, W, 3).")
    if image.dtype != np.uint8:
        holes = " with NaN or infinite values" if image.dtype.kind == "f" and not np.isfinite(image).all() else ""
        raise ValueError(
            f"The {modality} image is {image.dtype}{holes}; expected uint8 (H, W, 3): "
            "encode it first with a function of modaltrack.sources.encodings."
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"The {modality} image has the shape {image.shape}; expected (H, W, 3): "
            "encode it first with a function of modaltrack.sources.encodings."
        )


def per_target(frames: FrameLike | Sequence[FrameLike], num_targets: int, index: int = 0) -> list[Frame]:
    """One checked frame for each target: the same for all, or the sequence's own (clips in lock-step)."""
    if isinstance(frames, Frame | np.ndarray | Mapping | str) or not isinstance(frames, Sequence):
        return [as_frame(frames, index)] * num_targets
    if len(frames) != num_targets:
        raise ValueError(f"There are {len(frames)} frames for {num_targets} targets; give one frame, or one for each.")
    checked = {id(frame): as_frame(frame, index) for frame in frames}
    return [checked[id(frame)] for frame in frames]


def list_of_boxes(boxes: ArrayLike) -> list[Any]:
    """One entry per target from (4,) or (B, 4), unchecked.

    Raises:
        ValueError: where there is none.
    """
    given: Any = boxes.detach().cpu().numpy() if hasattr(boxes, "detach") else boxes
    rows = [given] if np.ndim(np.asarray(given, dtype=object)) < 2 else list(given)
    if not rows:
        raise ValueError("There is no box to start from; give one box x, y, width, height for each target.")
    return rows
