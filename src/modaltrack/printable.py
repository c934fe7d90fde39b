# SPDX-License-Identifier: Apache-2.0
"""Text that may come from anywhere (names of files, sequences, tensors), made harmless for terminals and pages.

A terminal obeys control characters: escape sequences clear the screen, set titles or forge lines, and direction marks
show a name as another one. Here they are shown as escapes. XML does not allow them at all.
"""

from __future__ import annotations

import html
import re

# C0 without tab and newline, delete, C1 (U+009B begins a sequence as ESC [ does), line separators, direction marks,
# and the halves of characters that stand for bytes of file names that are no UTF-8
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""``text`` with control characters as escapes; tabs and newlines stay.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _CONTROL.sub(_escape, text)


def one_line(text: str) -> str:
    r"""``text`` as a single line: white space of any length becomes a space, other control characters escapes.

    >>> one_line("a\nerror: b\x07")
    'a error: b\\x07'
    """
    return printable(" ".join(_CONTROL.sub(_escape, text).split()))


def shortened(text: str, most: int = 1000) -> str:
    """``text`` with its middle left out where it is longer than ``most`` characters: names may be of any length.

    >>> shortened("abcdefghij", 7)
    'abc...j'
    """
    if len(text) <= most:
        return text
    tail = (most - 3) // 4
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def markup(text: str) -> str:
    """``text`` for HTML, XML and SVG: without control characters, which they do not allow, and with entities."""
    return html.escape(_CONTROL.sub("", text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name, see PEP 383
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
