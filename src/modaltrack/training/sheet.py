# SPDX-License-Identifier: Apache-2.0
"""A contact sheet of training pairs: the crops as the model will see them, with the box that it has to find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from modaltrack.files import write_file
from modaltrack.frame import Modality
from modaltrack.training.data import Batch, BatchSource
from modaltrack.training.recipe import Recipe

Image = NDArray[np.uint8]
TILE = 160  # side in pixels of a search crop on the sheet; templates are half as large
COLUMNS = 8
BOX, GONE, MISSING = (255, 255, 255), (255, 60, 60), (70, 70, 70)  # RGB
SUFFIXES = (".jpg", ".jpeg", ".png")


def write_sheet(recipe: Recipe, file: Path, samples: int = 48) -> int:
    """Draw the first samples of a recipe, as ``BatchSource`` gives them to the first process, into a JPEG or PNG.

    Args:
        recipe: What would be trained; nothing of it is.
        file: Where to.
        samples: How many.

    Returns:
        How many samples are on it.

    Raises:
        ValueError: The file's suffix is none of an image, or the recipe's data cannot be read.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"The sheet {file} has the suffix {file.suffix!r}; give one of {', '.join(SUFFIXES)}.")
    if samples < 1:
        raise ValueError(f"A sheet of {samples} samples was asked for; give at least 1.")
    from modaltrack.training.start import build_model

    config = build_model(recipe).config
    small = replace(recipe, batch=min(recipe.batch, samples), accumulation=1, shard=None)
    source = BatchSource(
        small,
        config.template_size,
        config.search_size,
        template_factor=config.template_factor,
        search_factor=config.search_factor,
    )
    tiles: list[Image] = []
    step = 0
    while len(tiles) < samples:
        for batch in source(step):
            tiles += list(_tiles(batch, recipe.min_visible))
        step += 1
    sheet = _grid(tiles[:samples])
    made, data = cv2.imencode(file.suffix.lower(), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    assert made, file.suffix
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, data.tobytes())
    return min(samples, len(tiles))


def _tiles(batch: Batch, min_visible: float) -> Iterator[Image]:
    """A picture for each sample: search crops of all sensors one below the other, their templates beside them."""
    for i in range(len(batch.box)):
        rows = []
        for sensor, search in batch.search.items():
            here = batch.present is None or bool(batch.present[sensor][i])
            crop = _shown(search[i], sensor, TILE, here)
            template = _shown(batch.template[sensor][i], sensor, TILE // 2, here)
            _mark(crop, batch.box[i].cpu().numpy(), float(batch.visible[i]), min_visible)
            second = np.zeros((TILE - TILE // 2, TILE // 2, 3), np.uint8)
            if batch.memory is not None:
                memory = _shown(batch.memory[sensor][i], sensor, TILE // 2, here)
                second[: TILE // 2] = memory
            rows.append(np.concatenate([np.concatenate([template, second]), crop], 1))
        yield np.concatenate(rows)


def _shown(image: Tensor, sensor: str, side: int, here: bool) -> Image:
    """One crop (3, h, w) uint8 as a picture of that side; grey where the sample lacks the sensor."""
    if not here:
        return np.full((side, side, 3), MISSING, np.uint8)
    pixels = image.permute(1, 2, 0).cpu().numpy()
    if sensor == Modality.DEPTH:
        pixels = pixels[..., ::-1]  # the trackers' depth is a colour map in BGR order
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _mark(crop: Image, box: NDArray[np.float32], visible: float, min_visible: float) -> None:
    """Draw the target's box; a cross through the crop where there is no target to find."""
    if visible < min_visible:
        for ends in (((0, 0), (TILE, TILE)), ((0, TILE), (TILE, 0))):
            cv2.line(crop, *ends, GONE, 1)
        return
    left, top, width, height = (float(v) * TILE for v in box)
    corners = (round(left), round(top)), (round(left + width), round(top + height))
    cv2.rectangle(crop, *corners, (0, 0, 0), 3)
    cv2.rectangle(crop, *corners, BOX, 1)


def _grid(tiles: Sequence[Image]) -> Image:
    """The tiles in rows of ``COLUMNS``, with a gap between them."""
    height, width = (length + 4 for length in tiles[0].shape[:2])
    columns = min(COLUMNS, len(tiles))
    sheet = np.zeros((-(-len(tiles) // columns) * height, columns * width, 3), np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * height, k % columns * width
        sheet[top : top + height - 4, left : left + width - 4] = tile
    return sheet
