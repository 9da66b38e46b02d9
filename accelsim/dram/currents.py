"""What a DRAM's commands cost, by the currents of its data sheet, or as published by themselves.

The arithmetic of currents is Micron's (TN-40-07, "Calculating Memory Power for DDR4 SDRAM", and
TN-41-01 for DDR3): a command takes the current of its test less what the devices draw anyway. A
data sheet of DDR does not say what the lines between the chips take, which depends on the board; it
is not counted. One of LPDDR has the currents of their supply in its tests, and of a DRAM on an
interposer that is published.
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

Milliamperes = Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False, strict=True)]


class Supply(BaseModel):
    """Currents of one device from one supply in mA, under the names of JEDEC's tests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    VDD: Annotated[float, Field(gt=0, le=10, strict=True)] = Field(description="Volts.")
    IDD0: Milliamperes = Field(description="Activates and precharges, one every nRC.")
    IDD2N: Milliamperes = Field(description="Standby, all banks closed.")
    IDD3N: Milliamperes = Field(description="Standby, banks open.")
    IDD4R: Milliamperes = Field(description="Reads, burst after burst.")
    IDD4W: Milliamperes = Field(description="Writes, burst after burst.")
    IDD5: Milliamperes = Field(description="Refreshes of all banks, one after another.")


class DramCurrents(Supply):
    """Currents of one device, of its main supply and of others."""

    source: str = Field(description="The data sheet that the currents are from.")
    devices: Annotated[int, Field(ge=1, le=256, strict=True)] = Field(
        description="Devices that work together as a channel."
    )
    further: Annotated[tuple[Supply, ...], Field(max_length=8)] = Field(
        (), description="Further supplies of the devices, as LPDDR4's VDD1."
    )
    lines: Supply | None = Field(
        None, description="The supply of the lines (VDDQ), where the data sheet has its currents."
    )


Picojoules = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, strict=True)]


class DramEnergies(BaseModel):
    """Energies of commands where they are published, not the currents; a row of one data bus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Where the energies are published.")
    activate_pj: Picojoules = Field(description="To open a row of a data bus, and close it.")
    read_pj_per_bit: Picojoules = Field(description="From an open row to the pins.")
    write_pj_per_bit: Picojoules = Field(description="From the pins into an open row.")
    io_pj_per_bit: Picojoules | None = Field(
        None, description="Of the pins and lines, read or written, if known."
    )


@dataclass(frozen=True, slots=True)
class DramCosts:
    """pJ of a channel's commands, all its devices together, and W that it draws beside them.

    read_io, write_io: of a burst's pins and lines. What is not known is None.
    """

    activate: float
    read: float
    write: float
    read_io: float | None = None
    write_io: float | None = None
    refresh: float | None = None
    standby_watts: float | None = None


class Clocks(Protocol):
    """What of a data sheet the currents were measured over."""

    @property
    def nRC(self) -> int: ...
    @property
    def nRAS(self) -> int: ...
    @property
    def nBL(self) -> int: ...
    @property
    def nRFC(self) -> int: ...
    @property
    def tCK_ps(self) -> int: ...


def dram_costs(currents: DramCurrents, clocks: Clocks) -> DramCosts:
    """An activate (with its precharge), a burst in an open row, a refresh of all banks.

    All of them are sums over the supplies, but what the lines take of a burst.
    """
    devices, supplies = currents.devices, (currents, *currents.further)
    each = [_drawn(supply, devices, clocks) for supply in supplies]
    lines = None if currents.lines is None else _drawn(currents.lines, devices, clocks)
    return DramCosts(
        activate=sum(of.activate for of in each),
        read=sum(of.read for of in each),
        write=sum(of.write for of in each),
        read_io=None if lines is None else lines.read,
        write_io=None if lines is None else lines.write,
        refresh=sum(of.refresh for of in each),
        standby_watts=sum(of.standby_watts for of in (*each, *([lines] if lines else []))),
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """pJ of a channel's commands from one supply, and W beside them."""

    activate: float
    read: float
    write: float
    refresh: float
    standby_watts: float


def _drawn(supply: Supply, devices: int, clocks: Clocks) -> _Drawn:
    """Of IDD0 over nRC, what the devices draw in standby is left out, open for nRAS and closed
    then; of bursts that of open banks, of refreshes that of closed ones.
    """
    per_mA = supply.VDD * devices * clocks.tCK_ps / 1000  # V x ns: pJ of a mA and clock
    standby = supply.IDD3N * clocks.nRAS + supply.IDD2N * (clocks.nRC - clocks.nRAS)
    return _Drawn(
        activate=per_mA * (supply.IDD0 * clocks.nRC - standby),
        read=per_mA * (supply.IDD4R - supply.IDD3N) * clocks.nBL,
        write=per_mA * (supply.IDD4W - supply.IDD3N) * clocks.nBL,
        refresh=per_mA * (supply.IDD5 - supply.IDD2N) * clocks.nRFC,
        standby_watts=supply.IDD3N * 1e-3 * supply.VDD * devices,
    )


def published_costs(energies: DramEnergies, burst_bytes: int) -> DramCosts:
    """What is published for a bit, for a burst."""
    bits, per_bit = 8 * burst_bytes, energies.io_pj_per_bit
    io = None if per_bit is None else bits * per_bit
    return DramCosts(
        activate=energies.activate_pj,
        read=bits * energies.read_pj_per_bit,
        write=bits * energies.write_pj_per_bit,
        read_io=io,
        write_io=io,
    )
