"""How a layer is cut into tiles and shared out to arrays, and where a finished tile goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, product
from math import ceil
from typing import TypeVar

from accelsim.dram.transfer import Runs
from accelsim.lowering.layout import Planes
from accelsim.lowering.schedule import Turn
from accelsim.lowering.target import Target
from accelsim.lowering.task import Keep, Pixels, Room, Span, Store, spans
from accelsim.lowering.tiling import GemmTiling, VectorTiling
from accelsim.network.ops import Window
from accelsim.units import ceil_div

Item = TypeVar("Item")
Turns = tuple[Turn, ...]


def pixel_blocks(
    batch: int, rows: Window, cols: Window, tiling: GemmTiling | VectorTiling
) -> tuple[Pixels, ...]:
    """The ofmap cut into blocks, columns fastest."""
    axes = (
        spans(batch, tiling.batch),
        spans(rows.outputs, tiling.rows),
        spans(cols.outputs, tiling.cols),
    )
    return tuple(Pixels(*chosen) for chosen in product(*axes))


def ifmap_region(rows: Window, cols: Window, pixels: Pixels) -> tuple[Span, Span]:
    """The ifmap rows and columns that a block of the ofmap reads: halos included, padding not."""
    return (
        Span(*rows.span(pixels.rows.start, pixels.rows.stop)),
        Span(*cols.span(pixels.cols.start, pixels.cols.stop)),
    )


def share_out(items: Sequence[Item], arrays: int) -> list[Sequence[Item]]:
    """Contiguous blocks of `items`, one for each array; the last ones may be empty."""
    block = ceil_div(len(items), arrays)
    return [items[array * block : (array + 1) * block] for array in range(arrays)]


def shared_out(loops: Sequence[Turns], arrays: int) -> list[tuple[Turns, ...]]:
    """What each array runs of nested loops: all, or of several one loop over its share of turns."""
    if arrays == 1:
        return [tuple(loops)]
    whole = [tuple(chain(*turns)) for turns in product(*loops)]
    return [(tuple(share),) for share in share_out(whole, arrays)]


def pieces(total: int, size: int) -> Turns:
    """The sizes of `total` indices cut as `spans` does."""
    rest = total % size
    return ((size,),) * (total // size) + (((rest,),) if rest else ())


def regions(window: Window, size: int) -> Turns:
    """The outputs along an axis cut into pieces: of each its size and what it reads."""
    cuts = ((start, min(start + size, window.outputs)) for start in range(0, window.outputs, size))
    reads = ((stop - start, window.span(start, stop)) for start, stop in cuts)
    return tuple((outputs, stop - start) for outputs, (start, stop) in reads)


def sums(total: int, size: int) -> Turns:
    """Channels cut into pieces: each one's size, and whether psums start and are complete there."""
    cut = pieces(total, size)
    last = len(cut) - 1
    return tuple((*piece, i == 0, i == last) for i, piece in enumerate(cut))


@dataclass(frozen=True, slots=True)
class GemmSize:
    """Extents of a GEMM tile; `down` and `across` count the ifmap's rows and columns.

    `starts`: its psums start here. `ends`: they are complete after it.
    """

    groups: int
    batch: int
    rows: int
    down: int
    cols: int
    across: int
    filters: int
    channels: int
    starts: bool
    ends: bool

    @property
    def pixels(self) -> int:
        """Ofmap pixels."""
        return self.batch * self.rows * self.cols

    @property
    def ifmap_words(self) -> int:
        """Words of one ifmap channel."""
        return self.batch * self.down * self.across

    @property
    def ifmap(self) -> Planes:
        """What it reads of the ifmap."""
        return Planes(self.batch, self.groups * self.channels, self.down, self.across)

    @property
    def ofmap(self) -> Planes:
        """What it writes of the ofmap."""
        return Planes(self.batch, self.groups * self.filters, self.rows, self.cols)


def finished(
    target: Target, room: Room, words: int, runs: Runs
) -> tuple[Store | None, Keep | None]:
    """Where an ofmap tile of `words` goes that has `room` in the ofmap's buffer: DRAM, or stays."""
    residence = target.residence
    store = Store("ofmap", room, room.size, runs) if residence.stored else None
    if not residence.kept:
        return store, None
    size = words * target.bytes_of("ofmap")
    rate = target.move_bytes_per_cycle
    cycles = ceil(size / rate) if rate is not None else 0
    freed = room if room.size and store is None else None
    return store, Keep(target.buffer_index("ifmap"), size, cycles, freed)
