# SPDX-License-Identifier: Apache-2.0
"""The registered models and the cards of the shipped weights as data: lists them without torch and without the files.

``catalogue.json`` is written by ``python tools/write_catalogue.py`` from the code and the weight files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from modaltrack.files import read_json
from modaltrack.modality import Modality

FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True)
class Listed:
    """A registered model: number of parameters, side of the search crop in pixels, sensors it can read."""

    name: str
    parameters: int
    search_size: int
    modalities: tuple[Modality, ...]


@dataclass(frozen=True, slots=True)
class ListedWeights:
    """A shipped weight file: its length in bytes and its card."""

    name: str
    bytes: int
    card: Mapping[str, Any]

    @property
    def base(self) -> str:
        """Name of the shipped weights that the file leans on; "" for none."""
        base = self.card.get("base")
        return str(base["name"]) if isinstance(base, Mapping) else ""


@cache
def _read() -> dict[str, Any]:
    return read_json(FILE, "install the package again.")


def listed_weights() -> dict[str, ListedWeights]:
    """Name -> the shipped weights of that name, wherever the file is."""
    return {name: ListedWeights(name, row["bytes"], row["card"]) for name, row in _read()["weights"].items()}


def listed_models() -> list[Listed]:
    """Every model that ``create`` accepts, sorted by name. Plug-ins, which only their own code knows, load torch."""
    rows = {name: listed(name, row) for name, row in _read()["models"].items()}
    if entry_points(group="modaltrack.models"):
        from modaltrack.models.registry import list_models

        rows |= {name: listed(name, describe(name)) for name in list_models() if name not in rows}
    return [rows[name] for name in sorted(rows)]


def listed(name: str, row: Mapping[str, Any]) -> Listed:
    """A row of the file as data."""
    return Listed(name, row["parameters"], row["search_size"], tuple(Modality(m) for m in row["modalities"]))


def describe(name: str) -> dict[str, Any]:
    """The row of a registered model, from its code."""
    from modaltrack.models.registry import config_of
    from modaltrack.models.skeleton import skeleton

    config = config_of(name)
    return {
        "parameters": sum(p.numel() for p in skeleton(name).parameters()),
        "search_size": config.search_size,
        "modalities": [str(m) for m in config.modalities],
    }
