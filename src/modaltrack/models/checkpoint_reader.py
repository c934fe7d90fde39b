# SPDX-License-Identifier: Apache-2.0
"""Reads files of ``torch.save`` (.pth, .pth.tar, .pt) that may come from anywhere: tensors and plain containers only.

Both formats: the zip archive (torch 1.6 and later) and the row of pickles before it. The pickles are interpreted by
``restricted_pickle``, so that nothing in a file runs and the authors' packages are not needed.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from modaltrack.models.restricted_pickle import Placeholder, Reading, Storage, TensorPlan, read_pickle

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_HEADER = 8  # bytes before each storage of the old format: its number of values
Load = Callable[[Storage], bytearray]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds. tree: its containers, with ``Placeholder`` where a class is unknown and tensors on the CPU.

    ignored: classes and functions it names that became placeholders; called: those it wanted to have called, which
    was not done; sha256: of the file.
    """

    tree: Any
    ignored: tuple[str, ...]
    called: tuple[str, ...]
    sha256: str


def read_checkpoint(path: str | Path, keep: tuple[str, ...] = ()) -> Checkpoint:
    """Read a file of ``torch.save``.

    keep: entries of its dictionary; the first one that is there becomes the tree, and only its tensors are loaded.
    ValueError, in one sentence, for a file that is missing, cut short or no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no checkpoint at {path}; give the authors' .pth, .pth.tar or .pt file.")
    with path.open("rb") as file:
        try:
            reading, load = _open(file)
            tree = reading.value
            if isinstance(tree, Mapping):
                tree = next((tree[key] for key in keep if isinstance(tree.get(key), Mapping)), tree)
            tree = _fill(tree, load)
        except (zipfile.BadZipFile, EOFError, RecursionError) as error:
            raise ValueError(f"{path} is damaged or cut short ({error}); copy or download it again.") from None
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as a checkpoint: {error}.") from None
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Checkpoint(tree, tuple(sorted(reading.unknown)), tuple(sorted(reading.called)), digest)


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], Checkpoint]:
    """The weights in a checkpoint, name -> tensor: under ``net``, ``model`` or ``state_dict``, or the file itself.

    A leading ``module.`` (of training on several GPUs) is cut off. ValueError if there are none.
    """
    checkpoint = read_checkpoint(path, keep=("net", "model", "state_dict"))
    tree = checkpoint.tree
    if not isinstance(tree, Mapping) or not any(isinstance(value, Tensor) for value in tree.values()):
        found = ", ".join(map(str, list(tree)[:8])) if isinstance(tree, Mapping) else type(tree).__name__
        raise ValueError(
            f"{path} holds no weights: found {found or 'nothing'}; expected a dictionary of tensors, or one as 'net'."
        )
    if strange := [str(k) for k, v in tree.items() if not isinstance(v, Tensor) or not isinstance(k, str)]:
        raise ValueError(f"{path} has {len(strange)} entries among its weights that are no tensors: {strange[0]}.")
    if all(name.startswith("module.") for name in tree):
        tree = {name.removeprefix("module."): tensor for name, tensor in tree.items()}
    return dict(tree), checkpoint


def _fill(tree: Any, load: Load) -> Any:
    """The tree with tensors for their plans; lists and dictionaries are changed in place, loops in them do no harm."""
    blocks: dict[Storage, Tensor] = {}
    seen: set[int] = set()

    def fill(value: Any) -> Any:
        if isinstance(value, TensorPlan):
            storage = value.storage
            if not storage.count:
                return torch.empty(value.shape, dtype=storage.dtype)
            if storage not in blocks:
                blocks[storage] = torch.frombuffer(load(storage), dtype=storage.dtype)
            return blocks[storage].as_strided(value.shape, value.stride, value.offset)
        if isinstance(value, Storage):
            return Placeholder("torch.storage")
        if isinstance(value, tuple) and not isinstance(value, torch.Size):
            return tuple(fill(item) for item in value)
        if isinstance(value, list | dict) and id(value) not in seen:
            seen.add(id(value))
            for key, item in enumerate(value) if isinstance(value, list) else list(value.items()):
                value[key] = fill(item)
        return value

    return fill(tree)


def _open(file: BinaryIO) -> tuple[Reading, Load]:
    """The interpreted pickle of a file and a function that reads a storage of it."""
    start = file.read(512)
    file.seek(0)
    if start[:2] == b"PK":
        return _open_zip(zipfile.ZipFile(file))
    if start[257:262] == b"ustar":
        raise ValueError("it is a tar archive (older than torch 0.4, or not weights); unpack it first")
    if start[:1] != b"\x80":
        raise ValueError("it is neither a zip archive nor a pickle; expected a file that torch.save wrote")
    return _open_legacy(file)


def _open_zip(archive: zipfile.ZipFile) -> tuple[Reading, Load]:
    names = set(archive.namelist())
    roots = [n.removesuffix("data.pkl") for n in names if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError("it is a zip archive without a data.pkl; expected a file that torch.save wrote")
    root = roots[0]
    if f"{root}constants.pkl" in names:
        raise ValueError("it is a TorchScript program, not a checkpoint; save its state_dict() instead")
    if f"{root}byteorder" in names and _stored(archive, f"{root}byteorder").strip() != b"little":
        raise ValueError("its numbers are big-endian; save it again on a common machine")
    reading = read_pickle(io.BytesIO(_stored(archive, f"{root}data.pkl")))

    def load(storage: Storage) -> bytearray:
        name = f"{root}data/{storage.key}"
        data = _stored(archive, name) if name in names else b""
        if len(data) != storage.count * storage.dtype.itemsize:
            raise ValueError(f"its storage {storage.key} has not the size that its tensors need")
        return bytearray(data)

    return reading, load


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member of the archive; torch never compresses, and what is not compressed cannot unfold to fill the memory."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"its part {name} is compressed or encrypted; expected a file that torch.save wrote")
    return archive.read(info)


def _open_legacy(file: BinaryIO) -> tuple[Reading, Load]:
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if any(read_pickle(view).value != number for number in (_LEGACY_MAGIC, _LEGACY_PROTOCOL)):
        raise ValueError("it is a pickle, but not one of torch.save")
    system = read_pickle(view).value
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian; save it again on a common machine")
    reading = read_pickle(view)
    places: dict[str, int] = {}
    keys = read_pickle(view).value
    place = view.tell()
    for key in keys if isinstance(keys, list) else []:
        if str(key) not in reading.storages:
            raise ValueError(f"its storage {key} belongs to nothing")
        places[str(key)] = place
        place += _HEADER + reading.storages[str(key)].count * reading.storages[str(key)].dtype.itemsize
    if place > len(view):  # here and not in load: the last storage may be empty, or one that nobody asks for
        raise ValueError(f"it is cut short: it has {len(view)} bytes and {place} were expected")

    def load(storage: Storage) -> bytearray:
        begin = places.get(storage.key, len(view))
        data = view[begin + _HEADER : begin + _HEADER + storage.count * storage.dtype.itemsize]
        count = int.from_bytes(view[begin : begin + _HEADER], "little")
        if count != storage.count or len(data) != storage.count * storage.dtype.itemsize:
            raise ValueError(f"it is cut short: its storage {storage.key} has not the size that its tensors need")
        return bytearray(data)

    return reading, load
