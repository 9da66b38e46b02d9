"""What an operation or an access costs in a process technology: energy tables.

A table gives published points. Between and beyond them hold power laws, each a straight line in
log-log: a multiplier of a x b bits has a*b cells, an adder is linear in its width, and an SRAM's
bit and word lines are as long as the side of its square, the root of its capacity. A word costs
as many times one of the table's accesses as it has bits.
"""

import re
from collections.abc import Mapping
from math import log, pow, sqrt
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from accelsim.units import parse_size

MULTIPLIER_EXPONENT = 2.0
ADDER_EXPONENT = 1.0
SRAM_EXPONENT = 0.5
CAPACITY_EXPONENT = 1.0
"""Of an SRAM's area and leakage in its capacity, where there is one point."""


def power_law(points: Mapping[int, float], at: float, exponent: float) -> float:
    """The value at `at` on straight log-log lines through `points`.

    The end lines go on beyond the points; through one point alone the line has slope `exponent`.
    """
    places = sorted(points)
    if len(places) == 1:
        (place,) = places
        return points[place] * pow(at / place, exponent)
    above = next((index for index in range(1, len(places)) if at <= places[index]), -1)
    high = places[above]
    low = places[places.index(high) - 1]
    slope = log(points[high] / points[low]) / log(high / low)
    return points[low] * pow(at / low, slope)


def _size_of(key: object) -> int:
    """Bytes of a mapping's key; one that is read already stays as it is."""
    return key if isinstance(key, int) else parse_size(key)


def _bits_of(key: object) -> object:
    """Bits from a mapping's key, which is text: plain decimal digits."""
    return int(key) if isinstance(key, str) and _DIGITS.fullmatch(key) else key


_DIGITS = re.compile("[1-9][0-9]{0,9}")
_KEY = {"type": "string", "examples": ["64 KiB"]}
SizeKey = Annotated[int, BeforeValidator(_size_of), WithJsonSchema(_KEY)]
Bits = Annotated[int, BeforeValidator(_bits_of), Field(gt=0, le=2**16, strict=True)]
Amount = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False, strict=True)]
ByWidth = dict[Bits, Amount]


Found = float | None
"""A figure; None if it is not known."""


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Operation(_Schema):
    """An arithmetic operation by the width of its operands, in bits."""

    integer: ByWidth = Field({}, description="What it takes by operand bits, of integers.")
    float: ByWidth = Field({}, description="What it takes by operand bits, of floats.")

    def points(self, integer: bool) -> ByWidth:
        """The points of a kind of numbers; empty where the table has none."""
        return self.integer if integer else self.float


class Access(_Schema):
    """An access or a move of `bits` bits."""

    bits: Bits = Field(description="Bits that the energy is given for; other widths in proportion.")
    energy: Amount = Field(description="Energy of it.")

    @property
    def per_bit(self) -> float:
        """Energy of one bit."""
        return self.energy / self.bits


class SramAccess(_Schema):
    """An access of `bits` bits, by the size of the SRAM."""

    bits: Bits = Field(description="Bits of one access; other widths in proportion.")
    energy: Annotated[dict[SizeKey, Amount], Field(min_length=1)] = Field(
        description="Energy of an access by capacity, such as 8 KiB: 10; log-log between and "
        "beyond, as the root of the capacity where there is one point."
    )

    def per_bit(self, size: int) -> float:
        """Energy of one bit of an SRAM of `size` bytes."""
        return power_law(self.energy, size, SRAM_EXPONENT) / self.bits


class Parts(_Schema):
    """How much area or leakage the parts of a chip have, as published; left out: not known."""

    technology: Annotated[str, Field(min_length=1)] = Field(
        description="The technology of these figures, such as 40 nm; none is scaled to another."
    )
    multiply: Operation | None = Field(None, description="A multiplier by operand bits.")
    add: Operation | None = Field(None, description="An adder by operand bits.")
    register_bit: Amount | None = Field(None, description="A bit of a PE's registers.")
    sram: dict[SizeKey, Amount] = Field(
        {},
        description="An SRAM by capacity; in proportion where there is one point. A larger one "
        "than the largest is several of that, and one of banks is that many of their size.",
    )
    dram_interface: dict[str, Amount] = Field(
        {},
        description="The interface of a DRAM channel, by the name of its standard or family, "
        "such as DDR3-1600 or DDR3.",
    )

    def pe(self, operand_bits: tuple[int, int], sum_bits: int, held: int, integer: bool) -> Found:
        """A multiplier, an adder and `held` bits of registers; None if one is not known."""
        cells = sqrt(operand_bits[0] * operand_bits[1])
        product = _known(self.multiply, cells, integer, MULTIPLIER_EXPONENT)
        total = _known(self.add, sum_bits, integer, ADDER_EXPONENT)
        if product is None or total is None or self.register_bit is None:
            return None
        return product + total + held * self.register_bit

    def of_sram(self, size: float, bank: int = 1) -> Found:
        """An SRAM of `size` bytes, in banks of more than a byte or whole; None if not known."""
        if not self.sram:
            return None
        macro = min(size, max(self.sram), bank if bank > 1 else size)
        return size / macro * power_law(self.sram, macro, CAPACITY_EXPONENT)

    def of_interface(self, standard: str) -> Found:
        """The interface of a channel of a standard, or of its family; None if not known."""
        family = standard.partition("-")[0]
        return self.dram_interface.get(standard, self.dram_interface.get(family))


