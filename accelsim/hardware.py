"""The accelerator schema: what a hardware file may say, each key with its meaning.

The models are frozen and refuse unknown keys. Quantities keep the unit they were written in
until the clock is known; the properties of `Hardware` give them in cycles and bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import ceil
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from accelsim.dram.sheet import DramTiming
from accelsim.number_formats import FLOATS, ActivationFormat, PsumFormat, format_bits
from accelsim.technology import EnergyTable, json_schema_with_name
from accelsim.units import (
    Duration,
    Rate,
    ceil_div,
    parse_clock,
    parse_rate,
    parse_size,
    parse_time,
)

Operand = Literal["ifmap", "filter", "psum", "ofmap"]
DataflowName = Literal["os", "ws", "is", "rs"] | Literal["best"]
Objective = Literal["time", "energy", "edp"]
FusedKind = Literal["activation", "add"]
Where = Literal["array", "vector"] | Literal["best"]
MappingObjective = Literal["time", "energy", "traffic"]
OPERANDS: tuple[Operand, ...] = get_args(Operand)
BEST: Final = "best"
"""As a dataflow: for each layer that of a systolic array which is best for it."""
DATAFLOWS: tuple[DataflowName, ...] = ("os", "ws", "is", "rs")
SYSTOLIC: tuple[DataflowName, ...] = ("os", "ws", "is")
"""Dataflows of a systolic array: PEs have single registers and pass words to neighbours."""


def _text(parse: Callable[[object], object], example: str) -> tuple[Any, Any]:
    """Annotations of a quantity that a file gives as text with a unit."""
    return BeforeValidator(parse), WithJsonSchema({"type": "string", "examples": [example]})


Size = Annotated[int, *_text(parse_size, "64 KiB")]
Clock = Annotated[int, *_text(parse_clock, "1 GHz")]
Bandwidth = Annotated[Rate, *_text(parse_rate, "16 GB/s")]
Time = Annotated[Duration, *_text(parse_time, "100 ns")]
Count = Annotated[int, Field(gt=0, le=2**16, strict=True)]


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


NO_SPADS = (
    "dataflow rs needs the spads and networks of the PEs: add array.row_stationary "
    "(as configs/eyeriss.yaml does), or choose os, ws or is"
)


class RowStationarySpec(_Schema):
    """What the row-stationary dataflow needs to know of the PEs and their networks."""

    ifmap_spad: Count = Field(description="Words of ifmap that a PE holds.")
    filter_spad: Count = Field(description="Words of filters that a PE holds.")
    psum_spad: Count = Field(description="Psums that a PE holds.")
    ifmap_network: Bandwidth = Field(description="Rate of ifmap words to all PEs: 2 B/cycle.")
    filter_network: Bandwidth = Field(description="Rate of filter words to all PEs: 8 B/cycle.")
    psum_in_network: Bandwidth = Field(description="Rate of psums from their buffer to the PEs.")
    psum_out_network: Bandwidth = Field(description="Rate of psums from the PEs to their buffer.")
    pipeline_stages: Annotated[int, Field(gt=0, le=64, strict=True)] = Field(
        1, description="Stages of a PE, which a psum passes on its way up the PE set."
    )
    objective: MappingObjective = Field(
        "time",
        description="What the search of mappings minimises: time; energy: 200 per DRAM word and 6 "
        "per buffer word; traffic: of the mappings that cut filters evenly and fill nine tenths of "
        "the PEs, that of DRAM, then of the buffers, as Eyeriss' own mappings do.",
    )


class Stream(_Schema):
    """How pixels stream past filters that stay, command by command."""

    piece: Count = Field(
        description="Pixels of one ofmap row that a command streams at most; the last piece of a "
        "row has what is left of it. A matrix is one row."
    )
    least: Count = Field(1, description="Steps that a piece takes however few its pixels.")
    in_flight: Annotated[int, Field(ge=1, le=1024, strict=True)] | None = Field(
        None,
        description="Pieces that the array holds at a time, from a piece's first pixel until its "
        "last result is out, rows + cols + 1 cycles after its last pixel; any number if left out.",
    )

    @model_validator(mode="after")
    def _a_whole_piece_is_enough(self) -> "Stream":
        if self.least > self.piece:
            raise ValueError(f"least {self.least} is more than piece {self.piece}")
        return self


class Array(_Schema):
    """An array of MACs: systolic (os, ws, is) or row stationary (rs)."""

    rows: Count = Field(description="PEs in a column.")
    cols: Count = Field(description="PEs in a row.")
    dataflow: DataflowName = Field(
        description="What stays in the PEs: os, ws, is or rs; best: for each layer that of os, ws "
        "and is which `objective` finds best."
    )
    objective: Objective = Field(
        "time",
        description="What the dataflow best minimises: time; energy, which needs a table; edp, "
        "their product.",
    )
    fold_overlap: Literal["serial", "pipelined"] = Field(
        "serial",
        description="serial: a fold starts when the one before has drained; pipelined: shadow "
        "registers let the next fold load, and the last one drain, while this one streams.",
    )
    edge_folds: Literal["full", "used"] = Field(
        "full",
        description="full: an edge fold costs as much as a full one; used: only the rows and "
        "columns it fills.",
    )
    reduction: Literal["window", "tap"] = Field(
        "window",
        description="What shares a fold of the side that sums up (rows under ws and is, time under "
        "os): window, all channels and taps of a kernel packed together; tap, channels of one tap "
        "only, and the taps one after another.",
    )
    stream: Stream | None = Field(
        None,
        description="Pieces in which pixels stream under ws, where folds are pipelined; the next "
        "filters load beside a fold's first piece. All pixels of a tile together if left out.",
    )
    drain: Literal["rows", "cols"] = Field(
        "rows",
        description="Which way ofmaps that stay (os) leave: rows, down their column through the "
        "rows below; cols, along their row through the columns beside.",
    )
    drain_start: Literal["lane", "array"] = Field(
        "lane",
        description="When they start to leave: lane, each column (or row) when its own last PE "
        "has finished; array, all together when the last PE of all has.",
    )
    mac_stages: Annotated[int, Field(gt=0, le=64, strict=True)] = Field(
        1,
        description="Registers from a PE's operands to its result: 1 multiplies and adds in one "
        "cycle; product, sum and output registers are 3.",
    )
    psum_registers: Annotated[int, Field(gt=0, le=64, strict=True)] = Field(
        1, description="Registers that a psum passes in each PE where psums move (ws, is)."
    )
    count: Annotated[int, Field(gt=0, le=1024, strict=True)] = Field(
        1, description="Arrays that share the DRAM, each with its own buffers."
    )
    row_stationary: RowStationarySpec | None = Field(
        None, description="Spads and networks of the PEs; the dataflow rs needs them."
    )

    @model_validator(mode="after")
    def _rows_have_spads(self) -> "Array":
        if self.dataflow == "rs" and self.row_stationary is None:
            raise ValueError(NO_SPADS)
        return self

    @model_validator(mode="after")
    def _pieces_are_pipelined(self) -> "Array":
        if self.stream is not None and self.fold_overlap == "serial":
            raise ValueError("stream needs fold_overlap: pipelined; a serial fold drains first")
        return self


class Precision(_Schema):
    """Number formats of the operands."""

    ifmap: ActivationFormat = Field("int8", description="Format of activations as they are read.")
    filter: ActivationFormat = Field("int8", description="Format of weights.")
    psum: PsumFormat = Field("int32", description="Format of partial sums.")
    ofmap: ActivationFormat = Field(
        "int8", description="Format of activations as they are written."
    )
    psum_overflow: Literal["wrap", "saturate"] = Field(
        "wrap", description="What an integer accumulator does with a sum that it cannot hold."
    )

    @model_validator(mode="after")
    def _formats_agree(self) -> "Precision":
        formats = {operand: str(getattr(self, operand)) for operand in OPERANDS}
        if len({value in FLOATS for value in formats.values()}) > 1:
            listed = ", ".join(f"{operand} {value}" for operand, value in formats.items())
            raise ValueError(f"integer and float formats do not mix: {listed}")
        if self.ifmap != self.ofmap:
            raise ValueError(
                "the ofmap of a layer is the ifmap of the next, so give them one format: "
                f"ifmap is {self.ifmap}, ofmap {self.ofmap}"
            )
        return self

    @property
    def flow(self) -> str:
        """The formats in the order of a layer's values."""
        return f"{self.ifmap} x {self.filter} -> {self.psum} -> {self.ofmap}"

    @property
    def is_integer(self) -> bool:
        """Whether the formats are integers, so that values can be exact."""
        return self.ifmap not in FLOATS

    def bytes_of(self, operand: Operand) -> int:
        """Bytes of one word of `operand`, rounded up to whole bytes."""
        return ceil_div(format_bits(getattr(self, operand)), 8)


