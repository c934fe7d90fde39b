# SPDX-License-Identifier: Apache-2.0
"""A study written by hand: cards and measurements of runs that never were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modaltrack.study.folder import Settings, StudyFolder, write_json
from modaltrack.study.plan import CORRUPTIONS, SENSORS, run_of

SETTINGS = Settings(steps=10, batch=4, clips=4, frames=5)
CLIPS = 4


def conditions(success: Mapping[str, float], ripple: Sequence[float] = (0.0, 0.1, -0.1, 0.0)) -> dict[str, dict]:
    """Measurements of four clips; success: by kind ("rgb", "x", "both") or by condition, the default .5."""
    names = ["rgb", *SENSORS]
    for x in SENSORS:
        names += [f"rgb+{x}", *(f"rgb+{x} | {what}" for what in CORRUPTIONS), f"rgb+{x} | first template"]
    found = {}
    for name in names:
        kind = "rgb" if name == "rgb" else "both" if "+" in name else "x"
        level = success.get(name, success.get(name.partition(" | ")[2], success.get(kind, 0.5)))
        found[name] = {"success": list(np.round(level + np.array(ripple), 5)), "precision": [0.5] * CLIPS, "score": 0.5}
    return found


def put(
    path: Path, run: str, seed: int, success: Mapping[str, float], clips: int = CLIPS, gap: Mapping | None = None
) -> None:
    """Write the card and the measurement of a run."""
    folder = StudyFolder(path).run(run_of(run), seed)
    card = {"finished": True, "steps": 10, "hours": 0.5, "parameters": 2_000_000, "trained_parameters": 1_000_000}
    write_json(folder / "card.json", card)
    data = {"run": run, "seed": seed, "of": {"clips": clips, "frames": SETTINGS.frames, "weights": "x"}}
    write_json(folder / "evaluation.json", {**data, "conditions": conditions(success), "gap": gap or {}})
