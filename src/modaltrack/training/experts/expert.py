# SPDX-License-Identifier: Apache-2.0
"""Experts by name: those that ship with the package, and the user's own networks, which licences keep out of it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modaltrack.training.experts.builtin import BUILTIN, recolour

DEFAULT = ("maximum", "pyramid", "guided")


class Expert:
    """A frozen fusion with a name: ``expert(rgb, other)``, images (B, 3, H, W) in 0..1 -> (B, 3, H, W) in 0..1.

    Args:
        fuse: a function or a network. An answer of one channel counts as brightness and gets RGB's colour; values
            beyond 0..1 are cut. A network is put into evaluation mode, frozen, and moved to where its images are.
    """

    def __init__(self, name: str, fuse: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.name, self.fuse = name, fuse
        if isinstance(fuse, nn.Module):
            fuse.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, rgb: Tensor, other: Tensor) -> Tensor:
        if isinstance(self.fuse, nn.Module):
            self.fuse.to(rgb.device)
        fused = self.fuse(rgb, other)
        wanted = tuple(rgb.shape)
        if not isinstance(fused, Tensor) or tuple(fused.shape) not in (wanted, (wanted[0], 1, *wanted[2:])):
            found = tuple(fused.shape) if isinstance(fused, Tensor) else type(fused).__name__
            raise ValueError(
                f"The expert {self.name} answered with {found}; expected an image {wanted}, or one channel."
            )
        if not fused.isfinite().all():
            raise ValueError(f"The expert {self.name} answered with values that are not finite; check its weights.")
        return recolour(fused.float(), rgb) if fused.shape[1] == 1 else fused.float().clamp(0, 1)


def build_experts(names: str) -> list[Expert]:
    """Experts of a list such as ``"maximum,guided,my_fusers.py:cddfuse@weights.pth"``.

    A name of ``BUILTIN``, or MODULE:FUNCTION with an importable module or the path of a .py file. The function is
    called once, with the text behind ``@`` if there is one, and returns the fusion: a function of (rgb, other) or a
    network. The file is run, so it has to be one that you trust.

    Raises:
        ValueError: for what cannot be found.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"The list of experts is {names!r}; give one or more names, each once.")
    return [Expert(_short(name), BUILTIN[name] if name in BUILTIN else _load(name)) for name in wanted]


def _short(name: str) -> str:
    return name.partition("@")[0].rpartition(":")[2]


def _load(entry: str) -> Callable[[Tensor, Tensor], Tensor]:
    where, _, argument = entry.partition("@")
    module_name, _, function = where.rpartition(":")
    if not module_name:
        known = ", ".join(BUILTIN)
        raise ValueError(f"There is no expert called {entry!r}: choose among {known}, or give MODULE:FUNCTION.")
    build = getattr(_import(module_name), function, None)
    if not callable(build):
        raise ValueError(f"{module_name} has no function {function}; name the one that returns the expert.")
    made: Any = build(argument) if argument else build()
    if not callable(made):
        raise ValueError(f"{where} returned {type(made).__name__}; expected a function of (rgb, other) or a network.")
    return made


def _import(name: str) -> object:
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"There is no module {error.name!r} for the expert; give an importable one, or a .py file."
            ) from None
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"There is no file {name} for the expert; give the path of a .py file.")
    spec = importlib.util.spec_from_file_location(f"modaltrack_expert_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and the like look their module up
    spec.loader.exec_module(module)
    return module