class Buffer(_Schema):
    """An SRAM on the chip."""

    holds: Annotated[tuple[Operand, ...], Field(min_length=1)] = Field(
        description="Operands kept here: ifmap, filter, psum, ofmap."
    )
    size: Size = Field(description="Capacity, such as 64 KiB.")
    bank: Size = Field(
        1,
        description="Operands take whole banks of this size (rs), such as 4 KiB, and what a pass "
        "reads of an image lies in one; a buffer without banks if left out.",
    )
    bandwidth: Bandwidth | None = Field(
        None, description="Rate at the array's side, such as 32 B/cycle; unlimited if left out."
    )


def holding_problems(holds: Mapping[str, Iterable[object]]) -> list[str]:
    """What is wrong with who holds what: every operand is held by exactly one buffer."""
    held = Counter(operand for operands in holds.values() for operand in operands)
    missing = ", ".join(operand for operand in OPERANDS if not held[operand])
    repeated = ", ".join(operand for operand in OPERANDS if held[operand] > 1)
    problems = []
    if missing:
        problems.append(f"no buffer holds {missing}; add it to a buffer's `holds`")
    if repeated:
        problems.append(f"more than one buffer holds {repeated}; keep one")
    return problems


class VectorUnit(_Schema):
    """The unit for pooling, activations and element-wise work."""

    lanes: Count = Field(description="Operations per cycle.")


