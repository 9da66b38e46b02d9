"""The search for the feature maps that stay: those that save DRAM traffic and take no time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations

from accelsim.lowering.feature_maps import FeatureMap, as_ifmaps
from accelsim.lowering.gates import Order, order_of
from accelsim.lowering.kernels import Alias, Kernel
from accelsim.lowering.ranking import SURE, Ranked, cost_together
from accelsim.lowering.search import Search
from accelsim.lowering.stays import Stay, indices, meet, placed
from accelsim.lowering.target import Residence
from accelsim.network.graph import Network

FEW = 4
"""Feature maps that are tried in every order."""


REACH = 128
"""Layers for which a feature map may wait for a reader; what comes later finds it in DRAM.

So the time that the search takes grows with the layers only, not with their square.
"""


AHEAD = 32
"""Layers that one may run ahead of another, or behind: they share a buffer then."""


NEAR = 16
"""Feature maps among which places are exchanged."""


def dram_bytes(ranked: Ranked | None) -> int:
    """Traffic of a layer; an alias has none."""
    return 0 if ranked is None else ranked.dram_bytes


def no_worse(new: Ranked | None, old: Ranked | None) -> bool:
    """Whether a layer with another tiling moves no more, and costs no more."""
    if new is None or old is None:
        return new is old
    return new.dram_bytes <= old.dram_bytes and new.cost <= old.cost


@dataclass(frozen=True, slots=True)
class Share:
    """What a layer has of the buffer: the stays of its time, and room for its tiles below them.

    `ranked` is the best tiling with these; None for an alias, or where no tile fits.
    """

    stays: tuple[Stay, ...]
    residence: Residence
    space: int
    ranked: Ranked | None


@dataclass
class StaySearch:
    """The feature maps that stay, as the layers' `shares` say; with nothing, these are `alone`."""

    network: Network
    kernels: Sequence[Kernel]
    needs: Sequence[Sequence[int]]
    search: Search
    maps: dict[str, FeatureMap]
    known: dict[tuple[int, Residence, int], Ranked | None] = field(default_factory=dict)
    lasting: dict[tuple[FeatureMap, int], Stay] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.target = self.search.target
        self.buffer = self.target.buffer_index("ifmap")
        self.size = self.target.buffers[self.buffer].size
        self.own = [self.maps.get(layer.name) for layer in self.network.layers]
        self.inputs = [
            [self.maps.get(name) for name in as_ifmaps(layer, kernel)]
            for layer, kernel in zip(self.network.layers, self.kernels, strict=True)
        ]
        self.order = likely_order(self.needs, self.kernels)
        self.whole = {item: stay for item in self.maps.values() if (stay := self.longest(item))}
        self.possible = _covering(self.whole, len(self.kernels))
        self.alone = [self.share(layer, ()) for layer in range(len(self.kernels))]
        self.shares = list(self.alone)

    def longest(self, item: FeatureMap) -> Stay | None:
        """`item` on chip for all its readers in reach; None if there are none, or no room."""
        behind = item.writers[0] + REACH
        near = sum(reader < behind for reader in item.readers)
        possible = near and item.writers[-1] < behind and item.size <= self.size
        return self.stay(item, near) if possible else None

    def stay(self, item: FeatureMap, near: int) -> Stay:
        """`item` on chip for the first `near` of its readers, with all layers of its time."""
        if (item, near) not in self.lasting:
            self.lasting[item, near] = Stay(item, near, 0, self.time(item, near))
        return self.lasting[item, near]

    def time(self, item: FeatureMap, near: int) -> tuple[int, ...]:
        """The layers that may run while `item` is on chip, in the order that is likely."""
        users = item.writers + item.readers[:near]
        first, behind = max(users[0] - AHEAD, 0), max(users) + 1 + AHEAD
        course = range(users[0], max(users) + 1)
        apart = self.order.before_all(item.writers) | self.order.after_all(users)
        beside = indices(~apart & (1 << min(behind, len(self.kernels))) - (1 << first))
        return tuple(sorted({*course, *beside}))

    @property
    def stays(self) -> tuple[Stay, ...]:
        """All that stay, first ones first."""
        found = (
            stay
            for layer, share in enumerate(self.shares)
            for stay in share.stays
            if stay.first == layer
        )
        return tuple(sorted(found, key=lambda stay: (stay.first, stay.last)))

    def run(self) -> None:
        """Take the largest savings first; then see whether another should have gone first.

        With few feature maps, in every order.
        """
        items = sorted(self.whole, key=lambda item: (-self.bound(item), item.writers))
        if len(items) <= FEW:
            self.fill_in_best_order(items)
        else:
            self.fill(items)
        for item in items:
            if not self.is_ideal(item):
                self.exchange(item)

    def bound(self, item: FeatureMap) -> int:
        """Bytes that `item` can save at most, if the layers' tiles stay as they are."""
        return item.size + sum(dram_bytes(self.alone[reader].ranked) for reader in item.readers)

    def fill_in_best_order(self, items: Sequence[FeatureMap]) -> None:
        """Let stay what saves most, tried in every order; many of these have much in common."""
        found = []
        known: dict[tuple[tuple[Stay, ...], FeatureMap], tuple[bool, list[Share]]] = {}

        def keep(item: FeatureMap) -> bool:
            state = self.stays, item
            if state not in known:
                known[state] = self.keep(item), list(self.shares)
            kept, shares = known[state]
            self.shares = list(shares)
            return kept

        for order in permutations(items):
            self.shares = list(self.alone)
            self.fill(order, keep)
            found.append(self.shares)
        most = (1 + SURE) * min(map(total_cost, found))
        self.shares = min((each for each in found if total_cost(each) <= most), key=total_bytes)

    def fill(
        self, items: Iterable[FeatureMap], keep: Callable[[FeatureMap], bool] | None = None
    ) -> None:
        """Let stay whatever else of `items` is worth it, the first ones first.

        Where something changes, others are tried again.
        """
        keep = keep or self.keep
        waiting = [item for item in items if not self.has(item)]
        while waiting:
            kept = {item for item in waiting if keep(item)}
            changed = {layer for item in kept for layer in self.whole[item].time}
            waiting = [
                item
                for item in waiting
                if item not in kept and not changed.isdisjoint(self.whole[item].time)
            ]

    def has(self, item: FeatureMap) -> bool:
        """Whether `item` stays."""
        return any(stay.feature_map is item for stay in self.shares[item.writers[0]].stays)

    def keep(self, item: FeatureMap) -> bool:
        """Let `item` stay for as many of its readers as it is worth it; whether it is at all."""
        for near in range(self.whole[item].near, 0, -1):
            stay = self.stay(item, near)
            others = {other for layer in stay.time for other in self.shares[layer].stays}
            others = {other for other in others if meet(stay, other)}
            found = placed(stay, others, self.size)
            if found is not None and self.join(found):
                return True
        return False

    def join(self, stay: Stay) -> bool:
        """Let `stay` be, if tiles then fit and it is worth it."""
        before = [self.shares[layer] for layer in stay.time]
        after = list(map(partial(self.beside, stay), stay.time, before))
        if not is_better(after, before):
            return False
        for layer, share in zip(stay.time, after, strict=True):
            self.shares[layer] = share
        return True

    def is_ideal(self, item: FeatureMap) -> bool:
        """Whether all is on chip in the time of `item`, and no tile lacks room for it."""
        for layer in self.whole[item].time:
            share = self.shares[layer]
            there = {stay.feature_map for stay in share.stays if not stay.far}
            if not there.issuperset(self.possible[layer]):
                return False
            roomy = self.rank(layer, share.residence, self.size)
            if dram_bytes(share.ranked) > dram_bytes(roomy):
                return False
        return True

    def exchange(self, item: FeatureMap) -> None:
        """Let `item` take the place of all that are on chip in its time, if that is worth it."""
        time = self.whole[item].time
        near = {other for layer in time for other in self.possible[layer]}
        if len(near) > NEAR:
            return
        times = [self.whole[other].time for other in near]
        during = slice(min(each[0] for each in times), max(each[-1] for each in times) + 1)
        before = self.shares[during]
        self.remove({stay for layer in time for stay in self.shares[layer].stays})
        if all_fit(self.shares[during], before) and self.keep(item):
            self.fill(sorted(near, key=lambda other: (-self.bound(other), other.writers)))
            if is_better(self.shares[during], before):
                return
        self.shares[during] = before

    def remove(self, gone: set[Stay]) -> None:
        """Let `gone` stay no longer."""
        for layer in {layer for stay in gone for layer in stay.time}:
            left = tuple(stay for stay in self.shares[layer].stays if stay not in gone)
            self.shares[layer] = self.share(layer, left)

    def share(self, layer: int, stays: tuple[Stay, ...]) -> Share:
        """A layer's share with `stays`."""
        space = min((stay.address for stay in stays), default=self.size)
        residence = self.residence(layer, stays)
        return Share(stays, residence, space, self.rank(layer, residence, space))

    def beside(self, stay: Stay, layer: int, share: Share) -> Share:
        """A layer's share with one stay more."""
        stays = (*share.stays, stay)
        if layer in stay.users:
            return self.share(layer, stays)
        space = min(share.space, stay.address)
        cramped = space < share.space
        ranked = self.rank(layer, share.residence, space) if cramped else share.ranked
        return Share(stays, share.residence, space, ranked)

    def rank(self, layer: int, residence: Residence, space: int) -> Ranked | None:
        """A layer's best tiling with so much room for its tiles."""
        kernel = self.kernels[layer]
        if isinstance(kernel, Alias):
            return None
        key = (layer, residence, space)
        if key not in self.known:
            self.known[key] = self.slowed(self.search(kernel, residence).best_within(space), space)
        return self.known[key]

    def slowed(self, ranked: Ranked | None, space: int) -> Ranked | None:
        """With what a small space costs: no more than fills it is under way at a time.

        The closed form of the cost takes the latency of DRAM as hidden.
        """
        if ranked is None or not ranked.tile_bytes:
            return ranked
        least = ranked.dram_bytes / space * self.target.dram_latency
        return replace(ranked, cycles=max(ranked.cycles, least))

    def residence(self, layer: int, stays: Iterable[Stay]) -> Residence:
        """What of a layer lies on chip with the `stays` of its time; an alias has nothing there."""
        if isinstance(self.kernels[layer], Alias):
            return Residence()
        here = {stay.feature_map for stay in stays if layer in stay.readers}
        ifmaps = tuple(item in here for item in self.inputs[layer]) if here else ()
        own = [stay for stay in stays if stay.feature_map is self.own[layer]]
        return Residence(ifmaps, bool(own), all(stay.stored for stay in own))


