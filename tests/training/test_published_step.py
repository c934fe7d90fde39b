# SPDX-License-Identifier: Apache-2.0
"""The published training step, term by term and gradient by gradient."""

import json

import numpy as np
import pytest
import torch
from tests.models.test_parity import build

from modaltrack.models.authors import our_name
from modaltrack.training.losses import box_losses
from modaltrack.training.masking import CLEAN, DISTILLATION, MASKED, distillation_loss


@pytest.fixture(scope="module")
def sdstrack():
    return build("sdstrack")


@pytest.mark.parametrize("epoch", [1, 25])
def test_training_step_matches_the_published_one(sdstrack, epoch):
    ref, model, _, (template, search) = sdstrack
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("adapters.", "fusions.", "patch_embed_x.", "norm.")))
    model.zero_grad()
    get = lambda name: ref[f"train_epoch{epoch}_{name}"]  # noqa: E731
    masks = {
        role: {m: torch.from_numpy(get(f"mask_{role}_{key}")) for m, key in (("rgb", "rgb"), ("thermal", "x"))}
        for role in ("template", "search")
    }
    rate = float(get("keep_rate"))
    target = torch.tensor(ref["meta"]["search_box_xywh"])
    clean, masked, stages = model.masked_pair(template, search, masks, rate)
    losses = [box_losses(prediction, target) for prediction in (clean, masked)]
    for term in ("giou", "l1", "focal"):
        np.testing.assert_allclose([path[term].item() for path in losses], get(term), rtol=1e-4, err_msg=term)
    np.testing.assert_allclose([distillation_loss([stage]).item() for stage in stages], get("mse"), rtol=1e-4)
    total = CLEAN * losses[0]["total"] + MASKED * losses[1]["total"] + DISTILLATION * distillation_loss(stages)
    assert total.item() == pytest.approx(float(get("total")), rel=1e-5)
    total.backward()
    parameters = dict(model.named_parameters())
    names = [our_name("sdstrack", name) for name in json.loads(str(get("grad_names")))]
    norms = [parameters[name].grad.norm().item() for name in names]
    print("largest relative difference of a gradient norm", np.abs(norms / get("grad_norms") - 1).max())
    np.testing.assert_allclose(norms, get("grad_norms"), rtol=1e-3)
