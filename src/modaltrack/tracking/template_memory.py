# SPDX-License-Identifier: Apache-2.0
"""A second template that follows the target, for models that take two: which frame it is cut from, and when.

The first template is never replaced. Both rules are readings of one sentence of the TPF paper (arXiv 2503.11247: the
most reliable frame closest to the current one), inferred in docs/methods/tpf.md 5; the numbers are those of sibling
works:

* P2, the most reliable of the nearest: every ``interval`` frames the best-scoring of the last ``pool`` frames.
* P1, the nearest of the reliable: every ``interval`` frames the latest that scored at least ``threshold``.

Sibling works' numbers: AINet's and CAFormer's unused code has P2 with 5, 10 and 0.65 (our defaults), STTrack on RGB-T
P1 with an interval of 5 and 0.65, SUTrack P1 with 25 and 0.70.

Only one candidate has to be kept for each target, since it is known beforehand which frames a check will look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import Modality, State, TemplateMemory

RULES = ("P1", "P2")
Images = Mapping[Modality, torch.Tensor]


@dataclass(frozen=True, slots=True)
class TemplateUpdate:
    """When and from which frame the second template is taken.

    Attributes:
        rule: "P2" (default) or "P1", or "none": the second template stays the first.
        pool: frames that P2 looks back at a check.
        interval: frames between checks.
        threshold: windowed score (0..1) that a frame needs.
    """

    rule: str = "P2"
    pool: int = 5
    interval: int = 10
    threshold: float = 0.65

    def __post_init__(self) -> None:
        if self.rule not in (*RULES, "none"):
            raise ValueError(f"The rule of the template update is {self.rule!r}; expected {', '.join(RULES)} or none.")
        if self.pool < 1 or self.interval < 1 or not 0 <= self.threshold <= 1:
            raise ValueError(f"{self} is impossible; pool and interval are at least 1, threshold is in 0..1.")

    def better(self, index: int, score: NDArray[np.float64], candidate_score: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which targets' candidate frame ``index`` (from 1) becomes; scores (B,), -inf where there is no candidate.

        Of two equal scores the later frame counts.
        """
        reliable = score >= self.threshold
        if self.rule == "none":
            return np.zeros_like(reliable)
        if self.rule == "P1":
            return reliable
        since_check = (index - 1) % self.interval + 1
        return reliable & (score >= candidate_score) & (since_check > self.interval - self.pool)

    def due(self, index: int) -> bool:
        """Whether frame ``index`` (from 1) ends with a check, after which there is no candidate."""
        return index % self.interval == 0


def remember(state: State, first: Images, present: Mapping[Modality, NDArray[np.bool_]]) -> TemplateMemory:
    """The memory after first templates were cut: targets whose templates changed begin again with those (B, 3, h, w).

    A second template of some sensors beside a first one of others would be fused from different moments.
    """
    count = len(state.box)
    memory = state.memory or TemplateMemory(
        {}, np.zeros(count, np.int64), {}, np.full(count, -np.inf), np.zeros(count, np.int64)
    )
    changed = np.zeros(count, bool)
    for modality, has in present.items():
        changed |= has & ~state.template_present.get(modality, np.zeros(count, bool))
    if not changed.any():
        return memory
    images = {m: _mixed(memory.image.get(m), image, changed) for m, image in first.items()}
    return replace(
        memory,
        image=images,
        index=np.where(changed, 0, memory.index),
        candidate_score=np.where(changed, -np.inf, memory.candidate_score),
    )


def propose(memory: TemplateMemory, crops: Images, rows: NDArray[np.bool_], state: State) -> TemplateMemory:
    """The memory with the crops (B, 3, h, w) of ``state``'s frame as the candidates of the targets ``rows`` (B,)."""
    return replace(
        memory,
        candidate={m: _mixed(memory.candidate.get(m), crop, rows) for m, crop in crops.items()},
        candidate_score=np.where(rows, state.score, memory.candidate_score),
        candidate_index=np.where(rows, state.index, memory.candidate_index),
    )


def adopt(memory: TemplateMemory) -> TemplateMemory:
    """The memory after a check: candidates become second templates; targets without one keep theirs."""
    rows = np.isfinite(memory.candidate_score)
    if not rows.any():
        return memory
    images = {m: _mixed(image, memory.candidate.get(m, image), rows) for m, image in memory.image.items()}
    return replace(
        memory,
        image=images,
        index=np.where(rows, memory.candidate_index, memory.index),
        candidate={},
        candidate_score=np.full(len(rows), -np.inf),
    )


def rows_of(memory: TemplateMemory, rows: NDArray[np.int64]) -> TemplateMemory:
    """The memory of some targets only, in that order."""
    return TemplateMemory(
        {m: t[torch.from_numpy(rows).to(t.device)] for m, t in memory.image.items()},
        memory.index[rows],
        {m: t[torch.from_numpy(rows).to(t.device)] for m, t in memory.candidate.items()},
        memory.candidate_score[rows],
        memory.candidate_index[rows],
    )


def _mixed(old: torch.Tensor | None, new: torch.Tensor, rows: NDArray[np.bool_]) -> torch.Tensor:
    if old is None or rows.all():
        return new
    return torch.where(torch.from_numpy(rows).to(new.device)[:, None, None, None], new, old)
