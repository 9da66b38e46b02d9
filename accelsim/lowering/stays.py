"""Where feature maps lie that stay on chip: stays, and the line of addresses that they lie on."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from accelsim.lowering.feature_maps import FeatureMap


@dataclass(frozen=True, slots=True)
class Stay:
    """A feature map on chip for the first `near` of its readers; the others find it in DRAM.

    `readers` are those that read it on chip, `users` these and its writers. In the course of the
    layers it is on chip from `first` to `last`; `time` are all layers that may run while it is.
    """

    feature_map: FeatureMap
    near: int
    address: int
    time: tuple[int, ...]
    readers: tuple[int, ...] = field(init=False)
    users: tuple[int, ...] = field(init=False)
    first: int = field(init=False)
    last: int = field(init=False)

    def __post_init__(self) -> None:
        item = self.feature_map
        users = item.writers + item.readers[: self.near]
        object.__setattr__(self, "readers", item.readers[: self.near])
        object.__setattr__(self, "users", users)
        object.__setattr__(self, "first", item.writers[0])
        object.__setattr__(self, "last", max(users))

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.feature_map.size

    @property
    def stored(self) -> bool:
        """Whether it is written to DRAM too."""
        return self.feature_map.must_store or self.far

    @property
    def far(self) -> bool:
        """Whether it has readers that find it in DRAM."""
        return self.near < len(self.feature_map.readers)


def meet(one: Stay, other: Stay) -> bool:
    """Whether two stays may be on chip at a time."""
    return not set(one.users).isdisjoint(other.time) or not set(other.users).isdisjoint(one.time)


def placed(stay: Stay, others: Iterable[Stay], size: int) -> Stay | None:
    """`stay` at the highest address below `size` that is free of `others`; None if none is."""
    taken = [(other.address, other.end) for other in others]
    address = highest(stay.feature_map.size, taken, size)
    return None if address is None else replace(stay, address=address)


def highest(needed: int, taken: Iterable[tuple[int, int]], size: int) -> int | None:
    """The highest address of `needed` bytes below `size` beside those `taken`; None if none is."""
    top = size
    for start, end in sorted(taken, key=lambda each: -each[1]):
        if top - end >= needed:
            break
        top = min(top, start)
    return top - needed if top >= needed else None


# --- The line of addresses ------------------------------------------------------------------------


@dataclass
class Line:
    """The addresses below `size` in stretches, each with a set of layers (bits of an integer).

    Stretch i is from `starts[i]` to `starts[i + 1]`; the last one ends at `size`.
    """

    size: int
    starts: list[int] = field(default_factory=lambda: [0])
    layers: list[int] = field(default_factory=lambda: [0])

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Start, end and layers of every stretch."""
        return zip(self.starts, [*self.starts[1:], self.size], self.layers, strict=True)

    def of(self, start: int, end: int) -> int:
        """The layers of all stretches from `start` to `end`."""
        total = 0
        first = bisect_right(self.starts, start) - 1
        for index in range(first, bisect_left(self.starts, end)):
            total |= self.layers[index]
        return total

    def held(self, end: int, done: int) -> list[int]:
        """Where stretches below `end` start that have other layers than those `done`."""
        below = bisect_left(self.starts, end)
        return [self.starts[i] for i in range(below) if self.layers[i] & ~done]

    def put(self, start: int, end: int, layers: int) -> None:
        """Let `layers` be those of the addresses from `start` to `end`, and no others."""
        if start < end:
            first, behind = self._stretches(start, end)
            self.starts[first:behind] = [start]
            self.layers[first:behind] = [layers]

    def add(self, end: int, layer: int, before: int) -> None:
        """Put `layer` in the place of those `before` it, in all stretches below `end`."""
        for index in range(*self._stretches(0, end)):
            self.layers[index] = self.layers[index] & ~before | 1 << layer

    def _stretches(self, start: int, end: int) -> tuple[int, int]:
        """The stretches from `start` to `end`, which are cut there."""
        return (self._cut(start), self._cut(end)) if start < end else (0, 0)

    def _cut(self, address: int) -> int:
        """The stretch that begins at `address`."""
        index = bisect_left(self.starts, address)
        missing = index == len(self.starts) or self.starts[index] != address
        if missing and address < self.size:
            self.starts.insert(index, address)
            self.layers.insert(index, self.layers[index - 1])
        return index


def bits(layers: Iterable[int]) -> int:
    """A set of layers."""
    total = 0
    for layer in layers:
        total |= 1 << layer
    return total


def indices(layers: int) -> list[int]:
    """The layers of a set, in order."""
    found = []
    while layers:
        lowest = layers & -layers
        found.append(lowest.bit_length() - 1)
        layers ^= lowest
    return found
