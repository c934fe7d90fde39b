# SPDX-License-Identifier: Apache-2.0
"""Which tensors of a model start as tensors of the RGB tracker that it grew from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from modaltrack.models.model import GrowsFromBase


def spread(model: nn.Module, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The base's tensors under the model's names, the copies among them.

    A model whose further tensors start as copies of the base's names them: ``copies_of_base(name) -> list of names``;
    what the base has itself, as a model of the same method does, is its own.
    """
    if not isinstance(model, GrowsFromBase):
        return dict(base)
    return {copy: tensor for name, tensor in base.items() for copy in model.copies_of_base(name)} | dict(base)
