# SPDX-License-Identifier: Apache-2.0
"""Miniature training sets whose target can be found again in a crop: its left half is full, its right half is half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.benchmarks import mini

from modaltrack.benchmarks import official_list
from modaltrack.training.benchmark_pairs import BenchmarkPairs, open_data
from modaltrack.training.recipe import Recipe

HEIGHT, WIDTH, LENGTH = 96, 128, 24
SECOND = {"lasher": "thermal", "depthtrack": "depth", "visevent": "event"}


def box(k: int) -> tuple[int, int, int, int]:
    """x, y, w, h of the target in frame k: it moves slowly and grows."""
    return 20 + 2 * k, 22 + k, 18 + k // 4, 14 + k // 3


def picture(k: int, kind: str = "colour", **size: int) -> NDArray[np.generic]:
    """A black scene with the target in it: colour BGR, grey, or 16-bit depth."""
    x, y, w, h = box(k)
    full = np.zeros((HEIGHT, WIDTH))
    full[y : y + h, x : x + w // 2] = 1.0
    full[y : y + h, x + w // 2 : x + w] = 0.6
    if kind == "depth":
        return (4000 - 3000 * full).astype(np.uint16)
    grey = (255 * full).astype(np.uint8)
    return grey if kind == "grey" else np.stack([0 * grey, grey // 2, grey], 2)  # orange


def names(name: str, count: int) -> list[str]:
    """Names of training sequences: of the official list where that ships."""
    return (official_list(mini.info(name), "train") or [f"{name}{k:02d}" for k in range(count)])[:count]


def build(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, count: int = 2, length: int = LENGTH) -> Path:
    """A miniature training set of painted pictures, in the layout that ``mini`` knows."""
    with monkeypatch.context() as patch:
        patch.setattr(mini, "picture", picture)
        patch.setattr(mini, "box", box)
        mini.BUILDERS[name](root, names(name, count), length)
    if name == "visevent":
        mini.text(root / "trainlist.txt", names(name, count))
    return root


def folder(root: Path, name: str) -> Path:
    """Where a sequence of a miniature lies."""
    return next(path for path in root.rglob(name) if path.is_dir())


def pairs_of(root: Path, *sets: str, templates: int = 1, seed: int = 0, **augmentation: float) -> BenchmarkPairs:
    """A sampler of small crops on the miniatures under ``root``; without any change unless it is named."""
    from modaltrack.training.augment import UNCHANGED

    sensors = tuple(dict.fromkeys(SECOND[name] for name in sets))
    recipe = Recipe("r", "m", modalities=sensors, data=dict.fromkeys(sets, 1.0), data_root=str(root))
    how = UNCHANGED.changed(augmentation)
    return BenchmarkPairs(open_data(recipe), 32, 64, seed, how, templates=templates)


def target(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """xywh, 0..1, of the target in a crop (3, h, w): in all encodings it alone is bright in one of two channels."""
    here = image[:2].max(0) > 0.2  # near depth is blue to green in BGR order, far depth red
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    size = image.shape[-1]
    left, top = columns[0] / size, rows[0] / size
    return np.array([left, top, (columns[-1] + 1) / size - left, (rows[-1] + 1) / size - top])
