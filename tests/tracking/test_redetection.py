# SPDX-License-Identifier: Apache-2.0
"""A target that left and came back elsewhere is found by searching the whole image while it is lost."""

import numpy as np
import pytest
from colour_world import ColourModel, block

from modaltrack.frame import Status
from modaltrack.tracking import Policy, start, step
from modaltrack.tracking.redetection import OVERLAP, places

SIZE = 24


def test_places_cover_the_image_nearest_first():
    box = np.array([300.0, 200, 20, 20])
    found = places(box, 100, 240, 320)
    centre = box[:2] + box[2:] / 2
    distance = np.linalg.norm(found - centre, axis=1)
    assert (np.diff(distance) >= 0).all()
    covered = np.zeros((240, 320), bool)
    for x, y in found:
        covered[int(max(0, y - 50)) : int(y + 50), int(max(0, x - 50)) : int(x + 50)] = True
    assert covered.all()
    xs = np.unique(found[:, 0])
    assert (np.diff(xs) <= 100 * (1 - OVERLAP) + 1e-9).all()


@pytest.mark.parametrize(("redetect", "finds"), [(3, True), (0, False)])
def test_found_again_on_the_other_side(redetect, finds):
    model = ColourModel()
    policy = Policy(redetect=redetect, redetect_threshold=0.4)
    here, there = np.array([20.0, 20, SIZE, SIZE]), np.array([400.0, 300, SIZE, SIZE])
    state = start(model, block(here, height=360, width=480), here)
    for _ in range(8):
        state = step(model, state, block(None, height=360, width=480), policy)
    assert state.status[0] == Status.LOST
    for _ in range(12):
        state = step(model, state, block(there, height=360, width=480), policy)
    on_target = np.abs(state.box[0, :2] - there[:2]).max() < SIZE
    assert on_target == finds
    assert (state.status[0] == Status.TRACKING) == finds
