# SPDX-License-Identifier: Apache-2.0
"""Models by name: a function that returns a configuration registers one size of one method.

Packages outside this one add their own through the entry-point group ``modaltrack.models``: every entry point of it
names a module that calls ``register`` when it is imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Protocol, TypeVar

from modaltrack.models.model import ModelConfig, TorchModel, declared
from modaltrack.plugins import plugins

METHODS = (
    "ainet",
    "modaltrack",
    "nanotrack",
    "ostrack",
    "sdstrack",
    "smstracker",
    "srtrack",
    "tpf",
)  # one row per method file in this folder


class DataclassConfig(ModelConfig, Protocol):
    """A configuration that is a frozen dataclass: it goes into weight files, and its fields can be replaced."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered size: the class to build and the function that returns its configuration."""

    model: Callable[[Any], TorchModel]
    config: Callable[[], DataclassConfig]


_ENTRIES: dict[str, RegisteredModel] = {}
C = TypeVar("C", bound=Callable[[], DataclassConfig])


def register(model: Callable[[Any], TorchModel]) -> Callable[[C], C]:
    """Register the decorated configuration function under its own name, with dashes for underscores."""

    def decorate(config: C) -> C:
        name = config.__name__.replace("_", "-")
        assert name not in _ENTRIES, f"{name} is registered twice"
        _ENTRIES[name] = RegisteredModel(model, config)
        return config

    return decorate


@cache
def _import_methods() -> None:
    for method in METHODS:
        import_module(f"modaltrack.models.{method}")
    plugins("modaltrack.models")


def list_models() -> list[str]:
    """Names that ``create`` accepts, sorted."""
    _import_methods()
    return sorted(_ENTRIES)


def unknown_name(name: str, known: list[str]) -> ValueError:
    """The error for a name that is not in ``known``: it names the closest ones, or all of them."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known) or 'none'}."
    return ValueError(f"There is no model {name!r}; {hint}")


def config_of(name: str, **overrides: object) -> DataclassConfig:
    """The frozen configuration of a registered model with some fields replaced.

    Raises:
        ValueError: for unknown names.
    """
    names = list_models()
    if name not in names:
        raise unknown_name(name, names)
    config = _ENTRIES[name].config()
    known = {field.name for field in fields(config)}
    if unknown := sorted(set(overrides) - known):
        raise ValueError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
    return replace(config, **overrides)


def create(name: str, **overrides: object) -> TorchModel:
    """Build a registered model with fresh weights, for example ``create("sdstrack-tiny", drop_path=0.1)``."""
    config = config_of(name, **overrides)
    model = _ENTRIES[name].model(config)
    declared(model)  # a class from outside need not inherit from TorchModel
    model.name = name
    return model
