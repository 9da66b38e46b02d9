"""From a tiling of a vector kernel to the schedule of its tasks, for each vector unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.layout import Planes, map_runs
from accelsim.lowering.schedule import Boxes, Schedule, Turn, plain, turns
from accelsim.lowering.target import Target
from accelsim.lowering.task import (
    Load,
    Pixels,
    Room,
    Step,
    Store,
    VectorTile,
)
from accelsim.lowering.tiles import (
    finished,
    pieces,
    regions,
    shared_out,
)
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.vector_search import loaded_inputs
from accelsim.lowering.vector_unit import VectorExtents, vector_unit


@lru_cache(maxsize=256)
def vector_schedules(
    kernel: VectorKernel, target: Target, tiling: VectorTiling
) -> tuple[Schedule, ...]:
    """The schedule of each array's vector unit."""
    axes = [
        *(pieces(kernel.channels, tiling.channels), pieces(kernel.batch, tiling.batch)),
        *(regions(kernel.rows, tiling.rows), regions(kernel.cols, tiling.cols)),
    ]

    def step(size: Turn) -> Step:
        return _vector_step(kernel, target, _Block(*size))

    return tuple(
        Schedule(plain(share, step), partial(vector_tiles, share))
        for share in shared_out(axes, target.arrays)
    )


def vector_tiles(share: Boxes) -> Iterator[VectorTile]:
    """The tiles of an array's vector unit, pixels fastest."""
    for channels, *pixels in turns([share]):
        yield VectorTile(Pixels(*pixels), channels)


@dataclass(frozen=True, slots=True)
class _Block:
    """Extents of a vector tile; `down` and `across` count the ifmap's rows and columns."""

    channels: int
    batch: int
    rows: int
    down: int
    cols: int
    across: int

    @property
    def read(self) -> Planes:
        """What it reads of each full ifmap."""
        return Planes(self.batch, self.channels, self.down, self.across)

    @property
    def written(self) -> Planes:
        """What it writes of the ofmap."""
        return Planes(self.batch, self.channels, self.rows, self.cols)


def _vector_step(kernel: VectorKernel, target: Target, tile: _Block) -> Step:
    """The step of a tile."""
    window, block = tile.read, tile.written

    def words_of(inputs: Sequence[bool]) -> int:
        per_image = len(inputs) - sum(inputs)
        return sum(inputs) * window.words + per_image * tile.channels * tile.batch

    read, written = words_of(kernel.inputs), block.words
    source = Planes(kernel.batch, kernel.channels, kernel.rows.size, kernel.cols.size)
    result = Planes(kernel.batch, kernel.channels, kernel.rows.outputs, kernel.cols.outputs)
    writes = map_runs(result, block, target.bytes_of("ofmap"))
    ifmap = Room(target.buffer_index("ifmap"), read * target.bytes_of("ifmap"))
    ofmap = Room(target.buffer_index("ofmap"), written * target.bytes_of("ofmap"))
    operations = written * kernel.operations
    work = vector_unit(target).work(VectorExtents(read, written, operations)).of_groups(1)
    fetched = loaded_inputs(kernel, target)
    reads = map_runs(source, window, target.bytes_of("ifmap"), maps=sum(fetched))
    if target.reserves_blocks:
        load = Load("ifmap", Room(ifmap.buffer, 0), True, ifmap.size, reads)
        store = Store("ofmap", ofmap, ofmap.size, writes)
        blocks = _merged(ifmap, ofmap)
        return Step((load,), (), work, work.cycles, (ifmap,), store, reserves=blocks)
    room = Room(ifmap.buffer, words_of(fetched) * target.bytes_of("ifmap"))
    rooms = (room,) if fetched else ()
    loads = (Load("ifmap", room, True, room.size, reads),) if fetched else ()
    way_out = Room(ofmap.buffer, 0) if target.computes_in_place else ofmap
    opens = (way_out,) if way_out.size else ()
    output = finished(target, way_out, written, writes)
    return Step(loads, opens, work, work.cycles, rooms, *output)


def _merged(one: Room, other: Room) -> tuple[Room, ...]:
    """Both, in the order of the buffers that hold them; as one if that is the same."""
    if one.buffer == other.buffer:
        return (Room(one.buffer, one.size + other.size),)
    return (one, other) if one.buffer < other.buffer else (other, one)
