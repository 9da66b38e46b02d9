"""Clocks that a transfer occupies a DRAM channel, in closed form.

A transfer is `count` runs of `run_bytes` contiguous bytes, one every `pitch` bytes. What a run asks
for follows from the address map (see `walk`), and it takes as long as what it needs most of: the
data bus, at the rate of a long run, the data buses and bank groups that are in use at a time, the
activates (tRRD, tFAW), the command bus, or the banks that its rows are in.

Transfers follow one another, and what comes behind one goes on in other banks meanwhile. So a
transfer takes its share of many runs like its own, or, if it is a single one, of a long run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.sheet import DramTiming
from accelsim.dram.transfer import Replays
from accelsim.dram.walk import Walk, sample_of

Counts = NDArray[np.int64]  # one entry per transfer
Clocks = NDArray[np.float64]


def _ceil(count: Counts, size: int) -> Counts:
    return -(-count // size)


def visit_clocks(sheet: DramTiming, bursts: float, write: bool = False) -> float:
    """Clocks from the activate of a row to the next one of its bank, for `bursts` in the row."""
    start, end = sheet.nRCD, sheet.nRTP
    if write:
        start, end = sheet.nRCDWR or sheet.nRCD, sheet.nCWL + sheet.nBL + sheet.nWR
    apart = _group_clocks(sheet, write)
    return max(sheet.nRC, start + (bursts - 1) * apart + end + sheet.nRP)


def _group_clocks(sheet: DramTiming, write: bool) -> int:
    """Clocks from one burst of a bank group to the next."""
    return sheet.nCCDL_WR or sheet.nCCDL if write else sheet.nCCDL


def run_clocks(sheet: DramTiming, need: Walk, long_burst: float, write: bool = False) -> float:
    """Clocks of each of many runs, refresh included; `long_burst`: those of a burst of a long one,
    over all channels, and no runs go faster.
    """
    row_commands = need.visits * (sheet.activate_slots + 1)
    columns = need.bursts * sheet.column_slots
    shared = sheet.command_bus == "shared"
    bounds = (
        need.bursts * sheet.nBL / need.buses,
        need.bursts * _group_clocks(sheet, write) / need.groups,
        need.visits * sheet.activate_clocks / need.buses,
        columns + row_commands if shared else max(columns, row_commands),
        need.visits * visit_clocks(sheet, need.bursts / need.visits, write) / need.banks,
    )
    refreshed = max(bounds) / float(sheet.refresh_factor)
    return max(refreshed, need.bursts * sheet.channels * long_burst)


@dataclass(frozen=True, slots=True)
class ManyRuns:
    """As `transfer.Runs`, one entry per transfer, in arrays that broadcast."""

    count: Counts
    size: Counts
    pitch: Counts

    def bursts(self, burst_bytes: int) -> Counts:
        """As `transfer.bursts_of`."""
        span = (self.count - 1) * self.pitch + self.size
        each = self.count * _ceil(self.size, burst_bytes)
        return np.asarray(np.minimum(each, np.maximum(_ceil(span, burst_bytes), 0)))

    def are_long(self, sheet: DramTiming) -> NDArray[np.bool_]:
        """As `transfer.is_long`."""
        long = sample_of(sheet) * sheet.channels * sheet.burst_bytes
        return np.asarray((self.count == 1) | (self.size >= long))

    def of_each(self, sheet: DramTiming, find: Callable[[int, int], float]) -> Clocks:
        """What `find` says of a size and a pitch, asked once a kind; 0 of those that are long."""
        short = ~self.are_long(sheet) & (self.count * self.size > 0)
        size, pitch = (np.broadcast_to(each, short.shape) for each in (self.size, self.pitch))
        pitches, at = np.unique(pitch[short], return_inverse=True)
        kinds, which = np.unique(size[short] * len(pitches) + at, return_inverse=True)
        said = [
            find(int(kind) // len(pitches), int(pitches[kind % len(pitches)])) for kind in kinds
        ]
        found = np.zeros(short.shape)
        found[short] = np.array(said, float)[which]
        return found


def told(sheet: DramTiming, runs: ManyRuns, replays: Replays) -> tuple[Counts, Clocks]:
    """Bursts of a transfer, whole ones, and rows that it opens; in all channels together."""
    bursts = runs.bursts(sheet.burst_bytes)
    several = runs.count * runs.of_each(sheet, lambda *kind: replays.walk(sheet, *kind).rows)
    of_long = bursts * replays.long_rows(sheet)
    return bursts, np.asarray(np.where(runs.are_long(sheet), of_long, several))


def occupancy(sheet: DramTiming, runs: ManyRuns, replays: Replays, write: bool = False) -> Clocks:
    """Clocks that a transfer occupies the channels, refresh included."""
    long_burst = replays.long_burst(sheet, write)

    def of_one(size: int, pitch: int) -> float:
        return run_clocks(sheet, replays.walk(sheet, size, pitch), long_burst, write)

    several = runs.count * runs.of_each(sheet, of_one)
    of_long = runs.bursts(sheet.burst_bytes) * long_burst
    return np.asarray(np.where(runs.are_long(sheet), of_long, several))
