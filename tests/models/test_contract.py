# SPDX-License-Identifier: Apache-2.0
"""What every registered model promises, at tiny width: a new method is tested by being registered."""

from dataclasses import fields

import pytest
import torch

from modaltrack import models
from modaltrack.frame import Modality

SMALL = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16, "template_size": 64, "search_size": 128}
X = Modality.THERMAL


def small(name, **overrides):
    """A model whose every weight matters: nothing stays at zero."""
    torch.manual_seed(0)
    config = models.config_of(name)
    known = {field.name for field in fields(config)}
    options = dict(SMALL) if "dim" in known else {}  # NanoTrack's network has one size
    overrides = {key: value for key, value in overrides.items() if key in known}
    for field in ("fusion_blocks", "elimination_blocks"):
        blocks = getattr(config, field, ())
        if blocks:
            options[field] = tuple(sorted({b * 4 // config.depth for b in blocks}))
    model = models.create(name, **options | overrides).eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_((0.1 if options else 0.01) * torch.randn(parameter.shape, generator=g))
    return model


def of_new_parts(names):
    """Names that bring a method or a stem that none before them has: what may go wrong, once each.

    The stems come with the plain tracker, which is the quickest.
    """
    known, kept = set(), []
    for name in sorted(names, key=lambda name: not name.startswith("ostrack-")):
        parts = {name.rsplit("-", 1)[0], ("stem", getattr(models.config_of(name), "stem", None))}
        kept += [name] if parts - known else []
        known |= parts
    return kept


def images(model, batch=3, keys=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    keys = keys or [m for m in model.config.modalities if m in (Modality.RGB, X) or model.sensors_together]
    keys = keys[:1] if model.one_sensor else keys
    return [
        {key: torch.randn(batch, 3, size, size, generator=g) for key in keys}
        for size in (model.config.template_size, model.config.search_size)
    ]


def part(mapping, rows, keys=None):
    return {key: value[rows] for key, value in mapping.items() if keys is None or key in keys}


def close(a, b, tolerance=1e-5):
    for field in ("score_map", "size_map", "offset_map", "boxes"):
        torch.testing.assert_close(getattr(a, field), getattr(b, field), rtol=0, atol=tolerance)


pytestmark = pytest.mark.parametrize("name", models.list_models())


def test_shapes_and_ranges(name):
    model = small(name)
    prediction = model(*images(model))
    grid = 15 if name.startswith("nanotrack") else 8
    assert prediction.score_map.shape == (3, 1, grid, grid)
    assert prediction.size_map.shape == prediction.offset_map.shape == (3, 2, grid, grid)
    assert prediction.boxes.shape == (3, 4)
    assert prediction.score_map.min() >= 1e-4
    assert prediction.score_map.max() <= 1 - 1e-4
    assert prediction.score_map.std() > 0
    if grid == 8:
        assert model.config.template_factor == 2
        assert model.config.search_factor == 4


def rounding(name):
    """What differently shaped sums may change: 6e-5 was seen where AINet's scans follow a stem of random numbers."""
    return 1e-4 if name == "ainet-laptop" else 1e-5


def test_a_batch_is_a_loop(name):
    model = small(name)
    template, search = images(model)
    whole = model(template, search)
    for b in range(3):
        alone = model(part(template, [b]), part(search, [b]))
        close(alone, models.Prediction(*(field[[b]] for field in whole)), rounding(name))


def test_nothing_is_remembered(name):
    model = small(name)
    first, second = images(model), images(model, seed=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    once = model(*first)
    model(*second)
    close(model(*first), once, 0)
    for key, value in model.state_dict().items():
        assert torch.equal(before[key], value)


def test_every_image_matters_and_plain_strings_are_modalities(name):
    model = small(name)
    template, search = images(model)
    base = model(template, search)
    close(model({str(k): v for k, v in template.items()}, {str(k): v for k, v in search.items()}), base, 0)
    for role in (template, search):
        for key in list(role):
            kept, role[key] = role[key], torch.zeros_like(role[key])
            assert not torch.equal(model(template, search).score_map, base.score_map), key
            role[key] = kept


def test_training_reaches_every_parameter_in_bfloat16(name):
    model = small(name, score_prior=None).train()
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(*images(model))
    assert prediction.score_map.dtype == prediction.boxes.dtype == torch.float32
    (prediction.score_map.mean() + prediction.size_map.mean() + prediction.offset_map.mean()).backward()
    # what a method freezes by itself is published and never learns (AINet's order predictor)
    learning = {k: p for k, p in model.named_parameters() if p.requires_grad}
    silent = [k for k, p in learning.items() if p.grad is None or not p.grad.isfinite().all()]
    assert not silent


def test_saved_and_loaded_again(name, tmp_path):
    model = small(name)
    path = tmp_path / "weights.safetensors"
    models.save_model(model, path, {"licence": "Apache-2.0", "seed": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]
    again = models.load_model(path, device="cpu")
    assert again.config == model.config
    assert again.card["seed"] == 3
    assert f"{again.card['method']}-{again.card['size']}" == name
    assert not again.training
    models.save_model(again, tmp_path / "second.safetensors", {})
    third = models.load_model(tmp_path / "second.safetensors", device="cpu")
    close(third(*images(model)), again(*images(model)), 0)


def test_a_wrong_image_is_told(name):
    model = small(name)
    template, search = images(model)
    with pytest.raises(ValueError, match="shape"):
        model(template, {k: v[:, :, :100] for k, v in search.items()})
    with pytest.raises(ValueError, match="sonar"):
        model({**template, "sonar": template["rgb"]}, search)
    with pytest.raises(ValueError, match="reads"):
        model({}, {})
    with pytest.raises(ValueError, match="batch"):
        model(part(template, [0]), search)


def test_missing_modalities_in_a_batch_equal_single_runs(name):
    model = small(name)
    if model.one_sensor or len(model.config.modalities) == 1:
        pytest.skip("one sensor: nothing can be missing")
    template, search = images(model, batch=5, keys=[Modality.RGB, X])
    present = {"rgb": torch.tensor([1, 1, 0, 0, 1]).bool(), X: torch.tensor([1, 0, 1, 0, 1]).bool()}
    mixed = model(template, search, present)
    for b, keys in ((0, ("rgb", X)), (1, ("rgb",)), (2, (X,)), (4, ("rgb", X))):
        alone = model(part(template, [b], keys), part(search, [b], keys))
        close(alone, models.Prediction(*(field[[b]] for field in mixed)), rounding(name))
    everyone = torch.ones(5).bool()
    close(model(template, search, {"rgb": everyone, X: everyone}), model(template, search), 0)
    # what a missing sensor's image holds is of no consequence
    search[X][1] = float("nan")
    close(
        models.Prediction(*(field[[1]] for field in model(template, search, present))),
        models.Prediction(*(field[[1]] for field in mixed)),
        rounding(name),
    )
    with pytest.raises(ValueError, match="any modality"):
        model(template, search, {"rgb": ~everyone, X: ~everyone})


def test_missing_keys_are_missing_modalities(name):
    model = small(name)
    if model.one_sensor or len(model.config.modalities) == 1:
        pytest.skip("one sensor: nothing can be missing")
    template, search = images(model, keys=[Modality.RGB, X])
    alone = model(part(template, [0, 1, 2], (X,)), part(search, [0, 1, 2], (X,)))
    close(model(template, part(search, [0, 1, 2], (X,))), alone, 0)
    close(model(template, search, {"rgb": torch.zeros(3).bool()}), alone)
    three = images(model, keys=["rgb", "thermal", "depth"])
    if model.sensors_together:
        assert not torch.equal(model(*three).score_map, model(template, search).score_map)
    else:
        with pytest.raises(ValueError, match="at most one"):
            model(*three)


def test_what_happens_without_a_sensor_is_declared(name, tmp_path):
    model = small(name)
    if model.one_sensor or len(model.config.modalities) == 1:
        pytest.skip("one sensor: nothing can be missing")
    assert model.missing_policy.strip().endswith(".")
    models.save_model(model, tmp_path / "a.safetensors", {})
    assert models.read_weights(tmp_path / "a.safetensors")[1]["missing_policy"] == model.missing_policy