def _known(operation: Operation | None, bits: float, integer: bool, exponent: float) -> Found:
    points = operation.points(integer) if operation else {}
    return power_law(points, bits, exponent) if points else None


class EnergyTable(_Schema):
    """Energy of operations and accesses, in units of `unit_pj` picojoules."""

    name: Annotated[str, Field(min_length=1)] = Field(description="Name in reports.")
    description: str = Field("", description="One line on what it describes.")
    unit_pj: Amount = Field(1.0, description="Picojoules of the unit that all energies are in.")
    mac: Operation | None = Field(
        None,
        description="A multiply-accumulate by operand bits; as their square where there is one "
        "point. Instead of `multiply` and `add`.",
    )
    multiply: Operation | None = Field(
        None, description="A multiplication by operand bits; as `mac` beyond the points."
    )
    add: Operation | None = Field(
        None, description="An addition by operand bits; in proportion where there is one point."
    )
    register_file: Access = Field(description="A PE's register file (scratch pad), read or write.")
    pipeline_register: Access | None = Field(
        None,
        description="A PE's single pipeline register, read or write, as in systolic arrays; as "
        "`register_file` if left out.",
    )
    network: Access = Field(description="A word over the network on the chip to a PE.")
    hop: Access | None = Field(
        None,
        description="A word to the neighbouring PE, as in systolic arrays; as `network` if left "
        "out.",
    )
    sram: SramAccess = Field(description="An on-chip buffer, read or write.")
    dram: Access = Field(description="The memory outside the chip, read or write.")
    area_um2: Parts | None = Field(None, description="Area of parts, in square micrometres.")
    leakage_uw: Parts | None = Field(None, description="Power of parts at rest, in microwatts.")

    @model_validator(mode="after")
    def _one_way_to_count_a_mac(self) -> "EnergyTable":
        parts = [name for name in ("multiply", "add") if getattr(self, name) is not None]
        if self.mac is None and len(parts) < 2:
            raise ValueError("give `mac`, or `multiply` and `add`")
        if self.mac is not None and parts:
            raise ValueError(f"`mac` already includes {' and '.join(parts)}; give one or the other")
        return self

    def knows(self, integer: bool) -> bool:
        """Whether the table has arithmetic for integers, or for floats."""
        needed = (self.mac,) if self.mac else (self.multiply, self.add)
        return all(operation and operation.points(integer) for operation in needed)

    def mac_pj(self, operand_bits: tuple[int, int], sum_bits: int, integer: bool) -> float:
        """pJ of a multiplication of two widths, and the addition to a sum of `sum_bits`."""
        cells = sqrt(operand_bits[0] * operand_bits[1])
        if self.mac:
            return self.unit_pj * _at(self.mac, cells, integer, MULTIPLIER_EXPONENT)
        assert self.multiply is not None
        product = _at(self.multiply, cells, integer, MULTIPLIER_EXPONENT)
        return self.unit_pj * product + self.add_pj(sum_bits, integer)

    def add_pj(self, bits: int, integer: bool) -> float:
        """pJ of an addition; of a whole MAC where the table does not tell them apart."""
        if self.mac:
            return self.unit_pj * _at(self.mac, bits, integer, MULTIPLIER_EXPONENT)
        assert self.add is not None
        return self.unit_pj * _at(self.add, bits, integer, ADDER_EXPONENT)

    def register_pj(self, bits: int, single: bool) -> float:
        """pJ of `bits` read from or written to a PE's register: a `single` one, or a file."""
        access = (self.pipeline_register if single else None) or self.register_file
        return self.unit_pj * bits * access.per_bit

    def network_pj(self, bits: int, neighbour: bool) -> float:
        """pJ of `bits` moved to a PE: from its `neighbour`, or over the network."""
        access = (self.hop if neighbour else None) or self.network
        return self.unit_pj * bits * access.per_bit

    def sram_pj(self, bits: int, size: int) -> float:
        """pJ of `bits` read from or written to an SRAM of `size` bytes."""
        return self.unit_pj * bits * self.sram.per_bit(size)

    def dram_pj(self, bits: int) -> float:
        """pJ of `bits` read from or written to DRAM."""
        return self.unit_pj * bits * self.dram.per_bit


def _at(operation: Operation, bits: float, integer: bool, exponent: float) -> float:
    return power_law(operation.points(integer), bits, exponent)


def json_schema_with_name(schema: dict[str, Any]) -> None:
    """Let the schema of a key that holds a table take a name or a path, too."""
    schema["anyOf"].append({"type": "string", "description": "A built-in table, or a YAML file."})
