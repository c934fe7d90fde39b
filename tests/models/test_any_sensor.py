# SPDX-License-Identifier: Apache-2.0
"""The model for any set of sensors: one is the plain tracker, blind ones lose weight, one graph holds all."""

import pytest
import torch

from modaltrack import models
from modaltrack.frame import Modality

SMALL = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 16, "confidence": True}
ALL = tuple(Modality)


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = models.create("modaltrack-tiny", **SMALL).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def images(batch=2, keys=ALL):
    g = torch.Generator().manual_seed(1)
    return [{m: torch.randn(batch, 3, size, size, generator=g) for m in keys} for size in (64, 128)]


def test_weights_are_shares(model):
    _, sight = model.look(*images())
    assert sight.logits.shape == (4, 2, 1, 8, 8)
    torch.testing.assert_close(sight.weight.sum(0), torch.ones(2))


def test_missing_sensors_have_no_weight(model):
    template, search = images()
    present = {m: torch.tensor([m == Modality.DEPTH, True]) for m in ALL}
    prediction, sight = model.look(template, search, present)
    assert sight.weight[:, 0].tolist() == [0, 0, 1, 0]
    alone = model({Modality.DEPTH: template[Modality.DEPTH]}, {Modality.DEPTH: search[Modality.DEPTH]})
    torch.testing.assert_close(prediction.score_map[0], alone.score_map[0])
    torch.testing.assert_close(prediction.confidence_map[0], alone.confidence_map[0])


def test_a_fresh_model_sees_one_sensor_as_the_plain_tracker_does():
    torch.manual_seed(0)
    small = {k: v for k, v in SMALL.items() if k != "confidence"}
    any_sensor, plain = models.create("modaltrack-tiny", **small).eval(), models.create("ostrack-tiny", **small).eval()
    own = any_sensor.state_dict()
    plain.load_state_dict({k: own[k] for k in plain.state_dict()})
    for sensor in ALL:
        template, search = images(keys=(sensor,))
        expected = plain({Modality.RGB: template[sensor]}, {Modality.RGB: search[sensor]})
        torch.testing.assert_close(any_sensor(template, search).score_map, expected.score_map)


def test_a_sensor_whose_map_has_no_peak_counts_less():
    torch.manual_seed(0)
    model = models.create("modaltrack-tiny", **SMALL).eval()
    logits = torch.full((2, 1, 64), -4.0)
    logits[0, 0, 20] = 3.0  # the first sensor has found something
    share = model.weights(torch.randn(2, 1, 64, 32), logits, torch.zeros(2, 1))
    assert share[0].min() > 0.9
    mean = models.create("modaltrack-tiny", **SMALL, trust="mean")
    assert (mean.weights(torch.randn(2, 1, 64, 32), logits, torch.zeros(2, 1)) == 0.5).all()


def test_one_graph_with_a_mask_for_all_sets(model):
    # plain text keys: torch's exporter writes guards with the keys in them
    template, search = ({str(m): x for m, x in part.items()} for part in images())
    present = {str(m): torch.ones(2, dtype=torch.bool) for m in ALL}
    graph = torch.export.export(model, (template, search, present)).module()
    for some in (ALL, (Modality.RGB,), (Modality.THERMAL, Modality.EVENT)):
        there = {str(m): torch.full((2,), m in some) for m in ALL}
        for got, expected in zip(graph(template, search, there), model(template, search, there)):
            torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("wrong", [{"trust": "luck"}])
def test_bad_settings_are_told(wrong):
    with pytest.raises(ValueError, match="trust"):
        models.create("modaltrack-tiny", **wrong)
