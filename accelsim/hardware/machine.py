"""The accelerator schema: what a hardware file may say, each key with its meaning.

The models are frozen and refuse unknown keys. Quantities keep the unit they were written in
until the clock is known; the properties of `Hardware` give them in cycles and bytes.
"""

from collections import Counter
from fractions import Fraction
from math import ceil
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from accelsim.hardware.array import Array
from accelsim.hardware.memory import Buffer, DramChannel, holding_problems
from accelsim.hardware.quantities import (
    BEST,
    DATAFLOWS,
    OPERANDS,
    SYSTOLIC,
    Clock,
    Count,
    DataflowName,
    FusedKind,
    Operand,
    Schema,
    Where,
)
from accelsim.number_formats import FLOATS, ActivationFormat, PsumFormat, format_bits
from accelsim.technology import EnergyTable, json_schema_with_name
from accelsim.units import ceil_div


class Precision(Schema):
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


class VectorUnit(Schema):
    """The unit for pooling, activations and element-wise work."""

    lanes: Count = Field(description="Operations per cycle.")


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


class Hardware(Schema):
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
        "activation; add, of a tensor that streams in; pool, where tiles have whole windows.",
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

    @field_validator("fused")
    @classmethod
    def _kinds_once(cls, fused: tuple[FusedKind, ...]) -> tuple[FusedKind, ...]:
        twice = [kind for kind, times in Counter(fused).items() if times > 1]
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice; keep one")
        return fused

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
        """The dataflows that it can run: some only where its PEs have spads."""
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

    def __repr__(self) -> str:
        """One line; `accelsim show` has every setting."""
        array = self.array
        several = f"{array.count} x " if array.count > 1 else ""
        what = f"{several}{array.rows}x{array.cols} PEs, {array.dataflow}"
        return f"<Hardware {self.name!r}: {what}>"

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
