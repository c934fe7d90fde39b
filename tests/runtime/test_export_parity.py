# SPDX-License-Identifier: Apache-2.0
"""Export, then `track` and `eval` through the exported folder: the benchmark's own road, on a short rendered clip."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.models.test_contract import small

from modaltrack import models, scenes
from modaltrack.frame import Modality

for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package)


@pytest.fixture
def script(monkeypatch, short_clips):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    sys.modules.pop("export_parity", None)
    import export_parity

    return export_parity


@pytest.fixture
def clip(tmp_path):
    """A rendered clip on disk as real clips are."""
    made = scenes.clip(3, length=5, size=(128, 160), hard=False)
    folder = tmp_path / "rgbt" / "rendered"
    for name, modality in (("rgb", Modality.RGB), ("aux", Modality.THERMAL)):
        (folder / name).mkdir(parents=True)
        for index, frame in enumerate(made.frames):
            cv2.imwrite(str(folder / name / f"{index:04d}.png"), frame.images[modality][:, :, ::-1])
    np.savetxt(folder / "groundtruth.txt", made.boxes, fmt="%.3f", delimiter=",")
    return folder


def weights(model, folder):
    path = folder / "drawn.safetensors"
    models.save_model(model, path, {"thresholds": {"tracking": 0.0, "lost": 0.0}}, dtype=torch.float32)
    return str(path)


@pytest.mark.parametrize(
    ("name", "form", "sensors"), [("ostrack-tiny", "onnx", "rgb"), ("sdstrack-tiny", "openvino", "rgb+thermal")]
)
def test_an_exported_folder_tracks_and_evaluates_as_torch(name, form, sensors, script, clip, monkeypatch):
    model = small(name, depth=1, fusion_blocks=(0,))
    monkeypatch.setattr(script, "weights_of", lambda name, folder: weights(model, folder))
    # a graph less than all sets of sensors have: each takes seconds
    monkeypatch.setattr("modaltrack.export.subsets", lambda _, known: list(dict.fromkeys([known[:1], known])))
    row = script.measure(name, form, clip, 5)
    assert row["good"], row
    assert row["sensors"] == sensors
    assert row["frames"] == row["same_status"] == 5
    assert row["moved_px"] > 1, "boxes have to move for this to say much"


def test_a_graph_that_is_off_is_out_of_bounds(script, clip, monkeypatch):
    """One that computes something else after it was compared."""
    model = small("ostrack-tiny", depth=1)
    monkeypatch.setattr(script, "weights_of", lambda name, folder: weights(model, folder))
    boxes = np.cumsum(np.ones((5, 4)), 0)
    answers = iter([(boxes, ["tracking"] * 5), (boxes + 0.1, ["tracking"] * 4 + ["lost"])])
    monkeypatch.setattr(script, "tracked", lambda *_: next(answers))
    monkeypatch.setattr(script, "evaluated", lambda *_: boxes)
    row = script.measure("ostrack-tiny", "onnx", clip, 5)
    assert not row["good"]
    assert row["track_px"] == pytest.approx(0.1)
    assert row["same_status"] == 4


def test_every_small_model_is_in_the_table(script):
    assert {"ainet-tiny", "modaltrack-laptop", "nanotrack-v3"} <= set(script.small_models())
    assert not any(name.endswith("-base") for name in script.small_models())
