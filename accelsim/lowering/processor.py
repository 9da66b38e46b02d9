"""What lowering asks of a processor, whatever it is.

A tile is one, or many under comparison: then its sizes are arrays with an entry for each, and so
is every answer, by the same code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from accelsim.hardware import MappingObjective
from accelsim.lowering.extents import Cycles, Truth
from accelsim.lowering.task import Work
from accelsim.lowering.traffic import Inside, Sram

Counts = dict[str, Cycles]

CYCLES = ("streaming", "fill_drain", "buffer", "buffer_bound", "tail", "operations")
"""The numbers of `TileWork` that stand alone."""


@dataclass(frozen=True, slots=True)
class TileWork:
    """Work of a tile of one group: cycles, words at the ports, and what moves inside.

    The fields of `Work`; `sram` and `inside` hold the counts of `Sram` and `Inside` by name.
    """

    streaming: Cycles
    fill_drain: Cycles
    buffer: Cycles
    buffer_bound: Cycles
    tail: Cycles
    operations: Cycles
    sram: Counts
    inside: Counts

    @property
    def cycles(self) -> Cycles:
        """Cycles that the unit is busy."""
        return self.streaming + self.fill_drain + self.buffer

    def of_groups(self, groups: int) -> Work:
        """The work of one tile of `groups` groups, one after another."""
        return Work(
            streaming=groups * int(self.streaming),
            fill_drain=groups * int(self.fill_drain),
            buffer=groups * int(self.buffer),
            buffer_bound=groups * int(self.buffer_bound),
            tail=int(self.tail),
            operations=groups * int(self.operations),
            sram=Sram(**{name: groups * int(count) for name, count in self.sram.items()}),
            inside=Inside(**{name: groups * int(count) for name, count in self.inside.items()}),
        )

    def apart(self, tiles: int) -> list["TileWork"]:
        """The work of each of so many tiles."""
        each_alike = np.zeros(tiles, np.int64)

        def by_tile(counts: Counts) -> Iterator[Counts]:
            columns = [(count + each_alike).tolist() for count in counts.values()]
            return (dict(zip(counts, row, strict=True)) for row in zip(*columns, strict=True))

        cycles = {name: getattr(self, name) for name in CYCLES}
        parts = zip(by_tile(cycles), by_tile(self.sram), by_tile(self.inside), strict=True)
        return [TileWork(**each, sram=sram, inside=inside) for each, sram, inside in parts]


class Array(Protocol):
    """What is asked of the model of an array beside the work of its tiles."""

    reserves_blocks: ClassVar[bool]
    """Whether a tile takes all its room at once, and may fill more than half of a buffer."""

    fuses: ClassVar[bool]
    """Whether what follows a layer can be done on its results' way out."""

    skips_rows: ClassVar[bool]
    """Whether its DMA can leave out ifmap rows that no tap reads."""

    keeps_weights: ClassVar[bool]
    """Whether weights that several layers share can stay in their buffer."""

    @property
    def objective(self) -> MappingObjective:
        """What the search of its tilings minimises to save time."""


Tile = TypeVar("Tile", contravariant=True)


class Processor(Protocol[Tile]):
    """A unit that works through tiles of one kind."""

    def cycles(self, tile: Tile) -> Cycles:
        """Cycles that a tile of one group keeps the unit busy."""

    def tail(self, tile: Tile) -> Cycles:
        """Cycles from then until the last result is out."""

    def work(self, tile: Tile) -> TileWork:
        """All that a tile of one group takes."""

    def leaves_unfinished(self, tile: Tile) -> Truth:
        """Whether sums leave the unit before the tile is through, and come back."""

    def room(self, tile: Tile, footprint: Counts) -> Counts:
        """Words of each operand that need room on chip, of a tile with this `footprint`."""

    def likes(self, taps: int) -> dict[str, int]:
        """Sizes along each axis of which multiples leave no part of the unit idle.

        Axes that are not named may have any size. `taps` of a window; k is counted in channels.
        """
