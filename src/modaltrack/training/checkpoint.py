# SPDX-License-Identifier: Apache-2.0
"""One safetensors file holds all that a run needs to go on: no pickle, and a crash leaves the old file or the new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from modaltrack.files import write_file
from modaltrack.models.safetensors_reader import SafetensorsFile, plain_json

FORMAT = "modaltrack-checkpoint-1"
_HEADER = 2**26  # bytes: names of weights, averages and moments, and every validation of the run


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What was read: tensors by prefixed name (``model.``, ``average.``, ``optimizer.`` ...) and the plain rest."""

    tensors: dict[str, torch.Tensor]
    rest: dict[str, Any]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors below a prefix, with it removed."""
        return {k[len(prefix) + 1 :]: v for k, v in self.tensors.items() if k.startswith(prefix + ".")}


def save_checkpoint(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    rest: dict[str, Any],
    more: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write model, average and optimiser as tensors and ``rest`` (JSON data: step, elapsed, recipe ...)

    atomically.

    Args:
        more: further tensors, by names with a prefix of their own.
    """
    tensors: dict[str, torch.Tensor] = dict(more or {})
    for prefix, module in (("model", model), ("average", average)):
        tensors.update({f"{prefix}.{k}": v for k, v in module.state_dict().items()})
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"]):
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}:{name}"] = value
    plain = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save(plain, metadata={"format": FORMAT, "rest": json.dumps(rest)}), durable=True)


def load_checkpoint(path: Path) -> SavedRun:
    """Read a checkpoint onto the CPU.

    Raises:
        ValueError: when the file is not one.
    """
    file = SafetensorsFile(path, header_bytes=_HEADER)
    if file.metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is not a {FORMAT} file: point at the folder of a training run.")
    try:
        rest = plain_json(file.metadata["rest"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}).") from None
    if not isinstance(rest, dict) or not all(isinstance(rest.get(part), dict) for part in ("recipe", "totals")):
        raise ValueError(f"{path} is damaged: it does not say of which recipe and how far it is.")
    return SavedRun(file.load(), rest)


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give every parameter back its moments; parameters that never had a gradient have none."""
    states: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        kind, name = key.split(":", 1)
        states.setdefault(name, {})[kind] = value
    known = {n for group in optimizer.param_groups for n in group["names"]}
    if not set(states) <= known:
        raise ValueError(
            f"The checkpoint has optimiser states for {sorted(set(states) - known)[:3]}, which this recipe freezes: "
            "resume with the recipe that the run was started with."
        )
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"]):
            if name in states:
                optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in states[name].items()}
