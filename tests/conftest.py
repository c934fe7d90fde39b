# SPDX-License-Identifier: Apache-2.0
"""What the tests of the commands share: weights that know nothing, and two cameras' files of a moving square."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny tensors only suffer from threads
# an installed wheel holds the default model only; the others lie in the tree
os.environ.setdefault(
    "MODALTRACK_WEIGHTS", str(Path(__file__).parents[1] / "src" / "modaltrack" / "models" / "weights")
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips; the test is skipped where it is absent."""
    named = os.environ.get("MODALTRACK_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("no real clips here: set MODALTRACK_SHARED to the folder that holds data/")
    return folder / "data"


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a very small SDSTrack that was never trained."""
    import torch

    from modaltrack.models import create, save_model

    torch.manual_seed(0)
    model = create("sdstrack-tiny", dim=48, depth=2, heads=2, head_channels=16, fusion_blocks=(1,))
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    card = {
        "encodings": {"rgb": "rgb", "thermal": "thermal", "depth": "depth-jet-bgr", "event": "event-image"},
        "thresholds": {"tracking": 0.4, "lost": 0.2},
        "licence": "Apache-2.0",
        "measured": {"success": 0.0},
    }
    save_model(model, path, card)
    return path


@pytest.fixture(scope="session")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rgb/`` and ``thermal/``, 6 png files of 96 x 64 each, and ``truth.txt``. Not to be written to."""
    folder = tmp_path_factory.mktemp("cameras")
    rows = []
    rng = np.random.default_rng(0)
    for name in ("rgb", "thermal"):
        (folder / name).mkdir()
    for index in range(6):
        image = rng.integers(60, 90, (64, 96, 3), dtype=np.uint8)
        x, y = 20 + 3 * index, 20 + index
        image[y : y + 12, x : x + 16] = (40, 200, 220)
        cv2.imwrite(str(folder / "rgb" / f"{index:03d}.png"), image)
        cv2.imwrite(str(folder / "thermal" / f"{index:03d}.png"), image[:, :, 2])
        rows.append(f"{x},{y},16,12")
    (folder / "truth.txt").write_text("\n".join(rows) + "\n")
    return folder
