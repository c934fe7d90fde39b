# SPDX-License-Identifier: Apache-2.0
"""Reads safetensors files that may come from anywhere: the header is checked before anything is loaded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from modaltrack.file_kinds import START, not_weights

HEADER_BYTES = 2**22  # of JSON: 40,000 tensors
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_ZIP, _PICKLE = b"PK", b"\x80"
_DIMENSIONS, _SIZE_LIMIT = 16, 2**40


@dataclass(frozen=True)
class _Entry:
    """A tensor's line in the header: its type and shape, and where its bytes lie behind the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header, in any bytes, and the header's brace."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:9] == b"{" and (path.suffix == ".safetensors" or int.from_bytes(start[:8], "little") < 2**40)


def plain_json(text: str | bytes) -> object:
    """JSON as data.

    Raises:
        ValueError: for damage, NaN, infinity, a name that occurs twice, and too many brackets.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its brackets are too deep in one another") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name occurs twice")
    return made


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


class SafetensorsFile:
    """A file whose header was checked: entries by name, and metadata (text by name)."""

    def __init__(self, path: str | Path, header_bytes: int = HEADER_BYTES) -> None:
        """Read and check the header of ``path``.

        Args:
            path: The file.
            header_bytes: The longest header that is read.

        Raises:
            ValueError: Saying, in one sentence, what is wrong with the file.
        """
        self._longest = header_bytes
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(
                f"There is no weight file at {path}; give an existing .safetensors file or a shipped name."
            )
        self.size = self.path.stat().st_size
        with self.path.open("rb") as file:
            start = file.read(START)
            length = int.from_bytes(start[:8], "little")
            self._check_start(start, length)
            file.seek(8)
            header = file.read(length)
        try:
            self.metadata, self.entries = _parsed(plain_json(header))
        except ValueError as error:
            what = str(error).split(": line ")[0][:200]
            raise ValueError(f"{path} has a damaged header ({what}); copy or download it again.") from None
        end = 8 + length + max((entry.end for entry in self.entries.values()), default=0)
        if end > self.size:
            raise ValueError(f"{path} is cut short: {self.size} of {end} bytes; copy or download it again.")
        if end < self.size:
            raise ValueError(
                f"{path} has {self.size:,} bytes and its header explains {end:,} of them; copy or download it again."
            )

    def _check_start(self, start: bytes, length: int) -> None:
        # A first byte of 0x80, a pickle's, may also be that of a header's length.
        if start[8:9] != b"{" and (start[:2] == _ZIP or start[:1] == _PICKLE):
            raise ValueError(
                f"{self.path} is a pickle (a .pth file), which can run code when read, so it is not opened; "
                "turn the authors' checkpoints into safetensors with: modaltrack models import."
            )
        if start[8:9] != b"{":
            what = not_weights(start) or "expected weights that save_model wrote"
            raise ValueError(f"{self.path} is not a safetensors file: {what}.")
        if 8 + length > self.size:
            raise ValueError(f"{self.path} is cut short: it ends within its header; copy or download it again.")
        if length > self._longest:
            raise ValueError(
                f"{self.path} has a damaged header ({length:,} bytes, at most {self._longest:,} are expected); "
                "copy or download it again."
            )

    def shapes(self) -> dict[str, Tensor]:
        """Name -> tensor on the device "meta": shape and type, no values."""
        return {k: torch.empty(e.shape, dtype=e.dtype, device="meta") for k, e in self.entries.items()}

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name, on the CPU."""
        return self.load((name,))[name]

    def load(self, names: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Name -> tensor on the CPU, of all names or of some."""
        try:
            with safe_open(str(self.path), framework="pt") as file:
                return {name: file.get_tensor(name) for name in (self.entries if names is None else names)}
        except SafetensorError as error:
            raise ValueError(f"{self.path} is damaged ({error}); copy or download it again.") from None
        except MemoryError:
            raise ValueError(f"{self.path} holds more than fits into this machine's memory.") from None


def _parsed(header: object) -> tuple[dict[str, str], dict[str, _Entry]]:
    """Metadata and entries of a header.

    Raises:
        ValueError: where a line is not what the format says.
    """
    if not isinstance(header, dict):
        raise ValueError("it is no JSON object")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata is not text by name")
    entries = {name: _entry(name, line) for name, line in header.items()}
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            raise ValueError(f"{name[:80]} begins at byte {entry.begin} and the tensor before it ends at {at}")
        at = entry.end
    return metadata, entries


def _entry(name: str, line: object) -> _Entry:
    short = name[:80]
    if not isinstance(line, dict) or set(line) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{short} is not described by dtype, shape and data_offsets")
    kind, shape, offsets = line["dtype"], line["shape"], line["data_offsets"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"{short} is of the type {str(kind)[:20]}, which no weights have")
    if not isinstance(shape, list) or len(shape) > _DIMENSIONS or not all(_natural(n) for n in shape):
        raise ValueError(f"{short} has an impossible shape")
    if math.prod(n for n in shape if n) > _SIZE_LIMIT:
        raise ValueError(f"{short} has the impossible shape {shape}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_natural(n) for n in offsets):
        raise ValueError(f"{short} has impossible offsets")
    begin, end = offsets
    needed = math.prod(shape) * TYPES[kind].itemsize
    if end - begin != needed:
        raise ValueError(f"{short} has {end - begin} bytes and its shape {shape} of {kind} needs {needed}")
    return _Entry(TYPES[kind], tuple(shape), begin, end)


def _natural(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**48
