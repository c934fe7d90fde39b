# SPDX-License-Identifier: Apache-2.0
"""SDSTrack's masked distillation: what its two modes compare, and how masks are drawn."""

from dataclasses import replace

import pytest
import torch
from toy import Toy

from modaltrack.models import create
from modaltrack.training.data import Batch
from modaltrack.training.masking import (
    MASK_RATE,
    Masked,
    aligned_distillation_loss,
    distillation_loss,
    draw_masks,
)
from modaltrack.training.objective import tracking_terms
from modaltrack.training.recipe import Recipe

RECIPE = Recipe("masked", "sdstrack-tiny", modalities=("depth",), objective="masked-aligned")
SMALL = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16, "fusion_blocks": (1, 3)}


def build(**options):
    torch.manual_seed(0)
    model = create("sdstrack-tiny", **SMALL, adapter_init="normal", **options)
    images = [{k: torch.randn(3, 3, s, s) for k in ("rgb", "depth")} for s in (64, 128)]
    box = torch.tensor([[0.3, 0.4, 0.2, 0.2], [0.1, 0.5, 0.3, 0.2], [0.4, 0.4, 0.2, 0.1]])
    everywhere = torch.ones(3, dtype=torch.bool)
    return model, images, Batch({}, {}, box, torch.ones(3), {"rgb": everywhere, "depth": everywhere})


def test_masks_are_complementary_and_drawn_in_the_published_order() -> None:
    torch.manual_seed(5)
    masks = draw_masks("depth", 40, 16, 64, torch.device("cpu"))
    torch.manual_seed(5)
    rgb, other = torch.rand(40, 16), torch.rand(40, 16)
    assert torch.equal(masks["template"]["rgb"], rgb < MASK_RATE)
    assert torch.equal(masks["template"]["depth"], (other < MASK_RATE) & (rgb >= MASK_RATE))
    for role in masks.values():
        assert not (role["rgb"] & role["depth"]).any()
    shares = [masks["search"][m].float().mean().item() for m in ("rgb", "depth")]
    assert shares == pytest.approx([0.3, 0.21], abs=0.02)


def test_without_elimination_both_modes_compare_the_same_tokens() -> None:
    clean, masked = torch.randn(4, 3 + 5, 6), torch.randn(4, 3 + 5, 6)
    places = torch.arange(5).expand(4, -1)
    aligned = aligned_distillation_loss([(clean, masked)], [(places, places)], 5)
    torch.testing.assert_close(aligned, distillation_loss([(clean, masked)]))


def test_aligned_compares_places_that_both_passes_kept() -> None:
    first = torch.zeros(1, 1, 2)  # one template token, equal in both
    whole = torch.arange(10.0).view(1, 5, 2)  # what stands at the five places
    kept = torch.tensor([[4, 0, 2]]), torch.tensor([[2, 3, 4]])
    clean, masked = (torch.cat([first, whole[:, index[0]]], 1) for index in kept)
    places = [(kept[0], kept[1])]
    assert aligned_distillation_loss([(clean, masked)], places, 5) == 0
    assert distillation_loss([(clean, masked)]) > 1
    moved = masked.clone()
    moved[:, 2] += 100  # place 3, which the clean pass has eliminated
    assert aligned_distillation_loss([(clean, moved)], places, 5) == 0
    moved[:, 3] += 3  # place 4: one of three tokens that count (two places and the template's)
    assert aligned_distillation_loss([(clean, moved)], places, 5).item() == pytest.approx(9 / 3)


def test_aligned_teaches_the_masked_pass_only() -> None:
    clean, masked = (torch.randn(2, 4, 3, requires_grad=True) for _ in range(2))
    places = torch.arange(4).expand(2, -1)
    aligned_distillation_loss([(clean, masked)], [(places, places)], 4).backward()
    assert clean.grad is None
    assert masked.grad is not None
    distillation_loss([(clean, masked)]).backward()
    assert clean.grad is not None


@pytest.mark.parametrize("mode", ["masked-published", "masked-aligned"])
def test_the_objective_weighs_its_parts_and_eliminates_by_rate(mode) -> None:
    weights = {"masked-published": (0.6, 0.2, 0.1), "masked-aligned": (1.0, 0.3, 0.25)}[mode]
    model, (template, search), batch = build(elimination_blocks=(1,))
    recipe = replace(RECIPE, objective=mode)
    torch.manual_seed(1)
    terms = Masked(recipe, model)(model, batch, template, search, 0.5)
    of_pass = [2 * terms[f"{p}giou"] + 5 * terms[f"{p}l1"] + terms[f"{p}focal"] for p in ("", "masked_")]
    expected = weights[0] * of_pass[0] + weights[1] * of_pass[1] + weights[2] * terms["distillation"]
    torch.testing.assert_close(terms["total"], expected)
    plain = tracking_terms(model(template, search, None, 0.5), recipe, batch.box, batch.visible)
    torch.testing.assert_close(plain["giou"], terms["giou"])
    torch.manual_seed(1)
    whole = Masked(recipe, model)(model, batch, template, search, 1.0)
    assert whole["distillation"] != terms["distillation"]


def test_samples_that_lack_a_sensor_have_the_clean_pass_only() -> None:
    model, (template, search), batch = build()
    batch.present = {"rgb": torch.tensor([True, True, False]), "depth": torch.tensor([True, False, True])}
    terms = Masked(RECIPE, model)(model, batch, template, search, None)
    plain = tracking_terms(model(template, search, batch.present), RECIPE, batch.box, batch.visible)
    torch.testing.assert_close(terms["focal"], plain["focal"])
    batch.present = {"rgb": torch.ones(3, dtype=torch.bool), "depth": torch.zeros(3, dtype=torch.bool)}
    alone = Masked(RECIPE, model)(model, batch, template, search, None)
    assert alone.keys() == set(Masked.terms)
    assert alone["distillation"] == 0


def test_wrong_models_and_options_are_told() -> None:
    with pytest.raises(ValueError, match="masked_pair"):
        Masked(RECIPE, Toy())
    with pytest.raises(ValueError, match="no option"):
        Masked(replace(RECIPE, objective_options={"rate": 0.5}), build()[0])
