# SPDX-License-Identifier: Apache-2.0
"""What other packages add, by entry points: a group for each kind of thing, in ``GROUPS``.

A plug-in that cannot be loaded, or is not what its group holds, is named in a warning and left out: no command depends
on a package that it does not use.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

T = TypeVar("T")

GROUPS = {  # group of entry points -> what each of them names
    "modaltrack.models": "a module that calls models.register when it is imported",
    "modaltrack.key_maps": "a models.authors.KeyMap; its name is the method's",
    "modaltrack.objectives": "a class or function (recipe, model) -> training.objective.Objective",
    "modaltrack.recipes": "a function that returns a training.recipe.Recipe; its docstring describes it",
    "modaltrack.study": "a study.plan.Run; its name is the run's id",
    "modaltrack.benchmarks": "a benchmarks.Row",
    "modaltrack.readers": "a function (spec, modality) -> sources.source.Reader, or None for what it does not read",
    "modaltrack.encodings": "a sources.encodings.Encoding",
}


@cache
def _points() -> tuple[EntryPoint, ...]:
    return tuple(point for group in GROUPS for point in entry_points(group=group))


@cache
def plugins(group: str) -> dict[str, object]:
    """Name -> what the entry points of a group load, without the broken ones, which are warned about once."""
    found: dict[str, object] = {}
    for point in _points():
        if point.group == group:
            try:
                found[point.name] = point.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever another package raises at import
                leave_out(point, f"{type(error).__name__}: {error}")
    return found


def leave_out(point: EntryPoint, reason: str) -> None:
    """Warn that a plug-in is not used, naming the package to mend or to remove."""
    package = f"the package {point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    warnings.warn(
        f"The plug-in {point.name} = {point.value} ({point.group}) of {package} is left out: {reason}; "
        "update or uninstall that package.",
        stacklevel=3,
    )


def forget() -> None:
    """Look for plug-ins anew, as a new process does; for tests."""
    _points.cache_clear()
    plugins.cache_clear()


class Table(Mapping[str, T], Generic[T]):
    """Things by name: this package's own, then those that plug-ins of a group add.

    Plug-ins are loaded when a name is asked for that is not the package's own, or all names are. They add names and
    never replace one.
    """

    def __init__(self, group: str, own: Mapping[str, T], accept: Callable[[str, object], T]) -> None:
        """accept: (name, loaded object) -> the entry, or ValueError where it is none."""
        assert group in GROUPS, group
        self._group, self._own, self._accept = group, own, accept

    def __getitem__(self, name: str) -> T:
        return self._own[name] if name in self._own else self._added()[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._own, *self._added()])

    def __len__(self) -> int:
        return len(self._own) + len(self._added())

    def _added(self) -> dict[str, T]:
        made: dict[str, T] = {}
        loaded = plugins(self._group)
        for point in _points():
            if point.group != self._group or point.name not in loaded:
                continue
            try:
                if point.name in self._own:
                    raise ValueError(f"the name {point.name} is taken")
                made[point.name] = self._accept(point.name, loaded[point.name])
            except ValueError as error:
                leave_out(point, str(error))
                del loaded[point.name]  # warned about once
        return made


def expected(what: str, found: object) -> ValueError:
    """The error for a plug-in that is something else."""
    return ValueError(f"expected {what} and found {type(found).__name__}")
