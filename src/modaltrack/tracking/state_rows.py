# SPDX-License-Identifier: Apache-2.0
"""Some of the targets of a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import State
from modaltrack.tracking.template_memory import rows_of


def select(state: State, rows: Sequence[int] | NDArray[np.int64]) -> State:
    """The state of some of its targets only, in that order: how a clip that has ended drops out."""
    rows = np.asarray(rows, np.int64)
    return replace(
        state,
        memory=None if state.memory is None else rows_of(state.memory, rows),
        box=state.box[rows],
        score=state.score[rows],
        status=state.status[rows],
        template={m: t[torch.from_numpy(rows).to(t.device)] for m, t in state.template.items()},
        template_present={m: p[rows] for m, p in state.template_present.items()},
        unseen=state.unseen[rows],
        initial_size=state.initial_size[rows],
        image_size=state.image_size[rows],
    )
