# SPDX-License-Identifier: Apache-2.0
"""Names of a package that are imported when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module


def on_demand(
    package: str, homes: Mapping[str, Collection[str]], rooms: Collection[str] = ()
) -> Callable[[str], object]:
    """A ``__getattr__`` for the module ``package``.

    It stands behind ``if not TYPE_CHECKING``: type checkers read the imports that the module names for them, and report
    a name that does not exist instead of calling it ``Any``.

    Args:
        package: name of the module.
        homes: module inside the package -> public names that it defines.
        rooms: modules that are there after a plain ``import`` of the package.
    """
    home_of = {name: f"{package}.{home}" for home, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name in home_of:
            return getattr(import_module(home_of[name]), name)
        if name in rooms:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
