# SPDX-License-Identifier: Apache-2.0
"""The tracker's side of TraX, the protocol of the VOT toolkit, in Python alone (version 3: one target, many channels).

Written from the public specification (docs/protocol.rst of votchallenge/trax): a line that starts with ``@@TRAX:`` is
a message, everything else in the stream is chatter. Arguments stand in double quotes, where a quote and a backslash
are escaped by a backslash and a new line is ``\\n``; optional ``key=value`` arguments follow the mandatory ones. The
tracker is the *server* of the protocol:

    tracker -> hello "trax.version=3" ...      what it understands
    toolkit -> initialize IMAGE.. REGION       one image per channel, then x,y,w,h
    tracker -> state REGION "confidence=0.7"
    toolkit -> frame IMAGE..                   again and again; initialize may come again; quit ends it

Version 3, not 4: version 4 is about many targets at once, and the toolkit speaks both.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote

import numpy as np
from numpy.typing import ArrayLike, NDArray

PREFIX = "@@TRAX:"
VERSION = 3
_KEY = re.compile(r"([A-Za-z0-9._]{1,64})=(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True)
class Message:
    """One line of the protocol.

    Attributes:
        arguments: in order; the last ones may be properties, see ``properties``.
    """

    name: str
    arguments: tuple[str, ...] = ()

    def properties(self, mandatory: int) -> dict[str, str]:
        """The ``key=value`` arguments after the mandatory ones.

        Raises:
            ValueError: for one that is none.
        """
        found = {}
        for text in self.arguments[mandatory:]:
            match = _KEY.fullmatch(text)
            if match is None:
                raise ValueError(f"The {self.name!r} message has the argument {text[:60]!r}; key=value was expected.")
            found[match[1]] = match[2]
        return found


def parse(line: str) -> Message | None:
    """The message of a line, None for chatter.

    Raises:
        ValueError: for a message with a broken argument.
    """
    if not line.startswith(PREFIX):
        return None
    name, _, rest = line.rstrip("\r\n").removeprefix(PREFIX).partition(" ")
    if not re.fullmatch(r"[a-z]+", name):
        raise ValueError(f"The TraX message {line.strip()[:60]!r} has no name.")
    return Message(name, tuple(_arguments(rest)))


def _arguments(text: str) -> Iterator[str]:
    position, end = 0, len(text)
    while position < end:
        if text[position] in " \t":
            position += 1
            continue
        quoted = text[position] == '"'
        position += quoted
        value: list[str] = []
        while True:
            if position >= end:
                if quoted:
                    raise ValueError(f"A TraX message ends within a quoted argument ({''.join(value)[:60]!r}).")
                break
            c = text[position]
            position += 1
            if c == "\\":
                if position >= end or text[position] not in _ESCAPES:
                    raise ValueError(f"A TraX message has an unknown escape after {''.join(value)[:60]!r}.")
                value.append(_ESCAPES[text[position]])
                position += 1
            elif c == ('"' if quoted else " "):
                break
            else:
                value.append(c)
        yield "".join(value)


def compose(name: str, arguments: Sequence[str] = (), properties: Mapping[str, object] | None = None) -> str:
    """One line without its end, the reverse of ``parse``."""
    for key in properties or {}:
        assert re.fullmatch(r"[A-Za-z0-9._]{1,64}", key), key
    words = [*arguments, *(f"{key}={value}" for key, value in (properties or {}).items())]
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for word in words)
    return " ".join([PREFIX + name, *(f'"{word}"' for word in quoted)])


def region_to_box(text: str) -> NDArray[np.float64]:
    """(4,) xywh of a rectangle ``x,y,w,h``, or the box around a polygon ``x1,y1,x2,y2,x3,y3,..``."""
    try:
        values = np.array([float(v) for v in text.split(",")])
    except ValueError:
        values = np.zeros(0)
    if len(values) == 4 and np.isfinite(values).all():
        return values
    if len(values) >= 6 and len(values) % 2 == 0 and np.isfinite(values).all():
        points = values.reshape(-1, 2)
        return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
    raise ValueError(f"The region {text[:60]!r} is neither a rectangle x,y,w,h nor a polygon; this tracker needs one.")


def box_to_region(box: ArrayLike) -> str:
    """``x,y,w,h`` with four decimals."""
    return ",".join(f"{v:.4f}" for v in np.asarray(box, np.float64))


def image_path(text: str) -> Path:
    """The file of a ``file://`` address; the toolkit does not quote, so ``%20`` is only tried where no file is."""
    if not text.startswith("file://"):
        raise ValueError(f"The image {text[:60]!r} is no file:// address, the only kind this tracker announced.")
    path = Path(text.removeprefix("file://"))
    return path if path.exists() else Path(unquote(str(path)))


