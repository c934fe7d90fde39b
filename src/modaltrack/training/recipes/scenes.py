# SPDX-License-Identifier: Apache-2.0
"""Recipes on rendered scenes: anyone can run them, on two CPU cores."""

from __future__ import annotations

from typing import Any

from modaltrack.training.recipe import Group, Recipe, register

# Where the recipes of two-sensor methods do not differ: the same base, sensors, data and budget.
TWO_SENSORS: dict[str, Any] = {
    "start_from": "ostrack-tiny",
    "modalities": ("thermal", "depth", "event"),
    "steps": 40_000,
    "time_budget_s": 3900,
    "batch": 32,
    "lr": 6e-4,
    "warmup": 200,
    "weight_decay": 0.02,
    "clip": 1.0,
    "ema": 0.999,
    "amp": "bf16",
    "workers": 1,
    "modality_dropout": 0.3,
}


@register("ostrack-tiny-scenes")
def ostrack_tiny_scenes() -> Recipe:
    """OSTrack, tiny, from random weights: the base of the two-sensor recipes.

    The method is OSTrack's (ECCV 2022: one template, one search, GIoU 2, L1 5, focal 1). [ours]: the size, the data,
    the optimiser's values, and ``input_mix``: some samples show a thermal, depth or event image in the place of RGB,
    so that the features suit every sensor.
    Ends after 42 minutes or 40,000 steps. Shipped weights: two CPU cores (one trains, one renders), about 100 samples
    a second; what they reach is in their card (``modaltrack models show ostrack-tiny``).
    """
    return Recipe(
        name="ostrack-tiny-scenes",
        model="ostrack-tiny",
        input_mix={"rgb": 0.55, "thermal": 0.15, "depth": 0.15, "event": 0.15},
        steps=40_000,
        time_budget_s=2520,
        batch=48,
        lr=8e-4,
        warmup=300,
        weight_decay=0.05,
        clip=1.0,
        ema=0.999,
        amp="bf16",
        workers=1,
        trainable=(Group("pos_", weight_decay=0.0), Group("")),
    )


@register("sdstrack-tiny-scenes")
def sdstrack_tiny_scenes() -> Recipe:
    """SDSTrack, tiny, for RGB with thermal, depth or event, from ostrack-tiny.

    From the paper (CVPR 2024) and its code: two streams on shared weights, symmetric adapters, cross-modal fusion
    blocks, the second stem trained at the full rate. [ours]: one model for three sensors, drawn per step;
    ``modality_dropout`` so that a missing sensor is met in training; the base is not frozen as published
    (``--trainable.1.lr 0`` freezes it) but trained at 0.4 of the rate, because 42 minutes leave it far from done; no
    masked pass unless ``--objective masked-aligned``; the size, the data, the optimiser's values.
    Ends after 65 minutes or 40,000 steps. Shipped weights: two CPU cores (one trains, one renders); what they reach is
    in their card (``modaltrack models show sdstrack-tiny``).
    """
    return Recipe(
        name="sdstrack-tiny-scenes",
        model="sdstrack-tiny",
        trainable=(Group("adapters|fusions|patch_embed_x"), Group("", lr=0.4)),
        **TWO_SENSORS,
    )


@register("srtrack-tiny-scenes")
def srtrack_tiny_scenes() -> Recipe:
    """SRTrack, tiny, for RGB with thermal, depth or event, from ostrack-tiny.

    From the code of arXiv 2508.17488: a whole branch for either sensor and fusion blocks, all of them copies of the
    RGB tracker at the start and all trained at one rate. [ours]: the fusion blocks begin nearly closed; head and
    positions, frozen there, learn at 0.4 of the rate, as the base does in all recipes of this family; one model for
    three sensors, sensor dropout, the size, the data, the optimiser's values. Significance-regularised tuning is
    ``--significance published|ranked|two-significance``.
    Ends after 65 minutes or 40,000 steps on two CPU cores; what was measured is in docs/training.md.
    """
    return Recipe(
        name="srtrack-tiny-scenes",
        model="srtrack-tiny",
        trainable=(Group("patch_embed_x|blocks_x|norm_x|cross_blocks"), Group("", lr=0.4)),
        **TWO_SENSORS,
    )