def all_fit(new: Sequence[Share], old: Sequence[Share]) -> bool:
    """Whether layers that had a tiling have one."""
    return all(
        after.ranked is not None or before.ranked is None
        for after, before in zip(new, old, strict=True)
    )


def is_better(new: Sequence[Share], old: Sequence[Share]) -> bool:
    """Whether layers move less and cost no more, or move more and cost less beyond doubt."""
    before, after = total_cost(old), total_cost(new)
    is_worth_it = total_bytes(new) < total_bytes(old) or after < (1 - SURE) * before
    return is_worth_it and all_fit(new, old) and after <= before


def total_bytes(shares: Iterable[Share]) -> int:
    """DRAM traffic of some layers."""
    return sum(dram_bytes(share.ranked) for share in shares)


def total_cost(shares: Sequence[Share]) -> float:
    """Cost of layers one after another, by the closed form."""
    return cost_together(share.ranked for share in shares if share.ranked is not None)


def _covering(whole: dict[FeatureMap, Stay], layers: int) -> list[set[FeatureMap]]:
    """For each layer what could be on chip in its time."""
    covering: list[set[FeatureMap]] = [set() for _ in range(layers)]
    for item, stay in whole.items():
        for layer in stay.time:
            covering[layer].add(item)
    return covering


def likely_order(needs: Sequence[Sequence[int]], kernels: Sequence[Kernel]) -> Order:
    """The order of the layers when each unit takes its own in turn."""
    latest: dict[type[Kernel], int] = {}
    waits = []
    for layer, (needed, kernel) in enumerate(zip(needs, kernels, strict=True)):
        unit = type(kernel)
        in_turn = [latest[unit]] if unit in latest and unit is not Alias else []
        waits.append([*needed, *in_turn])
        latest[unit] = layer
    return order_of(waits)
