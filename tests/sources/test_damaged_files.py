# SPDX-License-Identifier: Apache-2.0
"""Damaged files of every format give an image, a missing one, or one sentence; never another exception."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.sources import test_event_formats as events
from tests.sources import test_image_formats as images

from modaltrack.sources import open_source

SEEDS = 25
COUNTS = images.RAMP


def encoded(suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, COUNTS if suffix != ".webp" else images.PICTURE)[1].tobytes())


def saved(save: Callable[[Path], object], suffix: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        file = folder / f"whole{suffix}"
        save(file)
        return file.read_bytes()

    return make


def hdf5(file: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w") as content:
        for key, column in zip("txyp", events.COLUMNS, strict=True):
            content[f"events/{key}"] = column


MAKERS: dict[str, Callable[[Path], bytes]] = {
    "e.txt": lambda _: events.rows().encode()[:3000],
    "e.npz": saved(lambda f: np.savez(f, **events.wild()), ".npz"),
    "e.npy": saved(lambda f: np.save(f, events._structured("t", "x", "y", "p")), ".npy"),
    "e.raw": lambda _: events.evt3(),
    "e2.raw": lambda _: events.evt2(),
    "e.dat": lambda _: events.dat(),
    "e.es": lambda _: events.es(),
    "e.h5": saved(hdf5, ".h5"),
    "t.png": lambda _: encoded(".png"),
    "t.tif": lambda _: encoded(".tif"),
    "t.pgm": lambda _: encoded(".pgm"),
    "t.jp2": lambda _: encoded(".jp2"),
    "t.webp": lambda _: encoded(".webp"),
    "t.npy": saved(lambda f: np.save(f, COUNTS), ".npy"),
    "t.seq": lambda _: images.fff(COUNTS, png=False) * 2,
    "pages.tif": saved(lambda f: cv2.imwritemulti(str(f), [COUNTS, COUNTS + 1]), ".tif"),
    "stack.npy": saved(lambda f: np.save(f, np.stack([COUNTS, COUNTS])), ".npy"),
    "v.avi": saved(lambda f: images.raw_avi(f, [COUNTS, COUNTS], b"Y16 "), ".avi"),
}


def damaged(content: bytes, seed: int) -> bytes:
    """Some bytes changed (mostly near the beginning, where the structure is), cut, or repeated."""
    chance = random.Random(seed)
    data = bytearray(content)
    for _ in range(chance.choice((1, 3, 20))):
        end = len(data) if chance.random() < 0.4 else min(len(data), 200)
        data[chance.randrange(end)] = chance.choice((0, 255, chance.randrange(256)))
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data))]
    return bytes(data)


@pytest.mark.parametrize("name", MAKERS)
def test_damage_is_a_sentence_or_a_missing_image(tmp_path: Path, name: str) -> None:
    whole = MAKERS[name](tmp_path)
    assert read(tmp_path, name, whole) == ""
    said = [read(tmp_path, name, damaged(whole, seed)) for seed in range(SEEDS)]
    assert any(said)
    assert all("\n" not in text and len(text) < 900 for text in said)


def read(tmp_path: Path, name: str, content: bytes) -> str:
    """Open and read a file of this content to its end: what was refused, empty where nothing was."""
    place = tmp_path / "given"
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(content)
    event = name.startswith("e")
    single = not event and not name.startswith(("pages", "stack", "v", "t.seq"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for _, _image in zip(
                range(20), open_source(place if single else place / name, "event" if event else "thermal")
            ):
                pass
        except ValueError as error:
            return str(error)
    return ""
