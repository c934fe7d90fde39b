# SPDX-License-Identifier: Apache-2.0
"""How a model starts from the RGB tracker that it grew from, and the report of what became of given tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modaltrack.models.model import GrowsFromBase
from modaltrack.printable import one_line


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of the tensors of a checkpoint: names in it, except ``missing``, which are names of the model.

    Attributes:
        unused: tensors known to be without effect and the reason.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[str, ...]
    unused: Mapping[str, str]

    def __str__(self) -> str:
        """Counts, then the first names of every kind of problem, in one line."""
        lines = [f"{len(self.matched)} tensors matched, {len(self.unused)} known to be unused"]
        for kind in ("missing", "unexpected", "wrong_shape"):
            names = getattr(self, kind)
            if names:
                more = f" and {len(names) - 10} more" if len(names) > 10 else ""
                lines.append(f"{len(names)} {kind.replace('_', ' ')}: {', '.join(names[:10])}{more}")
        return one_line("; ".join(lines))

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model was found and none was left over."""
        return not (self.missing or self.unexpected or self.wrong_shape)


def spread(model: nn.Module, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The base's tensors under the model's names, the copies among them.

    A model whose further tensors start as copies of the base's names them: ``copies_of_base(name) -> list of names``;
    what the base has itself, as a model of the same method does, is its own.
    """
    if not isinstance(model, GrowsFromBase):
        return dict(base)
    return {copy: tensor for name, tensor in base.items() for copy in model.copies_of_base(name)} | dict(base)


@torch.no_grad()
def start_from(model: nn.Module, base: nn.Module | Mapping[str, Tensor]) -> Coverage:
    """Copy the weights of ``base`` (an OSTrack, or the tensors of one) into ``model`` wherever names agree.

    Tensors that start as copies of the base's get them too (``spread``).

    Returns:
        The report: ``missing`` are the model's own additions.

    Raises:
        ValueError: if a tensor of the base finds no place.
    """
    source = spread(model, base.state_dict() if isinstance(base, nn.Module) else base)
    own = model.state_dict()
    unused = {
        name: "the base's confidence, for which this model has no head"
        for name in source
        if name.startswith("confidence.") and name not in own
    }
    source = {name: tensor for name, tensor in source.items() if name not in unused}
    unexpected = tuple(name for name in source if name not in own)
    wrong = tuple(
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in source.items()
        if name in own and tensor.shape != own[name].shape
    )
    missing = tuple(name for name in own if name not in source)
    report = Coverage(tuple(n for n in source if n in own), missing, unexpected, wrong, unused)
    if unexpected or wrong:
        raise ValueError(f"The base does not fit this model: {report}.")
    for name, tensor in source.items():
        own[name].copy_(tensor)
    return report
