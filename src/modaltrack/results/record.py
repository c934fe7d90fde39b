# SPDX-License-Identifier: Apache-2.0
"""What one tracker wrote on one benchmark: a ``Result`` per sequence and what is to be said about the files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class ResultSet:
    """Everything one tracker wrote.

    Attributes:
        recognised: one sentence on the layout.
        problems: what is odd about it, one sentence each.
        unreadable: name of a sequence -> why its file could not be read, where reading went on after it.
    """

    tracker: str
    sequences: dict[str, Result]
    recognised: str
    problems: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
