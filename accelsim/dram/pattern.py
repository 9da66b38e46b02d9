"""Access patterns as sequences of bursts, and where the bursts lie in a channel.

The address map is MOP4CLXOR (Ramulator 2.1; minimalist open page, Kaseridis et al., MICRO 2011):
four bursts in a row, then the next bank, then on in the row; the low column bits are added (XOR)
to the bank, and those above them to the row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from accelsim.dram.sheet import DramTiming

GROUP_BURSTS = 4
"""Bursts that stay in a row before the next bank's turn."""

Access = tuple[int, bool]  # address of a burst in bytes, whether it is written


@dataclass(frozen=True, slots=True)
class Place:
    """Where a burst lies: `bank` counts over the data buses, then the groups of each."""

    bus: int
    bank: int
    row: int


def place_of(sheet: DramTiming, address: int) -> Place:
    """The place of the burst at `address` bytes of a channel."""
    rest, low = divmod(address // sheet.burst_bytes, GROUP_BURSTS)
    rest, bank = divmod(rest, sheet.channel_banks)
    row, high = divmod(rest, sheet.row_bursts // GROUP_BURSTS)
    column = high * GROUP_BURSTS + low
    bank ^= column % sheet.channel_banks
    bus, rest = bank % sheet.data_buses, bank // sheet.data_buses
    group, inner = rest % sheet.bank_groups, rest // sheet.bank_groups
    flat = (bus * sheet.bank_groups + group) * sheet.banks + inner
    return Place(bus, flat, row ^ (column // sheet.channel_banks))


WRAP = 2**28
"""Bytes after which a strided pattern starts again, one chunk further."""


def sequential(sheet: DramTiming, write: bool = False) -> Iterator[Access]:
    """One burst after another, without end."""
    return ((index * sheet.burst_bytes, write) for index in count())


def strided(sheet: DramTiming, chunk: int, pitch: int) -> Iterator[Access]:
    """Reads of `chunk` bytes every `pitch` bytes, wrapped into 256 MiB, without end."""
    for start in count(step=pitch):
        wraps, offset = divmod(start, WRAP)
        first = offset + wraps * chunk
        for address in range(first, first + chunk, sheet.burst_bytes):
            yield address, False


@dataclass(frozen=True, slots=True)
class Stream:
    """Consecutive addresses from `start`, `chunk` bytes at each turn, read or written."""

    start: int
    chunk: int
    write: bool


def interleaved(sheet: DramTiming, streams: Sequence[Stream]) -> Iterator[Access]:
    """Streams that take turns, without end."""
    for turn in count():
        for stream in streams:
            first = stream.start + turn * stream.chunk
            for address in range(first, first + stream.chunk, sheet.burst_bytes):
                yield address, stream.write