@register("smstracker-tiny-scenes")
def smstracker_tiny_scenes() -> Recipe:
    """SMSTracker, tiny, for RGB with thermal, depth or event, from ostrack-tiny.

    From the paper (ICCV 2025): three paths on shared weights, score-mask fusion, sigma interaction, dropped keys in
    every attention (10 %; ``--model-options drop_key 0`` keeps them all), the new parts at the full rate. [ours]: the
    base learns at 0.4 of the rate instead of 0.1 and whole instead of blocks and norm only, because it is far from
    done; one model for three sensors, sensor dropout, the size, the data, the optimiser's values.
    Ends after 65 minutes or 40,000 steps on two CPU cores; what was measured is in docs/training.md.
    """
    return Recipe(
        name="smstracker-tiny-scenes",
        model="smstracker-tiny",
        trainable=(Group("score|interaction|mixed_gate"), Group("", lr=0.4)),
        **TWO_SENSORS,
    )


@register("ainet-tiny-scenes")
def ainet_tiny_scenes() -> Recipe:
    """AINet, tiny, for RGB with thermal, depth or event, from ostrack-tiny.

    From the paper (AAAI 2025): differences of the sensors fused after every block, one fusion of all layers in three
    orders, the new parts at the full rate and the base below it. [ours]: the base learns at 0.4 of the rate instead of
    0.1; the last fusion joins through a gate; one model for three sensors, sensor dropout, the size, the data, the
    optimiser's values.
    Ends after 65 minutes or 40,000 steps on two CPU cores; what was measured is in docs/training.md.
    """
    return Recipe(
        name="ainet-tiny-scenes",
        model="ainet-tiny",
        trainable=(Group("differences|order_fusion|gate"), Group("", lr=0.4)),
        **TWO_SENSORS,
    )


@register("tpf-tiny-scenes")
def tpf_tiny_scenes() -> Recipe:
    """TPF, tiny, for RGB with thermal, depth or event, from ostrack-tiny.

    A design that fits the paper's outline (arXiv 2503.11247), not a reproduction: an adapter fuses both images into
    one, the one-stream tracker behind it reads it with two templates. The plain tracking loss, without the paper's
    stages (tpf-tiny-mad-scenes, tpf-tiny-drf-scenes). [ours]: everything but the outline. Ends after 65 minutes or
    40,000 steps on two CPU cores; what was measured is in docs/training.md.
    """
    return Recipe(
        name="tpf-tiny-scenes",
        model="tpf-tiny",
        trainable=(Group("adapter"), Group("", lr=0.4)),
        templates=2,
        **TWO_SENSORS,
    )


@register("tpf-tiny-mad-scenes")
def tpf_tiny_mad_scenes() -> Recipe:
    """TPF's stage 1, tiny: the adapter learns from judged image-fusion experts.

    The stage is the paper's, every number [ours]. The judge is the model's own tracker, ``ostrack-tiny``, which has
    seen every sensor's images, so it needs no tuning first. Ends after 15 minutes or 9,000 steps on two CPU cores; what
    was measured is in docs/training.md.
    """
    stage = {**TWO_SENSORS, "steps": 9_000, "time_budget_s": 900, "modality_dropout": 0.0}
    return Recipe(
        name="tpf-tiny-mad-scenes",
        model="tpf-tiny",
        model_options={"num_templates": 1},
        trainable=(Group("adapter"),),
        objective="experts",
        **stage,
    )


@register("tpf-tiny-drf-scenes")
def tpf_tiny_drf_scenes() -> Recipe:
    """TPF's stage 2, tiny: adapter, tracker and decoupled tokens, two templates.

    The stage is the paper's, every number [ours]. Starts from the folder runs/tpf-tiny-mad-scenes (--start-from DIR).
    Ends after 50 minutes or 31,000 steps on two CPU cores, so that both stages cost what the other methods' recipes do;
    what was measured is in docs/training.md.
    """
    stage = {**TWO_SENSORS, "steps": 31_000, "time_budget_s": 3000, "start_from": "runs/tpf-tiny-mad-scenes"}
    return Recipe(
        name="tpf-tiny-drf-scenes",
        model="tpf-tiny",
        model_options={"projection": True},
        trainable=(Group("adapter|projection"), Group("", lr=0.4)),
        templates=2,
        objective="decoupled",
        **stage,
    )
