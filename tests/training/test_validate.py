# SPDX-License-Identifier: Apache-2.0
"""Validation measures what it says, on models whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn
from toy import BuildSampler, Toy, ToyConfig

from modaltrack.frame import Clip, Frame, Modality
from modaltrack.models.prediction import Prediction
from modaltrack.training.samplers import PairRequest
from modaltrack.training.validate import View, calibrate, thresholds, validate_pairs, validate_tracking
from modaltrack.vision.response import decode


class BrightSpot(nn.Module):
    """Finds the brightest cell of the search image; knows nothing else."""

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.config = ToyConfig(template_size=32, search_size=64, modalities=modalities)
        self.weight = nn.Parameter(torch.zeros(1))
        self.given: list[tuple[str, ...]] = []

    def forward(self, template, search, present=None):
        self.given.append(tuple(str(m) for m in search))
        image = sum(search.values()).mean(1, keepdim=True)
        score = nn.functional.avg_pool2d(image, 4).sub(1).mul(8).sigmoid()
        size = torch.full((*score.shape[:1], 2, *score.shape[2:]), 0.25)
        offset = torch.full_like(size, 0.5)
        return Prediction(score, size, offset, decode(score, size, offset)[0])


def clip(sensors: tuple[str, ...] = ("rgb", "thermal"), length: int = 8) -> Clip:
    frames, boxes = [], []
    for i in range(length):
        image = np.zeros((96, 96, 3), np.uint8)
        x, y = 30 + 2 * i, 40
        image[y : y + 12, x : x + 12] = 255
        frames.append(Frame({Modality(m): image for m in sensors}, time=i / 30, index=i))
        boxes.append([x, y, 12, 12])
    boxes[0] = [np.nan] * 4
    return Clip("moving", frames, np.array(boxes, float))


def test_tracking_is_scored_from_the_first_annotated_frame() -> None:
    model = BrightSpot(("rgb", "thermal"))
    numbers = validate_tracking(model, [clip()], [("rgb",), ("thermal",), ("rgb", "thermal")])
    assert set(numbers) == {f"{n} {k}" for n in ("rgb", "thermal", "rgb+thermal") for k in ("success", "precision")}
    assert numbers["rgb success"] > 0.3  # its cells are 3 pixels wide
    assert numbers["rgb+thermal precision"] == 1.0
    assert {"rgb", "thermal"} <= {m for given in model.given for m in given}


def test_a_single_stream_model_is_shown_the_other_sensor_as_rgb() -> None:
    model = BrightSpot(("rgb",))
    numbers = validate_tracking(model, [clip(("rgb", "thermal"))], [("thermal",)])
    assert numbers["thermal precision"] == 1.0
    assert set(model.given) == {("rgb",)}
    with pytest.raises(ValueError, match="one sensor at a time"):
        validate_tracking(model, [clip()], [("rgb", "thermal")])


def test_a_clip_without_a_target_is_an_error() -> None:
    blind = Clip("blind", clip().frames, np.full((8, 4), np.nan))
    with pytest.raises(ValueError, match="blind has no annotated frame"):
        validate_tracking(BrightSpot(("rgb",)), [blind])


def test_views_hide_sensors_and_say_so() -> None:
    view = View(clip().frames, ("thermal",))
    assert set(view[0].images) == {"thermal"}
    assert view[0].missing == {"rgb"}
    assert len(view[2:]) == 6
    assert set(View(clip().frames, ("thermal",), as_rgb=True)[3].images) == {"rgb"}


def test_pairs_are_measured_with_each_sensor_alone_and_with_both() -> None:
    sampler = BuildSampler()(PairRequest(("rgb", "thermal"), 8, 16, 0, "cpu", 1))
    numbers = validate_pairs(Toy(), sampler, 2, batch=4, modalities=("rgb", "thermal"))
    assert set(numbers) == {"rgb", "thermal", "both"}
    assert all(0 <= v <= 1 for v in numbers.values())
    perfect = Known(sampler)
    assert validate_pairs(perfect, perfect, 1, batch=4)["rgb"] == pytest.approx(1.0, abs=1e-4)


class Known(nn.Module):
    """A model that was told the answers of its own sampler."""

    def __init__(self, sampler) -> None:
        super().__init__()
        self.sampler, self.weight = sampler, nn.Parameter(torch.zeros(1))
        self.config = ToyConfig(modalities=("rgb",))

    def sample(self, batch, step, modalities):
        pairs = self.sampler.sample(batch, step, modalities)
        self.box = pairs.box
        return pairs

    def forward(self, template, search, present=None):
        centre = (self.box[:, :2] + self.box[:, 2:] / 2) * 4
        score = torch.full((len(centre), 1, 4, 4), 0.01)
        size, offset = torch.zeros(len(centre), 2, 4, 4), torch.zeros(len(centre), 2, 4, 4)
        for i, (x, y) in enumerate(centre.long().clamp(0, 3).tolist()):
            score[i, 0, y, x] = 0.99
            size[i, :, y, x] = self.box[i, 2:]
            offset[i, :, y, x] = centre[i] - torch.tensor([x, y])
        return Prediction(score, size, offset, decode(score, size, offset)[0])


def test_thresholds_are_where_nine_of_ten_frames_are_good_or_bad() -> None:
    scores = np.arange(100) / 100
    ious = np.where(scores >= 0.6, 0.8, np.where(scores < 0.3, 0.1, 0.4))
    found = thresholds(scores, ious)
    assert found["tracking"] == pytest.approx(0.56)  # 40 good of 44
    assert found["lost"] == pytest.approx(0.33)  # 30 bad of 33
    assert found["tracking_share"] >= 0.9
    assert found["lost_share"] >= 0.9
    hopeless = thresholds(scores, np.full(100, 0.4))
    assert hopeless["tracking"] > 0.99
    assert hopeless["lost"] == 0.0
    assert np.isnan(hopeless["lost_share"])


def test_calibration_counts_every_frame_but_the_given_ones() -> None:
    found = calibrate(BrightSpot(("rgb", "thermal")), [clip(), clip()], [("rgb",), ("rgb", "thermal")])
    assert found["frames"] == 2 * 2 * 6
    assert found["lost"] <= found["tracking"]
