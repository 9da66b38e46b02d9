"""What a tiling took as played: with a faster DRAM and more room it takes no more than that."""

from dataclasses import dataclass, field
from fractions import Fraction

from accelsim.lowering.target import Target

MARGIN = 0.5
"""How much of what costs may be off is left for a play that takes longer with more, in spite."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """A DRAM's bytes per cycle and latency in cycles, and bytes of buffers, to play in."""

    rate: Fraction
    latency: int
    rooms: tuple[int, ...]

    def as_good_as(self, other: "Conditions") -> bool:
        """Whether nothing is slower or smaller than in `other`."""
        larger = all(map(int.__ge__, self.rooms, other.rooms))
        return self.rate >= other.rate and self.latency <= other.latency and larger


def conditions(target: Target, space: int) -> Conditions:
    """Those of `target`, with `space` bytes of the buffer that holds ifmaps."""
    rooms = [each.size for each in target.buffers]
    rooms[target.buffer_index("ifmap")] = space
    return Conditions(target.dram_bytes_per_cycle, target.dram_latency, (*rooms,))


@dataclass(slots=True)
class Plays:
    """Cycles of a tiling of a kernel by itself on one array, where it was played."""

    known: list[tuple[Conditions, float]] = field(default_factory=list)

    def most(self, here: Conditions) -> float:
        """What it takes at most; infinite if it was never played in conditions as bad."""
        return min(
            (cycles for at, cycles in self.known if here.as_good_as(at)), default=float("inf")
        )
