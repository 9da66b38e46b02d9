"""Who waits for whom, so that no address of a buffer has two owners at a time.

A layer's tiles share [0, space) of the buffer, the feature maps that stay have places above.
`space` ends below every one that is on chip in the course of the layers, from its first writer to
its last reader. Layers also run out of that course, beside each other and ahead; so a layer whose
tiles or ofmap take addresses that another feature map has at some other time waits until that
one's users are done. It only ever waits for layers before it, so there is no cycle. Where there
is room, places are chosen such that nobody waits for a layer that it does not depend on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from accelsim.lowering.stays import Line, Stay, bits, highest, indices


@dataclass(frozen=True, slots=True)
class Gate:
    """What a layer's inputs and what its filters follow, beside the layers that it reads."""

    inputs: tuple[int, ...] = ()
    filters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """For each layer, those that are done before it and those that come after: bits, by needs."""

    before: Sequence[int]
    after: Sequence[int]

    def before_all(self, layers: Sequence[int]) -> int:
        """The layers that are done before any of `layers` begins."""
        common = -1
        for layer in layers:
            common &= self.before[layer]
        return common

    def after_all(self, layers: Sequence[int]) -> int:
        """The layers that begin when all of `layers` are done."""
        common = -1
        for layer in layers:
            common &= self.after[layer]
        return common


def order_of(needs: Sequence[Sequence[int]]) -> Order:
    """The order of layers that need the ofmaps of `needs`, all of them before their own."""
    before: list[int] = []
    after = [0] * len(needs)
    for layers in needs:
        before.append(closed(before, layers))
    for layer in reversed(range(len(needs))):
        for need in needs[layer]:
            after[need] |= after[layer] | 1 << layer
    return Order(before, after)


def closed(before: Sequence[int], layers: Sequence[int]) -> int:
    """`layers` and all before them."""
    total = 0
    for layer in layers:
        total |= before[layer] | 1 << layer
    return total


# --- Room for everyone ----------------------------------------------------------------------------


def set_apart(
    stays: Sequence[Stay], rooms: Sequence[int], orders: Sequence[Order], size: int
) -> tuple[Stay, ...]:
    """`stays`, first ones first, where they wait for nobody, if there is such a place.

    `rooms` is what each layer's tiles need, and an order comes before one that is less sure. If
    some find no place at all, all remain where they are.
    """
    line = Line(size)
    moved: list[Stay] = []
    for stay in stays:
        floor = max(rooms[layer] for layer in stay.time)
        for order in orders:
            done = order.before_all(stay.feature_map.writers)
            taken = [(start, end) for start, end, layers in line if layers & ~done]
            address = highest(stay.feature_map.size, [(0, floor), *taken], size)
            if address is not None:
                break
        else:
            return tuple(stays)
        moved.append(replace(stay, address=address))
        line.put(moved[-1].address, moved[-1].end, bits(stay.users))
    return tuple(moved)


def limits(
    stays: Sequence[Stay], spaces: Sequence[int], order: Order, filters_share: bool
) -> list[list[int]]:
    """For each layer, addresses in its space where it has to wait for others, or they for it.

    There and above lie feature maps whose users come in no order with it. Filters that share the
    buffer load ahead of any order.
    """
    found: list[list[int]] = [[] for _ in spaces]
    starting = _by_first(stays, len(spaces))
    size = max((stay.end for stay in stays), default=0)
    earlier, later = Line(size), Line(size)
    for layer, space in enumerate(spaces):
        known = 0 if filters_share else order.before[layer]
        found[layer] += earlier.held(space, known)
        for stay in starting[layer]:
            earlier.put(stay.address, stay.end, bits(stay.users))
    for layer in reversed(range(len(spaces))):
        found[layer] += later.held(spaces[layer], order.after[layer])
        for stay in starting[layer]:
            later.put(stay.address, stay.end, bits(stay.feature_map.writers))
    return found


def _by_first(stays: Sequence[Stay], layers: int) -> list[list[Stay]]:
    """For each layer the stays that begin with it."""
    starting: list[list[Stay]] = [[] for _ in range(layers)]
    for stay in stays:
        starting[stay.first].append(stay)
    return starting


# --- The order that it needs ----------------------------------------------------------------------


@dataclass
class Gates:
    """Who follows whom; `before` are those that a layer waits for, directly or not, as bits.

    `users` says of each address whose feature map had it last, `tiles` whose tiles since then.
    """

    needs: Sequence[Sequence[int]]
    stays: Sequence[Stay]
    spaces: Sequence[int]
    size: int
    filters_share: bool
    before: list[int] = field(default_factory=list)

    def gates(self) -> list[Gate]:
        """The gate of every layer."""
        self.users, self.tiles = Line(self.size), Line(self.size)
        self.ahead_of_ofmap = [0] * len(self.needs)
        starting = _by_first(self.stays, len(self.needs))
        found = []
        for layer, stays in enumerate(starting):
            for stay in stays:
                self.begin(stay)
            found.append(self.follow(layer))
        return found

    def begin(self, stay: Stay) -> None:
        """Give a feature map its place: its writers wait for those who had it before."""
        place = stay.address, stay.end
        owners = self.users.of(*place) | self.tiles.of(*place)
        for writer in stay.feature_map.writers:
            self.ahead_of_ofmap[writer] |= owners
        self.users.put(*place, bits(stay.users))
        self.tiles.put(*place, 0)

    def follow(self, layer: int) -> Gate:
        """What a layer follows, given the gates of those before it."""
        space = self.spaces[layer]
        needed = closed(self.before, self.needs[layer])
        ahead_of_tiles = self.users.of(0, space)
        follows = self.latest((ahead_of_tiles | self.ahead_of_ofmap[layer]) & ~needed)
        self.before.append(needed | closed(self.before, follows))
        self.tiles.add(space, layer, self.before[layer])
        return Gate(follows, self.latest(ahead_of_tiles) if self.filters_share else ())

    def latest(self, layers: int) -> tuple[int, ...]:
        """Without those that others of them have waited for."""
        left = layers
        for each in reversed(indices(layers)):
            if left >> each & 1:
                left &= ~self.before[each]
        return tuple(indices(left))
