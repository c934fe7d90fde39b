# SPDX-License-Identifier: Apache-2.0
"""The grid as data: one row for each training run, and one for each claim of a paper that runs are compared for.

All runs of two sensors start from the same weights, ``ostrack-tiny``, and have the same steps and batch. In a study of
another size (``Settings.size``) every name with ``-tiny`` stands for that size's. Where a claim
is about what a method does against a failing sensor, or about what it forgets, its runs train without sensor dropout
(``modality_dropout`` 0): the recipes' own dropout teaches the same lesson and would hide the method's share of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modaltrack.plugins import Table, expected
from modaltrack.training.recipe import Group

SENSORS = ("thermal", "depth", "event")
FAILURES = ("rgb dropped", "x dropped", "rgb in bursts", "x in bursts")
SHIFTS = (5, 10, 20)  # pixels that X is moved by; 0 is the clean condition
CORRUPTIONS = (*FAILURES, "blocks black", *(f"x moved {pixels} px" for pixels in SHIFTS))


@dataclass(frozen=True)
class Run:
    """One training run, once per seed.

    Attributes:
        id: name of its folder.
        recipe: of ``modaltrack train``.
        shows: what it is for, in a few words.
        fields: changed fields of the recipe.
        options: changed settings of the model.
        of_size: size -> the settings that are others at that size.
        train: replaces the recipe's parameter groups.
        freeze: a pattern of parameters that do not learn, ahead of the recipe's groups.
        start: the run whose weights it starts from, of the same seed.
        share: of the budget's steps.
        measured: False for a first stage.
        weights: shipped weights that are measured as they are; such a run trains nothing and has one seed.
    """

    id: str
    recipe: str = ""
    shows: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    of_size: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    train: tuple[Group, ...] | None = None
    freeze: str | None = None
    start: str | None = None
    share: float = 1.0
    measured: bool = True
    weights: str | None = None


ALONE = {"modality_dropout": 0.0}  # runs whose training never takes a sensor away
STAGE = 0.25  # share of the steps that TPF's first stage gets

_OWN: tuple[Run, ...] = (
    Run("ostrack", weights="ostrack-tiny", shows="the base that all start from: one sensor at a time"),
    Run("sdstrack", "sdstrack-tiny-scenes", "SDSTrack: adapters at the full rate, base at 0.4"),
    Run("srtrack", "srtrack-tiny-scenes", "SRTrack: a branch for each sensor"),
    Run("smstracker", "smstracker-tiny-scenes", "SMSTracker: three paths, dropped keys"),
    Run("ainet", "ainet-tiny-scenes", "AINet: fusion in all layers, learnt order"),
    Run("tpf", "tpf-tiny-scenes", "TPF: one fused image, plain tracking loss"),
    Run(
        "ostrack-longer",
        "ostrack-tiny-scenes",
        "the base with as many further steps as the others get: what time alone gives",
        fields={
            "start_from": "ostrack-tiny",
            "lr": 2.4e-4,
        },  # 0.4 of the two-sensor recipes' rate, as their bases learn
    ),
    Run("sdstrack-plain", "sdstrack-tiny-scenes", "no masked pass, no sensor dropout", fields=ALONE),
    Run(
        "sdstrack-masked",
        "sdstrack-tiny-scenes",
        "complementary masks and distillation, no sensor dropout",
        fields={**ALONE, "objective": "masked-aligned"},
    ),
    Run(
        "sdstrack-adapters",
        "sdstrack-tiny-scenes",
        "base and head frozen; adapters, X's stem and the last norm learn (published)",
        train=(Group(r"adapters|fusions|patch_embed_x|norm\."),),
    ),
    Run(
        "sdstrack-full",
        "sdstrack-tiny-scenes",
        "no adapters (they stay at zero), everything else learns",
        train=(
            Group(r"adapters|fusions\.\d+\.(space|mlp)\.", lr=0.0),
            Group("patch_embed_x|fusions"),
            Group("", lr=0.4),
        ),
    ),
    Run(
        "sdstrack-frozen",
        "sdstrack-tiny-scenes",
        "no adapters, backbone frozen; X's stem, the last norm, the fusion's gates and the head learn",
        train=(Group(r"patch_embed_x|norm\.|head|fusions\.\d+\.\w+_gate"),),
    ),
    Run(
        "smstracker-two-paths",
        "smstracker-tiny-scenes",
        "the mixed path is shut (its gate stays at 0): both streams and their interaction remain",
        options={"mixed_gate_init": 0.0},
        freeze="mixed_gate",
    ),
    Run("smstracker-drop-key", "smstracker-tiny-scenes", "10 % of keys dropped, no sensor dropout", fields=ALONE),
    Run(
        "smstracker-all-keys",
        "smstracker-tiny-scenes",
        "no key dropped, no sensor dropout",
        fields=ALONE,
        options={"drop_key": 0.0},
    ),
    Run("srtrack-plain", "srtrack-tiny-scenes", "plain fine-tuning, no sensor dropout", fields=ALONE),
    Run(
        "srtrack-significance",
        "srtrack-tiny-scenes",
        "two-significance tuning, no sensor dropout",
        fields={**ALONE, "significance": "two-significance", "significance_every": 4, "prior_batches": 40},
    ),
    Run(
        "ainet-last",
        "ainet-tiny-scenes",
        "fusion behind the last block only",
        options={"fusion_blocks": (5,)},
        of_size={"laptop": {"fusion_blocks": (3,)}},
    ),
    Run("ainet-fixed", "ainet-tiny-scenes", "the third order is fixed, first to last", options={"order_grad": "fixed"}),
    Run(
        "tpf-stage-1",
        "tpf-tiny-scenes",
        "first stage: the adapter alone learns from expert fusions",
        fields={"objective": "experts"},
        train=(Group("adapter"),),
        share=STAGE,
        measured=False,
    ),
    Run(
        "tpf-distilled",
        "tpf-tiny-scenes",
        "second stage behind it, plain tracking loss; both stages together have the steps of tpf",
        start="tpf-stage-1",
        share=1 - STAGE,
    ),
    Run(
        "tpf-two",
        "tpf-tiny-scenes",
        "trained with two templates",
        fields={"templates": 2},
        of_size={"laptop": {"num_templates": 2}},
    ),
    Run(
        "srtrack-ranked",
        "srtrack-tiny-scenes",
        "significance ranked by the release's evident intention, no sensor dropout",
        fields={**ALONE, "significance": "ranked"},
    ),
)


def _run(name: str, found: object) -> Run:
    if not isinstance(found, Run) or found.id != name:
        raise expected(f"a modaltrack.study.plan.Run with the id {name}", found)
    return found


RUNS: Table[Run] = Table("modaltrack.study", {run.id: run for run in _OWN}, _run)
"""Id -> row, with those that plug-ins add."""


def _conditions() -> dict[str, tuple[str, ...]]:
    both = [f"rgb+{x}" for x in SENSORS]
    found: dict[str, tuple[str, ...]] = {"RGB only": ("rgb",), "X only": SENSORS, "both": tuple(both)}
    found |= {what: tuple(f"{pair} | {what}" for pair in both) for what in CORRUPTIONS}
    found["a sensor failing"] = tuple(f"{pair} | {what}" for pair in both for what in FAILURES)
    found["both, first template only"] = tuple(f"{pair} | first template" for pair in both)
    return found


MEASURES = _conditions()
"""Measure -> the conditions that it is the mean of; success AUC, 0..1. ``GAP`` is none of them, see ``Claim``."""
GAP = "modality gap"


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper and what it comes down to here: ``first`` minus ``second`` should be above zero.

    Attributes:
        first, second: (run, measure). For the modality gap both name the same run, and the effect is the gap behind the
            last block minus that behind the patch embedding.
        published: the effect that was published, and where.
        reason: the most likely cause should the claim not show; reasons.json in the study's folder overrules it.
    """

    id: str
    paper: str
    text: str
    first: tuple[str, str]
    second: tuple[str, str]
    published: str = "not known"
    reason: str = ""


