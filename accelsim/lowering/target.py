"""The numbers of a hardware that lowering needs, resolved once."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.sheet import DramTiming
from accelsim.dram.transfer import Replays
from accelsim.hardware import (
    OPERANDS,
    SYSTOLIC,
    WITH_SPADS,
    DataflowName,
    Hardware,
    Objective,
    Operand,
)
from accelsim.lowering.dataflow import ArrayModel, array_model
from accelsim.lowering.energy import EnergyRates, energy_rates
from accelsim.lowering.processor import Array
from accelsim.lowering.row_stationary import RowStationary, row_stationary_model
from accelsim.lowering.task import Transfer
from accelsim.units import ceil_div

Sizes = NDArray[np.int64]  # one entry per tiling, or axes that broadcast to that


@dataclass(frozen=True, slots=True)
class BufferSpace:
    """A buffer: `size` bytes, of which a tile may take half; the next tile loads meanwhile."""

    name: str
    size: int
    holds: tuple[Operand, ...]
    bytes_per_cycle: Fraction | None = None
    bank: int = 1

    @property
    def half(self) -> int:
        """Bytes that one tile may take."""
        return self.size // 2


FilterPlace = Literal["fetched", "kept", "there"]


@dataclass(frozen=True, slots=True)
class Residence:
    """What of a layer lies on chip, in the buffer that holds ifmaps.

    `ifmaps` says it for each input, of a GEMM for its ifmap and what is added on the way out: a
    resident one is read in place, so no tile of it is loaded.
    `kept`: the ofmap goes to its place there. `stored`: it goes to DRAM. Of its `filter` tiles are
    fetched; or all of it comes to a place in its own buffer, where later layers find it there.
    """

    ifmaps: tuple[bool, ...] = ()
    kept: bool = False
    stored: bool = True
    filter: FilterPlace = "fetched"

    @property
    def on_chip(self) -> bool:
        """Whether any of it is."""
        return self.kept or any(self.ifmaps)

    @property
    def ifmap(self) -> bool:
        """Whether the first input is resident: of a GEMM, the ifmap."""
        return self.ifmaps[:1] == (True,)

    @property
    def addend(self) -> bool:
        """Whether what is added to a GEMM's results is resident."""
        return self.ifmaps[1:2] == (True,)


AnyArray = ArrayModel | RowStationary
"""What lowering knows of an array under its dataflow."""

ARRAYS: tuple[type[Array], ...] = (ArrayModel, RowStationary)
"""Every kind of array; tables of what they do have a row for each."""


