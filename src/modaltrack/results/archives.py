# SPDX-License-Identifier: Apache-2.0
"""The files of a set of results, wherever they lie: a folder, a zip, a tar (gz, bz2, xz), one inside another.

Archives are read within a budget: what they unpack to is bounded as a sum and in relation to their size, so that a
small file cannot take the memory of the machine.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from modaltrack.box_text import MAX_BYTES, read_bytes

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz")
FOREIGN = (".rar", ".7z")  # no permissive reader
# A tracker that stands still compresses a hundredfold, but no set of box files is large and compresses so
MAX_SUM, FREE_SUM, MAX_RATIO = 256 * 2**20, 48 * 2**20, 100
_BOXES = (".txt", ".csv", ".value", ".bin")
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    NotImplementedError,  # a version or a compression that the zip claims
    RuntimeError,  # a password
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
)

_COMPRESSED: Mapping[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda packed: gzip.GzipFile(fileobj=packed),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}

Reader = Callable[[str], bytes]


class TooLarge(ValueError):
    """An archive unpacks to more than any set of results has."""


@dataclass
class Files:
    """Names (relative, ``/`` between parts, sorted) and how to read each.

    Attributes:
        kind: what it is, in words.
    """

    names: list[str]
    read: Reader
    kind: str


@dataclass
class Budget:
    """What an archive of ``packed`` bytes may still unpack to."""

    top: Path
    packed: int
    spent: int = 0

    def spend(self, size: int) -> None:
        """Count ``size`` bytes more; ``TooLarge`` where they are too many."""
        self.spent += size
        if self.spent > MAX_SUM or (self.spent > FREE_SUM and self.spent > MAX_RATIO * self.packed):
            raise TooLarge(
                f"{self.top} has {self.packed / 2**20:.1f} MiB and unpacks to more than {self.spent >> 20} MiB; no set "
                "of result files does, so it is not read. Pack the files of boxes only."
            )


@contextmanager
def open_files(top: Path) -> Iterator[Files | None]:
    """The files below a folder or in an archive, as long as the context lasts; None for any other file.

    Raises:
        ValueError: an archive that is damaged, or of a kind that is not read.
    """
    lower = top.name.lower()
    if top.is_dir():
        yield Files(_listed(top), lambda name: read_bytes(f"{top}/{name}"), "a folder")
    elif lower.endswith(FOREIGN):
        raise ValueError(f"{top} is an archive of a kind that is not read; unpack it and give the folder, or a zip.")
    elif lower.endswith(ARCHIVES) or _is_zip(top):
        with top.open("rb") as packed:
            yield open_archive(packed, top, Budget(top, top.stat().st_size))
    else:
        yield None


def open_archive(packed: IO[bytes], top: Path, budget: Budget) -> Files:
    """The files in an archive.

    Args:
        packed: the archive, open while its files are read.
        top: its name, for messages.
        budget: what it may unpack to; shared with the archive that it lies in.

    Raises:
        ValueError: it is damaged, or unpacks to too much.
    """
    named_zip = top.name.lower().endswith(".zip")
    try:
        return _zip(packed, top, budget) if named_zip or _is_zip(packed) else _tar(packed, top, budget)
    except TooLarge:
        raise
    except _DAMAGE as error:
        what = "zip" if named_zip else "tar"
        raise ValueError(
            f"{top} is called a {what} and is none, or it is damaged ({_why(error)}); make it again."
        ) from error


def _is_zip(file: Path | IO[bytes]) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except _DAMAGE:
        return False


def _zip(packed: IO[bytes], top: Path, budget: Budget) -> Files:
    archive = zipfile.ZipFile(packed)
    entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    for name, entry in entries.items():  # before anything is unpacked; no entry gives more than it says
        if name.lower().endswith(_BOXES):
            budget.spend(entry.file_size)

    def read(name: str) -> bytes:
        _check_size(entries[name].file_size, name, top)
        if not name.lower().endswith(_BOXES):
            budget.spend(entries[name].file_size)
        try:
            return archive.read(entries[name])
        except _DAMAGE as error:
            raise ValueError(f"{top}: {name} cannot be unpacked ({_why(error)}); make the zip again.") from error

    return Files(sorted(entries), read, "a zip")


def _tar(packed: IO[bytes], top: Path, budget: Budget) -> Files:
    archive = tarfile.TarFile(fileobj=_decompressed(packed, budget))
    entries = {entry.name.removeprefix("./"): entry for entry in archive.getmembers() if entry.isfile()}

    def read(name: str) -> bytes:
        _check_size(entries[name].size, name, top)
        try:
            opened = archive.extractfile(entries[name])
            assert opened is not None
            return opened.read()
        except _DAMAGE as error:
            raise ValueError(f"{top}: {name} cannot be unpacked ({_why(error)}); make the tar again.") from error

    return Files(sorted(entries), read, "a tar")


def _decompressed(packed: IO[bytes], budget: Budget) -> IO[bytes]:
    """A tar without its compression, as long as the budget lasts."""
    packed.seek(0)  # whether it is a zip was looked for at its end
    start = packed.read(6)
    packed.seek(0)
    opener = next((open_ for mark, open_ in _COMPRESSED.items() if start.startswith(mark)), None)
    if opener is None:
        return packed
    plain = cast(IO[bytes], tempfile.SpooledTemporaryFile(MAX_BYTES))  # noqa: SIM115 - read while the tar is
    opened = opener(packed)
    while part := opened.read(2**20):
        budget.spend(len(part))
        plain.write(part)
    plain.seek(0)
    return plain


def _check_size(size: int, name: str, top: Path) -> None:
    if size > MAX_BYTES:
        raise TooLarge(f"{top}: {name} unpacks to more than {MAX_BYTES >> 20} MiB; no file of boxes is as large.")


def _listed(top: Path) -> list[str]:
    """Files below a folder, with ``/`` between parts, sorted; pipes and devices are none."""
    found = []
    for base, folders, names in os.walk(top):
        folders.sort()
        inside = os.path.relpath(base, top).replace(os.sep, "/")
        there = [name for name in names if os.path.isfile(os.path.join(base, name))]
        found += there if inside == "." else [f"{inside}/{name}" for name in there]
    return sorted(found)


def _why(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
