"""What lowering asks of a processor, whatever it is.

A tile is one, or many under comparison: then its sizes are arrays with an entry for each, and so
is every answer, by the same code.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Protocol, TypeVar

from accelsim.hardware import MappingObjective
from accelsim.lowering.extents import Cycles, Truth
from accelsim.lowering.task import Work
from accelsim.lowering.traffic import Inside, Sram

Counts = dict[str, Cycles]


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
        times = {
            field.name: groups * int(getattr(self, field.name))
            for field in fields(self)
            if field.name not in ("tail", "sram", "inside")
        }
        return Work(
            **times,
            tail=int(self.tail),
            sram=Sram(**{name: groups * int(count) for name, count in self.sram.items()}),
            inside=Inside(**{name: groups * int(count) for name, count in self.inside.items()}),
        )


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
