"""The data sheet of a DRAM standard: organisation, timings in clocks, what follows from them.

A sheet is YAML (`configs/dram/*.yaml`); a technology that fits these fields needs no code.
"""

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from accelsim.dram.currents import (
    DramCosts,
    DramCurrents,
    DramEnergies,
    dram_costs,
    published_costs,
)

Clocks = Annotated[int, Field(gt=0, le=10**6, strict=True)]
Few = Annotated[int, Field(gt=0, le=4096, strict=True)]


MOST_BUSES = 512
"""Data buses of all channels; each is replayed command by command."""

MOST_BANKS = 256
"""Banks of a channel: a replay visits all their rows. The sheets that ship have 32 at most."""

MOST_ROW_CYCLE = 4096
"""Clocks from one activate of a bank to the next; a replay takes ten such cycles."""


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


class DramTiming(BaseModel):
    """A standard by name, as `DDR4-2400` or with overrides: {standard: DDR4-2400, channels: 2}.

    The names of the timings are JEDEC's; all are in clocks of tCK_ps. Suffix S: between different
    bank groups, L: within one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    standard: str = Field(description="Name of the data sheet that fills in what is left out.")
    source: str = Field("", description="Where the data sheet's numbers come from.")
    channels: Few = Field(1, description="Channels; consecutive bursts go to them in turn.")
    tCK_ps: Clocks = Field(description="Clock period in picoseconds.")
    burst_bytes: Few = Field(description="Bytes of one burst, the least that moves.")
    data_buses: Few = Field(
        1, description="Data buses of a channel with banks of their own (pseudo channels)."
    )
    bank_groups: Few = Field(1, description="Bank groups on each data bus.")
    banks: Few = Field(description="Banks in each bank group.")
    row_bursts: Few = Field(description="Bursts in a row.")
    command_bus: Literal["shared", "split"] = Field(
        "shared", description="split: rows and columns are commanded on buses of their own."
    )
    activate_slots: Few = Field(1, description="Command clocks that an activate takes.")
    nAAD: Clocks | None = Field(
        None,
        description="An activate is two commands of a clock, the second at most so many clocks "
        "after the first, with others between; if left out, `activate_slots` follow each other.",
    )
    column_slots: Few = Field(1, description="Command clocks that a read or a write takes.")
    queue: Few = Field(32, description="Requests per data bus that the controller reorders.")
    nBL: Clocks = Field(description="Clocks of a burst on the data bus.")
    nBL_L: Clocks | None = Field(
        None, description="The same where the next burst is in the same bank group, if longer."
    )
    nCL: Clocks = Field(description="Read to data.")
    nCWL: Clocks = Field(description="Write to data.")
    nRCD: Clocks = Field(description="Activate to read.")
    nRCDWR: Clocks | None = Field(None, description="Activate to write, if not nRCD.")
    nRP: Clocks = Field(description="Precharge to activate.")
    nRPab: Clocks | None = Field(None, description="Precharge of all banks, if not nRP.")
    nRAS: Clocks = Field(description="Activate to precharge.")
    nRC: Clocks = Field(description="Activate to activate of the same bank.")
    nRTP: Clocks = Field(description="Read to precharge.")
    nWR: Clocks = Field(description="End of write data to precharge.")
    nCCDS: Clocks = Field(description="Read to read, write to write, of different bank groups.")
    nCCDL: Clocks = Field(description="Read to read, write to write, of one bank group.")
    nCCDL_WR: Clocks | None = Field(None, description="Write to write, if not nCCDL.")
    nRTW: Clocks | None = Field(
        None, description="Read to write, if more than two clocks for the data bus to turn."
    )
    nRRDS: Clocks = Field(description="Activate to activate, of different bank groups.")
    nRRDL: Clocks = Field(description="Activate to activate, of one bank group.")
    nFAW: Clocks = Field(description="Clocks in which at most four rows are activated.")
    nWTRS: Clocks = Field(description="End of write data to read, of different bank groups.")
    nWTRL: Clocks = Field(description="End of write data to read, of one bank group.")
    nPPD: Clocks | None = Field(None, description="Precharge to precharge, if more than a clock.")
    nRFC: Clocks = Field(description="A refresh of all banks.")
    nREFI: Clocks = Field(description="From one refresh to the next.")
    currents: DramCurrents | None = Field(
        None, description="Currents of the devices, from which their energy follows, where known."
    )
    energies: DramEnergies | None = Field(
        None, description="Energies of the commands themselves, where these are published."
    )

    @model_validator(mode="after")
    def _can_work(self) -> "DramTiming":
        sizes = ("burst_bytes", "data_buses", "bank_groups", "banks", "row_bursts", "channels")
        odd = [name for name in sizes if not _is_power_of_two(getattr(self, name))]
        if odd:
            listed = ", ".join(f"{name} {getattr(self, name)}" for name in odd)
            raise ValueError(f"addresses need powers of two, found {listed}")
        if self.channels * self.data_buses > MOST_BUSES:
            raise ValueError(
                f"channels x data_buses are at most {MOST_BUSES}, found "
                f"{self.channels * self.data_buses:,}"
            )
        if self.channel_banks > MOST_BANKS:
            raise ValueError(
                f"data_buses x bank_groups x banks are at most {MOST_BANKS}, found "
                f"{self.channel_banks:,}"
            )
        if self.nRC > MOST_ROW_CYCLE:
            raise ValueError(f"nRC is at most {MOST_ROW_CYCLE:,} clocks, found {self.nRC:,}")
        if self.nAAD is not None and (self.command_bus == "split" or self.activate_slots != 2):
            raise ValueError("nAAD needs activate_slots: 2 on a shared command bus")
        if self.currents is not None and self.energies is not None:
            raise ValueError("give currents or energies, of which the energy is, not both")
        if self.row_bursts < 4:
            raise ValueError(f"a row has 4 bursts or more, found row_bursts {self.row_bursts}")
        self._refuse_impossible()
        if self.nRFC >= self.nREFI:
            raise ValueError(
                f"refresh takes all the time: nRFC {self.nRFC} must be less than nREFI {self.nREFI}"
            )
        return self

    def _refuse_impossible(self) -> None:
        """A bank is open for nRAS, in which it is read, then precharged, before the next activate.

        Sheets round each time up to clocks by itself, so nRC may be one less than the sum. One
        burst at a time is on a data bus.
        """
        if self.nRC < self.nRAS + self.nRP - 1:
            raise ValueError(
                f"nRC {self.nRC} is less than nRAS {self.nRAS} + nRP {self.nRP}, which it holds"
            )
        if self.nRAS < self.nRCD:
            raise ValueError(
                f"nRAS {self.nRAS} is less than nRCD {self.nRCD}: a row closes before it is read"
            )
        if self.nCCDS < self.nBL:
            raise ValueError(
                f"nCCDS {self.nCCDS} is less than nBL {self.nBL}: a burst begins on the data bus "
                "before the last one has ended"
            )
        if self.read_to_write + self.nCWL < self.nCL + self.nBL:
            raise ValueError(
                f"nRTW {self.nRTW} + nCWL {self.nCWL} is less than nCL {self.nCL} + nBL "
                f"{self.nBL}: a write's burst begins on the data bus before a read's has ended"
            )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """As a file gives it: the name alone, or a mapping of which only the name is required."""
        schema = handler.resolve_ref_schema(handler(core))
        written = {**schema, "required": ["standard"]}
        meaning = "Name of a data sheet, or the path of one (.yaml)."
        name = {"type": "string", "description": meaning, "examples": ["DDR4-2400"]}
        return {"anyOf": [name, written]}

    @property
    def bus_banks(self) -> int:
        """Banks on one data bus."""
        return self.bank_groups * self.banks

    @property
    def channel_banks(self) -> int:
        """Banks of one channel."""
        return self.data_buses * self.bus_banks

    @property
    def channel_queue(self) -> int:
        """Requests of one channel that the controller reorders."""
        return self.data_buses * self.queue

    @property
    def activate_clocks(self) -> float:
        """Least mean distance of activates on one data bus: tRRD, and four in tFAW."""
        return max(self.nRRDS, self.nFAW / 4)

    @property
    def refresh_factor(self) -> Fraction:
        """Share of the time that refresh leaves."""
        return 1 - Fraction(self.nRFC, self.nREFI)

    @property
    def bytes_per_second(self) -> Fraction:
        """Peak rate of all channels."""
        clocks = Fraction(self.nBL, self.data_buses)
        return self.channels * self.burst_bytes / clocks * Fraction(10**12, self.tCK_ps)

    @property
    def lead_clocks(self) -> int:
        """From the request of a closed row to the start of its data: activate, read, one clock."""
        return self.nRCD + self.nCL + 1

    @property
    def hit_clocks(self) -> int:
        """Idle read latency of an open row, to the end of the burst."""
        return self.nCL + self.nBL + 1

    @property
    def closed_clocks(self) -> int:
        """Idle read latency of a closed row, to the end of the burst."""
        return self.lead_clocks + self.nBL

    @property
    def read_to_write(self) -> int:
        """Clocks from a read to a write; two keep the data bus free as it turns."""
        return self.nRTW or self.nCL + self.nBL + 2 - self.nCWL

    def write_to_read(self, within_group: bool) -> int:
        """Clocks from a write to a read."""
        if within_group:
            return self.nCWL + (self.nBL_L or self.nBL) + self.nWTRL
        return self.nCWL + self.nBL + self.nWTRS

    @property
    def costs(self) -> DramCosts | None:
        """Energy of its commands; None where nothing is known of it."""
        if self.currents is not None:
            return dram_costs(self.currents, self)
        if self.energies is not None:
            return published_costs(self.energies, self.burst_bytes)
        return None

    @property
    def idle_watts(self) -> float | None:
        """What all channels draw for being there: standby with open rows, and refresh."""
        costs = self.costs
        if costs is None or costs.refresh is None or costs.standby_watts is None:
            return None
        refresh = costs.refresh * 1e-12 / (self.nREFI * self.tCK_ps * 1e-12)
        return self.channels * (costs.standby_watts + refresh)

    def nanoseconds(self, clocks: int) -> float:
        """`clocks` as time."""
        return clocks * self.tCK_ps / 1000
