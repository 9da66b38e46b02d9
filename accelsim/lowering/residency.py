"""The residency plan: which feature maps stay on chip for their readers, and where they lie.

The buffer that holds ifmaps is a line of addresses. A layer's tiles share [0, space), the feature
maps that stay have fixed places above. `space` ends below every one that is on chip in the course
of the layers, from its first writer to its last reader. Layers also run out of that course, beside
each other and ahead; so a layer whose tiles or ofmap take addresses that another feature map has at
some other time waits until that one's users are done. It only ever waits for layers before it,
so there is no cycle, and no address has two owners at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from accelsim.lowering.kernels import Alias, GemmKernel, Kernel, VectorKernel
from accelsim.lowering.ranking import Ranked
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.search import search
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import GemmTiling, VectorTiling
from accelsim.network.graph import Layer, Network

Tiling = GemmTiling | VectorTiling | Mapping


def can_keep(target: Target) -> bool:
    """Whether feature maps can stay: several arrays have buffers of their own, and a
    row-stationary one fills its buffer with blocks.
    """
    return target.arrays == 1 and not target.reserves_blocks


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """The bytes of an ofmap, of its views, or of all that a concat puts side by side.

    `writers` and `readers` are layers by index, readers those that can read it on chip.
    `must_store`: it leaves the network or has other readers, so that DRAM needs it in any case.
    """

    name: str
    writers: tuple[int, ...]
    readers: tuple[int, ...]
    size: int
    must_store: bool


@dataclass(frozen=True, slots=True)
class Stay:
    """A feature map on chip for the first `near` of its readers; the others find it in DRAM.

    `readers` are those that read it on chip, `users` these and its writers. It is on chip from
    layer `first` to layer `last`.
    """

    feature_map: FeatureMap
    near: int
    address: int
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

    def spans(self, layer: int) -> bool:
        """Whether it is on chip in the course of `layer`."""
        return self.first <= layer <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """What the plan means for a layer.

    Its tiles take at most `space` bytes of the buffer. Its inputs are there when those of `follows`
    are done, and its filters may load when those of `filters_follow` are. `saved_bytes` is how much
    less DRAM traffic it has than with nothing resident; negative where others take its room.
    """

    tiling: Tiling | None
    residence: Residence
    space: int
    follows: tuple[int, ...] = ()
    filters_follow: tuple[int, ...] = ()
    saved_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Every feature map that stays, and every layer's placement."""

    stays: tuple[Stay, ...]
    layers: tuple[Placement, ...]


FEW = 4
"""Feature maps that are tried in every order."""


# --- What could stay ------------------------------------------------------------------------------


def feature_maps(
    network: Network, kernels: Sequence[Kernel], bytes_per_image: int
) -> dict[str, FeatureMap]:
    """The feature map of every layer that has readers; `bytes_per_image` of an ofmap element.

    What lies in a network input's bytes is left out: that comes from DRAM.
    """
    index = {layer.name: position for position, layer in enumerate(network.layers)}
    owner = _owners(network, kernels)
    members: dict[str, list[str]] = {}
    for name, root in owner.items():
        members.setdefault(root, []).append(name)
    found: dict[str, FeatureMap] = {}
    for names in members.values():
        writers = [index[name] for name in names if not isinstance(kernels[index[name]], Alias)]
        users = sorted({index[user] for name in names for user in network.consumers[name]})
        readers = [each for each in users if not isinstance(kernels[each], Alias)]
        reads = [_reads(network.layers[each], kernels[each], names) for each in readers]
        near = tuple(each for each, ways in zip(readers, reads, strict=True) if "ifmap" in ways)
        leaves = "DRAM" in set().union(*reads) or not set(names).isdisjoint(network.outputs)
        size = sum(network.layers[each].output_elements for each in writers) * bytes_per_image
        if near:
            item = FeatureMap(names[-1], tuple(writers), near, size, leaves)
            found |= dict.fromkeys(names, item)
    return found


def _reads(layer: Layer, kernel: Kernel, names: Sequence[str]) -> set[str]:
    """Where `layer` can read the bytes of `names`: as a resident ifmap, or only in DRAM.

    A concat that copies reads its inputs as one, and a filter is read in a buffer of its own.
    """
    if isinstance(kernel, VectorKernel):
        return {"ifmap"} if len(kernel.inputs) == len(layer.inputs) else {"DRAM"}
    ifmap, *filters = layer.inputs
    ways = {"ifmap"} if ifmap in names else set()
    return ways | {"DRAM"} if not set(filters).isdisjoint(names) else ways


