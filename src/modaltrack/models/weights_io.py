# SPDX-License-Identifier: Apache-2.0
"""Weight files: fp16 safetensors that carry their own card. Nothing in them is ever executed.

The metadata entry ``card`` is JSON with name, method, size, config, modalities, encodings, thresholds, recipe, seed,
steps, hardware, hours, measured and licence; method, size and config say which model to build.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor

from modaltrack.files import checksum, remove_abandoned, write_file
from modaltrack.models.card import Card, read_card
from modaltrack.models.copies import spread
from modaltrack.models.late_fusion import PREFIX, LateFusion
from modaltrack.models.model import Model, TorchModel, declared
from modaltrack.models.registry import DataclassConfig, create, list_models, unknown_name
from modaltrack.models.safetensors_reader import SafetensorsFile
from modaltrack.models.skeleton import shapes_of, skeleton
from modaltrack.models.weights_store import ensure, shipped
from modaltrack.models.zoo import SHIPPED


def save_model(
    model: TorchModel,
    path: str | Path,
    card: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
    base: str | None = None,
) -> None:
    """Write a model built by ``create`` as safetensors with its card; the file appears whole or not at all.

    method, size, config and modalities of the card are filled in from the model.

    Args:
        dtype: of the stored floats; other people's weights, which should stay as they are, are stored in float32.
        base: a shipped name; what the model still has in common with it, because it was frozen, is left out and read
            from there.

    Raises:
        ValueError: if a weight is not finite or does not fit into ``dtype``, or nothing comes with the package under
            the name ``base``.
    """
    path = Path(path)
    declared(model)
    config = asdict(cast(DataclassConfig, model.config))
    facts: dict[str, Any] = {"config": config, "modalities": list(config["modalities"])}
    if model.missing_policy:
        facts["missing_policy"] = model.missing_policy
    if model.name:
        facts["method"], _, facts["size"] = model.name.rpartition("-")
    elif not {"method", "size"} <= set(card):
        raise ValueError("The card has no method and size, and the model was not built by create(); name them in it.")
    tensors = {}
    for name, tensor in model.state_dict().items():
        half = tensor.detach().cpu()
        if half.is_floating_point():
            half = half.to(dtype)
            if not half.isfinite().all():
                kind = str(dtype).removeprefix("torch.")
                raise ValueError(
                    f"The weight {name} holds NaN, infinity or a value beyond {kind}; nothing was written."
                )
        tensors[name] = half.contiguous()
    if base is not None:
        given = _of_base(model, base)
        tensors = {k: v for k, v in tensors.items() if k not in given or not torch.equal(given[k].to(v.dtype), v)}
        facts["base"] = {"name": base, "sha256": shipped(base).sha256}
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    # as bytes: safetensors' own writing leaves unnamed files behind when killed, and makes them unreadable to others
    write_file(path, save(tensors, metadata={"card": json.dumps({"name": path.stem, **card, **facts})}))


def load_model(name_or_path: str | Path, device: str | torch.device = "auto") -> Model:
    """The model of a shipped name or of a weight file, in evaluation mode, with its card as ``.card``.

    Args:
        device: "auto" takes a GPU if there is one.

    Raises:
        ValueError: in one sentence, for anything wrong with the file.
    """
    return load_torch_model(name_or_path, device)


def load_torch_model(name_or_path: str | Path, device: str | torch.device = "auto") -> TorchModel:
    """The model of a shipped name or of a weight file, float32, in evaluation mode, with its card as ``.card``.

    "late:NAME" is that model run on each sensor and fused late.

    Args:
        device: "auto" takes a GPU if there is one.

    Raises:
        ValueError: in one sentence, for anything wrong with the file.
    """
    if str(name_or_path).startswith(PREFIX):
        return LateFusion(load_torch_model(str(name_or_path).removeprefix(PREFIX), device)).eval()
    path, expected = _find(name_or_path)
    file, card = _opened(path, expected)
    try:
        own, given = shapes_of(card.name, **card.settings), _base_rows(card)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {str(error).rstrip('.')}.") from None
    shapes = file.shapes()
    wrong = [f"{k} is missing" for k in own if k not in shapes and k not in given]
    wrong += [_misfit(k, tensor, own.get(k)) for k, tensor in shapes.items()]
    _complain(path, card.name, [what for what in wrong if what])
    _check_kinds(path, shapes)
    tensors = file.load()
    bad = [k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise ValueError(f"{path} is damaged: {len(bad)} weights hold NaN or infinity, the first is {bad[0]}.")
    model = create(card.name, **card.settings)
    if card.base is not None:
        tensors = _of_base(model, *card.base) | tensors
    model.load_state_dict(tensors)
    model.card = card.data
    return model.float().to(pick_device(device)).eval()


def _misfit(name: str, tensor: Tensor, own: Tensor | None) -> str:
    """What is wrong with a tensor of a file beside the model's own; "" for nothing."""
    if own is None:
        return f"{name} is unknown"
    if tensor.shape != own.shape:
        return f"{name} is {tuple(tensor.shape)} instead of {tuple(own.shape)}"
    same = tensor.is_floating_point() if own.is_floating_point() else tensor.dtype == own.dtype
    return "" if same else f"{name} is {tensor.dtype} instead of {own.dtype}"


