# SPDX-License-Identifier: Apache-2.0
"""``modaltrack models`` and ``modaltrack models show NAME``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg


@dataclass
class Options:
    """List the models that can be loaded or created, or print the card of one: recipe, seed, hours, what it reached."""

    action: Positional[Literal["list", "show"]] = "list"
    """list, or show NAME."""
    name: Positional[Annotated[str, arg(metavar="NAME|PATH")]] = ""
    """With show: a name from the list or a weights file."""


def run(options: Options) -> int:
    """Print the table or the card; -> 0."""
    if options.action == "show":
        return _show(options.name)
    if options.name:
        raise ValueError(f"'models list' takes no name; did you mean: modaltrack models show {options.name}?")
    return _list()


def _show(name: str) -> int:
    import json

    from modaltrack.commands.terminal import out
    from modaltrack.models import load_model

    if not name:
        raise ValueError("'models show' needs a name; 'modaltrack models' lists them.")
    model = load_model(name, device="cpu")
    out().print(json.dumps(model.card, indent=2, ensure_ascii=False), markup=False)
    return 0


def _list() -> int:
    from modaltrack.commands.terminal import out, table
    from modaltrack.models import config_of, create, list_models

    shipped: dict[str, tuple[Path | None, dict[str, Any]]] = {**_shipped()}
    rows = table("models", "name", "method", ">parameters", ">search", "modalities", "weights", "measured", "licence")
    for name in list_models():
        # made for real: on torch's meta device this takes 10 s, because its random numbers import torch's compiler
        count = sum(p.numel() for p in create(name).parameters())
        config = config_of(name)
        file, card = shipped.get(name, (None, {}))
        rows.add_row(
            name,
            str(card.get("method", name.rsplit("-", 1)[0])),
            f"{count / 1e6:.1f} M",
            f"{config.search_size} px",
            ", ".join(config.modalities),
            f"{file.stat().st_size / 2**20:.1f} MiB" if file else "none shipped",
            _measured(card),
            str(card.get("licence", "")),
        )
    console = out()
    console.print(rows)
    console.print("'modaltrack models show NAME' prints the card of a model with weights.")
    return 0


def _measured(card: dict[str, Any]) -> str:
    """The first numbers of the card, short."""
    measured = card.get("measured") or {}
    numbers = (
        [f"{k} {v:.3f}" for k, v in measured.items() if isinstance(v, float)] if isinstance(measured, dict) else []
    )
    return ", ".join(numbers[:2]) or "-"


def _shipped() -> dict[str, tuple[Path, dict[str, Any]]]:
    """Name -> (file, card) of the weights inside the package."""
    from modaltrack.models.weights_io import read_weights
    from modaltrack.models.zoo import SHIPPED

    return {row.name: (row.path, read_weights(row.path, row.sha256)[1]) for row in SHIPPED}
