# SPDX-License-Identifier: Apache-2.0
"""Reads the authors' own checkpoints: a map of names, and a report of what was used, what was not and why."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from modaltrack.models.copies import Coverage
from modaltrack.models.registry import METHODS, create, unknown_name
from modaltrack.models.skeleton import shapes_of, skeleton
from modaltrack.models.trackers import advice
from modaltrack.plugins import Table, expected

# What the authors' files hold and their forward passes never read.
UNUSED = {
    "backbone.cls_token": "a class token that the forward pass never reads",
    "backbone.pos_embed": "positions of the pretraining image, replaced by pos_embed_z and pos_embed_x",
    "backbone.pos_embed_z_z_dte": "an unused table of zeros",
    "backbone.pos_embed_x_x_dte": "an unused table of zeros",
}
_TRUNK = (
    (r"backbone\.patch_embed\.(.+)", r"patch_embed.\1"),
    (r"backbone\.pos_embed_z", "pos_template"),
    (r"backbone\.pos_embed_x", "pos_search"),
    (r"backbone\.(blocks\.\d+\.(?:norm|attn|mlp).+)", r"\1"),
    (r"backbone\.(norm\..+)", r"\1"),
    (r"box_head\.conv5_(\w+)\.(.+)", r"head.\1.4.\2"),
    (r"box_head\.conv(\d)_(\w+)\.0\.(.+)", r"head.\2.\1.conv.\3"),
    (r"box_head\.conv(\d)_(\w+)\.1\.(.+)", r"head.\2.\1.norm.\3"),
)
_ADAPTERS = (
    (r"backbone\.patch_embed_multimodal\.(.+)", r"patch_embed_x.\1"),
    (r"backbone\.blocks\.(\d+)\.Space_X_DTE_Adapter\.D_(.+)", r"adapters.\1.space.\2"),
    (r"backbone\.blocks\.(\d+)\.MLP_X_DTE_Adapter\.D_(.+)", r"adapters.\1.mlp.\2"),
    (r"backbone\.blocks\.(\d+)\.Space_X_X_DTE_Adapter\.D_(.+)", r"fusions.\1.space.\2"),
    (r"backbone\.blocks\.(\d+)\.MLP_X_X_DTE_Adapter\.D_(.+)", r"fusions.\1.mlp.\2"),
)
_SIGMA = (  # the authors' 1, rgb and nothing are RGB; 2, e and modalx are the other sensor
    (r"backbone\.(score\..+)", r"\1"),
    (r"backbone\.sigma_norm\.(.+)", r"interaction_norm.\1"),
    (r"backbone\.cross_mamba\.(\d+)\.op\.conv2d\.(.+)", r"interactions.\1.cross.conv.\2"),
    *(
        (rf"backbone\.cross_mamba\.(\d+)\.op\.{theirs}", rf"interactions.\1.cross.{sensor}.{ours}")
        for sensor, number, suffix_in, suffix_out in (("rgb", 1, "", "_rgb"), ("x", 2, "_modalx", "_e"))
        for theirs, ours in (
            (rf"in_proj{suffix_in}\.(.+)", r"in_proj.\2"),
            (rf"out_proj{suffix_out}\.(.+)", r"out_proj.\2"),
            (rf"CMA_ssm\.(A_log|D)_{number}", r"\2"),
            (rf"CMA_ssm\.(x_proj|dt_proj|out_norm)_{number}\.(.+)", r"\2.\3"),
        )
    ),
    *(
        (rf"backbone\.channel_attn_mamba\.(\d+)\.op\.{theirs}", rf"interactions.\1.concat.{ours}")
        for theirs, ours in (
            ("x_proj_weight", "x_proj"),
            (r"dt_projs_(weight|bias)", r"dt_\2"),
            ("A_logs", "A_log"),
            ("Ds", "D"),
            (r"in_proj\.(.+)", r"in_proj_rgb.\2"),
            (r"in_proj_modalx\.(.+)", r"in_proj_x.\2"),
            (r"conv2d\.(.+)", r"conv_rgb.\2"),
            (r"conv2d_modalx\.(.+)", r"conv_x.\2"),
            (r"out_norm1\.(.+)", r"out_norm_rgb.\2"),
            (r"out_norm2\.(.+)", r"out_norm_x.\2"),
            (r"fc1\.(.+)", r"excite_rgb.\2"),
            (r"fc2\.(.+)", r"excite_x.\2"),
            (r"(out_proj\..+)", r"\2"),
        )
    ),
)


def image_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of template and search crops, of which every patch of 16 x 16 pixels has a position."""
    tables = {"template_size": "backbone.pos_embed_z", "search_size": "backbone.pos_embed_x"}
    return {
        size: 16 * math.isqrt(tensors[name].shape[1])
        for size, name in tables.items()
        if name in tensors and tensors[name].ndim == 3
    }


