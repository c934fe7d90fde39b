# SPDX-License-Identifier: Apache-2.0
"""What the published recipes for real data sets have in common: the training script most of them grew from.

Tags as in docs/methods/index.md: [code], [paper], [inferred].
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from modaltrack.training.recipe import Recipe, register

# Pairs and loss of the whole family [code]; docs/methods/ostrack.md 5 and 8.
PAIRS: dict[str, float] = {
    "centre_jitter": 3.0,
    "scale_jitter": 0.25,
    "greyscale": 0.05,
    "flip": 0.5,
    "crop_flip": 0.5,
    "brightness": 0.2,
}
# Six-channel images made OpenCV's conversion fail and the sample be drawn anew: no greyscale ever happened.
PAIRS_WITHOUT_GREY: dict[str, float] = {**PAIRS, "greyscale": 0.0}
TITLES = {
    "lasher": "LasHeR",
    "depthtrack": "DepthTrack",
    "visevent": "VisEvent",
    "coesot": "COESOT",
    "fe108": "FE108",
    "vtuav": "VTUAV",
}
COMMON: dict[str, Any] = {
    "warmup": 0,
    "weight_decay": 1e-4,
    "decay_vectors": True,
    "clip": 0.1,
    "amp": "none",
    "ema": 0.0,
    "box_at": "peak",
    "giou": 2.0,
    "l1": 5.0,
    "focal": 1.0,
    "workers": 8,
    "log_every": 50,
}


def enter(name: str, doc: str, *, epochs: int, epoch_samples: int, batch: int, **fields: object) -> None:
    """Register a recipe that is given in epochs; ``doc`` says what to expect, on what hardware, in what time.

    An epoch has the whole batches that fit into ``epoch_samples``.
    """
    per_epoch = epoch_samples // batch

    def build() -> Recipe:
        known = {**COMMON, "save_every": per_epoch, **fields}
        return Recipe(name, steps=epochs * per_epoch, epoch_samples=per_epoch * batch, batch=batch, **known)

    build.__doc__ = _wrapped(doc)
    register(name)(build)


def _wrapped(doc: str) -> str:
    """A docstring put together from parts, its paragraphs filled: one for each of what follows a blank line or begins
    with where it starts from, what to expect, on what hardware."""
    paragraphs = re.split(r"\n(?=\n|Starts from|Expect:|Hardware:|A DESIGN)", doc.strip())
    return "\n".join(("\n" if p.startswith("\n") else "") + textwrap.fill(p.strip(), 116) for p in paragraphs) + "\n"
