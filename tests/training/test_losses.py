# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from modaltrack.models import Prediction
from modaltrack.training.losses import box_losses, centre_cell, focal_loss, gaussian_radius, heat_map
from modaltrack.vision.response import decode


def prediction(batch=3, grid=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    maps = [torch.rand(batch, c, grid, grid, generator=g) * 0.8 + 0.1 for c in (1, 2, 2)]
    maps = [m.requires_grad_() for m in maps]
    return Prediction(*maps, decode(*maps)[0], None)


TARGET = torch.tensor([[0.2, 0.3, 0.25, 0.2], [0.5, 0.5, 0.1, 0.3], [0.0, 0.1, 0.4, 0.4]])


def perfect(target, grid=8):
    """A prediction that says exactly the target."""
    heat = heat_map(target, grid).clamp(1e-4, 1 - 1e-4)
    centre = (target[:, :2] + target[:, 2:] / 2) * grid
    offset = (centre - centre_cell(target, grid))[:, :, None, None].expand(-1, -1, grid, grid)
    size = target[:, 2:, None, None].expand(-1, -1, grid, grid)
    return Prediction(heat, size, offset, decode(heat, size, offset)[0])


@pytest.mark.parametrize("box_at", ["peak", "target"])
def test_a_perfect_prediction_costs_almost_nothing(box_at):
    losses = box_losses(perfect(TARGET), TARGET, box_at=box_at)
    assert losses["giou"] < 1e-5
    assert losses["l1"] < 1e-6
    assert losses["focal"] < 0.2


def test_total_is_the_weighted_sum_and_flows_back():
    p = prediction()
    losses = box_losses(p, TARGET)
    assert losses["total"].item() == pytest.approx((2 * losses["giou"] + 5 * losses["l1"] + losses["focal"]).item())
    losses["total"].backward()
    for m in (p.score_map, p.size_map, p.offset_map):
        assert m.grad.abs().sum() > 0


def test_gaussian_peaks_at_the_rounded_centre_halves_to_even():
    target = torch.tensor([[0.25, 0.3, 0.125, 0.1]])  # centre 2.5, 2.8 cells on a grid of 8
    heat = heat_map(target, 8)[0, 0]
    assert (heat == 1).sum() == 1
    assert heat[3, 2] == 1


def test_radius_is_the_known_form():
    # CornerNet's first case by hand for a 4 x 3 box: b = 7, c = 12 * 0.3 / 1.7, root divided by 2
    first = (7 + (49 - 4 * 12 * 0.3 / 1.7) ** 0.5) / 2
    third = (-2 * 0.7 * 7 + ((2 * 0.7 * 7) ** 2 + 4 * 4 * 0.7 * 0.3 * 12) ** 0.5) / 2
    assert gaussian_radius(torch.tensor([[4.0, 3.0]])).item() == pytest.approx(min(first, third), rel=1e-5)


@pytest.mark.parametrize("box_at", ["peak", "target"])
def test_a_sample_without_target_has_no_box_loss_and_an_empty_heat_map(box_at):
    p = prediction()
    visible = torch.tensor([1.0, 0.0, 1.0])
    nowhere = TARGET.clone()
    nowhere[1] = float("nan")
    losses = box_losses(p, nowhere, visible, box_at)
    keep = [0, 2]
    rest = Prediction(p.score_map[keep], p.size_map[keep], p.offset_map[keep], p.boxes[keep])
    alone = box_losses(rest, TARGET[keep], box_at=box_at)
    assert losses["giou"].item() == pytest.approx(alone["giou"].item(), rel=1e-5)
    assert losses["l1"].item() == pytest.approx(alone["l1"].item(), rel=1e-5)
    empty = focal_loss(p.score_map[1:2], torch.zeros(1, 1, 8, 8))
    assert losses["focal"].item() == pytest.approx((alone["focal"] + empty / 2).item(), rel=1e-5)
    losses["total"].backward()
    assert torch.isfinite(p.size_map.grad).all()
    assert p.size_map.grad[1].abs().sum() == 0


def test_a_batch_without_any_target_is_finite():
    losses = box_losses(prediction(), torch.full((3, 4), float("nan")), torch.zeros(3))
    assert torch.isfinite(losses["total"])
    assert losses["giou"] == losses["l1"] == 0


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="box_at"):
        box_losses(prediction(), TARGET, box_at="centre")
    with pytest.raises(ValueError, match="shape"):
        box_losses(prediction(), TARGET[:2])


def test_the_focal_loss_is_centernets_by_hand() -> None:
    """alpha 2 on how wrong a cell is, beta 4 on how far it is from a centre; divided by the number of centres."""
    score = torch.tensor([[[[0.7, 0.2], [0.4, 0.1]]], [[[0.5, 0.3], [0.2, 0.6]]]])
    heat = torch.tensor([[[[1.0, 0.5], [0.0, 0.8]]], [[[0.0, 0.0], [0.9, 1.0]]]])
    hit = math.log(0.7) * 0.3**2 + math.log(0.6) * 0.4**2
    miss = math.log(0.8) * 0.2**2 * 0.5**4 + math.log(0.6) * 0.4**2 + math.log(0.9) * 0.1**2 * 0.2**4
    miss += math.log(0.5) * 0.5**2 + math.log(0.7) * 0.3**2 + math.log(0.8) * 0.2**2 * 0.1**4
    assert float(focal_loss(score, heat)) == pytest.approx(-(hit + miss) / 2, rel=1e-5)


def test_the_heat_of_a_square_target_ends_alike_along_both_axes() -> None:
    heat = heat_map(torch.tensor([[0.3, 0.3, 0.4, 0.4]]), 16)[0, 0]
    torch.testing.assert_close(heat, heat.T)
