# SPDX-License-Identifier: Apache-2.0
"""Files that are either complete or not there, and locks that end with their process: the only place that makes them.

A file is written under a hidden name in the same folder (``.name.1a2b3c4d.partial.txt``) and renamed when it is whole.
While it is written it carries a lock of the operating system, which tells what a killed process has left behind from
what a living one is still writing, without a guess at ages or process numbers.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_STEM, _END = 40, 12  # characters of a name that its temporary name repeats; file systems take 255 bytes


class Partial:
    """A file (or folder) in the making, under a temporary name beside its own.

    Args:
        target: the name it gets in the end.
        folder: make a folder instead of a file.

    Attributes:
        path: the temporary name to write to.
    """

    def __init__(self, target: Path, folder: bool = False) -> None:
        self.target = target
        while True:
            end = "" if folder else target.suffix[:_END]
            self.path = target.with_name(f".{target.stem[:_STEM]}.{secrets.token_hex(4)}.partial{end}")
            if folder:
                self.path.mkdir()
            else:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            self._lock = _open_to_lock(self.path)
            if self._lock is None or (_lock(self._lock, wait=True, otherwise=True) and self.path.exists()):
                return
            self._unlock()  # a tidying process came between creation and lock: once more

    def keep(self, durable: bool = False) -> None:
        """Give it its name; an older file of that name is replaced at once, an older folder as one.

        Args:
            durable: wait until the content is on the disk, so that a power cut cannot leave an empty file.
        """
        if durable:
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
        self._unlock()  # Windows renames no open file
        if self.path.is_dir() and self.target.is_dir():
            older = self.path.with_name(self.path.name + "-old")
            os.replace(self.target, older)
            os.replace(self.path, self.target)
            shutil.rmtree(older, ignore_errors=True)
        else:
            os.replace(self.path, self.target)

    def keep_files(self, names: Sequence[str], folder: Path) -> None:
        """Give some files of a folder in the making their place in ``folder``, in this order, each at once."""
        for name in names:
            os.replace(self.path / name, folder / name)

    def drop(self) -> None:
        """Remove what was written; after ``keep`` there is nothing left to remove."""
        self._unlock()
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def replacing(target: Path, durable: bool = False, folder: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``target``; what is written there takes its place when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and an older ``target`` stays as it was.

    Args:
        target: the file that appears whole or not at all.
        durable: see ``Partial.keep``.
        folder: yield a fresh folder, which replaces ``target`` as one.

    Raises:
        OSError: naming ``target``, where it cannot be written (a full disk, no permission).
    """
    partial = None
    try:
        partial = Partial(target, folder)
        yield partial.path
        partial.keep(durable)
    except OSError as error:
        hidden = partial is None or str(error.filename or partial.path).startswith(str(partial.path))
        if hidden and (error.filename or error.errno in _FULL):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        if partial is not None:
            partial.drop()


def cache_folder() -> Path:
    """Where this package keeps what can be made again: ``modaltrack`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "modaltrack"


def write_file(target: Path, content: str | bytes, durable: bool = False) -> Path:
    """Write a whole file (text as UTF-8 with the line ends it has) and return its path.

    Characters that are no Unicode, as in file names of another encoding, are written as escapes.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(target, durable) as partial:
        partial.write_bytes(data)
    return target


def checksum(file: Path) -> str:
    """SHA-256 of a file's content, read piece by piece: it may be larger than the memory."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON is of any type
    """What a JSON text says; every text from outside is read here.

    Raises:
        ValueError: it is no JSON, or its brackets nest deeper than any reader goes (json itself would raise a
            RecursionError, which no caller expects of damaged text).
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets nest too deep") from None


def read_json(path: Path, wanted: str = "") -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: the file.
        wanted: what was expected and what to do, the end of the message.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no JSON, no object, or brackets deeper than any reader goes.
    """
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no JSON object{'; ' + wanted if wanted else ''}.")
    return found


def remove_abandoned(folder: Path) -> int:
    """Remove the temporary files and folders that killed processes have left in ``folder``; return how many."""
    removed = 0
    for path in folder.glob(".*.partial*"):
        file = _open_to_lock(path)
        if file is None:
            continue
        try:
            if _lock(file, wait=False):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                removed += 1
        finally:
            os.close(file)
    return removed


def prepare_folder(folder: Path) -> Path:
    """Make ``folder`` ready to be written into, before any work is spent on what will go there.

    Raises:
        ValueError: it is a file, cannot be created or cannot be written to.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(
                f"The output folder {folder} cannot be used because {place} is a file; pass another --out."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"The output folder {folder} cannot be written to ({error.strerror}); pass another --out."
        ) from None
    remove_abandoned(folder)
    return folder


@contextmanager
def locked(file: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a lock; yield False at once when another process has it and ``wait`` is not set.

    The lock belongs to the process and ends with it, however it ends: a file that is left behind locks nothing. It says
    who holds it, for people. Where the system has no such locks (Windows, some network drives) no process is kept out.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        if not _lock(handle, wait, otherwise=True):
            yield False
            return
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield True
    finally:
        os.close(handle)


def _open_to_lock(path: Path) -> int | None:
    """A handle of a file or folder to hang a lock on; None where there is none to be had."""
    with suppress(OSError):
        return os.open(path, os.O_RDONLY)
    return None


def _lock(handle: int, wait: bool, otherwise: bool = False) -> bool:
    """Whether this process holds the lock now; ``otherwise`` where the system has none."""
    try:
        import fcntl
    except ImportError:
        return otherwise
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return otherwise and error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
