# SPDX-License-Identifier: Apache-2.0
"""A model without values: shapes and names of its tensors in milliseconds, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from modaltrack.models.model import TorchModel
from modaltrack.models.registry import create

_ELEMENTWISE = {"exp", "expm1", "log", "neg", "mul", "add", "sub", "rsub", "div", "__mul__", "__rmul__", "__add__"}
_ELEMENTWISE |= {"__radd__", "__neg__", "__sub__", "__rsub__", "__truediv__", "to", "contiguous"}
_KEPT_IN_PLACE = {"requires_grad_"}


class _WithoutValues(TorchFunctionMode):
    """Allocations go to the device "meta", where there are no values, and initialisers do nothing.

    ``torch.device("meta")`` alone does not do: arithmetic on it imports torch's compiler, which takes seconds.
    """

    def __torch_function__(
        self,
        function: Callable[..., object],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if function is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        elif function in (torch.rand, torch.randn):
            function = torch.zeros  # takes no random numbers from what comes after
        first = args[0] if args else kwargs.get("tensor")  # nn.init passes it by name
        if isinstance(first, Tensor) and first.is_meta:
            in_place = name.endswith("_") and not name.endswith("__") and name not in _KEPT_IN_PLACE
            if in_place or name in _ELEMENTWISE:
                return first
        return function(*args, **kwargs)


def skeleton(name: str, **overrides: object) -> TorchModel:
    """The model that ``create`` would build, its large tensors on the device "meta"; it cannot be run.

    Raises:
        ValueError: For a name or settings of which no model can be built.
    """
    try:
        with _WithoutValues():
            return create(name, **overrides)
    except (
        AssertionError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
    ) as error:
        raise ValueError(f"No {name} can be built with these settings ({str(error)[:200]}).") from None


def shapes_of(name: str, **overrides: object) -> dict[str, Tensor]:
    """Name -> tensor without values of the model that ``create`` would build: shapes and types of its state."""
    state = skeleton(name, **overrides).state_dict()
    return {key: torch.empty(value.shape, dtype=value.dtype, device="meta") for key, value in state.items()}
