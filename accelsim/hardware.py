"""The accelerator schema: what a hardware file may say, each key with its meaning.

The models are frozen and refuse unknown keys. Quantities keep the unit they were written in
until the clock is known; the properties of `Hardware` give them in cycles and bytes.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import ceil
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from accelsim.dram.sheet import DramTiming
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
DataflowName = Literal["os", "ws", "is"]
OPERANDS: tuple[Operand, ...] = get_args(Operand)
DATAFLOWS: tuple[DataflowName, ...] = get_args(DataflowName)

_FLOATS = {"float32": 32, "float16": 16, "bfloat16": 16}
_INTEGER = re.compile(r"(u?)int(\d+)")


def format_bits(number_format: str) -> int:
    """Bits of a number format such as `int8`; ValueError for an unknown one."""
    integer = _INTEGER.fullmatch(number_format)
    if number_format in _FLOATS:
        return _FLOATS[number_format]
    if integer is None:
        raise ValueError(
            f"unknown number format {number_format!r}; use int8, uint8, int16, int32, "
            "float32, float16 or bfloat16"
        )
    return int(integer[2])


def _activation_format(value: str) -> str:
    if value not in ("int8", "uint8", "int16", *_FLOATS):
        raise ValueError(
            f"unknown number format {value!r}; use int8, uint8, int16, float32, float16 or bfloat16"
        )
    return value


def _psum_format(value: str) -> str:
    if value not in _FLOATS and not (value.startswith("int") and 8 <= format_bits(value) <= 48):
        raise ValueError(
            f"unknown psum format {value!r}; use int8 to int48 (an accumulator's own width, "
            "such as int24 or int32), float32, float16 or bfloat16"
        )
    return value


def _text(parse: Callable[[object], object], example: str) -> tuple[Any, Any]:
    """Annotations of a quantity that a file gives as text with a unit."""
    return BeforeValidator(parse), WithJsonSchema({"type": "string", "examples": [example]})


Size = Annotated[int, *_text(parse_size, "64 KiB")]
Clock = Annotated[int, *_text(parse_clock, "1 GHz")]
Bandwidth = Annotated[Rate, *_text(parse_rate, "16 GB/s")]
Time = Annotated[Duration, *_text(parse_time, "100 ns")]
Count = Annotated[int, Field(gt=0, le=2**16, strict=True)]
ActivationFormat = Annotated[str, AfterValidator(_activation_format)]
PsumFormat = Annotated[str, AfterValidator(_psum_format)]


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Array(_Schema):
    """A systolic array of MACs."""

    rows: Count = Field(description="PEs in a column.")
    cols: Count = Field(description="PEs in a row.")
    dataflow: DataflowName = Field(description="What stays in the PEs: os, ws or is.")
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
    count: Annotated[int, Field(gt=0, le=1024, strict=True)] = Field(
        1, description="Arrays that share the DRAM, each with its own buffers."
    )


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
        if len({value in _FLOATS for value in formats.values()}) > 1:
            listed = ", ".join(f"{operand} {value}" for operand, value in formats.items())
            raise ValueError(f"integer and float formats do not mix: {listed}")
        if self.ifmap != self.ofmap:
            raise ValueError(
                "the ofmap of a layer is the ifmap of the next, so give them one format: "
                f"ifmap is {self.ifmap}, ofmap {self.ofmap}"
            )
        return self

    @property
    def is_integer(self) -> bool:
        """Whether the formats are integers, so that values can be exact."""
        return self.ifmap not in _FLOATS

    def bytes_of(self, operand: Operand) -> int:
        """Bytes of one word of `operand`, rounded up to whole bytes."""
        return ceil_div(format_bits(getattr(self, operand)), 8)


class Buffer(_Schema):
    """An SRAM on the chip."""

    holds: Annotated[tuple[Operand, ...], Field(min_length=1)] = Field(
        description="Operands kept here: ifmap, filter, psum, ofmap."
    )
    size: Size = Field(description="Capacity, such as 64 KiB.")
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
    dram: DramChannel = Field(description="The memory outside the chip.")

    @field_validator("buffers")
    @classmethod
    def _every_operand_once(cls, buffers: dict[str, Buffer]) -> dict[str, Buffer]:
        problems = holding_problems({name: buffer.holds for name, buffer in buffers.items()})
        if problems:
            raise ValueError("; ".join(problems))
        return buffers

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
