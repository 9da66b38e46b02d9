"""The points of a sweep in order, each made when it is asked for: there may be a million."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from accelsim.frontend.source import KeyPath
from accelsim.sweep.axes import Settings
from accelsim.sweep.grid import Grid, Positions
from accelsim.sweep.records import Point

_AT_A_TIME = 4096

Maker = Callable[[Settings], Point | None]
NOWHERE: Positions = np.zeros(0, dtype=np.int64)


class Points(Sequence[Point]):
    """Those of the `grid` at some `positions`, then `others`."""

    def __init__(
        self, grid: Grid, positions: Positions, others: Sequence[Point], make: Maker
    ) -> None:
        self._grid, self._positions, self._make = grid, positions, make
        start = len(positions) + 1
        self._others = tuple(replace(each, place=at) for at, each in enumerate(others, start))

    def __len__(self) -> int:
        return len(self._positions) + len(self._others)

    def __iter__(self) -> Iterator[Point]:
        for start in range(0, len(self._positions), _AT_A_TIME):
            some = self._positions[start : start + _AT_A_TIME]
            for at, settings in enumerate(self._grid.settings(some), start + 1):
                yield self._made(settings, at)
        yield from self._others

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Point, ...]: ...
    def __getitem__(self, index: int | slice) -> Point | tuple[Point, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(len(self))[index])
        at = range(len(self))[index]
        if at >= len(self._positions):
            return self._others[at - len(self._positions)]
        (settings,) = self._grid.settings(self._positions[at : at + 1])
        return self._made(settings, at + 1)

    def _made(self, settings: Settings, place: int) -> Point:
        point = self._make(settings)
        assert point
        return replace(point, place=place)

    def examples(self, *paths: KeyPath) -> Iterator[Point]:
        """A point for each different choice of what sets these keys, and all of the others."""
        for settings in self._grid.settings(self._grid.examples(paths, self._positions)):
            yield self._made(settings, 0)
        yield from self._others
