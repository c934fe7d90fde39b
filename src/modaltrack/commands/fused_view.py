# SPDX-License-Identifier: Apache-2.0
"""``--show fused``: what a model that fuses images at pixel level makes of its sensors, written as a video."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack import vision
from modaltrack.boxes import cxcywh_to_xywh, xywh_to_cxcywh
from modaltrack.frame import Frame, Modality, Row, State, Status
from modaltrack.models.model import FusesImages, Model, placed
from modaltrack.sinks import VideoWriter
from modaltrack.sinks.picture import COLOURS, rectangle
from modaltrack.tracking import Policy

SIDE = 256  # smallest side of the picture: the crops of the tiny models are hard to see


class FusedVideo:
    """Write the fused search crop of the first target, as the tracker saw it, with the box it found; a context.

    Of several sensors beside RGB the first is shown. A frame without any image is black. The image is computed once
    more for the video, which takes time that the tracker itself does not need.
    """

    def __init__(self, path: Path, model: Model, fps: float = 30.0) -> None:
        if not isinstance(model, FusesImages):
            raise ValueError(
                f"--show fused needs a model that fuses images, such as tpf-tiny; {type(model).__name__} does not."
            )
        self._video = VideoWriter(path, fps)
        self._model: Model = model
        self._fuse = model.fused_image
        self._policy = Policy.of(model)

    def row(self, row: Row) -> None:
        """Append the picture of a session's row, as one of its observers."""
        self.write(row.frame, row.before or row.state, row.state)

    def write(self, frame: Frame, before: State, after: State) -> None:
        """Append one frame's picture.

        Args:
            before, after: the state that it was searched from, and the one it led to.
        """
        size = self._model.config.search_size
        grown = xywh_to_cxcywh(before.box[0])
        grown[2:] *= self._policy.search_growth(before.status, before.unseen)[0]
        around = cxcywh_to_xywh(grown)
        sensors = self._sensors(frame)
        picture = np.zeros((size, size, 3), np.uint8)
        if sensors:
            picture = self._fused({m: frame.images[m] for m in sensors}, around, size)
        scale = max(1, -(-SIDE // size))
        picture = picture.repeat(scale, 0).repeat(scale, 1)
        factor = size / vision.crop_side(around, self._model.config.search_factor)
        box = cxcywh_to_xywh(vision.box_to_crop(after.box[0], around, factor, size))
        rectangle(picture, box * size * scale, COLOURS[Status(int(after.status[0]))], 2)
        self._video.write(picture, frame.time)

    def _sensors(self, frame: Frame) -> list[Modality]:
        usable = [m for m in self._model.config.modalities if m in frame.images]
        others = [m for m in usable if m != Modality.RGB]
        return [m for m in usable if m == Modality.RGB] + others[:1]

    @torch.inference_mode()
    def _fused(
        self, images: dict[Modality, NDArray[np.uint8]], around: NDArray[np.float64], size: int
    ) -> NDArray[np.uint8]:
        place = placed(self._model)
        factor = self._model.config.search_factor
        crops = {m: vision.to_tensor([vision.crop(image, around, factor, size)[0]]) for m, image in images.items()}
        fused = self._fuse({m: vision.normalise(c).to(*place) for m, c in crops.items()})
        pixels = vision.denormalise(fused[0].float().cpu()).clamp(0, 1) * 255  # the adapter itself knows no bounds
        return pixels.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()

    def __enter__(self) -> FusedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._video.__exit__(kind, error, trace)
