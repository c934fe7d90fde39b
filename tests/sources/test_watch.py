# SPDX-License-Identifier: Apache-2.0
"""Sensors that see nothing, stand still or are of an absurd kind are said, and others are not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from modaltrack.sources import SourceWarning, open_clip, open_source
from modaltrack.sources.watch import FreezeWatch

Make = Callable[..., Any]
RNG = np.random.default_rng(7)
SCENE_MM = (1200 + 2500 * RNG.random((40, 60))).astype(np.float32)


def said(run: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in caught if issubclass(w.category, SourceWarning)]


def folder(path: Path, images: list[Any], suffix: str = ".png") -> Path:
    path.mkdir()
    for k, image in enumerate(images):
        if suffix == ".npy":
            np.save(path / f"{k}.npy", image)
        else:
            cv2.imwrite(str(path / f"{k}{suffix}"), image)
    return path


@pytest.mark.parametrize(
    ("per_mm", "kind", "suffix", "scale", "advice"),
    [
        (1, np.uint16, ".png", 1.0, None),
        (5, np.uint16, ".png", 0.2, None),  # TUM
        (10, np.uint16, ".png", 0.1, None),
        (10, np.uint16, ".png", 1.0, "--depth-scale 0.1"),
        (1, np.uint16, ".png", 1000.0, "10 m"),
        (1, np.uint16, ".png", 0.001, "within"),
        (0.001, np.float32, ".tif", 1.0, "--depth-scale 1000"),
        (0.001, np.float32, ".npy", 1.0, "--depth-scale 1000"),
        (0.001, np.float32, ".npy", 1000.0, None),
        (0.1, np.uint16, ".png", 1.0, None),  # centimetres of 12 to 37: near, and still possible
    ],
)
def test_the_unit_of_depth(
    tmp_path: Path, per_mm: float, kind: Any, suffix: str, scale: float, advice: str | None
) -> None:
    place = folder(tmp_path / "d", [(SCENE_MM * per_mm).astype(kind)] * 4, suffix)
    texts = said(lambda: list(open_source(place, "depth", depth_scale=scale)))
    unit = [t for t in texts if "depth_scale" in t]
    assert len(unit) == (advice is not None)
    assert advice is None or advice in unit[0]


def test_depth_without_a_reading_is_missing(tmp_path: Path) -> None:
    good = SCENE_MM.astype(np.uint16)
    place = folder(tmp_path / "d", [good, np.zeros_like(good), good])
    colours = folder(tmp_path / "c", [RNG.integers(0, 255, (40, 60, 3), np.uint8) for _ in range(3)])
    frames: list[Any] = []
    texts = said(lambda: frames.extend(open_clip({"rgb": colours, "depth": place})))
    assert [sorted(f.missing) for f in frames] == [[], ["depth"], []]
    assert sum("without a single reading" in t for t in texts) == 1


def test_thermal_of_nan_is_missing(tmp_path: Path) -> None:
    counts = (7000 + 400 * RNG.random((40, 60))).astype(np.float32)
    place = folder(tmp_path / "t", [counts, np.full_like(counts, np.nan), counts], ".npy")
    assert [image is None for _, image in open_source(place, "thermal")] == [False, True, False]


def test_pixels_that_squeeze_the_others_are_said(tmp_path: Path) -> None:
    counts = (7000 + 400 * RNG.random((120, 160))).astype(np.uint16)
    plain = folder(tmp_path / "a", [counts] * 4)
    counts = counts.copy()
    counts[3, 3], counts[60, 60] = 0, 65535
    dead = folder(tmp_path / "b", [counts] * 4)
    assert not any("grey levels" in t for t in said(lambda: list(open_source(plain, "thermal"))))
    texts = [t for t in said(lambda: list(open_source(dead, "thermal"))) if "grey levels" in t]
    assert len(texts) == 1
    assert "thermal-16bit-robust" in texts[0]
    robust = said(lambda: list(open_source(dead, "thermal", "thermal-16bit-robust")))
    assert not any("grey levels" in t for t in robust)


@pytest.mark.parametrize("modality", ["rgb", "thermal", "depth"])
def test_no_contrast_is_said(tmp_path: Path, modality: str) -> None:
    flat = folder(tmp_path / "flat", [np.full((40, 60), 2000 if modality == "depth" else 90, np.uint16)] * 5)
    texts = said(lambda: list(open_source(flat, modality)))
    assert sum("shows nothing" in t and f"taken for {modality}" in t for t in texts) == 1
    lively = folder(tmp_path / "lively", [(SCENE_MM + k).astype(np.uint16) for k in range(5)])
    assert not any("shows nothing" in t for t in said(lambda: list(open_source(lively, modality))))


def test_absurd_sizes_are_said(tmp_path: Path) -> None:
    for k, shape in enumerate([(4, 4), (20, 900)]):
        place = folder(tmp_path / str(k), [RNG.integers(0, 255, shape, np.uint8)] * 2)
        assert any(f"{shape[1]}x{shape[0]}" in t for t in said(lambda p=place: open_source(p, "rgb")))


def test_absurd_rates_are_said(write_folder: Make, colours: Make) -> None:
    fast = write_folder("fast", colours(5), [k * 1e-5 for k in range(5)])
    assert any("frames per second" in t for t in said(lambda: open_source(fast, "rgb")))
    slow = write_folder("slow", colours(5), [k * 60.0 for k in range(5)])
    assert any("frames per second" in t for t in said(lambda: open_source(slow, "rgb")))


def moving(count: int, still: range = range(0)) -> list[Any]:
    images = [RNG.integers(0, 255, (32, 48), np.uint8) for _ in range(count)]
    for k in still:
        images[k] = images[still.start]
    return images


@pytest.mark.parametrize("stamped", [True, False])
def test_a_frozen_sensor_is_missing_while_others_move(write_folder: Make, stamped: bool) -> None:
    stamps = [k / 10 for k in range(40)] if stamped else None
    rgb = write_folder("rgb", moving(40), stamps)
    thermal = write_folder("thermal", moving(40, range(10, 30)), stamps)
    frames: list[Any] = []
    texts = said(lambda: frames.extend(open_clip({"rgb": rgb, "thermal": thermal}, fps=10)))
    gone = [f.index for f in frames if f.missing]
    assert gone == list(range(16, 30))  # noticed after half a second, back with the next image
    assert sum("same image for longer" in t for t in texts) == 1


def test_a_still_single_source_stays(write_folder: Make) -> None:
    still = write_folder("rgb", moving(30, range(0, 30)), [k / 10 for k in range(30)])
    frames: list[Any] = []
    texts = said(lambda: frames.extend(open_clip({"rgb": still})))
    assert not any(f.missing for f in frames)
    assert any("only one left" in t for t in texts)


def test_a_slow_sensor_repeated_to_the_rate_of_the_fast_one_is_not_frozen() -> None:
    watch = FreezeWatch(30.0)
    images = moving(30)
    assert not any(watch.frozen(k / 30, images[k // 6]) for k in range(150))
    assert [watch.frozen(5 + k / 30, images[29]) for k in range(60)].index(True) in range(28, 33)
    assert not watch.frozen(8.0, images[0])
    assert not watch.frozen(8.1, None)
