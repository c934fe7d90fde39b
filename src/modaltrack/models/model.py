# SPDX-License-Identifier: Apache-2.0
"""What every model declares: its inputs, its outputs and what else it can do, whichever runtime computes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from modaltrack.frame import Modality
from modaltrack.models.prediction import Images, Prediction, Presence

Card = Mapping[str, Any]  # the JSON object inside a weight file
NO_CARD: Card = {}
NO_RULE: Mapping[str, Any] = {}
# {"template": {modality: (B, Nz) bool}, "search": {... (B, Nx)}}
Masks = Mapping[str, Mapping[Modality, Tensor] | Mapping[str, Tensor]]


class ModelConfig(Protocol):
    """What a model reads, and from how large a part of the image it is cut."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Sensors that the model can read."""

    @property
    def template_size(self) -> int:
        """Side of the template crop in pixels."""

    @property
    def search_size(self) -> int:
        """Side of the search crop in pixels."""

    @property
    def template_factor(self) -> float:
        """Side of the template's part of the image, in sides of a square of the box's area."""

    @property
    def search_factor(self) -> float:
        """The same of the search crop."""


@runtime_checkable
class EliminationConfig(Protocol):
    """Ability, of a configuration: search tokens leave the network early, and the call takes a ``keep_rate``."""

    @property
    def elimination_blocks(self) -> tuple[int, ...]: ...

    @property
    def keep_rate(self) -> float: ...


class Declared(Protocol):
    """What a model says of itself, with the values that hold where it says nothing.

    Attributes:
        name: registered name, empty where the model was not built by ``create``.
        card: what the weight file says about itself; empty for fresh weights.
        sensors_together: whether any number of sensors goes into one call; else RGB and at most one other.
        judges: whether the confidence map is learned; else it is the score map.
        one_sensor: whether only one sensor goes into one call, whichever it is.
        only_sets: the sets of sensors that it can read, where it cannot read all (an exported file); None for all.
        crop_context: its crops are cut around the box grown by this share of (width + height) along both axes.
        policy: fields of ``tracking.Policy`` that belong to the method's published rule.
        num_templates: how many templates it takes; with 2, the later one goes into the call as ``memory``.
        missing_policy: one sentence on what happens to a sample without one of its sensors; empty where none may lack.
        takes_pixels: whether search images may also be uint8 crops (B, h, w, 3), which it normalises itself.
        training: whether it draws random numbers (dropout); trackers warn about it.
    """

    name: str = ""
    card: Card = NO_CARD
    sensors_together: bool = False
    judges: bool = False
    one_sensor: bool = False
    only_sets: Collection[tuple[Modality, ...]] | None = None
    crop_context: float = 0.0
    policy: Mapping[str, Any] = NO_RULE
    num_templates: int = 1
    missing_policy: str = ""
    takes_pixels: bool = False
    training: bool = False


class Model(Declared, Protocol):
    """A tracker's network: ``model(template, search, present) -> Prediction``.

    A class that inherits from this one gets the defaults of ``Declared``; one that only has the same members is a model
    as well.
    """

    @property
    def config(self) -> ModelConfig:
        """Inputs: sensors and crops."""

    def __call__(
        self, template: Images, search: Images, present: Presence | None = None, *, memory: Images | None = None
    ) -> Prediction:
        """Find the target.

        Args:
            template, search: per modality normalised crops (B, 3, h, w), of the sizes in ``config``.
            present: per modality which samples have it, (B,) bool; None: all of them.
            memory: the later template, for models with ``num_templates`` 2; None: the first one again.
        """


@runtime_checkable
class FusesImages(Protocol):
    """Ability: one picture out of two sensors' pictures, which can be looked at (TPF)."""

    def fused_image(self, images: Images) -> Tensor:
        """Normalised images (B, 3, H, W) of RGB, of X or of both -> the one that the tracker sees, (B, 3, H, W)."""


@runtime_checkable
class Prepares(Protocol):
    """Ability: what a first call would take long for is done before (graphs that are exported and compiled)."""

    def prepare(self, sensors: Sequence[Modality], rows: int) -> None:
        """Make ready for calls of so many rows of these sensors."""


@runtime_checkable
class MasksPairs(Protocol):
    """Ability: a clean and a masked prediction of the same crops, to learn one from the other (SDSTrack)."""

    @property
    def num_template(self) -> int: ...

    @property
    def num_search(self) -> int: ...

    def masked_pair(
        self,
        template: Images,
        search: Images,
        masks: Masks,
        keep_rate: float | None = None,
        places: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Prediction, Prediction, list[tuple[Tensor, Tensor]]]:
        """Clean prediction, masked prediction, and (clean, masked) fused tokens of every fusion block."""


@runtime_checkable
class GrowsFromBase(Protocol):
    """Ability: further tensors that start as copies of those of the RGB tracker it grew from."""

    def copies_of_base(self, name: str) -> list[str]:
        """Names of the model's own tensors that start as the RGB tracker's tensor ``name`` does."""


class TorchModel(nn.Module, Declared):
    """A ``Model`` that is a torch module: what ``create`` returns."""

    config: ModelConfig

    def __repr__(self) -> str:
        """One line; ``print(*model.named_children())`` shows the parts."""
        count = sum(p.numel() for p in self.parameters()) / 1e6
        sensors, size = "+".join(self.config.modalities), self.config.search_size
        name = f"{self.name}, " if self.name else ""
        return f"{type(self).__name__}({name}{count:.1f} M parameters, {sensors}, search {size} px, {placed(self)[0]})"


def declared(model: object) -> Model:
    """``model``, with the defaults of what it does not declare.

    Raises:
        ValueError: where it cannot be a model at all.
    """
    config = getattr(model, "config", None)
    needed = [name for name, part in vars(ModelConfig).items() if isinstance(part, property)]
    lacking = [name for name in needed if not hasattr(config, name)]
    if lacking or not callable(model):
        found = f"the text {model!r}" if isinstance(model, str) else f"a {type(model).__name__}"
        raise ValueError(
            f"Expected a model and found {found}, without config.{lacking[0] if lacking else ''}; "
            "give what modaltrack.load_model(NAME) returns, or an object with the members of modaltrack.models.Model."
        )
    for name in Declared.__annotations__:
        if getattr(model, name, None) is None:
            setattr(model, name, getattr(config, name, getattr(Declared, name)))
    return cast(Model, model)


def placed(model: object) -> tuple[torch.device, torch.dtype]:
    """Device and number type of a model's weights; one without torch weights takes float32 on the CPU."""
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return (torch.device("cpu"), torch.float32) if weight is None else (weight.device, weight.dtype)
