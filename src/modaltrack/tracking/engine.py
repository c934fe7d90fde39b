# SPDX-License-Identifier: Apache-2.0
"""A model of this package as the engine of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from numpy.typing import ArrayLike

from modaltrack.frame import Frame, State
from modaltrack.models.model import Model, declared
from modaltrack.session import Answer
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.state_rows import select
from modaltrack.tracking.step import start, step


class ModelEngine:
    """Follows targets with a model; its states are ``State``.

    Args:
        model: as ``load_model`` gives it.
        policy: default ``Policy.of(model)``.
    """

    batches = True

    def __init__(self, model: Model, policy: Policy | None = None) -> None:
        self.model, self.policy = model, policy or Policy.of(model)
        self.card = declared(model).card

    def __repr__(self) -> str:
        return f"ModelEngine({self.model!r})"

    @property
    def info(self) -> dict[str, Any]:
        """What goes into every record."""
        return {"model": self.card.get("name"), "policy": asdict(self.policy)}

    def start(self, frames: Sequence[Frame], boxes: Sequence[ArrayLike]) -> State:
        return start(self.model, frames, list(boxes))  # type: ignore[arg-type]

    def step(self, state: State, frames: Sequence[Frame]) -> State:
        return step(self.model, state, frames, self.policy)

    def select(self, state: State, rows: Sequence[int]) -> State:
        return select(state, rows)

    def read(self, state: State) -> Answer:
        return state.box, state.score, state.status
