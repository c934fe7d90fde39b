# SPDX-License-Identifier: Apache-2.0
"""The study's tables as files."""

from __future__ import annotations

from pathlib import Path

from modaltrack.study.folder import Place, Settings


def write_study(place: Place, settings: Settings) -> list[Path]:
    """Write the tables; -> the files."""
    return []
