# SPDX-License-Identifier: Apache-2.0
"""What a run has learnt, in one pair of numbers: its loss before and after on the same pairs, none of them trained on.

Steps of 32 samples differ by more (0.04 in their means over 20 steps) than a short run gains, so that its log alone
does not show whether the loss falls.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from modaltrack.training.adaptation import merged
from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.data import BatchSource
from modaltrack.training.objective import Tracking, batch_losses
from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import SamplerBuilder
from modaltrack.training.start import CHECKPOINT, build_model, start_weights

FAR = 1 << 30  # steps beyond any run's


def held_out_losses(
    recipe: Recipe, out_dir: str | Path, batches: int = 3, make_sampler: SamplerBuilder | None = None
) -> tuple[float, float]:
    """The tracking loss of the weights that the run of ``recipe`` in ``out_dir`` started from, and of its average.

    Mean over ``batches`` batches, every sensor there, in evaluation mode; on the CPU.
    """
    plain = replace(
        recipe, modality_dropout=0.0, accumulation=1, shard=None, objective="tracking", objective_options={}
    )
    with torch.random.fork_rng(enabled=True), torch.inference_mode():
        torch.manual_seed(recipe.seed)
        model = build_model(recipe)
        if recipe.start_from:
            start_weights(model, recipe.start_from, recipe.start_sha256, recipe.start_positions_from, recipe.start_only)
        config = model.config
        assert not isinstance(config, nn.Module | torch.Tensor)
        source = BatchSource(plain, config.template_size, config.search_size, build_sampler=make_sampler)
        drawn = [source(FAR + k)[0] for k in range(batches)]
        objective, place = Tracking(plain, model), torch.device("cpu")

        def mean() -> float:
            model.eval()
            return float(torch.stack([batch_losses(objective, model, plain, b, place)[0] for b in drawn]).mean())

        before = mean()
        model.load_state_dict(merged(load_checkpoint(Path(out_dir) / CHECKPOINT).part("average")))
        return before, mean()
