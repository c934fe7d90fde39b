# SPDX-License-Identifier: Apache-2.0
"""Where a sink listens: this machine alone unless another address is asked for."""

from __future__ import annotations

import errno
import ipaddress

LOOPBACK = "127.0.0.1"


def listening_address(text: str, flag: str) -> tuple[str, int]:
    """``PORT``, ``HOST:PORT`` or ``[::1]:PORT`` -> host and port; 0 is any free port.

    Raises:
        ValueError: it is none of these.

    >>> listening_address("8080", "--mjpeg")
    ('127.0.0.1', 8080)
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or (":" in text and not host):
        raise ValueError(f"{flag} {text!r} is no PORT and no HOST:PORT; give for example {flag} 8080.")
    return host.strip("[]") or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can connect."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cannot_listen(error: OSError, host: str, port: int, flag: str) -> ValueError:
    """Why a sink cannot listen, in one sentence."""
    if error.errno == errno.EADDRINUSE:
        return ValueError(f"Port {port} of {host} is in use by another program; give {flag} another one.")
    return ValueError(f"{flag} cannot listen on {host}, port {port} ({error.strerror or error}); give another address.")
