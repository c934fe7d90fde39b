# SPDX-License-Identifier: Apache-2.0
"""The published training step, term by term and gradient by gradient, through the objective that runs train with."""

import json

import numpy as np
import pytest
import torch
from tests.models.test_parity import build

from modaltrack.models.authors import our_name
from modaltrack.training import masking
from modaltrack.training.data import Batch
from modaltrack.training.masking import Masked, distillation_loss
from modaltrack.training.recipe import Recipe


@pytest.fixture(scope="module")
def sdstrack():
    return build("sdstrack")


@pytest.mark.parametrize("epoch", [1, 25])
def test_training_step_matches_the_published_one(sdstrack, epoch, monkeypatch):
    """Gradients in the later epoch only, which also drops tokens: they take half of the time."""
    ref, model, _, (template, search) = sdstrack
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("adapters.", "fusions.", "patch_embed_x.", "norm.")))
    model.zero_grad()
    get = lambda name: ref[f"train_epoch{epoch}_{name}"]  # noqa: E731
    masks = {
        role: {m: torch.from_numpy(get(f"mask_{role}_{key}")) for m, key in (("rgb", "rgb"), ("thermal", "x"))}
        for role in ("template", "search")
    }
    monkeypatch.setattr(masking, "draw_masks", lambda *_: masks)
    stages = []
    compare = masking.distillation_loss
    monkeypatch.setattr(masking, "distillation_loss", lambda found: (stages.extend(found), compare(found))[1])
    recipe = Recipe("published", "sdstrack-base", modalities=("thermal",), objective="masked-published", box_at="peak")
    everywhere = torch.ones(2, dtype=torch.bool)
    batch = Batch(
        {}, {}, torch.tensor(ref["meta"]["search_box_xywh"]), torch.ones(2), {"rgb": everywhere, "thermal": everywhere}
    )
    with torch.set_grad_enabled(epoch == 25):
        terms = Masked(recipe, model)(model, batch, template, search, float(get("keep_rate")))
    assert terms.keys() == set(Masked.terms)
    for term in ("giou", "l1", "focal"):
        found = [terms[term].item(), terms[f"masked_{term}"].item()]
        np.testing.assert_allclose(found, get(term), rtol=1e-4, err_msg=term)
    np.testing.assert_allclose([distillation_loss([stage]).item() for stage in stages], get("mse"), rtol=1e-4)
    assert terms["distillation"].item() == pytest.approx(get("mse").mean(), rel=1e-4)
    assert terms["total"].item() == pytest.approx(float(get("total")), rel=1e-5)
    if epoch == 1:
        return
    terms["total"].backward()
    parameters = dict(model.named_parameters())
    names = [our_name("sdstrack", name) for name in json.loads(str(get("grad_names")))]
    norms = [parameters[name].grad.norm().item() for name in names]
    print("largest relative difference of a gradient norm", np.abs(norms / get("grad_norms") - 1).max())
    np.testing.assert_allclose(norms, get("grad_norms"), rtol=1e-3)
