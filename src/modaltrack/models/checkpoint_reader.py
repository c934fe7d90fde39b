# SPDX-License-Identifier: Apache-2.0
"""Reads files of ``torch.save`` (.pth, .pth.tar, .pt) that may come from anywhere: tensors and plain containers only.

Both formats: the zip archive (torch 1.6 and later) and the row of pickles before it. The pickles are interpreted by
``restricted_pickle``, so that nothing in a file runs and the authors' packages are not needed. Values are read when
they are asked for, so that names and shapes can be judged first.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import torch
from torch import Tensor

from modaltrack.file_kinds import START, not_weights
from modaltrack.files import checksum
from modaltrack.models.restricted_pickle import PICKLE_BYTES, Placeholder, Storage, TensorPlan, Unpickled, read_pickle

T = TypeVar("T")

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_HEADER = 8  # bytes before each storage of the old format: its number of values
_DEPTH = 100  # of containers in one another
_DIRECTORY = 2**23  # bytes of a zip's table of contents: 80,000 storages
_SLACK, _ENTRY_SLACK = 2**20, 2**10  # bytes of a zip file, and of each of its entries, that hold no data
_WASTE = 64  # a storage may be so many times larger than what tensors take of it
_DAMAGED: tuple[type[Exception], ...] = (zipfile.BadZipFile, EOFError, struct.error, zlib.error, LookupError)
_DAMAGED += (OverflowError, RuntimeError)  # of zipfile: NotImplementedError, of nesting: RecursionError
Load = Callable[[Storage], bytearray]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        tree: its containers, with ``Placeholder`` where a class is unknown and tensors on the CPU.
        ignored: classes and functions it names that became placeholders.
        called: those it wanted to have called, which was not done.
    """

    path: Path
    tree: Any
    ignored: tuple[str, ...]
    called: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Of the file; computed when it is asked for, because a file may be large and of no use."""
        return checksum(self.path)


class OpenCheckpoint:
    """A file of ``torch.save`` whose pickle was interpreted: plans in place of tensors, and what makes tensors of them.

    Use it in a ``with`` block: values are read from the open file.
    """

    def __init__(self, path: str | Path) -> None:
        """Open ``path``.

        Raises:
            ValueError: in one sentence, if it is missing, cut short or no checkpoint.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"There is no checkpoint at {path}; give the authors' .pth, .pth.tar or .pt file.")
        self._size = self.path.stat().st_size
        with ExitStack() as stack, _one_sentence(self.path):
            self._reading, self._load = _open(stack.enter_context(self.path.open("rb")), self._size)
            self._close = stack.pop_all().close
        self.tree: Any = self._reading.value

    def __enter__(self) -> OpenCheckpoint:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def fill(self, tree: T) -> T:
        """``tree`` with tensors for its plans; lists and dictionaries are changed in place, loops do no harm.

        Raises:
            ValueError: For values that the file does not have, or more of them than it has bytes.
        """
        with _one_sentence(self.path):
            self._check(tree)
            return cast(T, self._filled(tree))

    def _check(self, tree: object) -> None:
        """ValueError where the values of the tree's tensors would take more than the file explains."""
        used: dict[Storage, int] = {}
        for plan in plans(tree):
            used[plan.storage] = used.get(plan.storage, 0) + max(1, math.prod(plan.shape))
        if sum(s.count * s.dtype.itemsize for s in used) > self._size:
            raise ValueError("its tensors claim more values than the file has bytes")
        if wasteful := [s for s, n in used.items() if s.count > _WASTE * n + 2**24]:
            raise ValueError(f"its storage {wasteful[0].key} has {wasteful[0].count} values and hardly any are used")

    def _filled(self, tree: object) -> object:
        done: dict[int, Any] = {}
        blocks: dict[Storage, Tensor] = {}

        def tensor(plan: TensorPlan) -> Tensor:
            storage = plan.storage
            if not storage.count:
                return torch.empty(plan.shape, dtype=storage.dtype)
            if storage not in blocks:
                blocks[storage] = torch.frombuffer(self._load(storage), dtype=storage.dtype)
            return blocks[storage].as_strided(plan.shape, plan.stride, plan.offset)

        def fill(value: object) -> object:
            if isinstance(value, TensorPlan):
                return tensor(value)
            if isinstance(value, Storage):
                return Placeholder("torch.storage")
            if id(value) in done:
                return done[id(value)]
            if isinstance(value, tuple) and not isinstance(value, torch.Size):
                done[id(value)] = filled = tuple(fill(item) for item in value)
                return filled
            if isinstance(value, list | dict):
                done[id(value)] = value
                for key, item in enumerate(value) if isinstance(value, list) else list(value.items()):
                    value[key] = fill(item)
            return value

        return fill(tree)

    def checkpoint(self, tree: object) -> Checkpoint:
        """``tree`` with what is known of the file, for the time after it is closed."""
        return Checkpoint(self.path, tree, tuple(sorted(self._reading.unknown)), tuple(sorted(self._reading.called)))


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its readers raise into a ValueError that names it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a checkpoint: {_brief(error)}.") from None
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged or cut short ({_brief(error)}); copy or download it again.") from None
    except MemoryError:
        raise ValueError(f"{path} holds more than fits into this machine's memory.") from None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a whole file of ``torch.save``.

    Raises:
        ValueError: in one sentence, for one that is missing, cut or none.
    """
    with OpenCheckpoint(path) as opened:
        return opened.checkpoint(opened.fill(opened.tree))


def _brief(error: BaseException) -> str:
    """The error's message, which may quote the file at any length."""
    text = str(error).rstrip(".")
    return text if len(text) < 300 else text[:300] + "..."


