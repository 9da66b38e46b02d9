"""What moves: bytes between DRAM and the buffers, words between the buffers and the array.

And inside the array, between registers and from PE to PE.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from operator import add, attrgetter
from typing import Self


class Counts:
    """Records of counts that add up field by field."""

    __slots__: tuple[str, ...] = ()

    def values(self) -> tuple[int, ...]:
        """The counts in the order of the fields."""
        return _values_of(type(self))(self)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return dict(zip(self.__slots__, self.values(), strict=True))

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(add, self.values(), other.values()))

    def times(self, count: int) -> Self:
        """`count` of these added up."""
        return type(self)(*[count * value for value in self.values()])

    @classmethod
    def summed(cls, parts: Iterable[tuple[Self, int]]) -> Self:
        """All parts added up, each as often as is said with it."""
        counted = [[count * value for value in part.values()] for part, count in parts]
        return cls(*map(sum, zip(*counted, strict=True)))


@cache
def _values_of(kind: type[Counts]) -> Callable[[Counts], tuple[int, ...]]:
    return attrgetter(*kind.__slots__)


@dataclass(frozen=True, slots=True)
class Dram(Counts):
    """Bytes between DRAM and the buffers, by operand."""

    ifmap_read_bytes: int = 0
    filter_read_bytes: int = 0
    psum_read_bytes: int = 0
    psum_write_bytes: int = 0
    ofmap_write_bytes: int = 0

    @property
    def read_bytes(self) -> int:
        """All bytes read."""
        return self.ifmap_read_bytes + self.filter_read_bytes + self.psum_read_bytes

    @property
    def write_bytes(self) -> int:
        """All bytes written."""
        return self.psum_write_bytes + self.ofmap_write_bytes

    @property
    def total_bytes(self) -> int:
        """All bytes moved."""
        return self.read_bytes + self.write_bytes


@dataclass(frozen=True, slots=True)
class DramCommands:
    """What a timed DRAM is told, in all its channels: rows opened, bursts read and written."""

    activates: float = 0.0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Sram(Counts):
    """Words that cross the array's edge, by operand, im2col repeats counted.

    `ofmap_writes` are finished sums. Sums that leave the array unfinished are `psum_writes`;
    they come back as `psum_reads`.
    """

    ifmap_reads: int = 0
    filter_reads: int = 0
    psum_reads: int = 0
    psum_writes: int = 0
    ofmap_writes: int = 0


@dataclass(frozen=True, slots=True)
class Inside(Counts):
    """What moves inside an array, in words.

    `register_accesses` are reads and writes of the PEs' own registers or scratch pads,
    `network_words` words passed from PE to PE or delivered by a network on the chip. Both count
    every operand; `psum_...` is the share of the partial sums, whose words are wider.
    """

    register_accesses: int = 0
    network_words: int = 0
    psum_register_accesses: int = 0
    psum_network_words: int = 0
