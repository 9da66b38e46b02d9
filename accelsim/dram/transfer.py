"""What a tile transfer costs: the controller replayed on the runs that the tile consists of.

A replay of some hundred bursts gives the clocks per run; a transfer takes that times its runs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

from accelsim.dram.pattern import Access
from accelsim.dram.replay import Channel
from accelsim.dram.sheet import DramTiming

SAMPLE = 256
"""Bursts on each channel that are replayed: a rate within 8 % of that of ten times as many."""


@dataclass(frozen=True, slots=True)
class Runs:
    """`count` runs of `size` contiguous bytes, one every `pitch` bytes."""

    count: int
    size: int
    pitch: int


@dataclass
class Replays:
    """What replays have said, for whoever owns this to drop; the clocks of `most` kinds of runs."""

    most: int = 4096
    known: dict[tuple[object, ...], Fraction] = field(default_factory=dict)

    def transfer_clocks(self, sheet: DramTiming, runs: Runs, write: bool) -> Fraction:
        """Clocks that a transfer occupies the channels in the long run, refresh included."""
        if not runs.count * runs.size:
            return Fraction(0)
        if is_long(sheet, runs):
            return bursts_of(sheet, runs) * self.recall(sequential_clocks, sheet, write)
        return runs.count * self.recall(run_clocks, sheet, runs.size, runs.pitch, write)

    def transfer_activates(self, sheet: DramTiming, runs: Runs, write: bool) -> Fraction:
        """Rows that a transfer opens, in all channels."""
        if not runs.count * runs.size:
            return Fraction(0)
        if is_long(sheet, runs):
            return bursts_of(sheet, runs) * self.recall(sequential_activates, sheet, write)
        return runs.count * self.recall(run_activates, sheet, runs.size, runs.pitch, write)

    def recall(self, find: Callable[..., Fraction], *key: object) -> Fraction:
        """What was found before, or what `find` finds now."""
        named = (find, *key)
        found = self.known.get(named)
        if found is None:
            if len(self.known) >= self.most:
                del self.known[next(iter(self.known))]
            found = self.known[named] = find(*key)
        return found


def is_long(sheet: DramTiming, runs: Runs) -> bool:
    """Whether a transfer is as one long run."""
    return runs.count == 1 or runs.size >= SAMPLE * sheet.channels * sheet.burst_bytes


def bursts_of(sheet: DramTiming, runs: Runs) -> int:
    """Bursts that a transfer takes: whole ones of each run, but what runs share only once."""
    each = runs.count * -(-runs.size // sheet.burst_bytes)
    span = (runs.count - 1) * runs.pitch + runs.size
    return min(each, max(-(-span // sheet.burst_bytes), 0))


def transfer_clocks(sheet: DramTiming, runs: Runs, write: bool) -> Fraction:
    """As `Replays.transfer_clocks`, with nothing remembered."""
    return Replays().transfer_clocks(sheet, runs, write)


def sequential_clocks(sheet: DramTiming, write: bool) -> Fraction:
    """Clocks of a burst in a long run, over all channels."""
    accesses = _sequence(sheet, write)
    return _clocks(sheet, [accesses]) / len(accesses) / sheet.channels


def sequential_activates(sheet: DramTiming, write: bool) -> Fraction:
    """Rows that a burst in a long run opens."""
    accesses = _sequence(sheet, write)
    return Fraction(_opened(sheet, accesses), len(accesses))


def _sequence(sheet: DramTiming, write: bool) -> list[Access]:
    region = sheet.channel_banks * min(sheet.channel_banks, sheet.row_bursts)
    bursts = max(SAMPLE, 2 * region)
    return [(index * sheet.burst_bytes, write) for index in range(bursts)]


def run_clocks(sheet: DramTiming, size: int, pitch: int, write: bool) -> Fraction:
    """Clocks of each of many runs of `size` bytes, one every `pitch` bytes."""
    channels, runs = _sampled(sheet, size, pitch, write)
    return _clocks(sheet, channels) / runs


def run_activates(sheet: DramTiming, size: int, pitch: int, write: bool) -> Fraction:
    """Rows that each of many runs opens, in all channels."""
    channels, runs = _sampled(sheet, size, pitch, write)
    return Fraction(sum(_opened(sheet, accesses) for accesses in channels), runs)


def _opened(sheet: DramTiming, accesses: Sequence[Access]) -> int:
    channel = Channel(sheet, refresh=False)
    channel.play(accesses)
    return channel.activates


def _sampled(
    sheet: DramTiming, size: int, pitch: int, write: bool
) -> tuple[list[list[Access]], int]:
    """Accesses of each channel, until one has enough, and how many whole runs they are."""
    channels: list[list[Access]] = [[] for _ in range(sheet.channels)]
    for burst, runs in _bursts(size, pitch, sheet.burst_bytes):
        turn, channel = divmod(burst, sheet.channels)
        accesses = channels[channel]
        if len(accesses) == SAMPLE:
            return channels, runs
        accesses.append((turn * sheet.burst_bytes, write))
    raise AssertionError("the bursts have no end")


def _bursts(size: int, pitch: int, burst_bytes: int) -> Iterator[tuple[int, int]]:
    """Each burst that the runs touch, once, with the number of whole runs before it."""
    free = 0
    for run in count():
        first = max(run * pitch // burst_bytes, free)
        free = max(-(-(run * pitch + size) // burst_bytes), free)
        for burst in range(first, free):
            yield burst, max(run, 1)


def _clocks(sheet: DramTiming, channels: list[list[Access]]) -> Fraction:
    """Clocks of the slowest channel, without the way to the first data, refresh included."""
    different = {tuple(accesses) for accesses in channels if accesses}
    slowest = max(_busy(sheet, accesses) for accesses in different)
    return slowest / sheet.refresh_factor


def _busy(sheet: DramTiming, accesses: Sequence[Access]) -> Fraction:
    played = Channel(sheet, refresh=False).play(accesses) - sheet.lead_clocks
    return max(Fraction(played), _least(sheet, accesses))


def _least(sheet: DramTiming, accesses: Sequence[Access]) -> Fraction:
    return Fraction(len(accesses) * sheet.nBL, sheet.data_buses)
