# SPDX-License-Identifier: Apache-2.0
"""The card of a weight file, checked field by field before anything is built from it."""

from __future__ import annotations

import math
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from modaltrack.frame import Modality
from modaltrack.models.model import ModelConfig
from modaltrack.models.registry import config_of, list_models, unknown_name
from modaltrack.models.safetensors_reader import plain_json
from modaltrack.sources.encodings import check_encoding

# field of a configuration -> smallest and largest value; others: _WHOLE for int, _REAL for float
RANGES: dict[str, tuple[float, float]] = {
    "template_size": (8, 1024),
    "search_size": (8, 1024),
    "template_factor": (0.5, 16),
    "search_factor": (0.5, 16),
    "stride": (1, 64),
    "dim": (1, 4096),
    "depth": (1, 64),
    "heads": (1, 64),
    "mlp_ratio": (0.01, 16),
    "keep_rate": (0.01, 1),
    "score_prior": (1e-6, 1 - 1e-6),
    "adapter_ratio": (0.001, 4),
}
_WHOLE, _REAL = (0, 2**13), (-1e3, 1e3)
_CHANCES = ("drop_path", "drop_key", "score_dropout")
_TEXT, _LIST, _DEPTH = 200, 256, 24
_TEXTS = ("name", "licence", "recipe", "hardware", "commit", "model", "coverage", "missing_policy", "finished")


@dataclass(frozen=True)
class Card:
    """What a card says that a model is built from; ``data`` is the whole of it.

    Attributes:
        name: of the registered model.
        settings: overrides for ``create``.
        base: name and SHA-256 of the shipped weights that the file leans on, None for none; the SHA-256 may be None.
    """

    data: dict[str, Any]
    name: str
    settings: dict[str, Any]
    base: tuple[str, str | None] | None


def read_card(text: str) -> Card:
    """The card in a file's metadata.

    Raises:
        ValueError: Naming the field whose type or value is none that a model can have.
    """
    data = plain_json(text)
    if not isinstance(data, dict):
        raise ValueError("its card is no JSON object")
    if _deeper_than(data, _DEPTH):
        raise ValueError(f"its card nests more than {_DEPTH} deep")
    for field in ("method", "size"):
        _text(data, field, needed=True)
    for field in _TEXTS:
        _text(data, field)
    known, name = list_models(), f"{data['method']}-{data['size']}"
    if name not in known:
        raise ValueError(f"it is for another model: {str(unknown_name(name, known)).rstrip('.')}")
    _check_thresholds(data.get("thresholds"))
    _check_encodings(data.get("encodings"))
    if not isinstance(data.get("measured"), dict | None):
        raise ValueError("measured in its card is no JSON object")
    return Card(data, name, _settings(name, data.get("config", {})), _base(data.get("base")))


def _text(data: Mapping[str, Any], field: str, needed: bool = False) -> None:
    value = data.get(field)
    if needed and not isinstance(value, str):
        raise ValueError(f"{field} in its card is {_show(value)} and should be text")
    # a recipe is an object in files of this package and text in imported ones
    if isinstance(value, str) and len(value) > (_TEXT if needed or field == "name" else 10_000):
        raise ValueError(f"{field} in its card has {len(value):,} characters")
    if field in ("name", "licence") and not isinstance(value, str | None):
        raise ValueError(f"{field} in its card is {_show(value)} and should be text")


