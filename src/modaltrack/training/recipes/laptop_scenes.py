# SPDX-License-Identifier: Apache-2.0
"""The laptop models on rendered scenes alone, from their base: for the study, and for those without pictures. [ours]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modaltrack.training.recipe import Group, Recipe, get_recipe, register

STEMS = Group(r"patch_embed(_x)?\.(backbone|match)", lr=0.0)  # NanoTrack v3's networks: frozen for good
FASTER = {  # what lets the sensors meet hardly leaves its first value at the rate of the rest
    "sdstrack": Group(r"fusions.*_gate", lr=15.0),
    "srtrack": Group(r"cross_blocks.*_gate", lr=15.0),
    "smstracker": Group("mixed_gate", lr=15.0),
    "ainet": Group("gate", lr=15.0),
    "tpf": Group(r"adapter\.(blend|rest)", lr=10.0),
}
BUDGET: dict[str, Any] = {"steps": 4_000, "time_budget_s": 1800, "batch": 16, "warmup": 20, "ema": 0.995}


def _two_sensors(method: str) -> Callable[[], Recipe]:
    def build() -> Recipe:
        tiny, first = get_recipe(f"{method}-tiny-scenes"), get_recipe(f"{method}-laptop-pictures")
        return replace(
            first,
            name=f"{method}-laptop-scenes",
            data={},
            trainable=(STEMS, FASTER[method], *tiny.trainable),
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
