# SPDX-License-Identifier: Apache-2.0
"""Training: recipes, the loop, validation and the command. Nothing heavy is imported before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modaltrack.lazy import on_demand

if TYPE_CHECKING:
    from modaltrack.training.command import cli_main
    from modaltrack.training.loop import train
    from modaltrack.training.recipe import Group, Recipe
    from modaltrack.training.recipes import RECIPES, get_recipe
    from modaltrack.training.record import read_log
    from modaltrack.training.start import export
    from modaltrack.training.validate import calibrate, validate_pairs, validate_tracking

__all__ = [
    "RECIPES",
    "Group",
    "Recipe",
    "calibrate",
    "cli_main",
    "export",
    "get_recipe",
    "read_log",
    "train",
    "validate_pairs",
    "validate_tracking",
]

if not TYPE_CHECKING:
    __getattr__ = on_demand(
        __name__,
        {
            "command": ("cli_main",),
            "loop": ("train",),
            "recipe": ("Group", "Recipe"),
            "recipes": ("RECIPES", "get_recipe"),
            "record": ("read_log",),
            "start": ("export",),
            "validate": ("calibrate", "validate_pairs", "validate_tracking"),
        },
    )
