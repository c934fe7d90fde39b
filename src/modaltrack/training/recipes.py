# SPDX-License-Identifier: Apache-2.0
"""Training recipes: functions that return a typed, frozen ``Recipe``. No torch here, so listing them is instant."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

IMAGES = ("rgb", "thermal", "depth", "event")


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters whose full name starts with a match of ``pattern`` (a regular expression; the first group wins).

    lr: multiplier of the recipe's learning rate, 0 = frozen. weight_decay: None = the recipe's.
    """

    pattern: str
    lr: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights that come out of a run; every field can be set from the command line.

    A run is a function of this object, the number of processes and the number of threads; nothing else.
    """

    name: str
    """Name of the recipe and of the weights it makes."""
    model: str
    """Name in the model registry (``modaltrack models``)."""
    model_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Overrides of the model's configuration."""
    start_from: str | None = None
    """Name or path of weights to start from; None = random initialisation."""
    modalities: tuple[str, ...] = ()
    """Second sensors, one drawn per step and paired with RGB; empty = a single-stream run on RGB."""
    input_mix: dict[str, float] = field(default_factory=dict)
    """Single-stream runs only (ours): share of samples whose image comes from this sensor, fed as if it were RGB."""
    trainable: tuple[Group, ...] = (Group(""),)
    """Parameter groups; what no group matches is frozen."""

    steps: int = 10_000
    """Optimiser steps."""
    batch: int = 64
    """Samples per optimiser step, over all processes and accumulated parts."""
    accumulation: int = 1
    """Parts that a process splits its share of the batch into to save memory."""
    shard: int | None = None
    """Samples drawn by one call of the sampler; None = batch / (processes * accumulation). With a number set, the
    samples of a step are the same whatever the number of processes."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    warmup: int = 300
    """Steps of linear warm-up."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up: cosine to 1 % of the peak, or constant."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay."""
    decay_vectors: bool = False
    """Whether biases, norms and other parameters with fewer than two dimensions decay too."""
    clip: float = 1.0
    """Largest global gradient norm; 0 = no clipping (the norm is still logged)."""
    amp: Literal["none", "bf16"] = "none"
    """Autocast type of the forward pass; bf16 halves the time of a step on processors and GPUs that have it."""
    ema: float = 0.999
    """Decay of the running average of the weights, the ones that are evaluated and shipped; 0 = no average."""
    seed: int = 0
    """Seed of initialisation, samples, dropout."""
    modality_dropout: float = 0.0
    """Probability that either RGB or the second sensor (half each) of a sample is marked missing."""
    masked_pass: bool = False
    """SDSTrack's masked second pass and distillation (published; about twice the cost of a step)."""
    eval_batchnorm: bool = False
    """Keep every batch norm in evaluation mode (the published SDSTrack and its relatives do)."""
    box_at: Literal["target", "peak"] = "target"
    """Cell that the box losses read: the true centre (ours) or the peak of the predicted map (published)."""
    giou: float = 2.0
    """Weight of the GIoU loss."""
    l1: float = 5.0
    """Weight of the L1 loss."""
    focal: float = 1.0
    """Weight of the focal loss of the score map."""
    min_visible: float = 0.1
    """Samples whose target is less visible than this have no target: no box to learn, an empty score map."""

    workers: int = 0
    """Processes that render ahead; 0 = the trainer renders. The samples do not depend on it."""
    log_every: int = 20
    """Steps between lines of the log."""
    save_every: int = 500
    """Steps between checkpoints."""
    validate_every: int = 0
    """Steps between validations; 0 = none."""
    validation_clips: int = 4
    """Clips tracked at each validation."""
    time_budget_s: float | None = None
    """Seconds after which the run has annealed and ends, over all its resumes; progress is the larger of the share
    of steps and the share of time. A run with a budget is not bit-reproducible."""
    max_bad_batches: int = 20
    """Batches that may fail to be drawn, and be replaced, before the run gives up."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe field {name} is {getattr(self, name)}: give a whole number of at least 1.")
        unknown = [m for m in (*self.modalities, *self.input_mix) if m not in IMAGES]
        if unknown:
            raise ValueError(f"Recipe names the sensors {unknown}: choose among {list(IMAGES)}.")
        if "rgb" in self.modalities:
            raise ValueError("Recipe field modalities lists second sensors: leave rgb out, it is always there.")
        if self.modalities and self.input_mix:
            raise ValueError("Recipe sets both modalities and input_mix: input_mix is for single-stream runs only.")
        if self.input_mix and (min(self.input_mix.values()) < 0 or sum(self.input_mix.values()) <= 0):
            raise ValueError(f"Recipe field input_mix is {self.input_mix}: give shares of at least 0, not all 0.")
        if not 0 <= self.modality_dropout <= 1 or not 0 <= self.ema < 1:
            raise ValueError("Recipe fields modality_dropout and ema are shares: give 0 <= dropout <= 1, 0 <= ema < 1.")
        if self.lr <= 0 or self.weight_decay < 0 or self.clip < 0:
            raise ValueError("Recipe needs lr > 0, weight_decay >= 0 and clip >= 0.")

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON-ready data."""
        data = dataclasses.asdict(self)
        data["modalities"] = list(self.modalities)
        data["trainable"] = [dataclasses.asdict(group) for group in self.trainable]
        return data


RECIPES: dict[str, Callable[[], Recipe]] = {}


def register(name: str) -> Callable[[Callable[[], Recipe]], Callable[[], Recipe]]:
    """Enter a function that returns a recipe into the table under a name."""

    def enter(build: Callable[[], Recipe]) -> Callable[[], Recipe]:
        assert name not in RECIPES, f"two recipes are called {name}"
        RECIPES[name] = build
        return build

    return enter


def get_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ValueError with the list of names when there is none."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe called {name!r}: choose among {', '.join(sorted(RECIPES))}.")
    return RECIPES[name]()


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
    masked pass unless ``--masked-pass``; the size, the data, the optimiser's values.
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
