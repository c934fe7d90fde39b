# SPDX-License-Identifier: Apache-2.0
"""Reads the RGB trackers that two-sensor trackers start from, as their authors published them, and fits positions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.models.authors import UNUSED, our_name
from modaltrack.models.weights_found import read_state_dict

POSITIONS = {"pos_template": "temporal_template", "pos_search": "temporal_search"}


def read_rgb_tracker(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors of an OSTrack, a DropTrack or an MAE's ViT under this package's names, and the SHA-256 of the file.

    A DropTrack has ``temporal_template`` and ``temporal_search`` besides; an MAE one table of positions for both, and
    no head.

    Raises:
        ValueError: in one sentence, for tensors of anything else.
    """
    state, checkpoint = read_state_dict(path)
    if "blocks.0.attn.qkv.weight" in state:  # an MAE: no tracker around its backbone
        table = state.pop("pos_embed")[:, 1:]  # the first is the class token's
        state = {f"backbone.{name}": tensor for name, tensor in state.items()}
        state |= {"backbone.pos_embed_z": table, "backbone.pos_embed_x": table}
    found, strange = {}, []
    for name, tensor in state.items():
        own = our_name("ostrack", name)
        if own is None and "temporal_pos_embed" in name:
            own = our_name("srtrack", name)
        if own is not None:
            found[own] = tensor
        elif name not in UNUSED:
            strange.append(name)
    if strange or "pos_template" not in found:
        what = f"{len(strange)} tensors of another kind, such as {strange[0]}" if strange else "no positions"
        raise ValueError(
            f"{path} is no RGB tracker to start from: it holds {what}; give an OSTrack, a DropTrack or an MAE, or turn "
            "a whole tracker into a .safetensors file with modaltrack models import first."
        )
    return found, checkpoint.sha256


def fit_positions(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors with their position tables on the model's grids, resized bilinearly where they are on others.

    A DropTrack's temporal vectors are added to the tables unless the model has a place for them.
    Source: docs/methods/ainet.md 6.
    """
    own: Any = dict(model.named_parameters())
    fitted = dict(tensors)
    for name, temporal in POSITIONS.items():
        table = tensors[name].float()
        side, wanted = math.isqrt(table.shape[1]), math.isqrt(own[name].shape[1])
        if side != wanted:
            grid = table.transpose(1, 2).unflatten(2, (side, side))
            grid = F.interpolate(grid, size=(wanted, wanted), mode="bilinear", align_corners=False)
            table = grid.flatten(2).transpose(1, 2)
        if temporal in tensors and temporal not in own:
            table = table + fitted.pop(temporal)
        fitted[name] = table
    return fitted
