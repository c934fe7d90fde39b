# SPDX-License-Identifier: Apache-2.0
"""Finding a lost target again anywhere in the image, a few places a frame. [ours]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Frame, State
from modaltrack.models.model import Model
from modaltrack.tracking.look import Boxes, look, sensor_sets
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.state_rows import select

COARSE = 2.0  # factor on the search crop's side: half as fine, a quarter of the places
OVERLAP = 0.4  # share of a crop's side by which neighbouring places overlap: a target at a border is whole in one


def places(box: NDArray[np.float64], side: float, height: int, width: int) -> NDArray[np.float64]:
    """Centres (n, 2) of crops of ``side`` pixels that cover an image, those nearest to the box first.

    >>> len(places(np.array([10.0, 10, 20, 20]), 100.0, 100, 220))
    3
    """
    axes = []
    for length in (width, height):
        step = side * (1 - OVERLAP)
        count = max(1, int(np.ceil((length - side) / step)) + 1)
        axes.append(np.linspace(min(side, length) / 2, length - min(side, length) / 2, count))
    grid = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    centre = box[:2] + box[2:] / 2
    return grid[np.argsort(((grid - centre) ** 2).sum(1), kind="stable")]


def search_everywhere(
    model: Model,
    state: State,
    frames: Sequence[Frame],
    policy: Policy,
    lost: NDArray[np.int64],
    first: tuple[Boxes, NDArray[np.float64]],
) -> tuple[Boxes, NDArray[np.float64]]:
    """Boxes (B, 4) and scores (B,) of the first look, replaced where another place shows a lost target.

    Args:
        lost: Rows of the targets to search for.
        first: What was found around the last box.

    Returns:
        The better of both; a place counts from ``policy.redetect_threshold`` on.
    """
    predicted, score = (part.copy() for part in first)
    rows, boxes = [], []
    for row in lost:
        height, width = next(iter(frames[row].images.values())).shape[:2]
        box = state.box[row]
        side = COARSE * model.config.search_factor * float(np.sqrt(box[2] * box[3]))
        all_places = places(box, side, height, width)
        start = (int(state.unseen[row]) - policy.lost_after) * policy.redetect
        for k in range(min(policy.redetect, len(all_places))):
            centre = all_places[(start + k) % len(all_places)]
            rows.append(int(row))
            boxes.append(np.concatenate([centre - box[2:] / 2, box[2:]]))
    asked = replace(select(state, rows), box=np.array(boxes))
    seen_by = [frames[row] for row in rows]
    growth, share = np.full(len(rows), COARSE), np.zeros(len(rows))
    found, confidence, _ = look(model, asked, seen_by, sensor_sets(model, asked, seen_by), policy, growth, share)
    for i, row in enumerate(rows):
        if confidence[i] >= max(policy.redetect_threshold, score[row]):
            predicted[row], score[row] = found[i], confidence[i]
    return predicted, score
