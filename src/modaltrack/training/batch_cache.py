# SPDX-License-Identifier: Apache-2.0
"""Batches kept on disk, so that several runs with the same samples render them once.

One uncompressed safetensors file per step, in a folder named by a hash of everything that decides the samples.
Files appear whole or not at all; several processes may read and fill the same folder at once, and one that finds a
step being made by another waits for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from modaltrack.files import locked, write_file
from modaltrack.training.data import Batch, BatchSource, from_plain, to_plain
from modaltrack.training.fingerprint import fingerprint

log = logging.getLogger(__name__)
VERSION = 1  # of the files and of how a BatchSource draws; raise it when either changes
# Fields of a recipe that decide its samples, beside its data, of which the fingerprint speaks
FIELDS = (
    "modalities", "together", "modality_dropout", "input_mix", "templates", "augment", "batch", "accumulation", "seed",
)  # fmt: skip
LOCKS = 64  # files to lock, shared by all steps
COUNT_EVERY = 200  # steps written between two looks at what the folder holds by now
GB = 1e9


def samples_key(source: BatchSource) -> dict[str, Any]:
    """All that decides the batches of a source, as plain data; equal keys mean equal bits."""
    recipe = source.recipe.to_dict()
    return {
        "version": VERSION,
        "recipe": {name: recipe[name] for name in FIELDS},
        "data": fingerprint(source.recipe),
        "shard": source.shard,
        "sizes": [source.template_size, source.search_size],
        "rank": [source.rank, source.world],
        "sampler": _named(source.build),
        "machine": [torch.__version__, platform.machine(), torch.backends.cpu.get_cpu_capability(), source.device],
    }


def _named(build: object) -> str:
    if isinstance(build, partial):
        return f"{_named(build.func)}{sorted(build.keywords.items())}"
    return f"{build.__module__}.{build.__qualname__}" if hasattr(build, "__qualname__") else repr(build)


@dataclass
class CachedSource:
    """``source`` with a memory on disk: the same batches, to the bit.

    Attributes:
        folder: shared by any number of runs.
        limit_gb: size that the whole folder may reach; beyond it batches are made as without a cache, and a warning
            says so once.
    """

    source: BatchSource
    folder: Path
    limit_gb: float = 50.0
    hits: int = 0
    full: bool = False
    _bytes: int = -1
    _written: int = 0
    _home: Path | None = field(default=None, repr=False)

    def __call__(self, step: int) -> list[Batch]:
        path = self.home / f"{step:08d}.safetensors"
        batches = _read(path)
        if batches is None and not self.full:
            with locked(self.folder / "locks" / f"{self.home.name[:8]}-{step % LOCKS}", wait=True):
                batches = _read(path)  # made by another process while this one waited
                if batches is None:
                    batches = self.source(step)
                    self._write(path, batches)
                    return batches
        if batches is None:
            return self.source(step)
        self.hits += 1
        return batches

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            ValueError: when that is not possible.
        """
        assert self.home

    @property
    def home(self) -> Path:
        """The folder of this key's batches; made when first used."""
        if self._home is None:
            if self.limit_gb <= 0:
                raise ValueError(f"The batch cache's limit is {self.limit_gb} GB: give a number above 0.")
            key = json.dumps(samples_key(self.source), sort_keys=True, indent=1)
            home = self.folder / hashlib.sha256(key.encode()).hexdigest()[:20]
            try:
                for part in (home, self.folder / "locks"):
                    part.mkdir(parents=True, exist_ok=True)
                write_file(home / "samples.json", key)
            except OSError as error:
                raise ValueError(
                    f"The batch cache {self.folder} cannot be written ({error.strerror or error}): name another folder."
                ) from error
            self._home = home
        return self._home

    def _write(self, path: Path, batches: list[Batch]) -> None:
        arrays, messages = to_plain(batches)
        data = save(arrays, {"messages": json.dumps(messages)})
        if self._written % COUNT_EVERY == 0:
            self._bytes = sum(entry.stat().st_size for entry in _files(self.folder))
        if self._bytes + len(data) > self.limit_gb * GB:
            self._stop(
                f"holds {self._bytes / GB:.2f} GB of the {self.limit_gb:g} GB it may hold: raise --batch-cache-gb or "
                "delete old folders in it"
            )
            return
        try:
            write_file(path, data)
        except OSError as error:
            self._stop(f"cannot be written any more ({error.strerror or error}): make room or name another folder")
            return
        self._bytes += len(data)
        self._written += 1

    def _stop(self, why: str) -> None:
        self.full = True
        log.warning("The batch cache %s %s. Batches that are not in it are rendered and not kept.", self.folder, why)


def _read(path: Path) -> list[Batch] | None:
    """The batches of a file; None where there is no whole one."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return from_plain(arrays, json.loads(file.metadata()["messages"]))
    except (OSError, SafetensorError):  # a machine that went down may leave a file without its content
        return None


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    for home in folder.iterdir():
        if home.is_dir():
            with os.scandir(home) as entries:
                yield from (entry for entry in entries if entry.name.endswith(".safetensors"))
