"""What a tile transfer costs: the controller replayed on the runs that the tile consists of.

A replay of some hundred bursts gives the clocks per run; a transfer takes that times its runs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import TypeVar

from accelsim.dram.pattern import Access
from accelsim.dram.replay import Channel
from accelsim.dram.sheet import DramTiming
from accelsim.dram.walk import Walk, sample_of, walk
from accelsim.jit import Patience

Key = TypeVar("Key")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Runs:
    """`count` runs of `size` contiguous bytes, one every `pitch` bytes."""

    count: int
    size: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a burst or a run takes in the long run, over all channels: clocks, and rows opened."""

    clocks: Fraction
    activates: Fraction


@dataclass
class Replays:
    """What replays and walks have said, for whoever owns this to drop; of `most` kinds of runs.

    When its `patience` is over, compiled code replays.
    """

    most: int = 4096
    patience: Patience = field(default_factory=Patience)
    known: dict[tuple[object, ...], Replayed] = field(default_factory=dict)
    walks: dict[tuple[DramTiming, int, int], Walk] = field(default_factory=dict)

    def transfer_clocks(self, sheet: DramTiming, runs: Runs, write: bool) -> Fraction:
        """Clocks that a transfer occupies the channels in the long run, refresh included."""
        times, each = self.parts(sheet, runs, write)
        return times * each.clocks

    def transfer_activates(self, sheet: DramTiming, runs: Runs, write: bool) -> Fraction:
        """Rows that a transfer opens, in all channels."""
        times, each = self.parts(sheet, runs, write)
        return times * each.activates

    def parts(self, sheet: DramTiming, runs: Runs, write: bool) -> tuple[int, Replayed]:
        """How many bursts of a long run a transfer is, or how many runs, and what each takes."""
        if not runs.count * runs.size:
            return 0, Replayed(Fraction(0), Fraction(0))
        if is_long(sheet, runs):
            return bursts_of(sheet, runs), self.recall(sequential, sheet, write)
        return runs.count, self.recall(one_of_many, sheet, runs.size, runs.pitch, write)

    def long_burst(self, sheet: DramTiming, write: bool) -> float:
        """Clocks of a burst of a long run, over all channels, refresh included."""
        return float(self.recall(sequential, sheet, write).clocks)

    def long_rows(self, sheet: DramTiming) -> float:
        """Rows that a burst of a long run opens."""
        return float(self.recall(sequential, sheet, False).activates)

    def recall(self, find: Callable[..., Replayed], *key: object) -> Replayed:
        """What was found before, or what `find` finds now."""
        return self._remembered(self.known, (find, *key), lambda: find(*key, self.patience))

    def walk(self, sheet: DramTiming, size: int, pitch: int) -> Walk:
        """As `walk.walk`."""
        key = sheet, size, pitch
        return self._remembered(self.walks, key, lambda: walk(*key))

    def _remembered(self, known: dict[Key, Found], key: Key, find: Callable[[], Found]) -> Found:
        """What is `known`, or what `find` finds now."""
        found = known.get(key)
        if found is None:
            if len(known) >= self.most:
                del known[next(iter(known))]
            found = known[key] = find()
        return found


def is_long(sheet: DramTiming, runs: Runs) -> bool:
    """Whether a transfer is as one long run."""
    return runs.count == 1 or runs.size >= sample_of(sheet) * sheet.channels * sheet.burst_bytes


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
    return sequential(sheet, write).clocks


def sequential(sheet: DramTiming, write: bool, patience: Patience | None = None) -> Replayed:
    """A burst in a long run."""
    region = sheet.channel_banks * min(sheet.channel_banks, sheet.row_bursts)
    bursts = max(sample_of(sheet), 2 * region)
    accesses = [(index * sheet.burst_bytes, write) for index in range(bursts)]
    each = _replayed(sheet, [accesses], bursts, patience)
    return replace(each, clocks=each.clocks / sheet.channels)


def run_clocks(sheet: DramTiming, size: int, pitch: int, write: bool) -> Fraction:
    """Clocks of each of many runs of `size` bytes, one every `pitch` bytes."""
    return one_of_many(sheet, size, pitch, write).clocks


def one_of_many(
    sheet: DramTiming, size: int, pitch: int, write: bool, patience: Patience | None = None
) -> Replayed:
    """Each of many runs of `size` bytes, one every `pitch` bytes."""
    return _replayed(sheet, *_sampled(sheet, size, pitch, write), patience)


def _sampled(
    sheet: DramTiming, size: int, pitch: int, write: bool
) -> tuple[list[list[Access]], Fraction]:
    """Accesses of each channel, until one has enough, and how many runs they are."""
    channels: list[list[Access]] = [[] for _ in range(sheet.channels)]
    most = sample_of(sheet)
    for run, bursts in enumerate(_bursts(size, pitch, sheet.burst_bytes)):
        for burst in bursts:
            turn, channel = divmod(burst, sheet.channels)
            if len(channels[channel]) == most:
                return channels, run + Fraction(burst - bursts.start, len(bursts))
            channels[channel].append((turn * sheet.burst_bytes, write))
    raise AssertionError("the bursts have no end")


def _bursts(size: int, pitch: int, burst_bytes: int) -> Iterator[range]:
    """The bursts that each run touches, but for those that the runs before it touched."""
    free = 0
    for run in count():
        first = max(run * pitch // burst_bytes, free)
        free = max(-(-(run * pitch + size) // burst_bytes), free)
        yield range(first, free)


def _replayed(
    sheet: DramTiming,
    channels: Sequence[Sequence[Access]],
    parts: Fraction | int,
    patience: Patience | None,
) -> Replayed:
    """What each of so many parts of the accesses takes: clocks of the slowest channel, without the
    way to the first data, refresh included; rows of all. Equal channels are replayed once.
    """
    listed = [tuple(accesses) for accesses in channels if accesses]
    played = {each: _played(sheet, each, patience or Patience()) for each in {*listed}}
    slowest = max(busy for busy, _ in played.values())
    opened = sum(played[accesses][1] for accesses in listed)
    return Replayed(slowest / sheet.refresh_factor / parts, Fraction(opened) / parts)


def _played(
    sheet: DramTiming, accesses: Sequence[Access], patience: Patience
) -> tuple[Fraction, int]:
    """Clocks of a channel, and rows that it opens.

    Its rate is that of the time until only a queue of them is left, as other transfers follow.
    """
    dones, activates = _dones(sheet, accesses, patience)
    count = len(accesses)
    served = max(count - sheet.channel_queue, -(-count // 2))
    data = dones[served - 1] - dones[0] + sheet.nBL
    clocks = Fraction(data, served) * count
    least = Fraction(count * sheet.nBL, sheet.data_buses)
    return max(clocks, least), activates


def _dones(
    sheet: DramTiming, accesses: Sequence[Access], patience: Patience
) -> tuple[list[int], int]:
    """When each access that was served is done, and how many rows were opened."""
    if patience.is_over():
        from accelsim.dram.compiled.replay import replay_compiled

        found = patience.tried(lambda: replay_compiled(sheet, accesses))
        if found is not None:
            return found
    channel = Channel(sheet, refresh=False)
    with patience.counting():
        channel.play(accesses)
    return channel.dones, channel.activates
