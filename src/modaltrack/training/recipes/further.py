# SPDX-License-Identifier: Apache-2.0
"""What follows the first training of the laptop models on pictures: a confidence, for some more of it. [ours]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modaltrack.training.recipe import Group, Recipe, get_recipe, register
from modaltrack.training.recipes.pictures import ANY_SENSORS, KEPT

# Pairs on which a tracker errs: a third of the search crops show something else of the target's class.
ERRING = {"absent": 0.35, "occluder": 0.3, "neighbours": 0.5, "twin": 0.15, "shift": 1.2, "far": 0.4}
METHODS = ("sdstrack", "srtrack", "smstracker", "ainet", "tpf")
FASTER = {  # what lets the sensors meet hardly leaves its first value at the rate of the rest
    "sdstrack": Group("fusions.*_gate", lr=15.0),
    "srtrack": Group("cross_blocks.*gate", lr=15.0),
    "smstracker": Group("mixed_gate", lr=15.0),
    "ainet": Group("gate", lr=15.0),
    "tpf": Group(r"adapter\.(blend|rest)", lr=10.0),
}
CONFIDENCE: dict[str, Any] = {**ANY_SENSORS, "ema": 0.99, "weight_decay": 0.01, "augment": ERRING}


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
        start_from="runs/modaltrack-laptop-pictures",
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


def _faster_gates(method: str, *groups: Group) -> Recipe:
    """Half of the pairs rendered, smaller batches, fewer lost sensors, and the groups' own rates.

    Night, fog and failing sensors are the rendered world's. The gates of the fusions hardly left the 0.01 that they
    begin with in the first training, so that the sensors hardly met; they learn fifteen times as fast here.
    """
    return replace(
        get_recipe(f"{method}-laptop-pictures"),
        name=f"{method}-laptop-further",
        start_from=f"runs/{method}-laptop-pictures",
        time_budget_s=900,
        lr=4e-4,
        warmup=20,
        batch=16,
        ema=0.995,
        modality_dropout=0.2,
        trainable=(Group(KEPT, lr=0.0), FASTER[method], *groups),
        augment={"rendered": 0.5},
    )


@register("sdstrack-laptop-further")
def sdstrack_laptop_further() -> Recipe:
    """SDSTrack, laptop, trained on: half of the pairs rendered, faster gates.

    The gates stood at .011 to .017 after the first training. The shipped weights took 229 steps of 32 samples at the
    usual rates, then 383 of 16 at these.
    Ends after 25 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    recipe = _faster_gates(
        "sdstrack",
        Group("fusions", lr=2.0),
        Group("adapters|patch_embed_x"),
        Group("", lr=0.0),
    )
    return replace(recipe, time_budget_s=1500)


@register("srtrack-laptop-further")
def srtrack_laptop_further() -> Recipe:
    """SRTrack, laptop, trained on: half of the pairs rendered, faster gates.

    The gates of the fusion blocks stood at .013 to .016 after the first training.
    Ends after 15 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return _faster_gates(
        "srtrack",
        Group("cross_blocks"),
        Group("patch_embed_x|blocks_x|norm_x", lr=0.5),
        Group("", lr=0.0),
    )


@register("smstracker-laptop-further")
def smstracker_laptop_further() -> Recipe:
    """SMSTracker, laptop, trained on: half of the pairs rendered, a faster gate.

    The gate of the mixed path stood at .010 after the first training.
    Ends after 15 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return _faster_gates("smstracker", Group("score|interaction"), Group("", lr=0.2))


@register("ainet-laptop-further")
def ainet_laptop_further() -> Recipe:
    """AINet, laptop, trained on, with 60 % of the pairs rendered.

    Night, fog and failing sensors are the rendered world's, where it was behind the RGB base after the first training.
    Ends after 18 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return replace(
        get_recipe("ainet-laptop-pictures"),
        name="ainet-laptop-further",
        start_from="runs/ainet-laptop-pictures",
        time_budget_s=1080,
        lr=4e-4,
        warmup=30,
        augment={"rendered": 0.6},
    )


@register("tpf-laptop-further")
def tpf_laptop_further() -> Recipe:
    """TPF, laptop, trained on: how much of each image is seen learns faster.

    After the first training the adapter was still nearly the plain average of both images; its blend learns ten times
    as fast here. Smaller batches, half of the pairs rendered. The shipped weights began with 0.8 added to the bias of
    the adapter's ``blend``, towards RGB.
    Ends after 25 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return replace(
        get_recipe("tpf-laptop-pictures"),
        name="tpf-laptop-further",
        start_from="runs/tpf-laptop-pictures",
        time_budget_s=1500,
        warmup=10,
        batch=16,
        ema=0.99,
        modality_dropout=0.15,
        trainable=(
            Group(KEPT, lr=0.0),
            FASTER["tpf"],
            Group("adapter", lr=2.0),
            Group("", lr=0.4),
        ),
        augment={"rendered": 0.5},
    )


def _confidence(method: str) -> Callable[[], Recipe]:
    def build() -> Recipe:
        first = get_recipe(f"{method}-laptop-pictures")
        return Recipe(
            name=f"{method}-laptop-confidence",
            model_options={"confidence": True},
            start_from=f"runs/{method}-laptop-further",
            objective="confidence",
            time_budget_s=600,
            lr=2e-3,
            warmup=50,
            trainable=(Group("confidence"),),
            **{**CONFIDENCE, "model": first.model, "modality_dropout": first.modality_dropout},
        )

    build.__doc__ = f"""The confidence of {method}-laptop; nothing else learns.

    As ``modaltrack-laptop-confidence``. The heads that are shipped began as the RGB base's and not from random numbers,
    and took 60 steps at half the rate (their cards).
    Ends after 10 minutes or 200,000 steps on one core of two.
    """
    return build


for _method in METHODS:
    register(f"{_method}-laptop-confidence")(_confidence(_method))
