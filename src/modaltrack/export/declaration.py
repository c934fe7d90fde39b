# SPDX-License-Identifier: Apache-2.0
"""What an exported file says about itself in its card: all that the tracker asks of a model, and the graph's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import combinations
from typing import Any

from modaltrack.frame import Modality
from modaltrack.models.model import Model

CARD_KEY = "modaltrack_card"  # of the file's metadata


@dataclass(frozen=True)
class Declaration:
    """The part ``export`` of an exported file's card.

    Args:
        sensors: those that the graph takes, all of them at once.
        batch: samples of one pass.
        precision: fp32, fp16, bf16 or int8.
        confidence: whether the graph has a confidence map, too.
        template_size, search_size, template_factor, search_factor, modalities: as ``ModelConfig``.
        sensors_together, one_sensor, judges, num_templates, crop_context, policy: as ``Model``.
    """

    sensors: tuple[Modality, ...]
    batch: int
    precision: str
    confidence: bool
    template_size: int
    search_size: int
    template_factor: float
    search_factor: float
    modalities: tuple[Modality, ...]
    sensors_together: bool = False
    one_sensor: bool = False
    judges: bool = False
    num_templates: int = 1
    crop_context: float = 0.0
    policy: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, sensors: Sequence[Modality], batch: int, precision: str, confidence: bool) -> Declaration:
        """The declaration of a graph of ``model``."""
        c = model.config
        return cls(
            tuple(sensors),
            batch,
            precision,
            confidence,
            c.template_size,
            c.search_size,
            c.template_factor,
            c.search_factor,
            tuple(c.modalities),
            model.sensors_together,
            model.one_sensor,
            model.judges,
            model.num_templates,
            model.crop_context,
            dict(model.policy),
        )

    @classmethod
    def read(cls, card: Mapping[str, Any], file: str) -> Declaration:
        """The declaration in a card; ValueError where it lacks one or holds something else."""
        found = card.get("export")
        names = {f.name for f in fields(cls)}
        if not isinstance(found, Mapping) or not names >= set(found) or not {"sensors", "batch"} <= set(found):
            raise ValueError(f"The card in {file} does not say how it was exported; export the model again.")
        try:
            sets = {k: tuple(Modality(m) for m in found[k]) for k in ("sensors", "modalities")}
            values: dict[str, Any] = {**found, **sets}
            made = cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The card in {file} is damaged ({error}); export the model again.") from error
        sizes = (made.template_size, made.search_size, made.batch)
        if not all(isinstance(size, int) and 0 < size < 1 << 14 for size in sizes) or not made.sensors:
            raise ValueError(
                f"The card in {file} names no sensors or impossible sizes {sizes}; export the model again."
            )
        if wrong := made._strange():
            raise ValueError(f"The card in {file} is damaged ({wrong} is {getattr(made, wrong)!r}); export it again.")
        return made

    def _strange(self) -> str:
        """The name of a member that no export writes so, "" for none."""

        def number(low: float, high: float) -> Callable[[Any], bool]:
            return lambda value: type(value) in (int, float) and low <= value <= high

        rules: dict[str, Callable[[Any], bool]] = {
            "template_factor": number(0.1, 100),
            "search_factor": number(0.1, 100),
            "crop_context": number(0, 100),
            "num_templates": lambda value: value in (1, 2) and type(value) is int,
            "precision": lambda value: isinstance(value, str),
            "policy": lambda value: isinstance(value, Mapping),
            "modalities": lambda value: set(self.sensors) <= set(value) or self.one_sensor,
        }
        rules |= dict.fromkeys(("confidence", "sensors_together", "one_sensor", "judges"), lambda v: type(v) is bool)
        return next((name for name, holds in rules.items() if not holds(getattr(self, name))), "")

    def as_json(self) -> dict[str, Any]:
        """What goes into the card."""
        return asdict(self)

    def inputs(self) -> dict[str, tuple[int, int, int, int]]:
        """Names and shapes of the graph's inputs, in its order."""
        roles = [("template", self.template_size), ("search", self.search_size)]
        roles += [("memory", self.template_size)] if self.num_templates > 1 else []
        return {f"{role}_{m}": (self.batch, 3, size, size) for role, size in roles for m in self.sensors}

    def outputs(self) -> list[str]:
        """Names of the graph's outputs, in its order."""
        return ["score_map", "size_map", "offset_map", *(["confidence_map"] if self.confidence else [])]


def subsets(model: Model, sensors: Sequence[Modality]) -> list[tuple[Modality, ...]]:
    """The sets of sensors that a tracker may ask of the model when some of ``sensors`` are missing, smallest first."""
    largest = 1 if model.one_sensor else len(sensors) if model.sensors_together else 2
    found = [tuple(one) for n in range(1, largest + 1) for one in combinations(sensors, n)]
    return [one for one in found if len(one) == 1 or model.sensors_together or Modality.RGB in one]
