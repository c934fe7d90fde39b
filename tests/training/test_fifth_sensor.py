# SPDX-License-Identifier: Apache-2.0
"""A fifth sensor is one line in the table of sensors and one encoding; nothing else has to know it.

The package is copied without its weights, the two edits are made in the copy, and another Python reads a folder of that
sensor, trains on it and tracks with it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import modaltrack

EDITS = {  # file -> (line, what follows it in the copy)
    "modality.py": ('    EVENT = "event"\n', '    POLAR = "polar"\n'),
    "sources/encodings.py": (
        '    "event-accumulate": event_accumulate,\n',
        '    "polar-angle": lambda image: cv2.applyColorMap(image[..., 0], cv2.COLORMAP_HSV),\n',
    ),
}
DEFAULT = (
    "    Modality.EVENT: (",
    '    Modality.POLAR: ("polar-angle",),\n',
)  # the encodings of a sensor, first by default

SCRIPT = """
import sys
from dataclasses import replace
import numpy as np, torch
from modaltrack import models
from modaltrack.frame import Modality
from modaltrack.sources.layout import open_folder
from modaltrack.tracking import Tracker
from modaltrack.training.data import BatchSource
from modaltrack.training.distributed import Ranks
from modaltrack.training.recipe import Recipe
from modaltrack.training.step import Stepper

folder = sys.argv[1]
reader, boxes = open_folder(folder)
frames = list(reader)
assert set(frames[0].images) == {"rgb", "polar"}, frames[0].images.keys()
hue = frames[0].images[Modality.POLAR]
assert hue.shape == frames[0].images[Modality.RGB].shape and hue.std() > 5  # the toy's encoding: a colour map

torch.manual_seed(0)
for name in ("sdstrack-tiny", "modaltrack-tiny"):
    model = models.create(name, modalities=("rgb", "polar")).eval()
    tracker = Tracker(model)
    tracker.init(frames[0].images, boxes[0])
    result = tracker.update(frames[1].images)
    assert np.isfinite(result.box).all()
    recipe = Recipe("toy", name, modalities=("polar",), batch=4, steps=2, data={folder: 1.0}, modality_dropout=0.5)
    (batch,) = BatchSource(recipe, model.config.template_size, model.config.search_size)(0)
    assert list(batch.search) == ["rgb", "polar"], list(batch.search)
    assert batch.search["polar"].float().std() > 5
    assert (batch.present["rgb"] | batch.present["polar"]).all()
    before = [p.clone() for p in model.parameters()]
    numbers = Stepper(recipe, model, torch.device("cpu"), Ranks())([batch], 0, 0.0)
    assert torch.isfinite(numbers).all(), numbers
    assert any((a != b).any() for a, b in zip(before, model.parameters()))
try:
    BatchSource(Recipe("toy", "sdstrack-tiny", modalities=("polar",), batch=4), 64, 128)(0)
except RuntimeError as error:
    assert "The rendered world has no polar camera" in str(error), error
else:
    raise AssertionError("scenes made images of a sensor that they have no camera for")
print("a fifth sensor works")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package with a sensor more, in a folder for PYTHONPATH."""
    source = Path(modaltrack.__file__).parent
    skip = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.npz", "*.onnx", "*.jpg")
    copy = shutil.copytree(source, tmp_path / "more/modaltrack", ignore=skip)
    for name, (line, addition) in EDITS.items():
        text = (copy / name).read_text(encoding="utf-8")
        assert text.count(line) == 1, f"{name} has changed; put the toy sensor where sensors stand now"
        text = text.replace(line, line + addition)
        if name == "sources/encodings.py":
            assert text.count(DEFAULT[0]) == 1
            text = text.replace(DEFAULT[0], DEFAULT[1] + DEFAULT[0])
        (copy / name).write_text(text, encoding="utf-8")
    return copy.parent


def test_one_table_and_one_encoding_are_enough(package: Path, tmp_path: Path) -> None:
    clip, boxes = tmp_path / "clip", []
    for n in range(6):
        image = np.random.default_rng(n).integers(0, 120, (120, 160, 3), np.uint8)
        angle = np.full((120, 160), 20, np.uint8)
        x = 40 + 8 * n
        cv2.rectangle(image, (x, 40), (x + 30, 70), (40, 220, 240), -1)
        cv2.rectangle(angle, (x, 40), (x + 30, 70), 120, -1)
        for sensor, picture in (("rgb", image), ("polar", angle)):
            (clip / sensor).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(
                str(clip / sensor / f"{n:04d}.png"), cv2.merge([picture] * 3) if picture.ndim == 2 else picture
            )
        boxes.append(f"{x},40,31,31")
    (clip / "boxes.txt").write_text("\n".join(boxes))
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(clip)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "a fifth sensor works" in done.stdout
