# SPDX-License-Identifier: Apache-2.0
"""What follows the first training of the laptop models on pictures: more of it, and the confidence. [ours]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modaltrack.training.recipe import Group, Recipe, get_recipe, register
from modaltrack.training.recipes.pictures import ANY_SENSORS

# Pairs on which a tracker errs: a third of the search crops show something else of the target's class.
ERRING = {"absent": 0.35, "occluder": 0.3, "neighbours": 0.5, "twin": 0.15, "shift": 1.2, "far": 0.4}
FURTHER = {"sdstrack": 900, "tpf": 1500, "ainet": 1500}  # seconds
METHODS = ("sdstrack", "srtrack", "smstracker", "ainet", "tpf")
CONFIDENCE: dict[str, Any] = {**ANY_SENSORS, "ema": 0.99, "weight_decay": 0.01, "augment": ERRING}


@register("modaltrack-laptop-further")
def modaltrack_laptop_further() -> Recipe:
    """The default model trained on, with more neighbours, twins and far targets.

    Ends after 90 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return replace(
        get_recipe("modaltrack-laptop-pictures"),
        name="modaltrack-laptop-further",
        start_from="runs/modaltrack-laptop-pictures",
        time_budget_s=5400,
        lr=4e-4,
        augment={"neighbours": 0.45, "twin": 0.18, "far": 0.35},
    )


@register("modaltrack-laptop-confidence")
def modaltrack_laptop_confidence() -> Recipe:
    """The confidence of the default model; nothing else learns.

    The pairs are hard on purpose: a third of the search crops show something else of the target's class; many have
    neighbours, twins and occluders.
    Ends after 10 minutes or 200,000 steps on one core of two.
    """
    return Recipe(
        name="modaltrack-laptop-confidence",
        model_options={"confidence": True},
        start_from="runs/modaltrack-laptop-further",
        objective="confidence",
        time_budget_s=600,
        lr=2e-3,
        warmup=50,
        trainable=(Group("confidence"),),
        **CONFIDENCE,
    )


@register("ostrack-laptop-confidence")
def ostrack_laptop_confidence() -> Recipe:
    """The confidence of the RGB base; nothing else learns.

    As ``modaltrack-laptop-confidence``, on RGB alone.
    Ends after 10 minutes or 200,000 steps on one core of two.
    """
    return replace(
        modaltrack_laptop_confidence(),
        name="ostrack-laptop-confidence",
        model="ostrack-laptop",
        start_from="runs/ostrack-laptop-pictures",
        modalities=(),
        modality_dropout=0.0,
    )


def _further(method: str) -> Callable[[], Recipe]:
    def build() -> Recipe:
        first = get_recipe(f"{method}-laptop-pictures")
        return replace(
            first,
            name=f"{method}-laptop-further",
            start_from=f"runs/{first.name}",
            time_budget_s=FURTHER[method],
            lr=5e-4 if method == "sdstrack" else 4e-4,
            warmup=30,
            augment={"rendered": 0.5},
        )

    build.__doc__ = f"""{method}-laptop trained on, with half of the pairs rendered.

    Night, fog and failing sensors are the rendered world's, and after the first training it did least well there.
    Ends after {FURTHER[method] // 60} minutes or 200,000 steps on one core of two.
    """
    return build


def _confidence(method: str) -> Callable[[], Recipe]:
    def build() -> Recipe:
        first = get_recipe(f"{method}-laptop-pictures")
        return Recipe(
            name=f"{method}-laptop-confidence",
            model_options={"confidence": True},
            start_from=f"runs/{method}-laptop-further" if method in FURTHER else f"runs/{first.name}",
            objective="confidence",
            time_budget_s=300,
            lr=1e-3,
            warmup=10,
            trainable=(Group("confidence"),),
            **{**CONFIDENCE, "model": first.model, "modality_dropout": first.modality_dropout},
        )

    build.__doc__ = f"""The confidence of {method}-laptop; nothing else learns.

    It starts as the RGB base's; the pairs are those of ``modaltrack-laptop-confidence``.
    Ends after 5 minutes or 200,000 steps on one core of two.
    """
    return build


for _method in METHODS:
    register(f"{_method}-laptop-confidence")(_confidence(_method))
for _method in FURTHER:
    register(f"{_method}-laptop-further")(_further(_method))
