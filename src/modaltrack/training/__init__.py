# SPDX-License-Identifier: Apache-2.0
"""Training: recipes, the loop, validation and the command. Nothing heavy is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Group": "recipe",
    "Recipe": "recipe",
    "RECIPES": "recipes",
    "get_recipe": "recipes",
    "train": "loop",
    "export": "start",
    "read_log": "record",
    "validate_pairs": "validate",
    "validate_tracking": "validate",
    "calibrate": "validate",
    "cli_main": "command",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
