# SPDX-License-Identifier: Apache-2.0
"""All recipes that come with the package; importing this fills the table."""

from __future__ import annotations

from modaltrack.training.recipe import RECIPES, get_recipe
from modaltrack.training.recipes import (
    ainet,
    further,
    laptop_scenes,
    ostrack,
    pictures,
    scenes,
    sdstrack,
    smstracker,
    srtrack,
    tpf,
)

__all__ = [
    "RECIPES",
    "ainet",
    "further",
    "get_recipe",
    "laptop_scenes",
    "ostrack",
    "pictures",
    "scenes",
    "sdstrack",
    "smstracker",
    "srtrack",
    "tpf",
]
