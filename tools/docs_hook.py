# SPDX-License-Identifier: Apache-2.0
"""mkdocs hook: pages whose text comes from the package itself, so that they cannot grow old.

* ``<!-- cards -->`` becomes the cards of the shipped weights;
* ``<!-- api ROOM ... -->`` becomes one mkdocstrings block for each public class and function of the rooms named;
* comments that steer the tests of the snippets are left out.
"""

from __future__ import annotations

import html
import importlib
import inspect
import json
import re
import struct
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parents[1] / "src" / "modaltrack" / "models" / "weights"
LEFT_OUT = ("name", "config", "curves", "log", "model")


def read_card(file: Path) -> dict[str, Any]:
    """The card in a safetensors file's header; nothing else of the file is read."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    card: dict[str, Any] = json.loads(header["__metadata__"]["card"])
    return card


def cards() -> str:
    """Markdown of every shipped weight: a heading, its facts, its measurements as tables."""
    return "\n\n".join(card_section(file.stem, read_card(file)) for file in sorted(WEIGHTS.glob("*.safetensors")))


def card_section(name: str, card: dict[str, Any]) -> str:
    """One card; ``measured`` makes a table for each of its groups."""
    recipe = card.get("recipe")
    if isinstance(recipe, dict):
        card = card | {"recipe": recipe.get("name", "")}  # its fields are folded away below
    parts = [f"## {name}", "| fact | |\n|---|---|"]
    parts[1] += "".join(
        f"\n| {key.replace('_', ' ')} | {_cell(value)} |"
        for key, value in card.items()
        if key not in (*LEFT_OUT, "measured") and value not in (None, "", [], {})
    )
    if isinstance(recipe, dict):
        lines = "".join(f"<li>{html.escape(key)}: {html.escape(_text(value))}</li>" for key, value in recipe.items())
        parts.append(f"<details><summary>Every field of the recipe</summary><ul>{lines}</ul></details>")
    for title, group in card.get("measured", {}).items():
        parts += _measured(title, group) if isinstance(group, dict) else [f"**{title}**: {_cell(group)}"]
    return "\n\n".join(parts)


def _measured(title: str, group: dict[str, Any]) -> list[str]:
    columns = list(dict.fromkeys(key for row in group.values() if isinstance(row, dict) for key in row))
    if not columns:
        return [f"**{title}**", "| | |\n|---|---|" + "".join(f"\n| {k} | {_cell(v)} |" for k, v in group.items())]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for key, row in group.items():
        cells = [_cell(row.get(c, "")) for c in columns] if isinstance(row, dict) else [_cell(row)]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return [f"**{title}**", "\n".join(lines)]


def _cell(value: object) -> str:
    return re.sub(r"([|_*])", r"\\\1", _text(value)).replace("\n", " ")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_text(v)}" for k, v in value.items() if v not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(map(_text, value)) if len(value) <= 8 else f"{len(value)} values"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{40,64}", value):
        return value[:12] + "…"  # hashes would make a table wider than a phone
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def api(rooms: str) -> str:
    """mkdocstrings blocks of the public classes and functions of rooms.

    Each under its public name, or under the module that defines it where the room looks names up on first use, which
    the reader of the source cannot follow.
    """
    blocks = []
    for room in rooms.split():
        module = importlib.import_module(room)
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            value = getattr(module, name)
            is_own = getattr(value, "__module__", "").startswith("modaltrack" if hasattr(module, "__all__") else room)
            if is_own and (inspect.isclass(value) or inspect.isfunction(value)):
                text = inspect.getsource(module)
                is_imported = re.search(rf"^(from .* import .*\b{name}\b|    {name},)", text, re.MULTILINE)
                blocks.append(f"::: {room if is_imported else value.__module__}.{name}")
    return "\n\n".join(blocks)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for every page."""
    if "<!-- cards -->" in markdown:
        markdown = markdown.replace("<!-- cards -->", cards())
    markdown = re.sub(r"<!-- api (.*?) -->", lambda m: api(m[1]), markdown)
    return re.sub(r"<!-- not run: .*? -->\n", "", markdown)
