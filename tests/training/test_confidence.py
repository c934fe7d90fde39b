# SPDX-License-Identifier: Apache-2.0
"""The objectives for sensors' own maps and for the confidence."""

import pytest
import torch

from modaltrack import models
from modaltrack.models import Prediction
from modaltrack.training.confidence import Confidence, boxes_at, two_peaks
from modaltrack.training.data import Batch
from modaltrack.training.recipe import Group, Recipe
from modaltrack.training.sight import SightObjective

SMALL = {"dim": 32, "depth": 1, "heads": 2, "head_channels": 16}


def recipe(**fields):
    return Recipe(name="t", model="modaltrack-tiny", **fields)


def batch(n=4):
    g = torch.Generator().manual_seed(0)
    keys = ("rgb", "thermal")
    images = [{m: torch.randint(0, 255, (n, 3, s, s), generator=g, dtype=torch.uint8) for m in keys} for s in (64, 128)]
    present = {"rgb": torch.tensor([True, True, False, True]), "thermal": torch.tensor([True, False, True, True])}
    return Batch(*images, torch.tensor([[0.4, 0.4, 0.2, 0.2]]).repeat(n, 1), torch.tensor([1.0, 1, 1, 0]), present)


def as_float(images):
    return {m: x.float() / 255 for m, x in images.items()}


def test_two_peaks_are_apart():
    score = torch.zeros(1, 1, 8, 8)
    score[0, 0, 3, 3], score[0, 0, 3, 4], score[0, 0, 7, 0] = 0.9, 0.8, 0.4
    assert two_peaks(score).tolist() == [[27, 56]]


def test_boxes_at_reads_as_decode_does():
    torch.manual_seed(0)
    p = Prediction(torch.rand(3, 1, 8, 8), torch.rand(3, 2, 8, 8), torch.rand(3, 2, 8, 8), torch.zeros(3, 4))
    from modaltrack.boxes import xywh_to_cxcywh
    from modaltrack.vision.response import decode

    at = p.score_map.flatten(1).argmax(1)[:, None]
    torch.testing.assert_close(xywh_to_cxcywh(boxes_at(p, at)[:, 0]), decode(*p[:3])[0])


def test_sight_teaches_every_present_sensor_and_no_other():
    torch.manual_seed(0)
    model = models.create("modaltrack-tiny", **SMALL)
    b = batch()
    terms = SightObjective(recipe(objective="sight"), model)(model, b, as_float(b.template), as_float(b.search), None)
    assert set(terms) == set(SightObjective.terms)
    torch.testing.assert_close(
        terms["total"], 2 * terms["giou"] + 5 * terms["l1"] + terms["focal"] + 0.3 * terms["sight"]
    )
    terms["sight"].backward()
    assert model.sight.weight.grad.abs().sum() > 0
    gone = Batch(b.template, b.search, b.box, b.visible, {m: torch.zeros(4, dtype=torch.bool) for m in b.present})
    gone.present["rgb"] = torch.ones(4, dtype=torch.bool)
    model.zero_grad()
    terms = SightObjective(recipe(objective="sight"), model)(
        model, gone, as_float(b.template), as_float(b.search), None
    )
    terms["sight"].backward()
    assert model.adapters["thermal"].up.weight.grad is None or not model.adapters["thermal"].up.weight.grad.any()


FEWER = {  # what a model of one block cannot have
    "sdstrack": {"fusion_blocks": (0,)},
    "srtrack": {"fusion_blocks": (0,)},
    "smstracker": {"interactions": 1},
    "ainet": {"fusion_blocks": (0,)},
}


@pytest.mark.parametrize("method", ["modaltrack", "sdstrack", "srtrack", "smstracker", "ainet", "tpf"])
def test_confidence_learns_alone_to_tell_right_from_wrong(method):
    torch.manual_seed(0)
    model = models.create(f"{method}-tiny", **SMALL, **FEWER.get(method, {}), confidence=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("confidence"))
    objective = Confidence(recipe(objective="confidence", trainable=(Group("confidence"),)), model)
    b = batch()
    args = (model, b, as_float(b.template), as_float(b.search), None)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    first = float(objective(*args)["total"].detach())
    for _ in range(40):
        optimizer.zero_grad()
        objective(*args)["total"].backward()
        optimizer.step()
    assert float(objective(*args)["total"].detach()) < 0.6 * first
    assert all(p.grad is None for n, p in model.named_parameters() if not n.startswith("confidence"))


def test_a_model_without_the_part_is_told():
    with pytest.raises(ValueError, match="confidence true"):
        Confidence(recipe(objective="confidence"), models.create("modaltrack-tiny", **SMALL))
    with pytest.raises(ValueError, match="any set of sensors"):
        SightObjective(
            Recipe(name="t", model="ostrack-tiny", objective="sight"), models.create("ostrack-tiny", **SMALL)
        )
