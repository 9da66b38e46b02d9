"""Area and leakage of a hardware, as far as its energy table has published figures of its parts.

What the table does not know is absent, never zero; nothing is scaled to another technology.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import Any

from accelsim.hardware import OPERANDS, Hardware
from accelsim.lowering.laws import DATAFLOW_OF
from accelsim.number_formats import format_bits
from accelsim.technology import Parts


@dataclass(frozen=True, slots=True)
class Chip:
    """What the parts of a chip have, of all arrays; a part that is not known is absent.

    pes: multiplier, adder and registers of every PE, without wires, control and clock.
    """

    technology: str
    pes: float | None
    buffers: Mapping[str, float]
    dram_interface: float | None

    @property
    def total(self) -> float:
        """Of all parts that are known."""
        return fsum((self.pes or 0.0, *self.buffers.values(), self.dram_interface or 0.0))

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, without what is not known."""
        known = {"pes": self.pes, "dram_interface": self.dram_interface}
        return {
            "technology": self.technology,
            **{name: value for name, value in known.items() if value is not None},
            **({"buffers": dict(self.buffers)} if self.buffers else {}),
        }


def area_mm2(hardware: Hardware) -> Chip | None:
    """Area of its parts, mm2; None where its table says none."""
    table = hardware.energy
    return _chip(hardware, table.area_um2, 1e-6) if table and table.area_um2 else None


def leakage_watts(hardware: Hardware) -> Chip | None:
    """Leakage of its parts, W; None where its table says none."""
    table = hardware.energy
    return _chip(hardware, table.leakage_uw, 1e-6) if table and table.leakage_uw else None


def _chip(hardware: Hardware, parts: Parts, unit: float) -> Chip:
    """What all arrays have, and a channel's interface for each of DRAM's channels."""
    of_pe = _pe(hardware, parts)
    arrays, timing = hardware.array.count, hardware.dram.timing
    sizes = {name: parts.of_sram(it.size, it.bank) for name, it in hardware.buffers.items()}
    channel = parts.of_interface(timing.standard) if timing else None
    return Chip(
        technology=parts.technology,
        pes=None if of_pe is None else hardware.pes * of_pe * unit,
        buffers={n: arrays * size * unit for n, size in sizes.items() if size is not None},
        dram_interface=timing.channels * channel * unit if timing and channel else None,
    )


def _pe(hardware: Hardware, parts: Parts) -> float | None:
    """One PE; of a row-stationary one the filter's scratch pad is an SRAM, as on Eyeriss."""
    precision, spads = hardware.precision, hardware.array.row_stationary
    operands = format_bits(precision.ifmap), format_bits(precision.filter)
    sums = format_bits(precision.psum)
    if spads is None or not hardware.array.uses_spads:
        return parts.pe(operands, sums, register_bits(hardware), precision.is_integer)
    held = spads.ifmap_spad * operands[0] + spads.psum_spad * sums
    logic = parts.pe(operands, sums, held, precision.is_integer)
    pad = parts.of_sram(spads.filter_spad * operands[1] / 8)
    return None if logic is None or pad is None else logic + pad


def register_bits(hardware: Hardware) -> int:
    """Bits of a systolic PE's registers: ifmap, filter and psum, and what it loads beside.

    Pipelined folds need what stays twice: an operand, or a psum on its way out. Of `best` it is
    what the dataflow needs that needs most.
    """
    return max(map(_register_bits, hardware.choices))


def _register_bits(hardware: Hardware) -> int:
    """Bits of a PE's registers under one dataflow."""
    precision, array = hardware.precision, hardware.array
    flow = DATAFLOW_OF[array.dataflow]
    bits = {item: format_bits(getattr(precision, item)) for item in OPERANDS}
    moving = array.psum_registers if flow.law.psums_move else 1
    shadow = bits[flow.operand("rows", "cols")] * (array.fold_overlap == "pipelined")
    psums = bits["psum"] * (moving + array.mac_stages - 1)
    return bits["ifmap"] + bits["filter"] + psums + shadow


def silicon_dict(hardware: Hardware) -> dict[str, Any]:
    """What is known of area and leakage, for JSON; nothing where no table says any."""
    found = {"area_mm2": area_mm2(hardware), "leakage_watts": leakage_watts(hardware)}
    return {name: chip.as_dict() for name, chip in found.items() if chip is not None}
