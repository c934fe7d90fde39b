# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modaltrack import vision

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "crop.npz")
CASES = list(zip(REFERENCE["cases_x_y_w_h_factor_size"], REFERENCE["crops_padded_to_96"], REFERENCE["resize_factors"]))


@pytest.mark.parametrize(("case", "expected", "factor"), CASES)
def test_crop_is_bit_equal_with_the_published_one(case, expected, factor) -> None:
    size = int(case[5])
    crop, resize_factor = vision.crop(REFERENCE["image"], case[:4], case[4], size)
    np.testing.assert_array_equal(crop, expected[:size, :size])
    assert resize_factor == factor


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-40, 130),
    y=st.floats(-40, 100),
    w=st.floats(1, 80),
    h=st.floats(1, 80),
    factor=st.sampled_from([2.0, 4.0]),
    size=st.sampled_from([32, 64, 100]),
)
def test_crop_batch_equals_crop(x, y, w, h, factor, size) -> None:
    image = REFERENCE["image"]
    expected, resize_factor = vision.crop(image, (x, y, w, h), factor, size)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    crops, factors = vision.crop_batch(pixels, torch.tensor([[x, y, w, h]], dtype=torch.float64), factor, size)
    difference = np.abs(crops[0].permute(1, 2, 0).numpy() - expected)
    assert difference.max() <= 2
    assert factors[0].item() == pytest.approx(resize_factor, rel=1e-6)


def test_crop_batch_leaves_its_input_alone_and_keeps_the_scale_of_values() -> None:
    pixels = torch.from_numpy(REFERENCE["image"]).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    boxes = torch.tensor([[100.0, 70, 30, 25], [40, 30, 30, 20]])
    unit = pixels / 255
    before = unit.clone()
    crops, _ = vision.crop_batch(unit, boxes, 4.0, 64)
    assert torch.equal(unit, before)
    torch.testing.assert_close(crops * 255, vision.crop_batch(pixels, boxes, 4.0, 64)[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("bad", [(0, 0, 0, 5), (0, 0, float("nan"), 5), (0, 0, -3, -3)])
def test_crops_refuse_impossible_boxes(bad) -> None:
    with pytest.raises(ValueError, match=r"[Cc]rop"):
        vision.crop(REFERENCE["image"], bad, 2.0, 32)
    with pytest.raises(ValueError, match=r"[Cc]rop"):
        vision.crop_batch(torch.zeros(1, 3, 9, 9), torch.tensor([bad], dtype=torch.float32), 2.0, 32)


box = st.tuples(st.floats(-50, 600), st.floats(-50, 400), st.floats(2, 300), st.floats(2, 300)).map(np.array)


@given(around=box, target=box, factor=st.sampled_from([2.0, 4.0]))
def test_crop_coordinates_round_trip(around, target, factor) -> None:
    resize_factor = 256 / vision.crop_side(around, factor)
    inside = vision.box_to_crop(target, around, resize_factor, 256)
    np.testing.assert_allclose(vision.box_from_crop(inside, around, resize_factor, 256), target, atol=1e-6)
    tensors = vision.box_to_crop(torch.from_numpy(target), torch.from_numpy(around), resize_factor, 256)
    np.testing.assert_allclose(tensors.numpy(), inside, atol=1e-9)
    back = vision.box_from_crop(tensors[None], torch.from_numpy(around)[None], torch.tensor([resize_factor]), 256)
    assert back.shape == (1, 4)


def test_crop_coordinates_point_at_the_pixels() -> None:
    """A white block in the image must be found in the crop exactly where box_to_crop says."""
    image = np.zeros((100, 140, 3), np.uint8)
    image[40:48, 61:71] = 255
    around = (57.3, 33.8, 17.0, 19.0)
    crop, resize_factor = vision.crop(image, around, 4.0, 256)
    cx, cy, w, h = vision.box_to_crop(np.array([61.0, 40, 10, 8]), around, resize_factor, 256) * 256
    rows, columns = np.nonzero(crop[..., 0] > 127)
    assert columns.min() == pytest.approx(cx - w / 2, abs=1)
    assert columns.max() + 1 == pytest.approx(cx + w / 2, abs=1)
    assert rows.min() == pytest.approx(cy - h / 2, abs=1)
    assert rows.max() + 1 == pytest.approx(cy + h / 2, abs=1)