@dataclass(frozen=True)
class Target:
    """The numbers of a hardware that lowering needs, resolved once.

    `turnaround_cycles` are lost when the DRAM turns to reading, to writing. `residence` is of the
    layer at hand: one that uses DRAM for everything, if nothing is said. `cuts_windows`: a tile may
    have some of a window's taps; where an accumulator saturates, the order of its sums matters,
    and all taps of a channel stay together. `loads_anew`: a tile brings its ifmap and filter even
    where the tile before it had the same. `replays` remembers what a timed DRAM takes.
    `rates` are there if the `objective` of the search asks for energy.
    """

    processor: AnyArray
    arrays: int
    lanes: int
    word_bytes: tuple[int, int, int, int]
    buffers: tuple[BufferSpace, ...]
    dram_bytes_per_cycle: Fraction
    dram_latency: int
    dram_burst: int
    timing: DramTiming | None = None
    cycles_per_clock: Fraction = Fraction(0)
    turnaround_cycles: tuple[int, int] = (0, 0)
    residence: Residence = Residence()
    cuts_windows: bool = True
    loads_anew: bool = False
    replays: Replays = field(default_factory=Replays, compare=False, repr=False)
    objective: Objective = "time"
    rates: EnergyRates | None = None

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """Another process hashes otherwise."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _hash(self) -> int:
        """Worked out once: whatever searches remember has a target in its key."""
        return hash(tuple(getattr(self, each.name) for each in fields(self) if each.compare))

    @cached_property
    def _holding(self) -> "dict[Residence, Target]":
        return {}

    def holding(self, residence: Residence) -> "Target":
        """The same with so much of a layer on chip, made once."""
        known = self._holding
        if residence not in known:
            known[residence] = replace(self, residence=residence)
        return known[residence]

    @property
    def sharers(self) -> int:
        """Arrays that may share the layer at hand: what lies on chip is in the buffer of one."""
        return 1 if self.residence.on_chip else self.arrays

    @cached_property
    def beside_array(self) -> tuple[object, ...]:
        """All that a unit beside the array sees, to be compared: of the array only its kind."""
        seen = (each.name for each in fields(self) if each.compare and each.name != "processor")
        return type(self.processor), *(getattr(self, name) for name in seen)

    @cached_property
    def of_any_filters(self) -> "Target":
        """The same for all sizes of a buffer that holds filters only."""
        buffers = (
            replace(each, size=0) if each.holds == ("filter",) else each for each in self.buffers
        )
        return replace(self, buffers=tuple(buffers))

    @property
    def without_dram(self) -> "Target":
        """The same with a DRAM of no account: what tiles there are, and their work, is the same."""
        return replace(
            self,
            dram_bytes_per_cycle=Fraction(1),
            dram_latency=0,
            dram_burst=1,
            timing=None,
            cycles_per_clock=Fraction(0),
            turnaround_cycles=(0, 0),
            objective="time",
            rates=None,
        )

    @cached_property
    def at_any_rate(self) -> "Target":
        """The same for all rates and latencies of DRAM, as far as its bursts are all that counts.

        With a data sheet even what a transfer occupies depends on the rate, so nothing changes.
        """
        if self.timing is not None:
            return self
        return replace(self, dram_bytes_per_cycle=Fraction(1), dram_latency=0)

    @cached_property
    def of_any_size(self) -> "Target":
        """The same for all sizes of its buffers."""
        return replace(self, buffers=tuple(replace(space, size=0) for space in self.buffers))

    def with_room_of(self, share: Fraction) -> "Target":
        """The same with a share of its buffers, in whole bytes."""
        buffers = (replace(each, size=int(each.size * share)) for each in self.buffers)
        return replace(self, buffers=tuple(buffers))

    @property
    def computes_in_place(self) -> bool:
        """Whether the ofmap needs no tile: it is only kept, in the buffer that it comes out to."""
        unified = self.buffer_index("ifmap") == self.buffer_index("ofmap")
        return unified and self.residence.kept and not self.residence.stored

    @property
    def moves_on_chip(self) -> bool:
        """Whether a tile of the ofmap is kept in another buffer than it comes out to."""
        return self.residence.kept and self.buffer_index("ifmap") != self.buffer_index("ofmap")

    @property
    def move_bytes_per_cycle(self) -> Fraction | None:
        """How fast a kept ofmap gets to the ifmap's buffer: the slower rate of the two buffers.

        None if that takes no time: they are unlimited, or one and the same.
        """
        if not self.moves_on_chip:
            return None
        ends = (self.buffers[self.buffer_index(each)] for each in ("ifmap", "ofmap"))
        rates = [end.bytes_per_cycle for end in ends]
        return min((rate for rate in rates if rate is not None), default=None)

    def move_cycles(self, size: Sizes) -> NDArray[np.float64]:
        """Cycles of `size` bytes on that way, not rounded."""
        rate = self.move_bytes_per_cycle
        return size / float(rate) if rate is not None else np.zeros_like(size, dtype=float)

    @property
    def array(self) -> ArrayModel:
        """The systolic array."""
        return cast(ArrayModel, self.processor)

    @property
    def row_stationary(self) -> RowStationary:
        """The row-stationary array."""
        return cast(RowStationary, self.processor)

    @property
    def reserves_blocks(self) -> bool:
        """Whether work takes all its room at once, since a block may fill more than half."""
        return self.processor.reserves_blocks

    @property
    def in_flight(self) -> int:
        """Position in `buffers` of the two places for tiles whose operands stream through."""
        return next(i for i, space in enumerate(self.buffers) if not space.holds)

    def bytes_of(self, operand: Operand) -> int:
        """Bytes of one word of `operand`."""
        return self.word_bytes[OPERANDS.index(operand)]

    def buffer_index(self, operand: Operand) -> int:
        """Position in `buffers` of the one that holds `operand`."""
        return self._places[operand]

    @cached_property
    def _places(self) -> dict[Operand, int]:
        return {item: index for index, each in enumerate(self.buffers) for item in each.holds}

    def transfer_cycles(self, size: int) -> int:
        """Cycles that `size` bytes occupy the DRAM channel, whole bursts and whole cycles."""
        rounded = ceil_div(size, self.dram_burst) * self.dram_burst
        rate = self.dram_bytes_per_cycle
        return ceil_div(rounded * rate.denominator, rate.numerator)

    def occupied_cycles(self, transfer: Transfer) -> int:
        """Cycles that a tile's transfer occupies the DRAM channel: as its runs take, if timed."""
        least = self.transfer_cycles(transfer.size)
        if self.timing is None:
            return least
        clocks = self.replays.transfer_clocks(self.timing, transfer.runs, transfer.is_write)
        return max(least, ceil(clocks * self.cycles_per_clock))