def smstracker_variant(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Interactions and image sizes of an SMSTracker.

    Raises:
        ValueError: for development versions.

    Source: docs/methods/smstracker.md 2.2.
    """
    strange = {
        "score_in_layer.": "a second score attention",
        "patch_embed_modal.": "a patch embedding of its own for X",
        "score.conv1.": "a convolutional score mask",
        "score.0.": "a score module for every block",
    }
    found = [what for mark, what in strange.items() if any(name.startswith(f"backbone.{mark}") for name in tensors)]
    if "backbone.score.attn.qkv.weight" in tensors and "backbone.score.norm.weight" not in tensors:
        found.append("no norm behind the score attention")
    if found:
        raise ValueError(
            f"The checkpoint has {' and '.join(found)}: an SMSTracker from before its publication, which computes "
            "something else; use weights of the published model."
        )
    numbers = [re.match(r"backbone\.cross_mamba\.(\d+)\.", name) for name in tensors]
    settings = image_sizes(tensors) | {"interactions": max((int(n[1]) for n in numbers if n), default=0) + 1}
    if settings["interactions"] == 4:
        warnings.warn(
            "Four interactions are read as behind blocks 3, 6, 9 and 12, as published; a development version of "
            "SMSTracker has the same tensors, uses three of them and would give other numbers.",
            stacklevel=3,
        )
    return settings


_TWO_BRANCHES = (  # the second branch is called event whatever its sensor is
    (r"backbone\.patch_embed_rgb\.(.+)", r"patch_embed.\1"),
    (r"backbone\.patch_embed_event\.(.+)", r"patch_embed_x.\1"),
    (r"backbone\.blocks_rgb\.(.+)", r"blocks.\1"),
    (r"backbone\.blocks_event\.(.+)", r"blocks_x.\1"),
    (r"backbone\.blocks_cross\.(.+)", r"cross_blocks.\1"),
    (r"backbone\.norm_rgb\.(.+)", r"norm.\1"),
    (r"backbone\.norm_event\.(.+)", r"norm_x.\1"),
    (r"backbone\.temporal_pos_embed_z", "temporal_template"),
    (r"backbone\.temporal_pos_embed_x", "temporal_search"),
    *(row for row in _TRUNK if "pos_embed" in row[0] or "box_head" in row[0]),
)


def srtrack_variant(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Image sizes, temporal positions (of DropMAE, which searches in a larger crop) and low ranks of an SRTrack."""
    settings = image_sizes(tensors)
    if "backbone.temporal_pos_embed_z" in tensors:
        settings |= {"temporal_positions": True, "search_factor": 5.0}
    ranks = [tensors.get(f"backbone.blocks_rgb.0.attn.{layer}.lora_A") for layer in ("qkv", "proj")]
    if ranks[0] is not None and ranks[1] is not None:
        settings["lora_ranks"] = (ranks[0].shape[0], ranks[1].shape[0])
    return settings


_PROGRESSIVE = (  # b and s are the backward and the dynamic order
    *(
        (rf"backbone\.cross_mamba\.(\d+)\.{theirs}", rf"differences.\1.{ours}")
        for theirs, ours in (
            (r"(norm|mamba\.in_proj|mamba\.out_proj)\.(.+)", r"\2.\3"),
            (r"mamba\.(A_log|D)", r"mamba.branch.\2"),
            (r"mamba\.(x_proj|dt_proj)\.(.+)", r"mamba.branch.\2.\3"),
            (r"mamba\.conv1d\.(.+)", r"mamba.branch.conv.\2"),
            (r"fuse\.0\.(.+)", r"fuse.\2"),
            (r"fuse\.1\.(.+)", r"fuse_norm.\2"),
        )
    ),
    (r"mamba_fusion\.norm\.(.+)", r"order_fusion.norm_out.\1"),
    *(
        (rf"mamba_fusion\.fusion\.0\.{theirs}", rf"order_fusion.{ours}")
        for theirs, ours in (
            (r"norm1\.(.+)", r"norm_in.\1"),
            (r"norm2\.(.+)", r"norm_map.\1"),
            (r"mamba\.(in_proj|out_proj)\.(.+)", r"\1.\2"),
            (r"mamba\.mlp\.(.+)", r"order.layers.\1"),
            (r"mamba\.fc\.(.+)", r"order.last.\1"),
        )
    ),
    *(
        (rf"mamba_fusion\.fusion\.0\.mamba\.{theirs}", rf"order_fusion.branches.{branch}.{ours}")
        for branch, suffix in enumerate(("", "_b", "_s"))
        for theirs, ours in (
            (rf"A{suffix}_log", "A_log"),
            (rf"D{suffix}", "D"),
            (rf"conv1d{suffix}\.(.+)", r"conv.\1"),
            (rf"(x_proj|dt_proj){suffix}\.(.+)", r"\1.\2"),
        )
    ),
)


def ainet_variant(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Image sizes and fused layers of an AINet; a warning where the tensors leave open what the authors computed."""
    settings = image_sizes(tensors)
    if settings.get("template_size", 128) != 128:
        warnings.warn(
            "Each layer's map is fused without all of its template tokens; the authors' code cuts 64 whatever the "
            'size, so weights of it may need create("ainet-base", ..., dropped_tokens=64).',
            stacklevel=3,
        )
    numbers = [re.match(r"backbone\.cross_mamba\.(\d+)\.", name) for name in tensors]
    layers = max((int(n[1]) for n in numbers if n), default=11) + 1
    if layers != 12:
        raise ValueError(
            f"The checkpoint fuses {layers} layers and does not say which; only the published 12 of 12 are read: build "
            'it with create("ainet-base", fusion_blocks=...) where you know them.'
        )
    return settings


@dataclass(frozen=True)
class KeyMap:
    """From the names of an authors' tensors to this package's.

    Args:
        rows: (pattern of a whole name, replacement), as ``re`` writes them; the first that matches counts.
        variant: the tensors -> settings (overrides of ``create``) that their names and shapes tell.
    """

    rows: tuple[tuple[str, str], ...]
    variant: Callable[[Mapping[str, Tensor]], dict[str, Any]] | None = None


def _key_map(name: str, found: object) -> KeyMap:
    if not isinstance(found, KeyMap):
        raise expected("a modaltrack.models.authors.KeyMap", found)
    return found


KEY_MAPS = Table(
    "modaltrack.key_maps",
    {
        "ainet": KeyMap((*_PROGRESSIVE, *_TRUNK), ainet_variant),
        "ostrack": KeyMap(_TRUNK),
        "sdstrack": KeyMap((*_ADAPTERS, *_TRUNK)),
        "smstracker": KeyMap((*_SIGMA, *_TRUNK), smstracker_variant),
        "srtrack": KeyMap(_TWO_BRANCHES, srtrack_variant),
    },
    _key_map,
)


def our_name(method: str, name: str) -> str | None:
    """Our name of an authors' tensor, None where the map knows none."""
    for pattern, ours in KEY_MAPS[method].rows:
        match = re.fullmatch(pattern, name)
        if match:
            ours = match.expand(ours)
            ours = re.sub(r"(space|mlp)\.fc1\.", r"\1.down.", ours) if "blocks" not in ours else ours
            ours = re.sub(r"(space|mlp)\.fc2\.", r"\1.up.", ours) if "blocks" not in ours else ours
            # the authors count the head's layers from 1
            return re.sub(r"^(head\.\w+\.)(\d)(\.(?:conv|norm)\.)", lambda m: f"{m[1]}{int(m[2]) - 1}{m[3]}", ours)
    return None


def from_authors(
    method: str, state_dict: Mapping[str, Tensor], size: str = "base", allow_partial: bool = False
) -> tuple[nn.Module, Coverage]:
    """Build ``method`` with the weights of the authors' checkpoint: the mapping of names to tensors under its ``net``.

    Returns:
        The model in evaluation mode, of the variant that the tensors tell, and the report.

    Raises:
        ValueError: with the report, if any tensor is missing, left over or of another shape, unless ``allow_partial``:
            then the model keeps its fresh values there. Tensors known to be without effect are accepted and named in
            ``Coverage.unused``.
    """
    if "net" in state_dict and isinstance(state_dict["net"], Mapping):
        raise ValueError("This is a whole checkpoint; pass the mapping under its key 'net'.")
    found = match(method, state_dict, size)
    if not (found.coverage.complete or allow_partial):
        raise ValueError(found.complaint)
    return build(found, state_dict), found.coverage


@dataclass(frozen=True, slots=True)
class TensorMatch:
    """How a checkpoint fits a method, known from names, shapes and types alone.

    Attributes:
        name: of the registered model.
        settings: of its variant, for ``create``.
        places: the checkpoint's name of every matched tensor -> the model's.
        complaint: the sentence for a checkpoint that does not fit.
    """

    name: str
    settings: dict[str, Any]
    places: dict[str, str]
    coverage: Coverage
    complaint: str


def match(method: str, tensors: Mapping[str, Tensor], size: str = "base", net_type: object = None) -> TensorMatch:
    """Compare a checkpoint's tensors (their values are not read) with a method's; ValueError for an unknown method."""
    if method not in KEY_MAPS and method in METHODS:
        raise ValueError(f"The authors of {method} have published no weights; there is nothing to read for it.")
    if method not in KEY_MAPS:
        raise unknown_name(method, sorted(KEY_MAPS))
    variant = KEY_MAPS[method].variant
    settings = {} if variant is None else variant(tensors)
    own = shapes_of(f"{method}-{size}", **settings)
    places, unexpected, wrong, unused, found = dict[str, str](), [], [], dict[str, str](), set[str]()
    for name, tensor in tensors.items():
        ours = our_name(method, name)
        if name in UNUSED:
            unused[name] = UNUSED[name]
        elif ours is not None and ours in own:
            found.add(ours)
            if tuple(tensor.shape) != tuple(own[ours].shape):
                wrong.append(f"{name} {tuple(tensor.shape)} instead of {tuple(own[ours].shape)}")
            elif own[ours].is_floating_point() and not tensor.is_floating_point():
                wrong.append(f"{name} of {tensor.dtype} instead of {own[ours].dtype}")
            else:
                places[name] = ours
        elif ours is not None and ours.startswith("fusions."):
            unused[name] = "a fusion adapter of a block that does not fuse"
        else:
            unexpected.append(name)
    missing = tuple(name for name in own if name not in found)
    coverage = Coverage(tuple(places), missing, tuple(unexpected), tuple(wrong), unused)
    hint = advice(tensors, method, net_type) if len(places) < len(own) else ""
    return TensorMatch(
        f"{method}-{size}",
        settings,
        places,
        coverage,
        f"{hint}The checkpoint does not fit {method}-{size}: {coverage}.",
    )


def build(found: TensorMatch, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The model of a match with the checkpoint's values where there are some, in evaluation mode."""
    whole = found.coverage.complete  # fresh values, which take longer than all else here, are then needed nowhere
    model = (skeleton if whole else create)(found.name, **found.settings)
    own = model.state_dict()
    taken = {ours: tensors[theirs].to(own[ours].dtype, copy=True) for theirs, ours in found.places.items()}
    model.load_state_dict(own | taken, assign=whole)
    return model.eval()
