# SPDX-License-Identifier: Apache-2.0
"""What any method can be trained with: dropped keys, activations computed again."""

from contextlib import nullcontext
from functools import cache

import pytest
import torch

from modaltrack.models import create
from modaltrack.models.parts.vit import Attention
from modaltrack.training.activation_checkpointing import checkpointed

SMALL = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 8}
METHODS = {
    "ainet": {"fusion_blocks": (0, 1), "order_bins": (64, 32, 16, 8)},
    "ostrack": {},
    "sdstrack": {"fusion_blocks": (1,)},
    "smstracker": {},
    "srtrack": {"fusion_blocks": (1,)},
    "tpf": {},
}


@cache
def build(method, **options):
    torch.manual_seed(0)
    return create(f"{method}-tiny", **SMALL, **METHODS[method], drop_path=0.1, **options).train()


def images(method):
    torch.manual_seed(1)
    sensors = ("rgb",) if method == "ostrack" else ("rgb", "thermal")
    return [{m: torch.randn(2, 3, size, size) for m in sensors} for size in (64, 128)]


def output(model, pair, amp=False):
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        prediction = model(*pair)
    return prediction.score_map.float().sum() + prediction.size_map.float().sum()


@pytest.mark.parametrize("method", METHODS)
def test_keys_are_dropped_in_every_attention_in_training_only(method):
    model, pair = build(method, drop_key=0.5), images(method)
    plain = build(method, drop_key=0.0)
    blocks = [module for name, module in model.named_modules() if isinstance(module, Attention) and "score" not in name]
    assert blocks
    assert all(block.drop_key == 0.5 for block in blocks)
    with torch.no_grad():
        assert output(model, pair) != output(plain, pair)
        model.eval(), plain.eval()
        assert output(model, pair) == output(plain, pair)
        model.train(), plain.train()
    loss = output(model, pair, amp=True)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    model.zero_grad()


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"ainet"}))  # its scans take too long; tpf has such, too
def test_activations_computed_again_give_the_same_gradients_from_fewer_bytes(method):
    model, pair = build(method, drop_key=0.1), images(method)
    found, held = [], []
    for sparing in (False, True):
        model.zero_grad()
        kept: dict[int, int] = {}

        def keep(tensor, kept=kept):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        again = checkpointed(model, lambda: torch.autocast("cpu", torch.bfloat16)) if sparing else nullcontext()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), again:
            loss = output(model, pair, amp=True)
        assert not any("forward" in vars(module) for module in model.modules())
        torch.manual_seed(3)  # the backward pass has to bring back the forward pass's random numbers by itself
        loss.backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        mine = {p.untyped_storage().data_ptr() for p in model.parameters()}
        held.append(sum(size for place, size in kept.items() if place not in mine))
    print(method, f"saved bytes {held[1] / held[0]:.2f}")
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=0, msg=name)
    assert held[1] < 0.8 * held[0]
