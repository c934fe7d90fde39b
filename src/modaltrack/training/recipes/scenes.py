# SPDX-License-Identifier: Apache-2.0
"""Recipes on rendered scenes: anyone can run them, on two CPU cores."""

from __future__ import annotations

from modaltrack.training.recipe import Group, Recipe, register


@register("ostrack-tiny-scenes")
def ostrack_tiny_scenes() -> Recipe:
    """Single-stream OSTrack, tiny, from random weights on rendered scenes; the base the two-sensor recipes start from.

    The method is OSTrack's (ECCV 2022: one template, one search, GIoU 2, L1 5, focal 1). Ours: the size, the data,
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
    """SDSTrack, tiny, one set of weights for RGB with thermal, depth or event, from ``ostrack-tiny``.

    From the paper (CVPR 2024) and its code: two streams on shared weights, symmetric adapters, cross-modal fusion
    blocks, the second stem trained at the full rate. Ours: one model for three sensors, drawn per step;
    ``modality_dropout`` so that a missing sensor is met in training; the base is not frozen as published
    (``--trainable.1.lr 0`` freezes it) but trained at 0.4 of the rate, because 42 minutes leave it far from done; no
    masked pass unless ``--objective masked-aligned``; the size, the data, the optimiser's values.
    Ends after 65 minutes or 40,000 steps. Shipped weights: two CPU cores (one trains, one renders); what they reach is
    in their card (``modaltrack models show sdstrack-tiny``).
    """
    return Recipe(
        name="sdstrack-tiny-scenes",
        model="sdstrack-tiny",
        start_from="ostrack-tiny",
        modalities=("thermal", "depth", "event"),
        trainable=(Group("adapters|fusions|patch_embed_x"), Group("", lr=0.4)),
        steps=40_000,
        time_budget_s=3900,
        batch=32,
        lr=6e-4,
        warmup=200,
        weight_decay=0.02,
        clip=1.0,
        ema=0.999,
        amp="bf16",
        workers=1,
        modality_dropout=0.3,
    )
