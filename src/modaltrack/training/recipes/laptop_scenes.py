# SPDX-License-Identifier: Apache-2.0
"""The laptop models on rendered scenes alone, from their base: for the study, and for those without pictures. [ours]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modaltrack.training.recipe import Group, Recipe, get_recipe, register
from modaltrack.training.recipes.further import FASTER
from modaltrack.training.recipes.pictures import STEM

# What leads the groups of every run at this size: frozen stems, and the parts that learn faster.
LEADING = {f"{method}-laptop-scenes": (Group(STEM, lr=0.0), faster) for method, faster in FASTER.items()}
BUDGET: dict[str, Any] = {"steps": 4_000, "time_budget_s": 1800, "batch": 16, "warmup": 20, "ema": 0.995}


def _two_sensors(method: str) -> Callable[[], Recipe]:
    def build() -> Recipe:
        tiny, first = get_recipe(f"{method}-tiny-scenes"), get_recipe(f"{method}-laptop-pictures")
        return replace(
            first,
            name=f"{method}-laptop-scenes",
            data={},
            trainable=(*LEADING[f"{method}-laptop-scenes"], *tiny.trainable),
            **BUDGET,
        )

    build.__doc__ = f"""{method}-laptop on rendered scenes, from ostrack-laptop.

    What learns is as in ``{method}-tiny-scenes``, but for NanoTrack's networks in the stems, which stay, and for
    gates and blends, which learn ten or fifteen times as fast.
    Ends after 30 minutes or 4,000 steps on one core of two; the shipped weights are not of this recipe.
    """
    return build


for _method in FASTER:
    register(f"{_method}-laptop-scenes")(_two_sensors(_method))


@register("ostrack-laptop-scenes")
def ostrack_laptop_scenes() -> Recipe:
    """ostrack-laptop trained on, on rendered scenes: what time alone gives.

    As ``ostrack-tiny-scenes`` with the sensors' images in the place of RGB, from the shipped base, its stem frozen.
    Ends after 30 minutes or 4,000 steps on one core of two; the shipped weights are not of this recipe.
    """
    return replace(
        get_recipe("ostrack-laptop-pictures"),
        name="ostrack-laptop-scenes",
        start_only=None,
        data={},
        lr=2.4e-4,
        input_mix=get_recipe("ostrack-tiny-scenes").input_mix,
        **BUDGET,
    )