def plans(tree: object) -> list[TensorPlan]:
    """All tensors of a tree.

    Raises:
        ValueError: where containers stand too deep in one another.
    """
    seen: set[int] = set()
    found: list[TensorPlan] = []
    level = [tree]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, TensorPlan):
                found.append(value)
            elif isinstance(value, list | dict | tuple) and id(value) not in seen:
                seen.add(id(value))
                below.extend(value.values() if isinstance(value, dict) else value)
        level = below
        if not level:
            return found
    raise ValueError(f"its containers stand more than {_DEPTH} deep in one another, which no checkpoint needs")


def _open(file: BinaryIO, size: int) -> tuple[Unpickled, Load]:
    """The interpreted pickle of a file and a function that reads a storage of it."""
    start = file.read(START)
    file.seek(0)
    if start[:2] == b"PK":
        return _open_zip(file, size)
    if what := not_weights(start):
        raise ValueError(what)
    if start[:1] != b"\x80":
        raise ValueError("it is neither a zip archive nor a pickle; expected a file that torch.save wrote")
    return _open_legacy(file, size)


def _open_zip(file: BinaryIO, size: int) -> tuple[Unpickled, Load]:
    if _directory_bytes(file, size) > _DIRECTORY:
        raise ValueError("its table of contents is larger than that of any checkpoint")
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    explained = sum(info.compress_size for info in entries) + _SLACK + _ENTRY_SLACK * len(entries)
    if size > explained:
        raise ValueError(f"it has {size:,} bytes and its table of contents explains {explained:,} of them")
    names = set(archive.namelist())
    roots = [n.removesuffix("data.pkl") for n in names if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError(f"it is a zip archive {_zip_of(names)}; expected a file that torch.save wrote")
    root = roots[0]
    if f"{root}constants.pkl" in names:
        raise ValueError("it is a TorchScript program, not a checkpoint; save its state_dict() instead")
    if f"{root}byteorder" in names and _stored(archive, f"{root}byteorder", 64).strip() != b"little":
        raise ValueError("its numbers are big-endian; save it again on a common machine")
    reading = read_pickle(io.BytesIO(_stored(archive, f"{root}data.pkl", PICKLE_BYTES)))

    def load(storage: Storage) -> bytearray:
        name = f"{root}data/{storage.key}"
        needed = storage.count * storage.dtype.itemsize
        data = _stored(archive, name, needed) if name in names else b""
        if len(data) != needed:
            raise ValueError(f"its storage {storage.key[:40]} has not the size that its tensors need")
        return bytearray(data)

    return reading, load


def _zip_of(names: set[str]) -> str:
    if any(name.endswith(".npy") for name in names):
        return "of NumPy arrays"
    if any(name.startswith("word/") or name.startswith("xl/") for name in names):
        return "of an office document"
    return "without a data.pkl"


def _directory_bytes(file: BinaryIO, size: int) -> int:
    """Size of a zip's table of contents, read before ``zipfile`` makes an object of every line; 0 if none is found."""
    tail = min(size, 2**16 + 100)
    file.seek(size - tail)
    end = file.read(tail)
    file.seek(0)
    at = end.rfind(b"PK\x05\x06")
    length = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    if length == 2**32 - 1:  # zip64 has it in a record of its own
        at = end.rfind(b"PK\x06\x06")
        length = int.from_bytes(end[at + 40 : at + 48], "little") if at >= 0 else 0
    return length


def _stored(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member of the archive; torch never compresses, and what is not compressed cannot unfold to fill the memory."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise ValueError(f"its part {name[:80]} is compressed or encrypted; expected a file that torch.save wrote")
    if info.file_size > limit:
        raise ValueError(f"its part {name[:80]} has {info.file_size:,} bytes and at most {limit:,} were expected")
    return archive.read(info)


def _open_legacy(file: BinaryIO, size: int) -> tuple[Unpickled, Load]:
    pickles = io.BytesIO(file.read(PICKLE_BYTES))
    if any(read_pickle(pickles).value != number for number in (_LEGACY_MAGIC, _LEGACY_PROTOCOL)):
        raise ValueError("it is a pickle, but not one of torch.save")
    system = read_pickle(pickles).value
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian; save it again on a common machine")
    reading = read_pickle(pickles)
    places: dict[str, int] = {}
    keys = read_pickle(pickles).value
    place = pickles.tell()
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in reading.storages or key in places:
            raise ValueError(f"its storage {key[:40] if isinstance(key, str) else ''} belongs to nothing")
        places[key] = place
        place += _HEADER + reading.storages[key].count * reading.storages[key].dtype.itemsize
    if place > size:  # here and not in load: the last storage may be empty, or one that is never read
        raise ValueError(f"it is cut short: it has {size} bytes and {place} were expected")
    if place + _SLACK < size:
        raise ValueError(f"it has {size:,} bytes and its tensors explain {place:,} of them")

    def load(storage: Storage) -> bytearray:
        if storage.key not in places:
            raise ValueError(f"it is cut short: its storage {storage.key[:40]} is missing")
        file.seek(places[storage.key])
        count = int.from_bytes(file.read(_HEADER), "little")
        data = bytearray(file.read(storage.count * storage.dtype.itemsize)) if count == storage.count else bytearray()
        if len(data) != storage.count * storage.dtype.itemsize:
            raise ValueError(f"its storage {storage.key[:40]} has not the size that its tensors need")
        return data

    return reading, load
