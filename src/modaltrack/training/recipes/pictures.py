# SPDX-License-Identifier: Apache-2.0
"""Recipes on real pictures and clips that lie in your folders: the first training of the laptop size. [ours]

What follows it, and the confidence, stand in ``further.py``.
"""

from __future__ import annotations

from typing import Any

from modaltrack.training.recipe import Group, Recipe, register

STEM = r"patch_embed(_x)?\.(backbone|match)"  # NanoTrack v3's networks: frozen for good
ON_PICTURES: dict[str, Any] = {
    "data": {"pictures": 1.0},
    "steps": 200_000,
    "batch": 32,
    "weight_decay": 0.05,
    "clip": 1.0,
    "ema": 0.998,
    "amp": "bf16",
    "workers": 1,
    "log_every": 50,
    "save_every": 250,
}
ANY_SENSORS: dict[str, Any] = {
    "model": "modaltrack-laptop",
    "modalities": ("thermal", "depth", "event"),
    "modality_dropout": 0.45,
    **ON_PICTURES,
}


@register("ostrack-laptop-pictures")
def ostrack_laptop_pictures() -> Recipe:
    """OSTrack, laptop size, on RGB: the base of the laptop models.

    Its stem, which sees and matches with NanoTrack v3's published networks, is taken from the shipped weights and stays
    as it is; trunk and head start from random numbers. Give your folders: ``--data FOLDER ...``; without, a folder
    ``pictures`` is looked for.
    Ends after 53 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="ostrack-laptop-pictures",
        model="ostrack-laptop",
        start_from="ostrack-laptop",
        start_only=STEM,
        time_budget_s=3200,
        lr=8e-4,
        warmup=150,
        trainable=(Group(STEM, lr=0.0), Group("pos_", weight_decay=0.0), Group("")),
        **ON_PICTURES,
    )


@register("modaltrack-laptop-pictures")
def modaltrack_laptop_pictures() -> Recipe:
    """The default model, for any set of sensors, from the RGB base.

    Photographs seen by simulated thermal, depth and event cameras, real clips whose event pictures come from their
    real motion, thermal stills, and a fifth rendered scenes. Either of two sensors is dropped in 45 % of the samples.
    Ends after 60 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="modaltrack-laptop-pictures",
        start_from="ostrack-laptop",
        objective="sight",
        time_budget_s=3600,
        lr=5e-4,
        warmup=100,
        trainable=(
            Group(STEM, lr=0.0),
            Group("kind|adapters|sight|trust"),
            Group("pos_", lr=0.5, weight_decay=0.0),
            Group("", lr=0.5),
        ),
        **ANY_SENSORS,
    )


# Where the recipes of the two-sensor methods do not differ. The first half of the trunk stays the base's, so that
# their files need not hold it.
KEPT = rf"{STEM}|blocks(_x)?\.[01]\."
ON_THE_BASE: dict[str, Any] = {
    "start_from": "ostrack-laptop",
    "modalities": ("thermal", "depth", "event"),
    "modality_dropout": 0.3,
    "time_budget_s": 840,
    "lr": 6e-4,
    "warmup": 50,
    **ON_PICTURES,
}


@register("sdstrack-laptop-pictures")
def sdstrack_laptop_pictures() -> Recipe:
    """SDSTrack, laptop, for RGB with thermal, depth or event, from ostrack-laptop.

    As published the base is frozen; adapters, fusions and what of the second stem is not NanoTrack's learn. [ours]: one
    model for three sensors, drawn per step, sensor dropout, the size, the data, the optimiser's values.
    Ends after 12 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="sdstrack-laptop-pictures",
        model="sdstrack-laptop",
        trainable=(Group(KEPT, lr=0.0), Group("adapters|fusions|patch_embed_x"), Group("", lr=0.0)),
        **{**ON_THE_BASE, "time_budget_s": 700},
    )


@register("srtrack-laptop-pictures")
def srtrack_laptop_pictures() -> Recipe:
    """SRTrack, laptop, for RGB with thermal, depth or event, from ostrack-laptop.

    A branch for X and fusion blocks, copies of the RGB tracker at the start. [ours]: RGB's branch, the first half of
    X's and the head are frozen, so that RGB alone is the base; one model for three sensors, sensor dropout, the size,
    the data, the optimiser's values.
    Ends after 12 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="srtrack-laptop-pictures",
        model="srtrack-laptop",
        trainable=(
            Group(KEPT, lr=0.0),
            Group("cross_blocks"),
            Group("patch_embed_x|blocks_x|norm_x", lr=0.5),
            Group("", lr=0.0),
        ),
        **{**ON_THE_BASE, "time_budget_s": 700},
    )


@register("smstracker-laptop-pictures")
def smstracker_laptop_pictures() -> Recipe:
    """SMSTracker, laptop, for RGB with thermal, depth or event, from ostrack-laptop.

    Three paths on shared weights, score-mask fusion and interactions at the full rate. [ours]: the second half of the
    base learns at 0.4 of it, the first is frozen; one model for three sensors, sensor dropout, the size, the data, the
    optimiser's values.
    Ends after 14 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="smstracker-laptop-pictures",
        model="smstracker-laptop",
        trainable=(Group(KEPT, lr=0.0), Group("score|interaction|mixed_gate"), Group("", lr=0.4)),
        **ON_THE_BASE,
    )


@register("ainet-laptop-pictures")
def ainet_laptop_pictures() -> Recipe:
    """AINet, laptop, for RGB with thermal, depth or event, from ostrack-laptop.

    Differences of the sensors fused after every block, one fusion of all layers, the new parts at the full rate.
    [ours]: the second half of the base learns at 0.4 of it, the first is frozen; the last fusion joins through a gate;
    one model for three sensors, sensor dropout, the size, the data, the optimiser's values.
    Ends after 18 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="ainet-laptop-pictures",
        model="ainet-laptop",
        trainable=(Group(KEPT, lr=0.0), Group("differences|order_fusion|gate"), Group("", lr=0.4)),
        **{**ON_THE_BASE, "time_budget_s": 1100},
    )


@register("tpf-laptop-pictures")
def tpf_laptop_pictures() -> Recipe:
    """TPF, laptop, for RGB with thermal, depth or event, from ostrack-laptop.

    A design that fits the paper's outline, not a reproduction: an adapter fuses both images into one, the tracker
    behind it reads it. [ours]: everything but the outline; one template; the first half of the tracker is frozen.
    Ends after 25 minutes or 200,000 steps on one core of two; what was measured is in the card.
    """
    return Recipe(
        name="tpf-laptop-pictures",
        model="tpf-laptop",
        trainable=(Group(KEPT, lr=0.0), Group("adapter"), Group("", lr=0.4)),
        **{**ON_THE_BASE, "time_budget_s": 1500},
    )
