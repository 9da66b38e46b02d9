"""Clocks that a transfer occupies a DRAM channel, in closed form.

A transfer is `count` runs of `run_bytes` contiguous bytes, one every `pitch` bytes. Its bursts,
row visits and commands follow from the address map (see `pattern`), and it takes as long as
what it needs most of: the data bus, at the rate of a long run, the activates (tRRD, tFAW), the
command bus, or the banks that its rows are in.

Consecutive bursts lie in few rows: a region is what the channel's banks hold open at once.

Transfers follow one another, and what comes behind one goes on in other banks meanwhile. So a
transfer takes its share of many runs like its own, or, if it is a single one, of a long run.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.pattern import GROUP_BURSTS
from accelsim.dram.sheet import DramTiming

Counts = NDArray[np.int64]  # one entry per transfer
Clocks = NDArray[np.float64]

MANY = 4096
"""Runs that say what each takes among many, and how much longer than a single one a long run is."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the address map makes of a sheet; lengths in bursts of all channels together."""

    channels: int
    burst_bytes: int
    banks: int
    region: int

    @classmethod
    def of(cls, sheet: DramTiming) -> "Layout":
        """The layout of `sheet`: a row is left when the column bits above the banks change."""
        in_row = min(sheet.channel_banks, sheet.row_bursts)
        region = sheet.channels * sheet.channel_banks * in_row
        return cls(sheet.channels, sheet.burst_bytes, sheet.channel_banks, region)

    def run_banks(self, bursts: Counts) -> Counts:
        """Banks of a channel that a run touches: four at once, more with every group of four."""
        each = _ceil(bursts, self.channels)
        groups = _ceil(_ceil(each, GROUP_BURSTS), GROUP_BURSTS) * GROUP_BURSTS
        touched = np.where(each < GROUP_BURSTS, each, groups)
        return np.asarray(np.minimum(touched, self.banks))

    def pitch_banks(self, pitch_bytes: Counts) -> Counts:
        """How many different banks runs start in; a power of two that skips them leaves few.

        The bank's bits are those above four bursts; the column bits above the banks are added
        to all but the lowest two.
        """
        step = np.maximum(pitch_bytes // (self.burst_bytes * self.channels), 1)
        fixed = step & -step  # the lowest bit that changes
        field = GROUP_BURSTS * self.banks // np.maximum(fixed, GROUP_BURSTS)
        high = self.region // self.channels // np.maximum(fixed, GROUP_BURSTS * self.banks)
        return np.asarray(np.maximum(np.maximum(field, high), 1))


def _ceil(count: Counts, size: Counts | int) -> Counts:
    return -(-count // size)


@dataclass(frozen=True, slots=True)
class Demand:
    """Bursts and row visits of a transfer on one channel, and the banks they are spread over."""

    bursts: Clocks
    visits: Clocks
    banks: Clocks


def demand(sheet: DramTiming, count: Counts, run_bytes: Counts, pitch: Counts) -> Demand:
    """What `count` runs need of each channel; runs closer than a burst share bursts."""
    layout = Layout.of(sheet)
    span = (count - 1) * pitch + run_bytes
    each = _ceil(run_bytes, layout.burst_bytes)
    touched = count * _touched(layout.burst_bytes, run_bytes, pitch, count)
    bursts = np.minimum(touched, _ceil(span, layout.burst_bytes))
    region_bytes = layout.region * layout.burst_bytes
    regions = np.minimum(count * _ceil(run_bytes, region_bytes), _ceil(span, region_bytes))
    regions = np.maximum(regions, 1)
    run_banks = layout.run_banks(np.minimum(each, layout.region))
    missed = (1 - run_banks / layout.banks) ** (count / regions)
    share = np.minimum(each, layout.channels) / layout.channels
    visits = np.minimum(regions * layout.banks * (1 - missed) * share, bursts / layout.channels)
    starts = np.minimum(layout.pitch_banks(pitch) * np.minimum(run_banks, GROUP_BURSTS), count)
    reached = np.minimum(np.maximum(starts, run_banks), layout.banks)
    return Demand(bursts / layout.channels, visits, reached)


def _touched(burst: int, run_bytes: Counts, pitch: Counts, count: Counts) -> Clocks:
    """Bursts that a run touches on average: most start amid one.

    Runs start at all multiples of gcd(pitch, burst) in a burst; the first one at its start.
    """
    step = np.gcd(pitch, burst)
    amid = (_ceil(run_bytes, step) * step + burst - step) / burst
    return np.asarray(np.where(count > 1, amid, _ceil(run_bytes, burst)))


def visit_clocks(sheet: DramTiming, bursts: Clocks, write: bool = False) -> Clocks:
    """Clocks from the activate of a row to the next one of its bank, for `bursts` in the row."""
    start, end = sheet.nRCD, sheet.nRTP
    if write:
        start, end = sheet.nRCDWR or sheet.nRCD, sheet.nCWL + sheet.nBL + sheet.nWR
    apart = sheet.nCCDL_WR or sheet.nCCDL if write else sheet.nCCDL
    return np.asarray(np.maximum(sheet.nRC, start + (bursts - 1) * apart + end + sheet.nRP))


def _among_many(
    sheet: DramTiming, count: Counts, run_bytes: Counts, pitch: Counts
) -> tuple[Demand, Clocks]:
    """What many transfers need together, and the share that one has of it."""
    single, several = count == 1, np.maximum(count, MANY)
    long = _ceil(run_bytes, sheet.burst_bytes) * sheet.burst_bytes * MANY
    need = demand(
        sheet,
        np.where(single, 1, several),
        np.where(single, long, run_bytes),
        np.where(single, long, pitch),
    )
    return need, np.where(single, 1 / MANY, count / several)


def told(
    sheet: DramTiming, count: Counts, run_bytes: Counts, pitch: Counts
) -> tuple[Counts, Clocks]:
    """Bursts of a transfer, whole ones, and rows that it opens; in all channels together."""
    span = (count - 1) * pitch + run_bytes
    each, whole = (_ceil(size, sheet.burst_bytes) for size in (run_bytes, span))
    need, share = _among_many(sheet, count, run_bytes, pitch)
    return np.minimum(count * each, whole), need.visits * share * sheet.channels


def occupancy(
    sheet: DramTiming,
    count: Counts,
    run_bytes: Counts,
    pitch: Counts,
    long_burst: float,
    write: bool = False,
) -> Clocks:
    """Clocks that a transfer occupies the channels, refresh included.

    `long_burst` is what a burst of a long run takes, as replayed; no runs go faster.
    """
    refresh = float(sheet.refresh_factor)
    need, share = _among_many(sheet, count, run_bytes, pitch)
    in_row = need.bursts / np.maximum(need.visits, 1e-9)
    row_commands = need.visits * (sheet.activate_slots + 1)
    columns = need.bursts * sheet.column_slots
    shared = sheet.command_bus == "shared"
    bounds = (
        need.bursts * sheet.channels * long_burst * refresh,
        need.visits * sheet.activate_clocks / sheet.data_buses,
        columns + row_commands if shared else np.maximum(columns, row_commands),
        need.visits / np.maximum(need.banks, 1) * visit_clocks(sheet, in_row, write),
    )
    longest = np.maximum.reduce(np.broadcast_arrays(*bounds))
    several = longest / refresh * share
    return np.asarray(
        np.where(count == 1, _ceil(run_bytes, sheet.burst_bytes) * long_burst, several)
    )
