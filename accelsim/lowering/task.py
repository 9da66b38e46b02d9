"""The tile task: which part of a layer is computed, and what that takes.

A Task pairs a tile (for the values) with a Step (bytes and cycles, for the time). A load is
listed only where its operand is not in the buffer yet, a store only where a tile's sum is
complete or must leave.
"""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from accelsim.dram.transfer import Runs
from accelsim.hardware import Operand
from accelsim.lowering.traffic import Dram, Inside, Sram


@dataclass(frozen=True, slots=True)
class Span:
    """Indices [start, stop)."""

    start: int
    stop: int
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.stop - self.start)

    def __contains__(self, index: int) -> bool:
        return self.start <= index < self.stop

    @property
    def slice(self) -> slice:
        """As an index into an array."""
        return slice(self.start, self.stop)


def spans(total: int, size: int) -> tuple[Span, ...]:
    """`total` indices cut into pieces of `size`, the last one shorter."""
    return tuple(Span(start, min(start + size, total)) for start in range(0, total, size))


@dataclass(frozen=True, slots=True)
class Pixels:
    """A block of the ofmap: images, rows and columns."""

    batch: Span
    rows: Span
    cols: Span
    count: int = field(init=False)

    def __post_init__(self) -> None:
        count = self.batch.size * self.rows.size * self.cols.size
        object.__setattr__(self, "count", count)


@dataclass(frozen=True, slots=True)
class GemmTile:
    """Part of a GEMM kernel; filters and channels count within each group, taps in the window.

    `first`: the psums start here (from the bias). `last`: they are complete after it.
    """

    groups: Span
    pixels: Pixels
    filters: Span
    channels: Span
    tap_rows: Span
    tap_cols: Span
    first: bool
    last: bool


@dataclass(frozen=True, slots=True)
class VectorTile:
    """Part of a vector kernel: channels of a block of the ofmap, and taps of its windows.

    With several parts, the `first` one of a block starts what the `last` one finishes. `turn`
    counts the passes over the channels.
    """

    pixels: Pixels
    channels: Span
    tap_rows: Span
    tap_cols: Span
    turn: int
    first: bool
    last: bool

    @property
    def alone(self) -> bool:
        """Whether it is all of its block."""
        return self.first and self.last


Tile = GemmTile | VectorTile


class Room(NamedTuple):
    """Bytes of a buffer (by its index in the target)."""

    buffer: int
    size: int


@dataclass(frozen=True, slots=True)
class Load:
    """A transfer of `size` bytes from DRAM, for which it takes room in a buffer.

    `needs_inputs`: what it brings is the layer's ifmaps. `runs` is how its bytes lie in DRAM. An
    `addend` is an ifmap that is added to results on the way out. Psums were stored by the task so
    many `behind` the one that loads them.
    """

    operand: Operand
    room: Room
    needs_inputs: bool
    size: int
    runs: Runs
    addend: bool = False
    behind: int = 0
    is_write: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Store:
    """A transfer of `size` bytes to DRAM, which frees its room when done.

    `runs` is how its bytes lie there.
    """

    operand: Operand
    room: Room
    size: int
    runs: Runs
    is_write: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Keep:
    """A finished ofmap tile of `size` bytes goes to its place in `buffer`, where it is read.

    `room` is what it had in the ofmap's buffer, and frees when it has moved; None if it was
    computed in place, or if a store frees it. Moves into a buffer take their `cycles` in turn.
    """

    buffer: int
    size: int
    cycles: int
    room: Room | None


Transfer = Load | Store


@dataclass(frozen=True, slots=True)
class Work:
    """Cycles of a tile on its unit, and what it does in them.

    `streaming` cycles feed the unit, `fill_drain` and `buffer` come on top; `buffer_bound` of
    them all belong to folds that a buffer's bandwidth limits. `operations` are MACs or lane
    operations. Results are out `tail` cycles after the unit is free again.
    """

    streaming: int
    fill_drain: int
    buffer: int
    buffer_bound: int
    tail: int
    operations: int
    sram: Sram
    inside: Inside = field(default_factory=Inside)

    @property
    def cycles(self) -> int:
        """Cycles that the unit is busy."""
        return self.streaming + self.fill_drain + self.buffer


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a task takes: room and transfers before, work, room given back, a transfer after.

    `reserves` is room that it takes at once, when the layer's inputs exist and before anything
    is moved; it may be more than half of a buffer. A finished ofmap tile is stored to DRAM, kept
    on chip, or both.
    """

    loads: tuple[Load, ...]
    opens: tuple[Room, ...]
    work: Work
    cycles: int
    closes: tuple[Room, ...]
    store: Store | None
    keep: Keep | None = None
    reserves: tuple[Room, ...] = ()

    @property
    def finishes(self) -> bool:
        """Whether an ofmap tile is complete after the task."""
        return self.keep is not None or (self.store is not None and self.store.operand == "ofmap")

    @property
    def takes(self) -> tuple[Room, ...]:
        """The room that it asks for, in turn."""
        return (*self.reserves, *(load.room for load in self.loads), *self.opens)

    @property
    def gives_back(self) -> tuple[Room, ...]:
        """The room that it gives back, till its result is put away."""
        kept = None if self.keep is None else self.keep.room
        stored = None if self.store is None else self.store.room
        return (*self.closes, *(room for room in (kept, stored) if room is not None))

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Everything that crosses the DRAM channel."""
        return self.loads if self.store is None else (*self.loads, self.store)

    @property
    def dram(self) -> Dram:
        """Bytes that cross the DRAM channel, by operand."""
        moved: dict[str, int] = {}
        for load in self.loads:
            name = f"{load.operand}_read_bytes"
            moved[name] = moved.get(name, 0) + load.size
        if self.store is not None:
            moved[f"{self.store.operand}_write_bytes"] = self.store.size
        return Dram(**moved)


@dataclass(frozen=True, slots=True)
class Task:
    """One tile."""

    tile: Tile
    step: Step