@dataclass(frozen=True)
class Request:
    """What the toolkit wants: ``initialize`` with a box (4,) xywh, or ``frame``.

    Attributes:
        images: one file per channel.
    """

    kind: str
    images: tuple[Path, ...]
    box: NDArray[np.float64] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A tracker's end of the line: introduce, then answer each request with ``state``.

    Args:
        channels: names as the toolkit's sequences have them, ``color`` first ("color", "depth", "ir").
    """

    def __init__(self, incoming: TextIO, outgoing: TextIO, name: str, channels: Sequence[str]) -> None:
        self._in, self._out = incoming, outgoing
        self.name = name
        self.channels = tuple(channels)

    def _say(self, message: str, arguments: Sequence[str] = (), properties: Mapping[str, object] | None = None) -> None:
        self._out.write(compose(message, arguments, properties) + "\n")
        self._out.flush()

    def hello(self) -> None:
        """Introduce the tracker: version 3, file paths, rectangles, our channels."""
        self._say(
            "hello",
            properties={
                "trax.version": VERSION,
                "trax.name": self.name,
                "trax.image": "path;",
                "trax.region": "rectangle;",
                "trax.channels": "".join(f"{c};" for c in self.channels),
            },
        )

    def requests(self) -> Iterator[Request]:
        """Requests until the toolkit quits or its end of the stream closes.

        Raises:
            ValueError: for what breaks the protocol.
        """
        ready = False
        for line in self._in:
            message = parse(line)
            if message is None:
                continue
            if message.name == "quit":
                return
            request = self._request(message)
            if request.kind == "frame" and not ready:
                raise ValueError("The toolkit sent a frame before it initialised the tracker.")
            ready = True
            yield request

    def _request(self, message: Message) -> Request:
        expected = {"initialize": len(self.channels) + 1, "frame": len(self.channels)}.get(message.name)
        if expected is None:
            raise ValueError(f"The toolkit sent the message {message.name!r}; initialize, frame or quit was expected.")
        if len(message.arguments) < expected:
            region = " and a region" if message.name == "initialize" else ""
            raise ValueError(
                f"The {message.name!r} message has {len(message.arguments)} arguments and {expected} were expected: an "
                f"image for each of {', '.join(self.channels)}{region}."
            )
        properties = message.properties(expected)
        images = tuple(image_path(text) for text in message.arguments[: len(self.channels)])
        box = region_to_box(message.arguments[expected - 1]) if message.name == "initialize" else None
        return Request(message.name, images, box, properties)

    def state(self, box: ArrayLike, **properties: object) -> None:
        """Report the target's box, and for example ``confidence=0.7``."""
        self._say("state", [box_to_region(box)], properties)

    def quit(self, reason: str = "") -> None:
        """End the session from this side; the reason is for the toolkit's log."""
        self._say("quit", properties={"trax.reason": reason} if reason else None)


@contextmanager
def standard_streams() -> Iterator[tuple[TextIO, TextIO]]:
    """Standard input and output for the protocol alone: whatever else is printed meanwhile goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # not only sys.stdout: libraries in C print too
    try:
        with (
            open(0, encoding="utf-8", closefd=False) as incoming,
            open(kept, "w", encoding="utf-8", newline="\n", closefd=False) as outgoing,
        ):
            yield incoming, outgoing
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
