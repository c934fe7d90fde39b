# SPDX-License-Identifier: Apache-2.0
"""Rows handed to other programs while they come: JSON lines to a file or to standard output, UDP datagrams."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from modaltrack.frame import Row
from modaltrack.sinks.row_message import RowMessage


class JsonLines:
    """One message a line, written out at every row; an observer and a context.

    Args:
        where: a file, which must not be there yet unless it is a pipe or a device; ``-`` is standard output.
        message: makes the messages.
        stop: set when the reader of a pipe has gone; rows are dropped from there on.

    Raises:
        ValueError: the file is there, or cannot be written to.
    """

    def __init__(self, where: str, message: RowMessage, stop: threading.Event | None = None) -> None:
        self._message = message
        self._stop = stop or threading.Event()
        self._gone = False
        self._own = where != "-"
        self._file: TextIO = _opened(Path(where)) if self._own else sys.stdout

    def __repr__(self) -> str:
        return f"JsonLines({self._file.name!r})"

    def row(self, row: Row) -> None:
        """Write one row."""
        if self._gone:
            return
        try:
            self._file.write(self._message.text(row) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._gone = True
            self._stop.set()
            null = os.open(os.devnull, os.O_WRONLY)  # what is still buffered has to go somewhere when the file closes
            os.dup2(null, self._file.fileno())
            os.close(null)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            self._file.close()


def _opened(path: Path) -> TextIO:
    try:
        if path.exists() and stat.S_ISREG(path.stat().st_mode) and path.stat().st_size:
            raise ValueError(f"{path} is there already and would be mixed or lost; remove it or name another file.")
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be written to ({error.strerror}); name another file.") from None


class UdpPush:
    """One datagram a row; an observer and a context. It never waits, and a receiver that is not there costs nothing.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT`` for IPv6.
        message: makes the messages.

    Raises:
        ValueError: an address that cannot be understood or found.
    """

    def __init__(self, address: str, message: RowMessage) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"The address {address!r} is not HOST:PORT; give for example 127.0.0.1:5005.")
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise ValueError(f"The address {address!r} cannot be found ({error}); check the host's name.") from None
        family, kind, protocol, _, place = found[0]
        self._to: Any = place
        self._address = address
        self._message = message
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        self._failed = False

    def __repr__(self) -> str:
        return f"UdpPush({self._address!r})"

    def row(self, row: Row) -> None:
        """Send one row; what cannot be sent is dropped, with one warning."""
        try:
            self._socket.sendto(self._message.text(row).encode(), self._to)
        except OSError as error:
            if not self._failed:
                warnings.warn(
                    f"Rows cannot be sent to {self._address} ({error.strerror}); they are dropped.", stacklevel=2
                )
            self._failed = True

    def __enter__(self) -> UdpPush:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
