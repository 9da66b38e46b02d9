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

from accelsim.lowering.cost import Residence, Target
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel, VectorKernel
from accelsim.lowering.tiling import GemmTiling, Ranked, VectorTiling, ranked_vector_tiling, ranking
from accelsim.network.graph import Layer, Network


@dataclass(frozen=True, slots=True)
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
    """A feature map on chip for the first `near` of its readers; the others find it in DRAM."""

    feature_map: FeatureMap
    near: int
    address: int

    @property
    def readers(self) -> tuple[int, ...]:
        """The layers that read it on chip."""
        return self.feature_map.readers[: self.near]

    @property
    def users(self) -> tuple[int, ...]:
        """The layers that need its place: writers, and readers on chip."""
        return self.feature_map.writers + self.readers

    @property
    def first(self) -> int:
        """The layer that writes to it first."""
        return self.feature_map.writers[0]

    @property
    def last(self) -> int:
        """The last layer that needs its place."""
        return max(self.users)

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.feature_map.size

    @property
    def stored(self) -> bool:
        """Whether it is written to DRAM too."""
        return self.feature_map.must_store or self.near < len(self.feature_map.readers)

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

    tiling: GemmTiling | VectorTiling | None
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


@dataclass
class _Planner:
    """The stays chosen so far, and what each layer's best tiling moves with them."""

    network: Network
    kernels: Sequence[Kernel]
    target: Target
    maps: dict[str, FeatureMap]
    stays: dict[FeatureMap, Stay] = field(default_factory=dict)
    ranked: tuple[Ranked | None, ...] = ()
    known: dict[tuple[Kernel, Residence, int], Ranked | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.buffer = self.target.buffer_index("ifmap")
        self.size = self.target.buffers[self.buffer].size
        self.targets: dict[Residence, Target] = {}
        self.ranked = tuple(self.rank(layer, ()) for layer in range(len(self.kernels)))

    def choose(self) -> None:
        """Let stay, largest saving first, what makes the traffic less, until nothing does."""
        waiting = sorted(
            set(self.maps.values()), key=lambda item: (-self.bound(item), item.writers)
        )
        while waiting:
            kept = [item for item in waiting if self.try_to_keep(item)]
            waiting = [item for item in waiting if item not in kept] if kept else []

    def bound(self, item: FeatureMap) -> int:
        """Bytes that `item` can save at most, if the layers' tiles stay as they are."""
        reads = (self.ranked[reader] for reader in item.readers)
        return item.size + sum(ranked.dram_bytes for ranked in reads if ranked is not None)

    def try_to_keep(self, item: FeatureMap) -> bool:
        """Keep `item` for as many of its readers as saves traffic; whether it stays."""
        for near in range(len(item.readers), 0, -1):
            stay = self.place(item, near)
            if stay is not None and self.saves(stay):
                return True
        return False

    def place(self, item: FeatureMap, near: int) -> Stay | None:
        """The highest place that is free all the time."""
        stay = Stay(item, near, 0)
        others = [each for each in self.stays.values() if overlap(each, stay)]
        top = self.size
        for other in sorted(others, key=lambda each: -each.end):
            if top - other.end >= item.size:
                break
            top = min(top, other.address)
        return replace(stay, address=top - item.size) if top >= item.size else None

    def saves(self, stay: Stay) -> bool:
        """Whether there is less traffic with `stay`, which is then kept."""
        stays = (*self.stays.values(), stay)
        affected = range(stay.first, stay.last + 1)
        after = [self.rank(layer, stays) for layer in affected]
        before = self.ranked[stay.first : stay.last + 1]
        if any(old and not new for old, new in zip(before, after, strict=True)):
            return False
        if sum(map(_dram_bytes, after)) >= sum(map(_dram_bytes, before)):
            return False
        self.stays[stay.feature_map] = stay
        self.ranked = (*self.ranked[: stay.first], *after, *self.ranked[stay.last + 1 :])
        return True

    def rank(self, layer: int, stays: Iterable[Stay]) -> Ranked | None:
        """A layer's best tiling with `stays`; None for an alias, or where no tile fits."""
        kernel = self.kernels[layer]
        if isinstance(kernel, Alias):
            return None
        around = [stay for stay in stays if stay.spans(layer)]
        space = min((stay.address for stay in around), default=self.size)
        key = (kernel, self.residence(layer, around), space)
        if key not in self.known:
            self.known[key] = self.search(*key)
        return self.known[key]

    def search(self, kernel: Kernel, residence: Residence, space: int) -> Ranked | None:
        """The best tiling of a kernel with so much room for its tiles."""
        target = self.targets.get(residence)
        if target is None:
            target = self.targets[residence] = replace(self.target, residence=residence)
        if isinstance(kernel, GemmKernel):
            return ranking(kernel, target).best(self.buffer, space)
        assert not isinstance(kernel, Alias)
        return ranked_vector_tiling(kernel, target, self.buffer, space)

    def residence(self, layer: int, stays: Iterable[Stay]) -> Residence:
        """What of a layer lies on chip."""
        by_map = {stay.feature_map: stay for stay in stays}

        def resident(name: str) -> bool:
            stay = by_map.get(self.maps[name]) if name in self.maps else None
            return stay is not None and layer in stay.readers

        described = self.network.layers[layer]
        own = by_map.get(self.maps[described.name]) if described.name in self.maps else None
        ifmaps = tuple(map(resident, described.inputs))
        if isinstance(self.kernels[layer], GemmKernel):
            ifmaps = ifmaps[:1]
        there = ifmaps if any(ifmaps) else ()
        return Residence(there, own is not None, own is None or own.stored)


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
            users, writers = _bits(stay.users), _bits(stay.feature_map.writers)
            for layer, space in enumerate(self.spaces):
                comes_after = not self.filters_share and users & before[layer] == users
                comes_before = all(before[each] >> layer & 1 for each in _indices(writers))
                if space > stay.address >= 2 * tile_bytes[layer] and not (
                    stay.spans(layer) or comes_after or comes_before
                ):
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
    planner = _Planner(network, kernels, target, maps)
    unplanned = planner.ranked
    planner.choose()
    stays = tuple(sorted(planner.stays.values(), key=lambda stay: (stay.first, stay.last)))
    around = [[stay for stay in stays if stay.spans(layer)] for layer in range(len(kernels))]
    size = target.buffers[planner.buffer].size
    spaces = [
        min((stay.address for stay in stays_here), default=size) if ranked else 0
        for stays_here, ranked in zip(around, planner.ranked, strict=True)
    ]
    gates = _Gates(needs, stays, spaces, target.buffer_index("filter") == planner.buffer)
    follows = gates.settle([_tile_bytes(each, planner.buffer) for each in planner.ranked])
    return Plan(
        stays,
        tuple(
            Placement(
                ranked.tiling if ranked else None,
                planner.residence(layer, around[layer]),
                spaces[layer],
                *follows[layer],
                saved_bytes=_dram_bytes(unplanned[layer]) - _dram_bytes(ranked),
            )
            for layer, ranked in enumerate(planner.ranked)
        ),
    )


def _dram_bytes(ranked: Ranked | None) -> int:
    return 0 if ranked is None else ranked.dram_bytes


def _tile_bytes(ranked: Ranked | None, buffer: int) -> int:
    return 0 if ranked is None else ranked.tile_bytes[buffer]
