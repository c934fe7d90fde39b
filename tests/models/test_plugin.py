# SPDX-License-Identifier: Apache-2.0
"""A package that is merely installed brings one of everything; a broken one is named and stops nothing."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.toy import BuildSampler

from modaltrack import benchmarks, models, plugins, sources
from modaltrack.frame import Modality
from modaltrack.models import registry
from modaltrack.models.authors import from_authors
from modaltrack.sources.encodings import check_encoding, encode
from modaltrack.tracking import track
from modaltrack.training.objective import build_objective
from modaltrack.training.recipes import RECIPES, get_recipe

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


PARTS = '''
import numpy as np
import torch

from modaltrack.benchmarks import Row
from modaltrack.benchmarks.layout import Layout
from modaltrack.frame import Modality
from modaltrack.models.authors import KeyMap
from modaltrack.sources.encodings import Encoding
from modaltrack.study.plan import Run
from modaltrack.training.recipe import Recipe

KEYS = KeyMap(((r"towers\\.(size)", r"\\1"),))
BENCHMARK = Row("toyset", "ToySet", Layout({Modality.RGB: ("pictures",)}, ("truth.txt",)), {"all": 1})
INVERTED = Encoding(Modality.THERMAL, lambda image: np.stack([255 - image] * 3, 2))


STUDIED = Run("toy", "toy-recipe", "the toy beside the others")


def still():
    """A recipe that shows how one is added."""
    return Recipe("toy-recipe", "toy-small", objective="toy-objective", steps=1, batch=2)


class Nothing:
    """An objective that asks for nothing."""

    terms, extra = ("total",), None

    def __init__(self, recipe, model):
        pass

    def __call__(self, model, batch, template, search, keep_rate):
        return {"total": model.size.sum() * 0}


class Blank:
    """A reader of "blank:N": N black pictures."""

    live, has_time, start, end, fps, size = False, False, None, None, 30.0, (24, 32)

    def __init__(self, name, length):
        self.name, self.length = name, length

    @property
    def first(self):
        return np.zeros((24, 32, 3), np.uint8)

    def frames(self):
        return ((float("nan"), self.first) for _ in range(self.length))


def read(spec, modality):
    return Blank(spec, int(spec[6:])) if spec.startswith("blank:") else None
'''

POINTS = """
[modaltrack.models]
toy = toy_tracker
[modaltrack.key_maps]
toy = toy_parts:KEYS
[modaltrack.objectives]
toy-objective = toy_parts:Nothing
[modaltrack.recipes]
toy-recipe = toy_parts:still
[modaltrack.study]
toy = toy_parts:STUDIED
[modaltrack.benchmarks]
toyset = toy_parts:BENCHMARK
[modaltrack.readers]
blank = toy_parts:read
[modaltrack.encodings]
thermal-inverted = toy_parts:INVERTED
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The toy's package as an installer leaves it: a module and a .dist-info with an entry point."""
    (tmp_path / "toy_tracker.py").write_text(CODE)
    (tmp_path / "toy_parts.py").write_text(PARTS)
    info = tmp_path / "toy_tracker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tracker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    registry.list_models()
    entries = dict(registry._ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._import_methods.cache_clear()  # as in a new process
    plugins.forget()
    yield
    plugins.forget()
    registry._ENTRIES.clear()
    registry._ENTRIES.update(entries)
    for module in ("toy_tracker", "toy_parts"):
        sys.modules.pop(module, None)


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


@pytest.mark.usefixtures("installed")
def test_a_key_map_from_outside():
    size = torch.tensor([0.5, 0.5])
    model, report = from_authors("toy", {"towers.size": size}, size="small")
    assert report.complete
    assert torch.equal(model.size, size)


@pytest.mark.usefixtures("installed")
def test_a_recipe_and_an_objective_from_outside():
    assert "toy-recipe" in RECIPES
    recipe, model = get_recipe("toy-recipe"), models.create("toy-small")
    objective = build_objective(recipe, model)
    assert objective(model, None, {}, {}, None)["total"] == 0


@pytest.mark.usefixtures("installed")
def test_a_method_is_added_by_two_files(tmp_path, capsys):
    """Trained, imported from its authors' checkpoint, and studied; nothing of this package knows its name."""
    from modaltrack import cli
    from modaltrack.study.folder import Settings, StudyFolder
    from modaltrack.study.plan import run_of
    from modaltrack.study.running import recipe_of
    from modaltrack.training import train

    assert sorted(file.name for file in tmp_path.glob("*.py")) == ["toy_parts.py", "toy_tracker.py"]
    recipe = recipe_of(run_of("toy"), StudyFolder(tmp_path), Settings(steps=2, batch=2), seed=0)
    card = train(recipe, tmp_path / "run", "cpu", threads=1, make_sampler=BuildSampler())
    assert card["finished"]
    torch.save({"towers.size": torch.tensor([0.5, 0.5])}, tmp_path / "theirs.pth")
    words = ["models", "import", str(tmp_path / "theirs.pth"), "--method", "toy", "--size", "small"]
    assert cli.main([*words, "--out", str(tmp_path / "toy.safetensors")]) == 0
    assert models.load_model(tmp_path / "toy.safetensors", device="cpu").size.tolist() == [0.5, 0.5]


@pytest.mark.usefixtures("installed")
def test_a_benchmark_from_outside(tmp_path):
    import cv2

    folder = tmp_path / "ToySet" / "one"
    (folder / "pictures").mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(folder / "pictures" / f"{number:04}.png"), np.zeros((20, 30, 3), np.uint8))
    (folder / "truth.txt").write_text("1,2,3,4\n" * 3)
    assert "toyset" in benchmarks.list_benchmarks()
    (entry,) = benchmarks.open_benchmark("toyset", tmp_path / "ToySet")
    np.testing.assert_array_equal(entry.truth().boxes, [(1, 2, 3, 4)] * 3)


@pytest.mark.usefixtures("installed")
def test_a_reader_and_an_encoding_from_outside():
    frames = list(sources.open_clip({"rgb": "blank:4"}))
    assert len(frames) == 4
    assert frames[0].images[Modality.RGB].shape == (24, 32, 3)
    assert check_encoding("thermal-inverted", Modality.THERMAL) == "thermal-inverted"
    with pytest.raises(ValueError, match="for depth"):
        check_encoding("thermal-inverted", Modality.DEPTH)
    assert encode("thermal-inverted", np.full((2, 2), 5, np.uint8))[0, 0].tolist() == [250] * 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[modaltrack.models]\nbad = toy_nowhere", "ModuleNotFoundError"),
        ("[modaltrack.recipes]\nbad = json:__name__", "expected a function"),
        ("[modaltrack.recipes]\nostrack-tiny-scenes = toy_parts:still", "is taken"),
        ("[modaltrack.benchmarks]\nbad = toy_parts:BENCHMARK", "of the name bad"),
        ("[modaltrack.encodings]\nbad = toy_parts:still", "expected a modaltrack.sources.encodings.Encoding"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_broken_plug_in_is_named_and_left_out(line, reason, tmp_path):
    (tmp_path / "toy_tracker-1.0.dist-info" / "entry_points.txt").write_text(line + "\n")
    plugins.forget()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert "ostrack-tiny" in models.list_models()
        assert "ostrack-tiny-scenes" in list(RECIPES)
        assert "lasher" in benchmarks.list_benchmarks()
        with pytest.raises(ValueError, match="no encoding"):
            check_encoding("bad")
    (said,) = (str(w.message) for w in heard)
    assert "toy-tracker 1.0 is left out" in said
    assert reason in said