class DramChannel(_Schema):
    """The memory outside the chip: a plain rate, or a standard from whose data sheet it follows."""

    bandwidth: Bandwidth | None = Field(
        None, description="Peak rate, such as 16 GB/s; follows from `timing` if that is given."
    )
    latency: Time | None = Field(
        None,
        description="From the end of a transfer's turn on the channel to its data, such as 100 ns; "
        "none if left out, and as `timing` says if that is given.",
    )
    burst: Size | None = Field(
        None,
        description="Granularity of a transfer, such as 64 B; shorter ends cost a whole one. 1 B "
        "if left out, and as `timing` says if that is given.",
    )
    timing: DramTiming | None = Field(
        None,
        description="A DRAM standard instead of bandwidth, latency and burst: its name, or a "
        "mapping of `standard` and what is different from its data sheet.",
    )
    unread_rows: Literal["read", "skip"] = Field(
        "read",
        description="Rows of an ifmap that no tap reads, for a stride keeps windows apart: read "
        "with the others, or skipped by a DMA that takes rows with a stride (systolic arrays).",
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_defaults(cls, data: Any) -> Any:
        """Without `timing`, no latency and bursts of a byte are what is left out."""
        if not isinstance(data, dict) or data.get("timing") is not None:
            return data
        return {"latency": "0 cycles", "burst": "1 B", **data}

    @model_validator(mode="after")
    def _one_form(self) -> "DramChannel":
        plain = [name for name in ("bandwidth", "latency", "burst") if getattr(self, name)]
        if self.timing is not None and plain:
            raise ValueError(
                f"both timing and {', '.join(plain)} are given; leave out timing for a plain rate, "
                f"or {', '.join(plain)}, which follow from the standard"
            )
        if self.timing is None and self.bandwidth is None:
            raise ValueError(
                "give a bandwidth, such as 16 GB/s, or the timing of a standard, such as DDR4-2400"
            )
        return self


def _switch(value: object) -> object:
    """on or off; YAML 1.1 reads the bare words as booleans."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Residency = Annotated[
    Literal["on", "off"],
    BeforeValidator(_switch),
    WithJsonSchema({"enum": ["on", "off", True, False]}),
]


BatchSplit = Count | Literal["auto", "whole"]
COUPLED_PARTS = ("precision", "energy")
"""Keys of `Hardware` that are held against each other; every other is right or wrong by itself."""


class Hardware(_Schema):
    """An accelerator: array, buffers, vector unit and DRAM."""

    name: Annotated[str, Field(min_length=1)] = Field(description="Name in reports.")
    description: str = Field("", description="One line on what it describes, for `accelsim list`.")
    clock: Clock = Field(description="Clock of array, buffers and vector unit, such as 1 GHz.")
    array: Array = Field(description="The MAC array.")
    precision: Precision = Field(Precision(), description="Number formats of the operands.")
    buffers: dict[str, Buffer] = Field(
        description="SRAMs by name; every operand is held by exactly one."
    )
    vector_unit: VectorUnit = Field(description="The unit beside the array.")
    fused: tuple[FusedKind, ...] = Field(
        (),
        description="Done on results as they leave a systolic array, where a run is faster so: "
        "activation; add, of a tensor that streams in from DRAM.",
    )
    depthwise: Where = Field(
        "array",
        description="What computes convolutions of one filter a channel; best: what is faster.",
    )
    dram: DramChannel = Field(description="The memory outside the chip.")
    residency: Residency = Field(
        "on",
        description="on: an ofmap that fits stays on chip, in the ifmap's buffer, for its readers "
        "(with systolic arrays); off: every layer reads from and writes to DRAM.",
    )
    batch_split: BatchSplit = Field(
        "whole",
        description="Images at a time; whole: all; auto: the fastest of all, half, down to one.",
    )
    tile_loads: Literal["changed", "all"] = Field(
        "changed",
        description="changed: a tile of a systolic array's layer brings what the tile before it "
        "did not leave; all: its ifmap and filter anew, as a loop instruction that does not know "
        "of the one before.",
    )
    energy: EnergyTable | None = Field(
        None,
        description="Energy table: a built-in name (eyeriss_65nm, horowitz_45nm), the path of a "
        "YAML file, or the table itself; no energy is reported if left out.",
        json_schema_extra=json_schema_with_name,
    )

    @field_validator("buffers")
    @classmethod
    def _every_operand_once(cls, buffers: dict[str, Buffer]) -> dict[str, Buffer]:
        problems = holding_problems({name: buffer.holds for name, buffer in buffers.items()})
        if problems:
            raise ValueError("; ".join(problems))
        return buffers

    @field_validator("energy")
    @classmethod
    def _table_has_the_formats(
        cls, table: EnergyTable | None, info: ValidationInfo
    ) -> EnergyTable | None:
        precision = info.data.get("precision")
        if table and precision and not table.knows(precision.is_integer):
            kind = "integer" if precision.is_integer else "float"
            raise ValueError(
                f"energy table {table.name} has no {kind} arithmetic, and the precision is "
                f"{precision.ifmap}; name another table, or give it the {kind} energies"
            )
        return table

    @property
    def dataflows(self) -> tuple[DataflowName, ...]:
        """The dataflows that it can run: rs only where its PEs have spads."""
        return SYSTOLIC if self.array.row_stationary is None else DATAFLOWS

    def under(self, dataflow: DataflowName) -> "Hardware":
        """This hardware with another dataflow."""
        array = self.array.model_copy(update={"dataflow": dataflow})
        return self.model_copy(update={"array": array})

    @property
    def choices(self) -> "tuple[Hardware, ...]":
        """This hardware under each dataflow that its layers may have: of `best` every systolic."""
        if self.array.dataflow != BEST:
            return (self,)
        return tuple(self.under(flow) for flow in SYSTOLIC)

    @property
    def pes(self) -> int:
        """MACs of all arrays."""
        return self.array.rows * self.array.cols * self.array.count

    @property
    def dram_bytes_per_cycle(self) -> Fraction:
        """Peak DRAM rate in bytes per clock cycle."""
        if self.dram.timing is not None:
            return self.dram.timing.bytes_per_second / self.clock
        assert self.dram.bandwidth is not None
        return self.dram.bandwidth.bytes_per_cycle(self.clock)

    @property
    def dram_burst(self) -> int:
        """Bytes of the least transfer."""
        timing = self.dram.timing
        return (self.dram.burst or 1) if timing is None else timing.burst_bytes

    @property
    def cycles_per_dram_clock(self) -> Fraction:
        """Clock cycles in one clock of the DRAM; 0 where it has none of its own."""
        timing = self.dram.timing
        return Fraction(0) if timing is None else Fraction(timing.tCK_ps * self.clock, 10**12)

    @property
    def dram_latency_cycles(self) -> int:
        """DRAM latency in clock cycles, rounded up: with `timing`, to the data of a closed row."""
        if self.dram.timing is not None:
            return ceil(self.dram.timing.lead_clocks * self.cycles_per_dram_clock)
        return self.dram.latency.cycles(self.clock) if self.dram.latency else 0

    def buffer_bytes_per_cycle(self, name: str) -> Fraction | None:
        """Rate of buffer `name` at the array's side; None is unlimited."""
        bandwidth = self.buffers[name].bandwidth
        return None if bandwidth is None else bandwidth.bytes_per_cycle(self.clock)
