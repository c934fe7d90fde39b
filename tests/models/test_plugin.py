# SPDX-License-Identifier: Apache-2.0
"""A sixth method from outside: a package that is merely installed is found, created, saved, loaded and tracked with."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modaltrack import models
from modaltrack.models import registry
from modaltrack.tracking import track

CODE = '''
from dataclasses import dataclass

import torch
from torch import nn

from modaltrack.frame import Modality
from modaltrack.models import Prediction, register
from modaltrack.vision import decode


@dataclass(frozen=True)
class ToyConfig:
    modalities: tuple = (Modality.RGB, Modality.THERMAL)
    template_size: int = 32
    search_size: int = 64
    template_factor: float = 2.0
    search_factor: float = 4.0
    stride: int = 16


class Toy(nn.Module):
    """Believes that the target stays where it is."""

    missing_policy = "Any sensor will do, since none is looked at."

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.size = nn.Parameter(torch.tensor([0.25, 0.25]))

    def forward(self, template, search, present=None):
        batch = len(next(iter(search.values())))
        cells = self.config.search_size // self.config.stride
        score = torch.full((batch, 1, cells, cells), 0.1)
        score[:, :, cells // 2, cells // 2] = 0.9
        size = self.size[None, :, None, None].expand(batch, 2, cells, cells)
        offset = torch.zeros(batch, 2, cells, cells)
        return Prediction(score, size, offset, decode(score, size, offset)[0])


@register(Toy)
def toy_small():
    return ToyConfig()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The toy's package as an installer leaves it: a module and a .dist-info with an entry point."""
    (tmp_path / "toy_tracker.py").write_text(CODE)
    info = tmp_path / "toy_tracker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tracker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modaltrack.models]\ntoy = toy_tracker\n")
    registry.list_models()
    entries = dict(registry._ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._import_methods.cache_clear()  # as in a new process
    yield
    registry._ENTRIES.clear()
    registry._ENTRIES.update(entries)
    sys.modules.pop("toy_tracker", None)


def test_without_the_package_there_is_no_toy():
    assert "toy-small" not in models.list_models()


@pytest.mark.usefixtures("installed")
def test_a_method_from_outside(tmp_path):
    assert "toy-small" in models.list_models()
    assert {"ostrack-tiny", "sdstrack-tiny"} <= set(models.list_models())
    model = models.create("toy-small").eval()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
    frames = [{"rgb": image, "thermal": image if i % 2 else None} for i in range(5)]
    result = track(model, frames, (40, 20, 16, 16))
    assert len(result.boxes) == 5
    np.testing.assert_allclose(result.boxes[:, 2:], 16, atol=0.2)
    np.testing.assert_allclose(result.boxes[:, :2], [(40, 20)] * 5, atol=1)
    assert result.scores[1:].min() > 0.4

    path = tmp_path / "toy.safetensors"
    models.save_model(model, path, {"encodings": {}, "thresholds": None, "licence": "MIT"})
    again = models.load_model(path, device="cpu")
    assert again.card["missing_policy"] == model.missing_policy
    np.testing.assert_allclose(track(again, frames, (40, 20, 16, 16)).boxes, result.boxes, atol=1e-3)
    assert torch.equal(again.size, model.size)


@pytest.mark.usefixtures("installed")
def test_the_command_line_knows_it_too(tmp_path, cameras, capsys):
    from modaltrack import cli

    models.save_model(models.create("toy-small"), tmp_path / "toy.safetensors", {"licence": "MIT"})
    words = ["track", "--rgb", str(cameras / "rgb"), "--thermal", str(cameras / "thermal"), "--box", "20,20,16,12"]
    words += ["--model", str(tmp_path / "toy.safetensors"), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--no-video"]) == 0
    assert (tmp_path / "out" / "boxes.txt").exists()
    assert cli.main([*words, "--show", "fused"]) == 1
    assert "needs a model that fuses images" in capsys.readouterr().err
