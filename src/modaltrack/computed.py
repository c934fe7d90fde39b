# SPDX-License-Identifier: Apache-2.0
"""A sequence whose items are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class ComputedSequence(Sequence[T]):
    """Define ``__len__`` and ``item``; slices are lists, and negative numbers count from the end."""

    __slots__ = ()

    @abstractmethod
    def item(self, index: int) -> T:
        """The item at an index from 0 to the length."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        numbers = range(len(self))[index]
        return self.item(numbers) if isinstance(numbers, int) else [self.item(number) for number in numbers]
