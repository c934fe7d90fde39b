# SPDX-License-Identifier: Apache-2.0
"""What of a model learns: the recipe's groups, or one of the usual baselines, the same for every method [ours].

full: every parameter at the recipe's rate. head: the head alone. adapters: what the method adds to the RGB tracker it
grew from, copies included. lora: low-rank changes of every attention's qkv and projection, and nothing else (as in
docs/methods/srtrack.md 1.3). What does not learn stays as it starts, so head and lora suit models whose additions start
without effect: the tiny ones, and base ones with such settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modaltrack.models.model import TorchModel
from modaltrack.models.ostrack import OSTrack, OSTrackConfig
from modaltrack.models.parts.lora import start_factors
from modaltrack.models.parts.vit import Attention
from modaltrack.models.trunk import ViTConfig, ViTTracker
from modaltrack.training.recipe import Group, Recipe


class LowRankChange(nn.Module):
    """A weight (out, in) -> weight + B A / rank, as in ``LoraLinear``, for every reader of the weight."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.lora_A, self.lora_B = start_factors(weight.shape[1], weight.shape[0], rank)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.lora_B @ self.lora_A / self.lora_A.shape[0]  # the sum in the weight's own precision


def adapt(model: TorchModel, recipe: Recipe) -> TorchModel:
    """The model with the recipe's further tensors put in, for start weights or a run's checkpoint; changed in place."""
    if recipe.adaptation == "lora":
        for module in model.modules():
            if isinstance(module, Attention):
                for layer in (module.qkv, module.proj):
                    parametrize.register_parametrization(layer, "weight", LowRankChange(layer.weight, recipe.lora_rank))
    return model


def merged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of an adapted model under the names of a plain one, low-rank changes added to their weights."""
    found = {name: tensor for name, tensor in tensors.items() if ".parametrizations." not in name}
    for name, weight in tensors.items():
        if name.endswith(".parametrizations.weight.original"):
            a, b = (tensors[name.replace("original", f"0.lora_{part}")] for part in "AB")
            found[name.replace("parametrizations.weight.original", "weight")] = weight + b @ a / a.shape[0]
    return found


def additions(model: TorchModel) -> list[str]:
    """Names of the parameters that the RGB tracker of the same size has not."""
    if not isinstance(model, ViTTracker):
        raise ValueError(
            f"{type(model).__name__} was not built on an OSTrack, so what it adds to one is not known: "
            'leave adaptation at "recipe" and name what learns in trainable.'
        )
    sizes = {field.name: getattr(model.config, field.name) for field in fields(ViTConfig)}
    with torch.device("meta"):
        known = {name for name, _ in OSTrack(OSTrackConfig(**sizes)).named_parameters()}
    return [name for name, _ in model.named_parameters() if name not in known]


def as_adapted(recipe: Recipe, model: TorchModel) -> Recipe:
    """The recipe whose ``trainable`` is what learns under its adaptation in the adapted ``model``.

    Raises:
        ValueError: where nothing would: a single-stream model has no additions.
    """
    if recipe.adaptation == "recipe":
        return recipe
    pattern = {"full": "", "head": r"head\.", "lora": r".*\.lora_[AB]$"}.get(recipe.adaptation)
    if pattern is None:
        names = additions(model)
        if not names:
            raise ValueError(f"{recipe.model} adds nothing to its RGB tracker: adaptation=adapters trains nothing.")
        pattern = "|".join(f"{re.escape(name)}$" for name in names)
    return replace(recipe, trainable=(Group(pattern),))