def _owners(network: Network, kernels: Sequence[Kernel]) -> dict[str, str]:
    """For each layer in bytes of the network's own, the last of the layers that share them."""
    owner: dict[str, str] = {}
    for layer, kernel in zip(network.layers, kernels, strict=True):
        if not isinstance(kernel, Alias):
            owner[layer.name] = layer.name
        elif all(name in owner for name in layer.inputs):
            merged = {owner[name] for name in layer.inputs}
            owner[layer.name] = layer.name
            owner |= {name: layer.name for name, root in owner.items() if root in merged}
    return owner


# --- The choice -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """Feature maps that stay, and with them each layer's best tiling (None for an alias)."""

    stays: tuple[Stay, ...]
    ranked: tuple[Ranked | None, ...]

    @property
    def dram_bytes(self) -> int:
        """Traffic of all layers."""
        return sum(map(dram_bytes, self.ranked))


def dram_bytes(ranked: Ranked | None) -> int:
    """Traffic of a layer; an alias has none."""
    return 0 if ranked is None else ranked.dram_bytes


@dataclass
class Planner:
    """Chooses the stays that make the traffic of a network least."""

    network: Network
    kernels: Sequence[Kernel]
    target: Target
    maps: dict[str, FeatureMap]
    known: dict[tuple[int, Residence, int], Ranked | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.search = search(self.target)
        self.buffer = self.target.buffer_index("ifmap")
        self.size = self.target.buffers[self.buffer].size
        self.own = [self.maps.get(layer.name) for layer in self.network.layers]
        self.inputs = [
            [self.maps.get(name) for name in layer.inputs[: _ifmaps(kernel)]]
            for layer, kernel in zip(self.network.layers, self.kernels, strict=True)
        ]
        self.whole = {item: Stay(item, len(item.readers), 0) for item in self.maps.values()}
        self.nothing = Choice((), tuple(self.rank(layer, ()) for layer in range(len(self.kernels))))

    def best(self) -> Choice:
        """Take the largest savings first; then see whether another should have gone first.

        With few feature maps, in every order.
        """
        items = sorted(set(self.maps.values()), key=lambda item: (-self.bound(item), item.writers))
        orders = permutations(items) if len(items) <= FEW else [items]
        choices = [self.filled(self.nothing, order) for order in orders]
        choice = min(choices, key=lambda each: each.dram_bytes)
        for item in items:
            if not self.ideal(choice, item):
                other = self.exchanged(choice, item, items)
                choice = other if other.dram_bytes < choice.dram_bytes else choice
        return choice

    def ideal(self, choice: Choice, item: FeatureMap) -> bool:
        """Whether all is on chip in the time of `item`, and no tile lacks room for it."""
        time = self.whole[item]
        there = {stay.feature_map for stay in choice.stays if not stay.far}
        if any(other not in there and overlap(self.whole[other], time) for other in self.whole):
            return False
        near = [stay for stay in choice.stays if overlap(stay, time)]
        without_room = [replace(stay, address=self.size) for stay in near]
        return all(
            dram_bytes(choice.ranked[layer]) <= dram_bytes(self.rank(layer, without_room))
            for layer in range(time.first, time.last + 1)
        )

    def bound(self, item: FeatureMap) -> int:
        """Bytes that `item` can save at most, if the layers' tiles stay as they are."""
        return item.size + sum(dram_bytes(self.nothing.ranked[reader]) for reader in item.readers)

    def filled(self, choice: Choice, items: Iterable[FeatureMap]) -> Choice:
        """`choice` with whatever else of `items` saves traffic, the first ones first."""
        there = {stay.feature_map for stay in choice.stays}
        waiting = [item for item in items if item not in there]
        while True:
            before, left = choice, []
            for item in waiting:
                more = self.kept(choice, item)
                if more is choice:
                    left.append(item)
                choice = more
            if choice is before:
                return choice
            waiting = left

    def exchanged(self, choice: Choice, item: FeatureMap, items: Sequence[FeatureMap]) -> Choice:
        """`choice` with `item` in the place of all that are on chip in its time, and refilled."""
        stay = self.whole[item]
        others = tuple(each for each in choice.stays if not overlap(each, stay))
        emptied = self.restricted(choice, others)
        if emptied is None:
            return choice
        near = [each for each in items if overlap(self.whole[each], stay)]
        return self.filled(self.kept(emptied, item), near)

    def restricted(self, choice: Choice, stays: tuple[Stay, ...]) -> Choice | None:
        """`choice` with only `stays` of its own; None if tiles do not fit beside them alone."""
        gone = [stay for stay in choice.stays if stay not in stays]
        ranked = tuple(
            self.rank(layer, stays) if any(stay.spans(layer) for stay in gone) else each
            for layer, each in enumerate(choice.ranked)
        )
        return Choice(stays, ranked) if self.all_fit(ranked) else None

    def all_fit(self, ranked: Sequence[Ranked | None]) -> bool:
        """Whether every layer with work has a tiling."""
        pairs = zip(ranked, self.nothing.ranked, strict=True)
        return all(each is not None or unplanned is None for each, unplanned in pairs)

    def kept(self, choice: Choice, item: FeatureMap) -> Choice:
        """`choice` with `item` too, for as many of its readers as saves traffic."""
        for near in range(len(item.readers), 0, -1):
            stay = placed(Stay(item, near, 0), choice.stays, self.size)
            more = self.joined(choice, stay) if stay is not None else None
            if more is not None:
                return more
        return choice

    def joined(self, choice: Choice, stay: Stay) -> Choice | None:
        """`choice` with `stay`; None if tiles then do not fit, or there is no less traffic."""
        stays = (*choice.stays, stay)
        during = range(stay.first, stay.last + 1)
        after = tuple(self.rank(layer, stays) for layer in during)
        ranked = (*choice.ranked[: stay.first], *after, *choice.ranked[stay.last + 1 :])
        before = sum(dram_bytes(choice.ranked[layer]) for layer in during)
        if not self.all_fit(ranked) or sum(map(dram_bytes, after)) >= before:
            return None
        return Choice(stays, ranked)

    def rank(self, layer: int, stays: Iterable[Stay]) -> Ranked | None:
        """A layer's best tiling with `stays`; None for an alias, or where no tile fits."""
        kernel = self.kernels[layer]
        if isinstance(kernel, Alias):
            return None
        around = [stay for stay in stays if stay.first <= layer <= stay.last]
        space = min((stay.address for stay in around), default=self.size)
        key = (layer, self.residence(layer, around), space)
        if key not in self.known:
            ranks = self.search(kernel, key[1])
            self.known[key] = ranks.best_within(space)
        return self.known[key]

    def residence(self, layer: int, stays: Sequence[Stay]) -> Residence:
        """What of a layer lies on chip with the `stays` of its time."""
        here = {stay.feature_map for stay in stays if layer in stay.readers}
        ifmaps = tuple(item in here for item in self.inputs[layer]) if here else ()
        own = [stay for stay in stays if stay.feature_map is self.own[layer]]
        return Residence(ifmaps, bool(own), all(stay.stored for stay in own))


def _ifmaps(kernel: Kernel) -> int | None:
    """How many of a layer's inputs are ifmaps; None for all."""
    return 1 if isinstance(kernel, GemmKernel) else None


def placed(stay: Stay, others: Iterable[Stay], size: int) -> Stay | None:
    """`stay` at the highest address below `size` that is free all the time; None if none is."""
    needed = stay.feature_map.size
    there = [other for other in others if overlap(other, stay)]
    top = size
    for other in sorted(there, key=lambda each: -each.end):
        if top - other.end >= needed:
            break
        top = min(top, other.address)
    return replace(stay, address=top - needed) if top >= needed else None


def overlap(one: Stay, other: Stay) -> bool:
    """Whether two stays are on chip at a time, in the course of the layers."""
    return one.first <= other.last and other.first <= one.last


# --- The order that it needs ----------------------------------------------------------------------


@dataclass
class _Gates:
    """Who waits for whom, layer by layer; sets of layers are bits of an integer."""

    needs: Sequence[Sequence[int]]
    stays: Sequence[Stay]
    spaces: list[int]
    filters_share: bool
    before: list[int] = field(default_factory=list)

    def settle(self, tile_bytes: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """What the inputs and the filters of every layer follow, beside the layers it reads."""
        self.narrow(tile_bytes)
        self.before = []
        return [self.follow(layer) for layer in range(len(self.needs))]

    def narrow(self, tile_bytes: Sequence[int]) -> None:
        """Let a layer whose tiles leave room for a feature map take less, rather than wait."""
        before = _ancestors(self.needs)
        for stay in self.stays:
            users, writers = _bits(stay.users), stay.feature_map.writers
            for layer, space in enumerate(self.spaces):
                if not space > stay.address >= 2 * tile_bytes[layer] or stay.spans(layer):
                    continue
                comes_after = not self.filters_share and users & before[layer] == users
                comes_before = all(before[each] >> layer & 1 for each in writers)
                if not comes_after and not comes_before:
                    self.spaces[layer] = stay.address

    def follow(self, layer: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The same for one layer, given those before it."""
        needed = _closed(self.before, self.needs[layer])
        tiles = _bits(self.ahead_of_tiles(layer))
        ofmap = _bits(self.ahead_of_ofmap(layer))
        follows = self.latest(tiles & ~needed | ofmap & ~needed)
        self.before.append(needed | _closed(self.before, follows))
        return follows, self.latest(tiles) if self.filters_share else ()

    def ahead_of_tiles(self, layer: int) -> Iterator[int]:
        """The users of what had a place where the tiles of `layer` go."""
        for stay in self.stays:
            if stay.last < layer and stay.address < self.spaces[layer]:
                yield from stay.users

    def ahead_of_ofmap(self, layer: int) -> Iterator[int]:
        """The layers that had tiles, or use feature maps, where the ofmap of `layer` goes."""
        for stay in self.stays:
            if layer not in stay.feature_map.writers:
                continue
            yield from (i for i in range(stay.first) if self.spaces[i] > stay.address)
            for other in self.stays:
                apart = other.end <= stay.address or stay.end <= other.address
                if other.last < stay.first and not apart:
                    yield from other.users

    def latest(self, layers: int) -> tuple[int, ...]:
        """Without those that others of them have waited for."""
        indices = _indices(layers)
        for each in indices:
            layers &= ~self.before[each]
        return tuple(_indices(layers))


def _bits(layers: Iterable[int]) -> int:
    total = 0
    for layer in layers:
        total |= 1 << layer
    return total


def _indices(bits: int) -> list[int]:
    return [index for index in range(bits.bit_length()) if bits >> index & 1]


def _closed(before: Sequence[int], layers: Iterable[int]) -> int:
    """`layers` and all before them."""
    total = 0
    for layer in layers:
        total |= before[layer] | 1 << layer
    return total


def _ancestors(needs: Sequence[Sequence[int]]) -> list[int]:
    """For each layer, all that it depends on."""
    before: list[int] = []
    for layers in needs:
        before.append(_closed(before, layers))
    return before


# --- The plan -------------------------------------------------------------------------------------


def plan_residency(
    network: Network,
    kernels: Sequence[Kernel],
    needs: Sequence[Sequence[int]],
    target: Target,
    batch: int,
) -> Plan:
    """The stays that make the DRAM traffic least, as far as taking them one by one finds it."""
    maps = feature_maps(network, kernels, batch * target.bytes_of("ofmap"))
    planner = Planner(network, kernels, target, maps)
    choice = planner.best()
    stays = tuple(sorted(choice.stays, key=lambda stay: (stay.first, stay.last)))
    around = [[stay for stay in stays if stay.spans(layer)] for layer in range(len(kernels))]
    size = target.buffers[planner.buffer].size
    spaces = [
        min((stay.address for stay in stays_here), default=size) if ranked else 0
        for stays_here, ranked in zip(around, choice.ranked, strict=True)
    ]
    gates = _Gates(needs, stays, spaces, target.buffer_index("filter") == planner.buffer)
    follows = gates.settle([_tile_bytes(each) for each in choice.ranked])
    return Plan(
        stays,
        tuple(
            Placement(
                ranked.tiling if ranked else None,
                planner.residence(layer, around[layer]),
                spaces[layer],
                *follows[layer],
                saved_bytes=dram_bytes(planner.nothing.ranked[layer]) - dram_bytes(ranked),
            )
            for layer, ranked in enumerate(choice.ranked)
        ),
    )


def _tile_bytes(ranked: Ranked | None) -> int:
    return 0 if ranked is None else ranked.tile_bytes
