# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from modaltrack import vision


def test_hann_window_is_the_published_one() -> None:
    window = vision.hann_window(16)
    assert window.shape == (16, 16)
    assert window.dtype == torch.float32
    assert window.max().item() == pytest.approx((0.5 * (1 - math.cos(2 * math.pi * 8 / 17))) ** 2)
    assert math.sqrt(window.max().item()) == pytest.approx(0.9915, abs=1e-4)
    torch.testing.assert_close(window, window.flip(0).T)
    assert (window > 0).all()


def test_decode_reads_size_and_offset_at_the_peak() -> None:
    score = torch.zeros(2, 1, 8, 8)
    size, offset = torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 8, 8)
    score[0, 0, 3, 5] = 0.9
    size[0, :, 3, 5] = torch.tensor([0.25, 0.5])
    offset[0, :, 3, 5] = torch.tensor([0.5, -0.25])
    score[1, 0, 7, 0] = 0.4
    boxes, peak = vision.decode(score, size, offset)
    torch.testing.assert_close(boxes[0], torch.tensor([5.5 / 8, 2.75 / 8, 0.25, 0.5]))
    torch.testing.assert_close(boxes[1], torch.tensor([0.0, 7 / 8, 0.0, 0.0]))
    torch.testing.assert_close(peak, torch.tensor([0.9, 0.4]))


def test_images_become_normalised_tensors() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    tensor = vision.to_tensor(list(crops))
    torch.testing.assert_close(tensor, vision.to_tensor(crops))
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor[1, 2, 3, 0].item() == pytest.approx(crops[1, 3, 0, 2] / 255)
    normal = vision.normalise(tensor)
    mean, std = vision.IMAGENET_MEAN[2], vision.IMAGENET_STD[2]
    assert normal[1, 2, 3, 0].item() == pytest.approx((crops[1, 3, 0, 2] / 255 - mean) / std, abs=1e-5)


def test_a_map_that_is_not_square_is_read_along_both_axes() -> None:
    score, size, offset = torch.zeros(1, 1, 2, 4), torch.full((1, 2, 2, 4), 0.5), torch.full((1, 2, 2, 4), 0.5)
    score[0, 0, 1, 3] = 1.0
    boxes, _ = vision.decode(score, size, offset)
    torch.testing.assert_close(boxes[0], torch.tensor([3.5 / 4, 1.5 / 2, 0.5, 0.5]))
