# SPDX-License-Identifier: Apache-2.0
"""The texts of ``track``'s options as values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modaltrack.frame import Modality


def parse_size(text: str | None, flag: str = "--event-size") -> tuple[int, int] | None:
    """``"640x480"`` (width, height) -> (height, width)."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*[xX×, ]\s*(\d+)\s*", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise ValueError(f"{flag} {text!r} is not WIDTHxHEIGHT in pixels, for example 640x480.")
    return int(found[2]), int(found[1])


def parse_offsets(texts: list[str]) -> dict[Modality, float]:
    """``["thermal=-0.3"]`` -> mapping, in seconds."""
    from modaltrack.frame import Modality

    found: dict[Modality, float] = {}
    for text in texts:
        key, _, seconds = text.partition("=")
        try:
            found[Modality(key)] = float(seconds)
        except ValueError:
            raise ValueError(
                f"--offset {text!r} is not MODALITY=SECONDS; MODALITY is one of {', '.join(Modality)}."
            ) from None
    return found


def parse_encodings(texts: list[str]) -> dict[Modality, str]:
    """``["thermal=name"]`` -> mapping; the names themselves are checked by the sources."""
    from modaltrack.frame import Modality

    found: dict[Modality, str] = {}
    for text in texts:
        key, _, name = text.partition("=")
        if key not in set(Modality) or not name:
            raise ValueError(f"--encoding {text!r} is not MODALITY=NAME; MODALITY is one of {', '.join(Modality)}.")
        if Modality(key) in found:
            raise ValueError(f"--encoding names {key} twice; give each modality one encoding.")
        found[Modality(key)] = name
    return found