SHORT = "few steps from a base that itself is far from done: what moves more weights wins, whatever it forgets later"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "adapters-over-full",
        "SDSTrack",
        "Symmetric adapters on a frozen base beat full fine-tuning",
        ("sdstrack-adapters", "both"),
        ("sdstrack-full", "both"),
        "DepthTrack F .614 over .558, LasHeR SR .531 over .496 (sdstrack.md 6.3)",
        SHORT,
    ),
    Claim(
        "adapters-over-frozen",
        "SDSTrack",
        "Symmetric adapters beat a frozen backbone (here with a trained head)",
        ("sdstrack-adapters", "both"),
        ("sdstrack-frozen", "both"),
        "DepthTrack F .614 over .523, LasHeR SR .531 over .398 (sdstrack.md 6.3)",
        "the adapters start at zero and had few steps to leave it, while the head was free to move",
    ),
    Claim(
        "masked-clean",
        "SDSTrack",
        "Complementary masked distillation helps on clean data",
        ("sdstrack-masked", "both"),
        ("sdstrack-plain", "both"),
        "DepthTrack F .614 over .573; LasHeR and VisEvent +.002 to +.003 (sdstrack.md 6.3)",
        "the second pass shares the same few steps; on clean RGB-T and RGB-E the paper gains little, too",
    ),
    Claim(
        "masked-failure",
        "SDSTrack",
        "... and when a sensor fails",
        ("sdstrack-masked", "a sensor failing"),
        ("sdstrack-plain", "a sensor failing"),
        "LasHeR without half of the RGB frames, SR .432 over .389 (sdstrack.md 6.3)",
        "a frame without an image runs one stream of a model whose streams share their weights: little is left to gain",
    ),
    Claim(
        "dropout-failure",
        "ours",
        "Sensor dropout in training helps when a sensor fails",
        ("sdstrack", "a sensor failing"),
        ("sdstrack-plain", "a sensor failing"),
        "ours",
        "each stream starts as the base tracker and stays one, with or without dropout",
    ),
    Claim(
        "three-paths",
        "SMSTracker",
        "Three paths beat two",
        ("smstracker", "both"),
        ("smstracker-two-paths", "both"),
        reason="the mixed path starts nearly shut (gate 0.01) and opens slowly; the two streams already interact",
    ),
    Claim(
        "drop-key-clean",
        "SMSTracker",
        "Dropping keys in training helps on clean data",
        ("smstracker-drop-key", "both"),
        ("smstracker-all-keys", "both"),
        reason="dropping keys is a regulariser, and so few steps of endless rendered data leave nothing to overfit",
    ),
    Claim(
        "drop-key-failure",
        "SMSTracker",
        "... and when a sensor fails, because the model leans on no single one",
        ("smstracker-drop-key", "a sensor failing"),
        ("smstracker-all-keys", "a sensor failing"),
        reason="a missing sensor runs one stream here, with all of its keys; dropped keys never stood for it",
    ),
    Claim(
        "significance-plasticity",
        "SRTrack",
        "Significance-regularised tuning learns the new sensor better than plain fine-tuning",
        ("srtrack-significance", "both"),
        ("srtrack-plain", "both"),
        reason="it shortens every step to 35-75 %, which costs progress where the steps are few",
    ),
    Claim(
        "significance-stability",
        "SRTrack",
        "... and forgets less of RGB tracking",
        ("srtrack-significance", "RGB only"),
        ("srtrack-plain", "RGB only"),
        reason="the pairs still show RGB from the base's own world, so plain fine-tuning forgets little, too",
    ),
    Claim(
        "ranked-plasticity",
        "SRTrack",
        "The released form, by rank, learns the new sensor better than plain fine-tuning",
        ("srtrack-ranked", "both"),
        ("srtrack-plain", "both"),
        reason="it shortens every step to 35-75 %, which costs progress where the steps are few",
    ),
    Claim(
        "all-layers",
        "AINet",
        "Difference-based fusion in all layers beats the last layer only",
        ("ainet", "both"),
        ("ainet-last", "both"),
        reason="exchanges start at zero and the fused map behind a gate of 0.01: six of them need more steps than one",
    ),
    Claim(
        "dynamic-order",
        "AINet",
        "An order of the layers that follows the input beats a fixed one",
        ("ainet", "both"),
        ("ainet-fixed", "both"),
        reason="six maps behind a small gate; the published code never trains the predictor, so its gain is in doubt",
    ),
    Claim(
        "expert-distillation",
        "TPF",
        "Pixel fusion that learnt from expert fusions first beats pixel fusion without",
        ("tpf-distilled", "both"),
        ("tpf", "both"),
        reason="our experts have no weights and know no target; the first stage takes a quarter of the tracking steps",
    ),
    Claim(
        "dynamic-template",
        "TPF",
        "A second template that follows the target beats the first template alone (same weights)",
        ("tpf-two", "both"),
        ("tpf-two", "both, first template only"),
        reason="the clips last 1.3 seconds: the target hardly changes, and a wrong update costs more than none",
    ),
    Claim(
        "gap-by-depth",
        "TPF",
        "The gap between the sensors' features (MMD) grows with depth: fuse early",
        ("ostrack", GAP),
        ("ostrack", GAP),
        "claimed without numbers that we could see (tpf.md 7)",
        "the base was trained on images of all sensors, which pulls their features together",
    ),
)

BASE = "ostrack"
METHODS = {
    "sdstrack": "SDSTrack",
    "srtrack": "SRTrack",
    "smstracker": "SMSTracker",
    "ainet": "AINet",
    "tpf": "TPF",
}
CLAIMS += tuple(
    Claim(
        f"{run}-over-base",
        "the zoo",
        f"{name} with both sensors beats the RGB base",
        (run, "both"),
        (BASE, "RGB only"),
        "ours",
        "too few steps",
    )
    for run, name in METHODS.items()
)

MAIN = (BASE, "ostrack-longer", *METHODS)


def run_of(name: str) -> Run:
    """The row of that id.

    Raises:
        ValueError: with the list of ids when there is none.
    """
    if name not in RUNS:
        raise ValueError(f"The study has no run {name!r}; choose among {', '.join(RUNS)}.")
    return RUNS[name]