MODELS: dict[DataflowName, Callable[[Hardware], AnyArray]] = {
    **dict.fromkeys(SYSTOLIC, array_model),
    **dict.fromkeys(WITH_SPADS, row_stationary_model),
}
"""What the law of each dataflow sees of a hardware."""


def target_of(hardware: Hardware, replays: Replays | None = None) -> Target:
    """What lowering needs to know of `hardware`, whose dataflow is one; `replays` if kept."""
    words = [hardware.precision.bytes_of(operand) for operand in OPERANDS]
    objective = hardware.array.objective
    processor = MODELS[hardware.array.dataflow](hardware)
    streams = (
        (BufferSpace(name="tiles in flight", size=2, holds=()),)
        if processor.reserves_blocks
        else ()
    )
    return Target(
        processor=processor,
        arrays=hardware.array.count,
        lanes=hardware.vector_unit.lanes,
        word_bytes=(words[0], words[1], words[2], words[3]),
        buffers=tuple(
            BufferSpace(
                name=name,
                size=buffer.size,
                holds=buffer.holds,
                bytes_per_cycle=hardware.buffer_bytes_per_cycle(name),
                bank=buffer.bank,
            )
            for name, buffer in hardware.buffers.items()
        )
        + streams,
        dram_bytes_per_cycle=hardware.dram_bytes_per_cycle,
        dram_latency=hardware.dram_latency_cycles,
        dram_burst=hardware.dram_burst,
        timing=hardware.dram.timing,
        cycles_per_clock=hardware.cycles_per_dram_clock,
        turnaround_cycles=_turnaround(hardware),
        cuts_windows=hardware.precision.psum_overflow != "saturate",
        loads_anew=hardware.tile_loads == "all",
        replays=Replays() if replays is None else replays,
        objective=objective,
        rates=None if objective == "time" else energy_rates(hardware),
    )


def _turnaround(hardware: Hardware) -> tuple[int, int]:
    """Cycles beyond a burst from the last write to a read, and from the last read to a write."""
    sheet = hardware.dram.timing
    if sheet is None:
        return 0, 0
    clocks = sheet.write_to_read(within_group=False), sheet.read_to_write
    to_read, to_write = (
        ceil((each - sheet.nBL) * hardware.cycles_per_dram_clock) for each in clocks
    )
    return max(to_read, 0), max(to_write, 0)