def _check_thresholds(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not set(value) <= {"tracking", "lost"}:
        raise ValueError(f"thresholds in its card is {_show(value)}; expected numbers for tracking and lost")
    for name, number in value.items():
        if type(number) not in (int, float) or not 0 <= number <= 1:
            raise ValueError(f"the threshold {name} in its card is {_show(number)}; expected 0 to 1")
    if value.get("lost", 0) > value.get("tracking", 1):
        raise ValueError("the threshold lost in its card is above the threshold tracking")


def _check_encodings(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise ValueError(f"encodings in its card is {_show(value)}; expected the name of an encoding for each sensor")
    for modality, name in value.items():
        if modality not in list(Modality):
            raise ValueError(
                f"encodings in its card names the sensor {_show(modality)}; known are {', '.join(Modality)}"
            )
        if not isinstance(name, str):
            raise ValueError(f"the encoding of {modality} in its card is {_show(name)} and should be text")
        try:
            check_encoding(name[:_TEXT], Modality(modality))
        except ValueError as error:
            raise ValueError(
                f"its card asks for an encoding that this version lacks: {str(error).rstrip('.')}"
            ) from None


def _base(value: object) -> tuple[str, str | None] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"base in its card is {_show(value)}; expected an object with name and sha256")
    if not isinstance(value.get("sha256"), str | None):
        raise ValueError(f"the SHA-256 of the base in its card is {_show(value['sha256'])}")
    return value["name"], value.get("sha256")


def _settings(name: str, config: object) -> dict[str, Any]:
    """The overrides of a model's configuration, each of the type of its field and in its range."""
    if not isinstance(config, dict):
        raise ValueError(f"config in its card is {_show(config)} and should be an object")
    kind = type(config_of(name))
    known = {field.name for field in fields(kind)}
    try:
        hints = get_type_hints(kind)
    except NameError:  # a class from outside whose annotations name what is not imported
        hints = {}
    if strange := sorted(set(config) - known):
        raise ValueError(f"{name} has no setting {_show(strange[0])}")
    settings = {field: _value(field, hints.get(field, Any), value) for field, value in config.items()}
    _check_together(config_of(name, **settings))
    return settings


def _value(field: str, hint: object, value: object) -> object:
    """``value`` of JSON as a value of the annotation ``hint``."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if hint is tuple:  # a plug-in's setting that does not say what it holds
        if (
            not isinstance(value, list)
            or len(value) > _LIST
            or not all(isinstance(v, str | int | float) for v in value)
        ):
            raise ValueError(f"{field} in its card is {_show(value)} and should be a list of texts or numbers")
        return tuple(value)
    if get_origin(hint) is tuple:
        return _tuple(field, get_args(hint), value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{field} in its card is {_show(value)}; expected one of {', '.join(get_args(hint))}")
        return value
    if hint is Modality:
        if value not in list(Modality):
            raise ValueError(f"{field} in its card holds {_show(value)}; known are {', '.join(Modality)}")
        return Modality(str(value))
    if hint not in (bool, int, float, str):  # of a class from outside: its own constructor has to judge
        return _frozen(value) if field != "modalities" else _tuple(field, (Modality, ...), value)
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < 2**53 else value
    if type(value) is not hint:
        raise ValueError(f"{field} in its card is {_show(value)} and should be {hint.__name__}")
    if isinstance(value, str) and len(value) > _TEXT:
        raise ValueError(f"{field} in its card has {len(value):,} characters")
    if isinstance(value, int | float) and hint is not bool:
        low, high = RANGES.get(field, (0, 0.99) if field in _CHANCES else _WHOLE if hint is int else _REAL)
        if not low <= value <= high:
            raise ValueError(f"{field} in its card is {_show(value)}; expected {low:g} to {high:g}")
    return value


def _tuple(field: str, kinds: tuple[Any, ...], value: object) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > _LIST:
        raise ValueError(f"{field} in its card is {_show(value)} and should be a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{field} in its card has {len(value)} values instead of {len(kinds)}")
    return tuple(_value(field, kind, item) for kind, item in zip(kinds, value))


def _frozen(value: object) -> object:
    """JSON knows lists only; configurations hold tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check_together(config: ModelConfig) -> None:
    """ValueError for settings that contradict one another, which a model would meet while it runs at the earliest."""
    stride, depth, heads, dim = (getattr(config, name, None) for name in ("stride", "depth", "heads", "dim"))
    for field in ("template_size", "search_size"):
        size = getattr(config, field, None)
        if size is not None and stride is not None and depth is not None and size % stride:  # transformers: patches
            raise ValueError(f"{field} in its card is {size} and no multiple of its stride {stride}")
    if dim is not None and heads is not None and dim % heads:
        raise ValueError(f"dim in its card is {dim} and no multiple of its {heads} heads")
    for field in ("elimination_blocks", "fusion_blocks"):
        blocks = getattr(config, field, ())
        if depth is not None and (len(set(blocks)) < len(blocks) or any(block >= depth for block in blocks)):
            raise ValueError(f"{field} in its card is {blocks}; expected different numbers below its depth {depth}")
    if not config.modalities or len(set(config.modalities)) < len(config.modalities):
        raise ValueError(f"modalities in its card is {config.modalities}; expected one or more different sensors")


def _deeper_than(value: object, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _show(value: object) -> str:
    """A value for a message, which may be of any size."""
    if isinstance(value, float) and not math.isfinite(value):
        return "no number"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value) if not isinstance(value, int) or abs(value) < 2**64 else "a giant number"
    return text if len(text) < 80 else text[:80] + "..."


def choose_encodings(
    card: Mapping[str, Any], sensors: Iterable[Modality], asked: Mapping[Modality, str]
) -> dict[Modality, str]:
    """What the user asked for, and what the model was trained with for the rest. Events are encoded as they come.

    Args:
        card: of the model, as a weight file has it.
        sensors: those of the clip.
        asked: modality -> encoding.
    """
    there = set(sensors)
    trained = {Modality(m): name for m, name in (card.get("encodings") or {}).items() if m in there}
    for modality, name in asked.items():
        if modality in trained and trained[modality] != name:
            warnings.warn(
                f"{modality} is encoded as {name!r} and the model was trained with {trained[modality]!r}.", stacklevel=2
            )
    return {m: name for m, name in trained.items() if m != Modality.EVENT} | dict(asked)
