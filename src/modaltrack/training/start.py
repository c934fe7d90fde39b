# SPDX-License-Identifier: Apache-2.0
"""How a run begins, a model and the weights it starts from, and how it ends, a file of weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modaltrack.files import checksum, read_json
from modaltrack.models.model import TorchModel
from modaltrack.training.adaptation import merged
from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.recipe import Recipe
from modaltrack.training.recipes.starts import missing_start
from modaltrack.training.rgb_tracker import POSITIONS, fit_positions, read_rgb_tracker

CHECKPOINT = "checkpoint.safetensors"


def build_model(recipe: Recipe) -> TorchModel:
    """The recipe's model with fresh weights."""
    from modaltrack import models

    return models.create(recipe.model, **recipe.model_options)


def start_weights(
    model: nn.Module,
    start_from: str,
    sha256: str | None = None,
    positions_from: str | None = None,
    only: str | None = None,
) -> dict[str, Any]:
    """Copy weights into the model by name and say what was copied and what keeps its fresh values.

    Args:
        start_from: a training folder (its running average is taken), a name or path that ``models.load_model`` knows,
            or an authors' checkpoint (.pth, .tar) of an RGB tracker, whose positions are fitted to the model's size.
        sha256: what the file's has to be.
        positions_from: an authors' checkpoint of which only the positions are taken.
        only: regular expression; of ``start_from`` nothing but the tensors whose names it matches.

    Raises:
        ValueError: when a file is missing or another one, ``only`` matches nothing, or a tensor of the source has no
            place or another shape in the model.
    """
    from modaltrack import models

    source = _tensors(model, start_from, sha256)
    if only is not None:
        source = {name: tensor for name, tensor in source.items() if re.match(only, name)}
        if not source:
            raise ValueError(f"No tensor of {start_from} has a name that matches {only!r}: correct start_only.")
    if positions_from is not None:
        source |= _tensors(model, positions_from, None, tuple(POSITIONS))
    try:
        report = models.start_from(model, source)
    except ValueError as error:
        raise ValueError(f"{start_from} is no start for {type(model).__name__}. {error}") from None
    copied, fresh = len(report.matched), sorted(report.missing)
    return {
        "from": start_from if positions_from is None else f"{start_from}, positions of {positions_from}",
        "copied": copied,
        "fresh": fresh,
        "summary": f"{copied} tensors copied, {len(fresh)} keep their fresh values",
    }


def _tensors(
    model: nn.Module, start_from: str, sha256: str | None, only: tuple[str, ...] | None = None
) -> dict[str, Tensor]:
    """The tensors of ``start_weights``' source, by this package's names.

    Args:
        only: nothing but these, and nothing added to them.
    """
    from modaltrack import models

    path = Path(start_from)
    if not path.exists() and (message := missing_start(start_from)):
        raise ValueError(message)
    digest: str | None = None
    is_authors = path.suffix in (".pth", ".tar", ".pt")
    if (path / CHECKPOINT).exists():
        tensors = merged(load_checkpoint(path / CHECKPOINT).part("average"))
    elif is_authors:
        tensors, digest = read_rgb_tracker(path)
    else:
        tensors = dict(models.load_torch_model(start_from, device="cpu").state_dict())
        digest = checksum(path) if path.is_file() else None
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{start_from} has the SHA-256 {digest} and not {sha256}: give the file that has it.")
    if only is not None:
        tensors = {name: tensors[name] for name in only}
    return fit_positions(tensors, model) if is_authors else tensors


def export(
    out_dir: str | Path,
    path: str | Path | None = None,
    *,
    thresholds: dict[str, float] | None = None,
    measured: dict[str, Any] | None = None,
    model: TorchModel | None = None,
    base: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run's averaged weights and their card as one file that ``models.load_model`` reads; returns its path.

    Args:
        path: default ``out_dir/NAME.safetensors``.
        thresholds: from ``calibrate``.
        measured: numbers with their conditions.
        model: what the weights are read into; default: the recipe's model.
        base: shipped weights that the file may lean on for what was frozen (see ``models.save_model``).
        facts: what else the card says, or says otherwise: ``data``, a list of the picture sets that the weights have
            seen, each with ``name``, ``licence`` and ``commercial``; ``owes``, what they owe to other weights.

    Raises:
        ValueError: when there is no checkpoint.
    """
    from modaltrack import models

    out_dir = Path(out_dir)
    if not (out_dir / CHECKPOINT).exists():
        raise ValueError(f"There is no {CHECKPOINT} in {out_dir}: give the folder of a training run.")
    saved = load_checkpoint(out_dir / CHECKPOINT)
    run = read_json(out_dir / "card.json", "train the run to its end, which writes it")
    recipe = saved.rest["recipe"]
    if model is None:
        model = models.create(recipe["model"], **recipe["model_options"])
    model.load_state_dict(merged(saved.part("average")))
    config = model.config
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
        **(facts or {}),
    }
    path = Path(path) if path is not None else out_dir / f"{recipe['name']}.safetensors"
    models.save_model(model.eval(), path, card, base=base)
    return path


def _encodings(recipe: dict[str, Any]) -> dict[str, str]:
    """Sensor -> name of the encoding that the scenes render it in: the readers' default."""
    from modaltrack.sources.encodings import DEFAULT_ENCODING

    seen = {"rgb", *recipe["modalities"], *recipe["input_mix"]}
    return {str(m): name for m, name in DEFAULT_ENCODING.items() if m in seen}
