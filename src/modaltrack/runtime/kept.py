# SPDX-License-Identifier: Apache-2.0
"""Graphs that were exported on demand, kept in the user's cache folder: exporting takes seconds, finding one none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from modaltrack.files import cache_folder, remove_abandoned, replacing
from modaltrack.models.model import TorchModel

MOST = 2 << 30  # bytes of all graphs together; the longest unused go first
NAME = "graph.onnx"


def kept_graph(key: str, make: Callable[[Path], object], usable: Callable[[Path], bool]) -> Path:
    """The file of a graph: the one in the cache where it is usable, else a new one.

    Args:
        key: of what the graph is made of, by ``key_of``.
        make: writes the file.
        usable: whether a file from the cache is whole; one that is not is made again.

    Returns:
        Its path, of a temporary folder that ends with this process where the cache cannot be written to.
    """
    folder = cache_folder() / "graphs" / key
    if (folder / NAME).is_file() and usable(folder / NAME):
        with suppress(OSError):
            os.utime(folder)
        return folder / NAME
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder, folder=True) as partial:
            make(partial / NAME)
    except OSError:  # a cache: its lack costs time and nothing else
        place = Path(_session_folder().name) / f"{key}.onnx"
        make(place)
        return place
    _tidy(folder.parent, folder)
    return folder / NAME


def key_of(model: TorchModel, *more: str) -> str:
    """A name for whatever decides what a graph computes: weights, configuration, card, code, exporters, ``more``."""
    digest = hashlib.sha256()
    config = model.config
    settings = asdict(config) if is_dataclass(config) and not isinstance(config, type) else repr(config)
    facts = [type(model).__qualname__, settings, dict(model.card), _versions(), _code(), *more]
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, tensor in model.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@cache
def _code() -> str:
    """Of the files that a graph comes from: a version number does not change while one works on them."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for room in ("models", "vision", "export", "scenes"):
        for file in sorted((root / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def _session_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="modaltrack-graphs-")


def _tidy(folder: Path, keep: Path) -> None:
    """Remove what killed processes left, and the graphs that were not used for longest, until ``MOST`` is held."""
    with suppress(OSError):
        remove_abandoned(folder)
        found = [(one.stat().st_mtime, sum(f.stat().st_size for f in one.iterdir()), one) for one in folder.iterdir()]
        total = sum(size for _, size, _ in found)
        for _, size, one in sorted(found):
            if total <= MOST:
                break
            if one != keep:
                shutil.rmtree(one, ignore_errors=True)
                total -= size
