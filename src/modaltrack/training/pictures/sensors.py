# SPDX-License-Identifier: Apache-2.0
"""Which sensor made the images of a folder."""

from __future__ import annotations

import re
from pathlib import Path

from modaltrack.frame import Modality

WORDS = {
    Modality.THERMAL: r"thermal|infra-?red|lwir|rgb-?t(?![a-z])",
    Modality.DEPTH: r"depth|lidar|rgb-?d(?![a-z])",
    Modality.EVENT: r"events?(?![a-z])|dvs|davis346|rgb-?e(?![a-z])",
    Modality.RGB: r"rgb(?![a-z])|colou?r|visible",
}
NOTE = "SOURCE.md"


def _named(text: str) -> set[Modality]:
    return {m for m in Modality if re.search(WORDS.get(m, rf"{m.value}(?![a-z])"), text.lower())}


def second_sensor(folder: Path, given: Modality | None = None) -> Modality:
    """Modality of a folder's ``aux/``.

    Args:
        folder: The folder that holds ``aux/``.
        given: What the user says; wins.

    Returns:
        That, or what the folder's name says, else its parent's (``rgbt``, ``my_thermal``), else the first line of
        ``SOURCE.md`` that names a sensor beside RGB.

    Raises:
        ValueError: Nothing names one sensor.
    """
    if given is not None:
        return given
    texts = [folder.resolve().name, folder.resolve().parent.name, *_note(folder)]
    for text in texts:
        named = _named(text) - {Modality.RGB}
        if len(named) == 1:
            return named.pop()
    raise ValueError(
        f"{folder} has a folder aux/ and nothing says which sensor it is: rename it to thermal/, depth/ ..., "
        "or give --aux."
    )


def only_sensor(folder: Path, given: Modality | None = None) -> Modality:
    """Modality of a folder's only images: what is given, else what the first line of ``SOURCE.md`` names, else RGB."""
    if given is not None:
        return given
    named = _named(next(iter(_note(folder)), ""))
    return named.pop() if len(named) == 1 else Modality.RGB


def _note(folder: Path) -> list[str]:
    file = folder / NOTE
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
