# SPDX-License-Identifier: Apache-2.0
"""Reads the authors' own checkpoints: a map of names, and a report of what was used, what was not and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from modaltrack.models.registry import create, unknown_name

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
# method -> settings (overrides of ``create``) that the names and shapes of an authors' tensors tell; none: one variant
VARIANTS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Any]]] = {}
KEY_MAPS = {"ostrack": _TRUNK, "sdstrack": (*_ADAPTERS, *_TRUNK)}  # one row per method


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of the tensors of a checkpoint: names in it, except ``missing``, which are names of the model.

    unused: tensors known to be without effect and the reason.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[str, ...]
    unused: Mapping[str, str]

    def __str__(self) -> str:
        """One line of counts, then one line per kind of problem."""
        lines = [f"{len(self.matched)} tensors matched, {len(self.unused)} known to be unused"]
        for kind in ("missing", "unexpected", "wrong_shape"):
            names = getattr(self, kind)
            if names:
                more = f" and {len(names) - 10} more" if len(names) > 10 else ""
                lines.append(f"{len(names)} {kind.replace('_', ' ')}: {', '.join(names[:10])}{more}")
        return "; ".join(lines)

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model was found and none was left over."""
        return not (self.missing or self.unexpected or self.wrong_shape)


def our_name(method: str, name: str) -> str | None:
    """Our name of an authors' tensor, None where the map knows none."""
    for pattern, ours in KEY_MAPS[method]:
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

    Returns the model in evaluation mode, of the variant that the tensors tell, and the report. ValueError, with the
    report, if any tensor is missing, left over or of another shape, unless ``allow_partial``: then the model keeps its
    fresh values there. Tensors known to be without effect are accepted and named in ``Coverage.unused``.
    """
    if method not in KEY_MAPS:
        raise unknown_name(method, sorted(KEY_MAPS))
    if "net" in state_dict and isinstance(state_dict["net"], Mapping):
        raise ValueError("This is a whole checkpoint; pass the mapping under its key 'net'.")
    model = create(f"{method}-{size}", **(VARIANTS[method](state_dict) if method in VARIANTS else {}))
    own = model.state_dict()
    matched, unexpected, wrong, unused, found = [], [], [], dict[str, str](), dict[str, Tensor]()
    for name, tensor in state_dict.items():
        ours = our_name(method, name)
        if name in UNUSED:
            unused[name] = UNUSED[name]
        elif ours is not None and ours in own:
            found[ours] = tensor
            if tuple(tensor.shape) == tuple(own[ours].shape):
                matched.append(name)
            else:
                wrong.append(f"{name} {tuple(tensor.shape)} instead of {tuple(own[ours].shape)}")
        elif ours is not None and ours.startswith("fusions."):
            unused[name] = "a fusion adapter of a block that does not fuse"
        else:
            unexpected.append(name)
    missing = tuple(name for name in own if name not in found)
    report = Coverage(tuple(matched), missing, tuple(unexpected), tuple(wrong), unused)
    if not (report.complete or allow_partial):
        raise ValueError(f"The checkpoint does not fit {method}-{size}: {report}.")
    model.load_state_dict({name: found[name] if fits(name, found, own) else own[name] for name in own})
    return model.eval(), report


def fits(name: str, found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Whether ``found`` has the model's tensor ``name``, in its shape."""
    return name in found and found[name].shape == own[name].shape


@torch.no_grad()
def start_from(model: nn.Module, base: nn.Module) -> Coverage:
    """Copy the weights of ``base`` (an OSTrack) into ``model`` (a method built on it) wherever names agree.

    The X stem becomes a copy of the base's stem if the model's configuration says ``x_stem_init="copy"`` (ours).
    Returns the report: ``missing`` are the model's own additions. ValueError if a tensor of the base finds no place.
    """
    source = dict(base.state_dict())
    if getattr(getattr(model, "config", None), "x_stem_init", "fresh") == "copy":
        stem = {name: tensor for name, tensor in source.items() if name.startswith("patch_embed.")}
        source |= {name.replace("patch_embed.", "patch_embed_x."): tensor for name, tensor in stem.items()}
    own = model.state_dict()
    unexpected = tuple(name for name in source if name not in own)
    wrong = tuple(
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in source.items()
        if name in own and tensor.shape != own[name].shape
    )
    missing = tuple(name for name in own if name not in source)
    report = Coverage(tuple(n for n in source if n in own), missing, unexpected, wrong, {})
    if unexpected or wrong:
        raise ValueError(f"The base does not fit this model: {report}.")
    for name, tensor in source.items():
        own[name].copy_(tensor)
    return report
