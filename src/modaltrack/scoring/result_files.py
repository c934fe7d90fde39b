# SPDX-License-Identifier: Apache-2.0
"""Result files of trackers: read in whatever layout people have, written in the community's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from modaltrack.scoring.records import ResultSet, SequenceResult


def read_results(path: str | os.PathLike[str]) -> ResultSet:
    """Read a folder, a zip or one file of results."""
    raise NotImplementedError


def write_results(
    folder: str | os.PathLike[str], results: Mapping[str, SequenceResult], layout: str = "community"
) -> Path:
    """Write one file per sequence and manifest.json, each atomically; -> the manifest."""
    raise NotImplementedError
