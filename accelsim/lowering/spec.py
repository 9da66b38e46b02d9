"""The checked spec of a Program: what must be true of every schedule, whatever made it.

Worked out from nothing but a layer's kernel and the tiles and steps of its tasks, one by one:

* every MAC once, every ofmap element finished once, sums in the order of channels and taps;
* a step does the operations of its tile, in its tile's cycles and words, and moves the bytes of its
  tile's regions;
* what a tile reads has been loaded, psums that leave come back, and none are left behind;
* the room that tasks take is given back, and there is never more of it than a buffer has.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.lowering.gemm_spec import GemmSpec
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.step_spec import Found, KernelSpec
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Room, Step, Task, Tile
from accelsim.lowering.vector_spec import VectorSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a layer's schedule, and at which tile of which array."""

    layer: str
    array: int
    task: int
    tile: Tile | None
    message: str

    def __str__(self) -> str:
        """The problem in a sentence."""
        at = f"layer {self.layer}, array {self.array}"
        if self.tile is None:
            return f"{at}: {self.message}"
        return f"{at}, task {self.task} ({described(self.tile)}): {self.message}"


def described(tile: Tile) -> str:
    """A tile by its coordinates."""
    pixels = tile.pixels
    axes = {"images": pixels.batch, "rows": pixels.rows, "columns": pixels.cols}
    axes["channels"] = tile.channels
    if isinstance(tile, GemmTile):
        axes |= {"groups": tile.groups, "filters": tile.filters}
        axes |= {"tap rows": tile.tap_rows, "tap columns": tile.tap_cols}
    return ", ".join(f"{name} {span.start}:{span.stop}" for name, span in axes.items())


def program_problems(program: Program) -> Iterator[Problem]:
    """What is wrong with the schedules of `program`."""
    for layer in program.layers:
        yield from layer_problems(layer, program.target)


def layer_problems(layer: LayerProgram, target: Target) -> Iterator[Problem]:
    """What is wrong with the schedules of a layer."""
    match layer.kernel:
        case GemmKernel() as kernel:
            spec: KernelSpec = GemmSpec(layer, target, kernel)
        case VectorKernel() as vector:
            spec = VectorSpec(layer, target, vector)
        case _:
            return
    name = layer.layer.name
    for array, schedule in enumerate(layer.schedules):
        tiles, steps = [*schedule.tiles()], [*schedule.steps]
        if len(tiles) != len(steps):
            message = f"{len(tiles)} tiles have {len(steps)} steps"
            yield Problem(layer=name, array=array, task=0, tile=None, message=message)
            continue
        for found in (spec.tasks(schedule), _room_problems(spec, schedule, layer.spaces)):
            for index, message in found:
                yield Problem(
                    layer=name,
                    array=array,
                    task=index,
                    tile=tiles[index] if tiles else None,
                    message=message,
                )
    for done in (spec.done, spec.pooled):
        for message in done.problems() if done else ():
            yield Problem(layer=name, array=0, task=0, tile=None, message=message)


def _room_problems(spec: KernelSpec, schedule: Schedule, spaces: tuple[int, ...]) -> Found:
    """Room that is not there, too little for a tile, or not given back."""
    held: Counter[int] = Counter()
    index = 0
    for index, task in enumerate(schedule.tasks):
        step = task.step
        for room in (*step.reserves, *(load.room for load in step.loads), *step.opens):
            if room.buffer >= len(spaces):
                yield index, f"there is no buffer {room.buffer}"
                return
            held[room.buffer] += room.size
            if held[room.buffer] > spaces[room.buffer]:
                yield index, f"buffer {room.buffer} holds {held[room.buffer]:,} bytes: too many"
        for buffer, size in _needed(spec, task).items():
            if held[buffer] < size:
                yield index, f"it has {held[buffer]:,} bytes of buffer {buffer} for {size:,}"
        for room in (*step.closes, *_freed(step)):
            held[room.buffer] -= room.size
            if held[room.buffer] < 0:
                yield index, f"more room is given back to buffer {room.buffer} than was taken"
                held[room.buffer] = 0
    for buffer, size in held.items():
        if size:
            yield index, f"{size:,} bytes of buffer {buffer} are never given back"


def _needed(spec: KernelSpec, task: Task) -> dict[int, int]:
    """Bytes that a task needs at least of each buffer.

    Not of an array that reserves blocks, through which operands stream.
    """
    target, bytes_of = spec.target, Counter[int]()
    if target.reserves_blocks:
        return bytes_of
    size = {name: words * target.bytes_of(name) for name, words in spec.needs(task).items()}
    psum, ofmap = target.buffer_index("psum"), target.buffer_index("ofmap")
    if spec.shares_results and psum == ofmap:
        size["psum"], size["ofmap"] = max(size["psum"], size["ofmap"]), 0
    for name, each in size.items():
        bytes_of[target.buffer_index(name)] += each
    return bytes_of


def _freed(step: Step) -> Iterator[Room]:
    """Room that a step's way out gives back."""
    if step.store is not None:
        yield step.store.room
    if step.keep is not None and step.keep.room is not None:
        yield step.keep.room
