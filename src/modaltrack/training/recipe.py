# SPDX-License-Identifier: Apache-2.0
"""What a recipe is: a typed, frozen ``Recipe``, and the table of them. No torch here, so listing them is instant."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from modaltrack.modality import Modality
from modaltrack.plugins import Table, expected

IMAGES = tuple(modality.value for modality in Modality)


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters whose full name starts with a match of ``pattern`` (a regular expression; the first group wins).

    Attributes:
        lr: multiplier of the recipe's learning rate, 0 = frozen.
        weight_decay: None = the recipe's.
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
    """Name or path of weights to start from, or an authors' checkpoint of an RGB tracker; None = random weights."""
    start_sha256: str | None = None
    """What the SHA-256 of the file ``start_from`` has to be; None = not known, so not checked."""
    start_positions_from: str | None = None
    """Second checkpoint of an RGB tracker, of which only the positions are taken."""
    start_only: str | None = None
    """Regular expression; of ``start_from`` only the tensors are taken whose names it matches from their beginning."""
    modalities: tuple[str, ...] = ()
    """Sensors beside RGB; empty = a single-stream run on RGB."""
    together: int = 2
    """Sensors of a sample: RGB and the others drawn per step from ``modalities``; 2 = pairs, 0 = all of them."""
    input_mix: dict[str, float] = field(default_factory=dict)
    """Single-stream runs only [ours]: share of samples whose image comes from this sensor, fed as if it were RGB."""
    trainable: tuple[Group, ...] = (Group(""),)
    """Parameter groups; what no group matches is frozen."""
    adaptation: Literal["recipe", "full", "head", "lora", "adapters"] = "recipe"
    """What learns instead of ``trainable``, to compare with: everything at one rate, the head, low-rank changes of
    every attention, or what the method adds to the RGB tracker; see ``adaptation``."""
    lora_rank: int = 8
    """Rank of the changes that ``adaptation="lora"`` learns."""

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
    """Steps of linear warm-up; a run shorter than five times as many warms up for a fifth."""
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    """After the warm-up: cosine to 1 % of the peak, constant, or a tenth after every ``drop_epoch`` epochs."""
    epoch_samples: int = 60_000
    """Samples that count as one epoch, for schedules that are given in epochs (counted from 1)."""
    drop_epoch: int = 0
    """Epochs between two drops of the rate to a tenth, for the schedule step."""
    elimination_epochs: tuple[int, int] | None = None
    """Candidate elimination keeps everything before the first epoch, the model's own rate from the last on, and follows
    a cosine in between; None = the model's rate from the start."""
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
    data: dict[str, float] = field(default_factory=dict)
    """Benchmarks to draw pairs from (``modaltrack data list``) and their weights, or folders of your own pictures and
    clips (``modaltrack pictures check``); empty = rendered scenes."""
    data_root: str | None = None
    """Folder of the benchmarks; None = where ``modaltrack data`` finds them."""
    augment: dict[str, float] = field(default_factory=dict)
    """Changes of the augmentation of pairs, by the fields of ``augment.Augmentation``; of own pictures, by those of
    ``pictures.compose.Composition``, ``pictures.degrade.Degradation`` and ``pictures.sampler.Shares``."""
    seed: int = 0
    """Seed of initialisation, samples, dropout."""
    modality_dropout: float = 0.0
    """Probability that either RGB or the second sensor (half each) of a sample is marked missing."""
    objective: str = "tracking"
    """What is minimised, by its name in ``objective.OBJECTIVES``: tracking; masked-published and masked-aligned
    (SDSTrack's second pass, about twice the cost of a step); experts and decoupled (TPF's two stages)."""
    objective_options: dict[str, float | str] = field(default_factory=dict)
    """Settings of the objective; which there are is in its docstring."""
    significance: Literal["none", "published", "ranked", "two-significance"] = "none"
    """Significance-regularised tuning (SRTrack) of all trained parameters; see ``significance``."""
    significance_every: int = 1
    """Steps between two rankings of the significances, which are most of their cost; the last shares hold in between.
    Published: 1; with 4 the whole costs a few percent of a step [ours]."""
    prior_batches: int = 0
    """Batches of RGB pairs that the prior of two-significance is measured on before the first step."""
    templates: int = 1
    """Templates per sample: 2 adds one from another earlier frame, for methods that follow the target's looks."""
    activation_checkpointing: bool = False
    """Keep only what goes into attentions, MLPs and their like for the backward pass, and compute the rest again: less
    memory, about a third more time, the same gradients."""
    eval_batchnorm: bool = False
    """Keep every batch norm in evaluation mode (the published SDSTrack and its relatives do)."""
    box_at: Literal["target", "peak"] = "target"
    """Cell that the box losses read: the true centre [ours] or the peak of the predicted map (published)."""
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
        if self.modalities and self.together and not 2 <= self.together <= len(self.modalities) + 1:
            raise ValueError(
                f"Recipe field together is {self.together}: give 2 to {len(self.modalities) + 1}, RGB and some of "
                f"{list(self.modalities)}, or 0 for all."
            )
        if self.modalities and self.input_mix:
            raise ValueError("Recipe sets both modalities and input_mix: input_mix is for single-stream runs only.")
        if self.input_mix and (min(self.input_mix.values()) < 0 or sum(self.input_mix.values()) <= 0):
            raise ValueError(f"Recipe field input_mix is {self.input_mix}: give shares of at least 0, not all 0.")
        if not 0 <= self.modality_dropout <= 1 or not 0 <= self.ema < 1:
            raise ValueError("Recipe fields modality_dropout and ema are shares: give 0 <= dropout <= 1, 0 <= ema < 1.")
        if self.schedule == "step" and self.drop_epoch < 1:
            raise ValueError(f"Recipe field drop_epoch is {self.drop_epoch}: the schedule step needs at least 1.")
        if self.significance_every < 1:
            raise ValueError(f"Recipe field significance_every is {self.significance_every}: give at least 1.")
        if self.significance == "two-significance" and self.prior_batches < 1:
            raise ValueError(
                f"Recipe field prior_batches is {self.prior_batches}: two-significance needs at least 1, better 20, to "
                "measure its prior on."
            )
        if self.templates not in (1, 2):
            raise ValueError(f"Recipe field templates is {self.templates}: give 1 or 2.")
        if self.lora_rank < 1:
            raise ValueError(f"Recipe field lora_rank is {self.lora_rank}: give a whole number of at least 1.")
        if self.lr <= 0 or self.weight_decay < 0 or self.clip < 0:
            raise ValueError("Recipe needs lr > 0, weight_decay >= 0 and clip >= 0.")

    def settings(self, **defaults: float | str) -> dict[str, float | str]:
        """The objective's options over their defaults.

        Raises:
            ValueError: for one that is unknown or of another type.
        """
        for key, value in self.objective_options.items():
            if key not in defaults:
                raise ValueError(f"The objective {self.objective} has no option {key!r}: it has {', '.join(defaults)}.")
            if isinstance(value, str) != isinstance(defaults[key], str):
                kind = "a text" if isinstance(defaults[key], str) else "a number"
                raise ValueError(f"The objective's option {key} is {value!r}: give {kind}.")
        return {**defaults, **self.objective_options}

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON-ready data."""
        data = dataclasses.asdict(self)
        data["modalities"] = list(self.modalities)
        data["trainable"] = [dataclasses.asdict(group) for group in self.trainable]
        return data


Builder = Callable[[], Recipe]
_OWN: dict[str, Builder] = {}


def _builder(name: str, found: object) -> Builder:
    if not callable(found):
        raise expected("a function that returns a modaltrack.training.recipe.Recipe", found)
    return cast(Builder, found)


RECIPES: Table[Builder] = Table("modaltrack.recipes", _OWN, _builder)


def register(name: str) -> Callable[[Builder], Builder]:
    """Enter a function that returns a recipe into the table under a name."""

    def enter(build: Builder) -> Builder:
        assert name not in _OWN, f"two recipes are called {name}"
        _OWN[name] = build
        return build

    return enter


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: with the closest names when there is none.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(name, sorted(RECIPES), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(f"There is no recipe called {name!r}; {hint}`modaltrack train list` names all.")
    return RECIPES[name]()
