# SPDX-License-Identifier: Apache-2.0
"""What the sources have to say: each thing once per clip, and always in the thread that iterates.

Frames are decoded ahead in threads of their own. A warning raised there would escape ``warnings.catch_warnings`` and a
user's ``-W error``; so a thread notes, and the consumer speaks.
"""

from __future__ import annotations

import re
import warnings
from collections import deque

_LOGIN = re.compile(r"(://)[^/\s]*@")
_SECRET = re.compile(r"(?i)([?&;](?:pass\w*|pwd|user\w*|usr|login|token|auth\w*|\w*key|secret)=)[^&;#\s]+")


class SourceWarning(UserWarning):
    """Something about the input changes the numbers that come out (sizes, rates, lengths, unreadable frames)."""


def without_login(text: str) -> str:
    """An address without user and password, be they in front of the host or among its options."""
    return _SECRET.sub(r"\1***", _LOGIN.sub(r"\1", text))


def shown(name: object) -> str:
    """The name of an input as it may appear in a message: without user and password, control characters escaped.

    Logs are passed around, and an escape sequence in a file's name would be obeyed by the terminal.
    """
    text = without_login(str(name))
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


class Notices:
    """Collects notices by topic; ``speak`` issues each topic once as a ``SourceWarning``."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._waiting: deque[str] = deque()  # append and popleft of a deque are atomic

    def note(self, topic: str, text: str) -> None:
        """Remember ``text`` for the next ``speak``, unless that topic was noted before."""
        if topic not in self._topics:
            self._topics.add(topic)
            self._waiting.append(shown(text))

    def speak(self) -> None:
        """Issue what was noted since the last call, in the calling thread."""
        while self._waiting:
            warnings.warn(self._waiting.popleft(), SourceWarning, stacklevel=3)