def _complain(path: Path, name: str, wrong: list[str]) -> None:
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(f"{path} does not fit {name}: {', '.join(wrong[:5])}{more}.")


def _check_kinds(path: Path, shapes: Mapping[str, Tensor]) -> None:
    """ValueError where floats are of several types: files are written in one, and a changed label changes numbers."""
    kinds: dict[torch.dtype, list[str]] = {}
    for name, tensor in shapes.items():
        if tensor.is_floating_point():
            kinds.setdefault(tensor.dtype, []).append(name)
    if len(kinds) > 1:
        rare = min(kinds, key=lambda kind: len(kinds[kind]))
        raise ValueError(
            f"{path} is damaged: {kinds[rare][0]} is {rare}, and most of its weights are of another type; "
            "copy or download it again."
        )


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """A device; "auto" is the first GPU if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ValueError(f"There is no device {str(device)!r}; use auto, cpu, cuda, cuda:1 or mps.") from None
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"The device {device} was asked for, but torch sees no GPU here; use cpu or auto.")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"The device {device} was asked for, but torch sees {torch.cuda.device_count()} GPUs here.")
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"The device {device} was asked for, but torch sees no Apple GPU here; use cpu or auto.")
    return wanted


def read_weights(path: str | Path, sha256: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a weight file, checked from its header on; ValueError says what is wrong with it."""
    file, card = _opened(Path(path), sha256)
    return file.load(), card.data


def _opened(path: Path, sha256: str | None = None) -> tuple[SafetensorsFile, Card]:
    """A weight file whose header and card were checked; ValueError says what is wrong with it."""
    file = SafetensorsFile(path)
    if sha256 is not None and checksum(file.path) != sha256:
        raise ValueError(
            f"{path} is not the file that was shipped (its SHA-256 differs); remove it, and install "
            "the package again or run 'modaltrack models get'."
        )
    if "card" not in file.metadata:
        raise ValueError(f"{path} has no readable card in its metadata; expected weights of save_model.")
    try:
        return file, read_card(file.metadata["card"])
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {str(error).rstrip('.')}.") from None


def _base_rows(card: Card) -> set[str]:
    """Names that the shipped weights under a card provide; checked before a model is built."""
    return set() if card.base is None else set(_of_base(skeleton(card.name, **card.settings), *card.base))


def _of_base(model: TorchModel, name: str, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors that a fresh ``model`` would take over from shipped weights, by the model's names."""
    row = shipped(name)
    if sha256 not in (None, row.sha256):
        raise ValueError(f"These weights build on another {name} than this version ships; use the version they are of.")
    own = model.state_dict()
    return {k: v for k, v in spread(model, read_weights(ensure(row), row.sha256)[0]).items() if k in own}


def _find(name_or_path: str | Path) -> tuple[Path, str | None]:
    text = str(name_or_path)
    for row in SHIPPED:
        if row.name == text:
            return ensure(row), row.sha256
    if isinstance(name_or_path, Path) or os.sep in text or "/" in text or "." in text or Path(text).exists():
        return Path(name_or_path), None
    if text in list_models():
        raise ValueError(f"No weights come with {text}; give the path of a weight file, or create() a fresh model.")
    raise unknown_name(text, sorted({row.name for row in SHIPPED} | set(list_models())))
