# SPDX-License-Identifier: Apache-2.0
"""The memory estimate against what a step really holds, and the choice made with it."""

from dataclasses import replace

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from modaltrack.training.distributed import Ranks
from modaltrack.training.memory import GB, Estimate, _parts, estimate, fit, synthetic
from modaltrack.training.objective import batch_losses
from modaltrack.training.recipe import Recipe
from modaltrack.training.start import build_model
from modaltrack.training.step import Stepper

SMALL = {"dim": 48, "depth": 4, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
RECIPE = Recipe("r", "sdstrack-tiny", {**SMALL, "fusion_blocks": (3,)}, modalities=("thermal",), batch=12, ema=0.9)


def held(recipe: Recipe, samples: int) -> int:
    """Bytes of the saved tensors that are alive at once in a step of so many samples, weights left out."""
    model = build_model(recipe)
    stepper = Stepper(recipe, model, torch.device("cpu"), Ranks())
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}
    alive: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            alive[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = batch_losses(stepper.objective, model, recipe, synthetic(recipe, model, samples), torch.device("cpu"))
    losses[0].backward()
    return sum(alive.values())


def test_the_estimate_is_near_what_is_held() -> None:
    found, really = estimate(RECIPE), held(RECIPE, 10)
    assert 0.5 < found.each * 10 / really < 2
    weights = sum(p.numel() for p in build_model(RECIPE).parameters())
    assert found.fixed >= 4 * 5 * weights  # weights, average, gradients, two moments
    assert estimate(replace(RECIPE, significance="ranked")).fixed > found.fixed
    assert estimate(replace(RECIPE, adaptation="lora")).fixed < found.fixed


def test_computing_activations_again_takes_less() -> None:
    plain, sparing = estimate(RECIPE), estimate(replace(RECIPE, activation_checkpointing=True))
    assert 0 < sparing.each < 0.7 * plain.each


def test_a_forward_pass_without_a_backward_leaves_no_autocast_behind() -> None:
    def depth() -> int:
        torch.autocast_increment_nesting()
        return int(torch.autocast_decrement_nesting())

    before = depth()
    estimate(replace(RECIPE, activation_checkpointing=True, amp="bf16"))
    assert depth() == before, "later steps would compute with the first one's bf16 copies of the weights"


def test_the_largest_parts_that_fit_are_chosen() -> None:
    plain, sparing = estimate(RECIPE), estimate(replace(RECIPE, activation_checkpointing=True))
    whole, told = fit(RECIPE, plain.bytes(12) / GB * 1.001)
    assert (whole.accumulation, whole.activation_checkpointing) == (1, False)
    assert told.startswith("A step of 12 samples runs in 1 part(s) of 12: about")
    tight = plain.bytes(4) / GB * 1.001
    less, told = fit(RECIPE, tight)
    assert less.activation_checkpointing  # fewer than 8 fit without
    assert 12 % less.accumulation == 0
    assert sparing.bytes(12 // less.accumulation) <= tight * GB
    assert "computed again" in told
    one_of_two, _ = fit(RECIPE, plain.bytes(6) / GB * 1.001, world=2)  # the whole share of each process
    assert (one_of_two.accumulation, one_of_two.activation_checkpointing) == (1, False)
    with pytest.raises(ValueError, match=r"One sample of r needs .* GB and --memory is 1e-06"):
        fit(RECIPE, 1e-6)


def test_parts_are_whole_shards() -> None:
    assert _parts(replace(RECIPE, shard=4), 12, 11) == 3
    assert _parts(RECIPE, 12, 11) == 2
    assert _parts(RECIPE, 12, 0) is None
    assert Estimate(10.0, 2.0).most(15.0) == 2
