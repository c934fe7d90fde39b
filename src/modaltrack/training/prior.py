# SPDX-License-Identifier: Apache-2.0
"""The prior of two-significance tuning: what the weights of the RGB tracker mean to it, measured on RGB pairs.

[inferred], docs/methods/srtrack.md 2.5: the paper's own form is not known.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import torch
from torch import Tensor

from modaltrack.models.model import TorchModel
from modaltrack.models.ostrack import OSTrack, OSTrackConfig
from modaltrack.models.trunk import ViTConfig, ViTTracker
from modaltrack.training.data import BatchSource
from modaltrack.training.objective import Tracking, batch_losses
from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import SamplerBuilder
from modaltrack.training.significance import prior_significance, spread_prior

SEED = 7_000_003  # added to the run's: the pairs of the prior are none of the run's


def measure_prior(
    recipe: Recipe, model: TorchModel, names: list[str], device: torch.device, make_sampler: SamplerBuilder | None
) -> list[Tensor]:
    """Mean squared gradients of the RGB tracker inside a model that has just been started, for the model's ``names``.

    ``recipe.prior_batches`` batches of RGB pairs, evaluation mode, the tracking loss.

    Raises:
        ValueError: if there are none.
    """
    base = rgb_tracker(model).to(device).eval()
    alone = replace(
        recipe, modalities=(), input_mix={}, objective="tracking", objective_options={}, significance="none"
    )
    alone = replace(alone, seed=recipe.seed + SEED, accumulation=1, shard=None, elimination_epochs=None)
    place = str(device) if device.type == "cuda" else "cpu"
    config = base.config
    source = BatchSource(alone, config.template_size, config.search_size, device=place, build_sampler=make_sampler)
    tracking = Tracking(alone, base)
    learning = {name: p.requires_grad_(True) for name, p in base.named_parameters()}
    losses = (
        batch_losses(tracking, base, alone, part, device)[0]
        for step in range(recipe.prior_batches)
        for part in source(step)
    )
    prior = dict(zip(learning, prior_significance(losses, list(learning.values()))))
    return spread_prior({name: value for name, value in prior.items() if value.any()}, model, names)


def rgb_tracker(model: TorchModel) -> TorchModel:
    """The one-stream tracker that a model has grown from, with the weights that the model has under its names.

    A model of another family is copied as it is: it is then probed on RGB alone, as far as it can run on it.
    """
    own = model.state_dict()
    if isinstance(model, ViTTracker):
        names = [field.name for field in fields(ViTConfig) if field.name != "modalities"]
        base = OSTrack(OSTrackConfig(**{name: getattr(model.config, name) for name in names}))
        wanted = base.state_dict()
        if all(name in own and own[name].shape == value.shape for name, value in wanted.items()):
            base.load_state_dict({name: own[name] for name in wanted})
            return base
    return copy.deepcopy(model)
