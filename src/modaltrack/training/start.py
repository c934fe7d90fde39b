# SPDX-License-Identifier: Apache-2.0
"""How a run begins, a model and the weights it starts from, and how it ends, a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.recipe import Recipe

CHECKPOINT = "checkpoint.safetensors"


def build_model(recipe: Recipe) -> nn.Module:
    """The recipe's model with fresh weights."""
    from modaltrack import models

    model: nn.Module = models.create(recipe.model, **recipe.model_options)
    return model


def start_weights(model: nn.Module, start_from: str) -> dict[str, Any]:
    """Copy weights into the model by name and say what was copied and what keeps its fresh values.

    start_from: a training folder (its running average is taken), or a name or path that ``models.load_model`` knows.
    Raises ValueError when a tensor of the source has no place or another shape in the model. ``copied`` counts the
    model's tensors, those that ``copies_of_base`` names among them.
    """
    from modaltrack import models

    folder = Path(start_from)
    if (folder / CHECKPOINT).exists():
        source = load_checkpoint(folder / CHECKPOINT).part("average")
    else:
        source = models.load_model(start_from, device="cpu").state_dict()
    try:
        report = models.start_from(model, source)
    except ValueError as error:
        raise ValueError(f"{start_from} is no start for {type(model).__name__}. {error}") from None
    copied, fresh = len(report.matched), sorted(report.missing)
    return {
        "from": start_from,
        "copied": copied,
        "fresh": fresh,
        "summary": f"{copied} tensors copied, {len(fresh)} keep their fresh values",
    }


def export(
    out_dir: str | Path,
    path: str | Path | None = None,
    *,
    thresholds: dict[str, float] | None = None,
    measured: dict[str, Any] | None = None,
    model: nn.Module | None = None,
) -> Path:
    """Write a run's averaged weights and their card as one file that ``models.load_model`` reads; returns its path.

    path: default ``out_dir/NAME.safetensors``. thresholds: from ``calibrate``. measured: numbers with their conditions.
    model: what the weights are read into; default: the recipe's model. Raises ValueError when there is no checkpoint.
    """
    import json

    from modaltrack import models

    out_dir = Path(out_dir)
    if not (out_dir / CHECKPOINT).exists():
        raise ValueError(f"There is no {CHECKPOINT} in {out_dir}: give the folder of a training run.")
    saved = load_checkpoint(out_dir / CHECKPOINT)
    run = json.loads((out_dir / "card.json").read_text(encoding="utf-8"))
    recipe = saved.rest["recipe"]
    if model is None:
        model = models.create(recipe["model"], **recipe["model_options"])
    model.load_state_dict(saved.part("average"))
    config: Any = model.config
    card = {
        "name": recipe["name"],
        "method": recipe["model"].split("-")[0],
        "size": recipe["model"].split("-")[-1],
        "model": recipe["model"],
        "config": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(config).items()},
        "modalities": [str(m) for m in config.modalities],
        "encodings": _encodings(recipe),
        "thresholds": thresholds,
        "recipe": recipe,
        "seed": recipe["seed"],
        "steps": run["steps"],
        "hours": run["hours"],
        "hardware": run["environment"]["hardware"],
        "commit": run["environment"]["commit"],
        "finished": run["finished"],
        "measured": measured or {},
        "licence": "Apache-2.0",
    }
    path = Path(path) if path is not None else out_dir / f"{recipe['name']}.safetensors"
    models.save_model(model.eval(), path, card)
    return path


def _encodings(recipe: dict[str, Any]) -> dict[str, str]:
    """Sensor -> name of the encoding that the scenes render it in: the readers' default."""
    from modaltrack.sources.encodings import DEFAULT_ENCODING

    seen = {"rgb", *recipe["modalities"], *recipe["input_mix"]}
    return {str(m): name for m, name in DEFAULT_ENCODING.items() if m in seen}
