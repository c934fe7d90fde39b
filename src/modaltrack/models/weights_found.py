# SPDX-License-Identifier: Apache-2.0
"""Finds the weights in a checkpoint of the field, whatever its trainer wrapped around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modaltrack.models.checkpoint_reader import Checkpoint, OpenCheckpoint
from modaltrack.models.restricted_pickle import TensorPlan
from modaltrack.models.safetensors_reader import SafetensorsFile, is_safetensors

# entries of a checkpoint in which trainers keep the weights, the likeliest first; averaged ones come last
ENTRIES = ("net", "model", "state_dict", "model_state_dict", "model_state", "network", "module", "weights", "params")
AVERAGED = ("ema", "model_ema", "ema_model", "net_ema", "ema_net", "ema_state_dict", "state_dict_ema", "average")
_INSIDE = ("shadow", "shadow_params", "module", "params_ema")  # where an average keeps them, besides ``ENTRIES``
_NO_WEIGHTS = {"optimizer", "optim", "lr_scheduler", "scheduler", "scaler", "optimizer_state_dict", "optimizer_states"}
# what DistributedDataParallel, torch.compile, Lightning and averages put in front of every name of a model
_WRAPPERS = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "tracker.",
    "ema.",
    "ema_model.",
    "_forward_module.",
)
_ANYWHERE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # also around parts of a model
_COUNTERS = {"n_averaged", "num_updates", "decay", "initted", "step"}  # scalars that averages keep beside the weights
_LEVELS = 4


@dataclass(frozen=True)
class Weights:
    """The weights in an open file.

    Attributes:
        shapes: name -> tensor on the device "meta": shape and type, no values.
        load: name -> tensor on the CPU.
        notes: sentences on which of several entries was taken and what was cut off the names.
        net_type: what the file says it is.
        checkpoint: the file, without tensors.
    """

    shapes: dict[str, Tensor]
    load: Callable[[], dict[str, Tensor]]
    notes: tuple[str, ...]
    net_type: str
    checkpoint: Checkpoint


@contextmanager
def open_weights(path: str | Path, entry: str = "") -> Iterator[Weights]:
    """Open a file of ``torch.save`` or a safetensors file and find the weights in it; ``load`` works in the block.

    Args:
        path: The file.
        entry: Which entry holds the weights, as "ema" or "state.model"; "" takes the likeliest.

    Raises:
        ValueError: In one sentence, for a file that cannot be read or holds no weights.
    """
    path = Path(path)
    if is_safetensors(path):
        if entry:
            raise ValueError(f"{path} is a safetensors file, which has no entries; leave out {entry!r}.")
        file = SafetensorsFile(path)
        shapes, notes = unwrapped(file.shapes())
        names = dict(zip(shapes, file.shapes()))
        found = Checkpoint(path, None, (), ())
        yield Weights(shapes, lambda: {ours: file.tensor(theirs) for ours, theirs in names.items()}, notes, "", found)
        return
    with OpenCheckpoint(path) as opened:
        plans, notes = _chosen(opened, entry)
        plans, cut = unwrapped(plans)
        if strange := [name for name, value in plans.items() if not isinstance(value, TensorPlan)]:
            raise ValueError(
                f"{path} has {len(strange)} entries among its weights that are no tensors: {strange[0][:80]}."
            )
        shapes = {k: torch.empty(v.shape, dtype=v.storage.dtype, device="meta") for k, v in plans.items()}
        net_type = opened.tree.get("net_type") if isinstance(opened.tree, Mapping) else None
        stated = net_type if isinstance(net_type, str) else ""
        yield Weights(shapes, lambda: opened.fill(dict(plans)), (*notes, *cut), stated, opened.checkpoint(None))


def read_state_dict(path: str | Path, entry: str = "") -> tuple[dict[str, Tensor], Checkpoint]:
    """The weights in a checkpoint, name -> tensor, and the file with them as its tree; see ``open_weights``."""
    with open_weights(path, entry) as weights:
        state = weights.load()
        return state, replace(weights.checkpoint, tree=state)


def _chosen(opened: OpenCheckpoint, entry: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The weights in the tree, and what to say about others."""
    found = dict(_candidates(opened.tree, ()))
    if entry:
        if entry not in found:
            known = ", ".join(name or "the file itself" for name in found) or "none"
            raise ValueError(f"{opened.path} has no weights under {entry!r}; entries with weights: {known}.")
        return found[entry], ()
    if not found:
        tree = opened.tree
        keys = ", ".join(str(k)[:40] for k in list(tree)[:8]) if isinstance(tree, Mapping) else type(tree).__name__
        raise ValueError(
            f"{opened.path} holds no weights: found {keys or 'nothing'}; expected a dictionary of tensors, or one as "
            "'net'."
        )
    place = min(found, key=_rank)
    others = [name for name in found if name != place and len(found[name]) > 0.5 * len(found[place])]
    if not others:
        return found[place], ()
    note = f"The weights under {place!r} are taken; the file has others under {', '.join(map(repr, others[:5]))}."
    return found[place], (note,)


def _rank(place: str) -> tuple[int, ...]:
    """Sorts places of weights: the file itself, then known entries by likelihood, then anything, averages last."""
    parts = place.split(".") if place else []
    order = {name: number for number, name in enumerate((*ENTRIES, *_INSIDE))}
    order |= {name: 200 + number for number, name in enumerate(AVERAGED)}
    return (max((order.get(part, 100) for part in parts), default=-1), len(parts))


def _candidates(tree: object, place: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Places in a tree of dictionaries, as "state.model", and the dictionary of tensors there."""
    if not isinstance(tree, Mapping) or len(place) > _LEVELS:
        return
    below: list[tuple[str, dict[str, Any]]] = []
    for key, value in tree.items():
        if isinstance(key, str) and key.lower() not in _NO_WEIGHTS:
            below += _candidates(value, (*place, key))
    tensors = [k for k, v in tree.items() if isinstance(v, TensorPlan)]
    # a loss or a step beside the weights is no weight
    if (
        tensors
        and all(isinstance(k, str) for k in tensors)
        and len(tensors) >= max((len(w) for _, w in below), default=0)
    ):
        yield ".".join(place), {str(k): v for k, v in tree.items() if not isinstance(v, Mapping)}
    yield from below


def unwrapped(weights: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """``weights`` without what wrappers put in front of every name, and a sentence on what was cut off.

    Values are of any kind. Order is kept. Scalars that averages keep beside the model's names are left out.
    """
    names = [name for name in weights if name.rsplit(".", 1)[-1] not in _COUNTERS or "." in name]
    counters = [name for name in weights if name not in set(names)]
    if not names:
        return dict(weights), ()
    short = {name: name for name in names}
    cut: list[str] = []
    while wrapper := next((w for w in _WRAPPERS if all(name.startswith(w) for name in short.values())), ""):
        short = {name: inner.removeprefix(wrapper) for name, inner in short.items()}
        cut.append(wrapper)
    for wrapper in _ANYWHERE:
        if any(wrapper in inner for inner in short.values()):
            short = {name: inner.replace(wrapper, "") for name, inner in short.items()}
            cut.append(wrapper)
    if len(set(short.values())) < len(short) or not all(short.values()):  # nothing may fall together
        return dict(weights), ()
    kept = names if cut else [*weights]
    result = {short.get(name, name): weights[name] for name in kept}
    if not cut:
        return result, ()
    left = f", and {', '.join(counters)} left out" if counters else ""
    return result, (f"{''.join(cut)} was cut off the names of the weights{left}.",)
