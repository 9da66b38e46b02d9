"""Energy of a layer: what it counts, times the hardware's energy table.

The same code prices one layer, and tilings under comparison: arrays with an entry for each.

It is dynamic energy alone: no leakage, no clock tree, no control, and every word switches like
the table's. Idle PEs are gated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Any, cast

import numpy as np

from accelsim.dram.currents import DramCosts
from accelsim.hardware import OPERANDS, Hardware, Operand, Precision
from accelsim.lowering.traffic import Dram, DramCommands, Inside, Sram
from accelsim.number_formats import format_bits
from accelsim.technology import EnergyTable


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy in pJ, by component; `buffers` by name.

    mac: multiply-accumulates. vector: operations of the vector unit's lanes. register_file: the
    PEs' own registers. network: words moved from PE to PE, or over a network on the chip. dram
    is the sum of `dram_parts`, by command, where these are known.
    """

    mac: float = 0.0
    vector: float = 0.0
    register_file: float = 0.0
    network: float = 0.0
    buffers: Mapping[str, float] = field(default_factory=dict)
    dram: float = 0.0
    dram_parts: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: "Energy") -> "Energy":
        return Energy(
            mac=self.mac + other.mac,
            vector=self.vector + other.vector,
            register_file=self.register_file + other.register_file,
            network=self.network + other.network,
            buffers=_added(self.buffers, other.buffers),
            dram=self.dram + other.dram,
            dram_parts=_added(self.dram_parts, other.dram_parts),
        )

    @property
    def all_buffers(self) -> float:
        """pJ of all buffers."""
        return fsum(self.buffers.values())

    @property
    def total(self) -> float:
        """pJ of everything."""
        parts = (self.mac, self.vector, self.register_file, self.network, self.dram)
        return cast(float, together((*parts, *self.buffers.values())))

    def per_mac(self, macs: int) -> float | None:
        """pJ of everything for each of `macs`; None where there are none."""
        return self.total / macs if macs else None

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, pJ."""
        known = (name for name in self.__slots__ if name != "dram_parts")
        parts = {"dram_parts": {**self.dram_parts}} if self.dram_parts else {}
        return {
            **{name: getattr(self, name) for name in known},
            "buffers": {**self.buffers},
            **parts,
        }


def together(parts: Iterable[Any]) -> Any:
    """The sum of some pJ, rounded once; or of arrays of them."""
    found = [*parts]
    return sum(found) if any(isinstance(each, np.ndarray) for each in found) else fsum(found)


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    names = dict.fromkeys((*one, *other))
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in names}


@dataclass(frozen=True, slots=True)
class Activity:
    """What a layer does, as far as it takes energy; `lane_operations` are the vector unit's.

    `commands` are those of a DRAM that is timed.
    """

    macs: int = 0
    lane_operations: int = 0
    inside: Inside = field(default_factory=Inside)
    sram: Sram = field(default_factory=Sram)
    dram: Dram = field(default_factory=Dram)
    commands: DramCommands | None = None

    def buffer_words(self, operand: Operand) -> int:
        """Words of `operand` at the array's side of its buffer, in and out."""
        sram = self.sram
        return {
            "ifmap": sram.ifmap_reads,
            "filter": sram.filter_reads,
            "psum": sram.psum_reads + sram.psum_writes,
            "ofmap": sram.ofmap_writes,
        }[operand]

    def dram_bytes(self, operand: Operand) -> int:
        """Bytes of `operand` between DRAM and its buffer, in and out."""
        dram = self.dram
        return {
            "ifmap": dram.ifmap_read_bytes,
            "filter": dram.filter_read_bytes,
            "psum": dram.psum_read_bytes + dram.psum_write_bytes,
            "ofmap": dram.ofmap_write_bytes,
        }[operand]


@dataclass(frozen=True, slots=True)
class EnergyRates:
    """pJ of everything that is counted, on one hardware.

    A lane operation is an addition of activations. Where ifmap and filter have different widths,
    their registers and hops count as the wider. `buffers` has pJ per byte. `dram` are the costs of
    DRAM's own commands, where its data sheet has them; else a byte costs `dram_byte`.
    """

    mac: float
    lane_operation: float
    register: float
    psum_register: float
    hop: float
    psum_hop: float
    buffers: Mapping[str, float] = field(hash=False)
    dram_byte: float
    word_bytes: Mapping[Operand, int] = field(hash=False)
    buffer_of: Mapping[Operand, str] = field(hash=False)
    dram: DramCosts | None = None

    def energy(self, done: Activity) -> Energy:
        """The energy of `done`, by component."""
        inside = done.inside
        parts = self._dram_parts(done.commands)
        operand_accesses = inside.register_accesses - inside.psum_register_accesses
        operand_words = inside.network_words - inside.psum_network_words
        return Energy(
            mac=done.macs * self.mac,
            vector=done.lane_operations * self.lane_operation,
            register_file=operand_accesses * self.register
            + inside.psum_register_accesses * self.psum_register,
            network=operand_words * self.hop + inside.psum_network_words * self.psum_hop,
            buffers=self._buffer_energy(done),
            dram=together(parts.values()) if parts else self.dram_byte * done.dram.total_bytes,
            dram_parts=parts,
        )

    def _dram_parts(self, done: DramCommands | None) -> dict[str, float]:
        """By command, where both their number and their costs are known."""
        if done is None or self.dram is None:
            return {}
        costs = self.dram
        io = None
        if costs.read_io is not None and costs.write_io is not None:
            io = done.reads * costs.read_io + done.writes * costs.write_io
        return {
            "activate": done.activates * costs.activate,
            "read": done.reads * costs.read,
            "write": done.writes * costs.write,
            **({} if io is None else {"io": io}),
        }

    def _buffer_energy(self, done: Activity) -> dict[str, float]:
        """By buffer: the words at the array's side, and the bytes that DRAM fills and drains."""
        moved: dict[str, Any] = dict.fromkeys(self.buffers, 0)
        for operand in OPERANDS:
            words = done.buffer_words(operand) * self.word_bytes[operand]
            name = self.buffer_of[operand]
            moved[name] = moved[name] + words + done.dram_bytes(operand)
        return {name: count * self.buffers[name] for name, count in moved.items()}


def energy_rates(hardware: Hardware) -> EnergyRates | None:
    """What everything costs on `hardware`; None where it names no energy table."""
    if hardware.energy is None:
        return None
    table, precision = hardware.energy, hardware.precision
    wider = max(format_bits(precision.ifmap), format_bits(precision.filter))
    psum = format_bits(precision.psum)
    single = not hardware.array.uses_spads
    return EnergyRates(
        mac=_mac_pj(table, precision),
        lane_operation=table.add_pj(format_bits(precision.ofmap), precision.is_integer),
        register=table.register_pj(wider, single),
        psum_register=table.register_pj(psum, single),
        hop=table.network_pj(wider, single),
        psum_hop=table.network_pj(psum, single),
        buffers={name: table.sram_pj(8, each.size) for name, each in hardware.buffers.items()},
        dram_byte=table.dram_pj(8),
        word_bytes={operand: precision.bytes_of(operand) for operand in OPERANDS},
        buffer_of={item: name for name, each in hardware.buffers.items() for item in each.holds},
        dram=hardware.dram.timing.costs if hardware.dram.timing else None,
    )


def _mac_pj(table: EnergyTable, precision: Precision) -> float:
    widths = format_bits(precision.ifmap), format_bits(precision.filter)
    return table.mac_pj(widths, format_bits(precision.psum), precision.is_integer)
