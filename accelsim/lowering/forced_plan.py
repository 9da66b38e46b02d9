"""Plans that the user forces: which ofmaps stay on chip, where, and for whom; and ways to lower.

A saved mapping has one, so that it makes its run again to the cycle. What cannot be is refused by
name: no address may have two owners at a time, in the order in which the layers are listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.frontend.findings import unknown
from accelsim.frontend.mapping_file import ForcedStay, Source
from accelsim.hardware import FusedKind, Hardware
from accelsim.lowering.depthwise import Lanes
from accelsim.lowering.feature_maps import FeatureMap, feature_maps
from accelsim.lowering.forced import ForcedSearch
from accelsim.lowering.gates import Gates
from accelsim.lowering.kernels import Alias, Kernel
from accelsim.lowering.residency import Plan, can_keep, placement_of
from accelsim.lowering.sampled import Skips, sampled
from accelsim.lowering.stay_search import Share, StaySearch
from accelsim.lowering.stays import Stay
from accelsim.lowering.target import Residence, Target
from accelsim.network.graph import Network

# --- Ways to lower --------------------------------------------------------------------------------


def forced_arrays(source: Source, target: Target) -> Target:
    """The target with as many arrays as are forced; raises InputError for more than there are."""
    arrays = source.plan.arrays or target.arrays
    if arrays > target.arrays:
        message = f"expected at most the {target.arrays} arrays of the hardware, found {arrays}"
        raise InputError(source.problem(("arrays",), message))
    return replace(target, arrays=arrays)


def forced_lanes(
    source: Source, network: Network, depthwise: Sequence[int], hardware: Hardware
) -> Lanes | None:
    """The layers that lanes are forced to compute, None if nothing is; raises InputError."""
    if source.plan.on_lanes is None:
        return None
    place = {network.layers[at].name: at for at in depthwise}
    problems = [
        source.problem(("on_lanes",), unknown("depthwise layer", name, place))
        for name in source.plan.on_lanes
        if name not in place
    ]
    lanes = frozenset(place[name] for name in source.plan.on_lanes if name in place)
    fixed = {"array": frozenset[int](), "vector": frozenset(depthwise)}.get(hardware.depthwise)
    if fixed is not None and lanes != fixed and not problems:
        message = f"depthwise: {hardware.depthwise} says otherwise; set depthwise=best"
        problems.append(source.problem(("on_lanes",), message))
    if problems:
        raise InputError(problems)
    return lanes


def forced_skips(source: Source, network: Network, convs: Mapping[int, Kernel]) -> Skips | None:
    """The layers that are forced to leave out unread rows, None if nothing is; raises InputError.

    `convs` are the kernels that might, by position.
    """
    if source.plan.skips is None:
        return None
    place = {network.layers[at].name: at for at, each in convs.items() if sampled(each) is not each}
    problems = [
        source.problem(("skips",), unknown("layer with unread rows", name, place))
        for name in source.plan.skips
        if name not in place
    ]
    if problems:
        raise InputError(problems)
    return frozenset(place[name] for name in source.plan.skips)


def forced_fusion(source: Source, hardware: Hardware) -> tuple[FusedKind, ...] | None:
    """What is forced to be done on the way out, None if nothing is; raises InputError."""
    kinds = source.plan.fused
    for kind in kinds or ():
        if kind not in hardware.fused:
            has = ", ".join(hardware.fused) or "none"
            message = f"expected kinds that the hardware has ({has}), found {kind}"
            raise InputError(source.problem(("fused",), message))
    return kinds


# --- What stays on chip ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ForcedPlan:
    """The plan that `source` forces, for layers as `finder` cuts them."""

    source: Source
    network: Network
    kernels: Sequence[Kernel]
    needs: Sequence[Sequence[int]]
    finder: ForcedSearch
    batch: int
    hardware: Hardware

    @cached_property
    def maps(self) -> dict[str, FeatureMap]:
        """What could stay, by the layer that makes it."""
        if self.hardware.residency == "off" or not can_keep(self.finder.target):
            return {}
        words = self.finder.target.bytes_of("ofmap")
        return feature_maps(self.network, self.kernels, self.batch * words)

    @cached_property
    def search(self) -> StaySearch:
        """What is known of the layers with nothing on chip."""
        return StaySearch(
            network=self.network,
            kernels=self.kernels,
            needs=self.needs,
            search=self.finder,
            maps=self.maps,
        )

    def plan(self) -> Plan:
        """The plan; raises InputError or DoesNotFitError with all that is wrong with it."""
        stays = tuple(sorted(self._stays(), key=lambda each: (each.first, each.last)))
        problems = [*self._overlaps(stays), *self._wrong_rooms(stays)]
        if problems:
            raise InputError(problems)
        shares = [self._share(layer, stays) for layer in range(len(self.kernels))]
        self._refuse_misfits(shares)
        search = self.search
        filters_share = search.target.buffer_index("filter") == search.buffer
        spaces = [each.space for each in shares]
        gates = Gates(
            needs=self.needs,
            stays=stays,
            spaces=spaces,
            size=search.size,
            filters_share=filters_share,
        ).gates()
        alone = [self._alone(layer, share) for layer, share in enumerate(search.alone)]
        return Plan(stays, tuple(map(placement_of, shares, gates, alone)))

    def _stays(self) -> list[Stay]:
        """The stays, each by itself as it can be."""
        asked = self.source.plan.on_chip or {}
        size = self._buffer_size
        problems, stays = [], []
        for name, each in asked.items():
            wrong = self._wrong(name, each, size)
            if wrong is not None:
                problems.append(wrong)
                continue
            stay = self.search.stay(self.maps[name], len(each.readers))
            stays.append(replace(stay, address=each.address))
        if problems:
            raise InputError(problems)
        return stays

    def _wrong(self, name: str, asked: ForcedStay, size: int) -> Problem | None:
        """What is wrong with a stay by itself."""
        path = ("on_chip", name)
        if name not in self.maps or self.maps[name].name != name:
            names = sorted({each.name for each in self.maps.values()})
            if not names:
                return self.source.problem(
                    path, "no ofmap of this network can stay on this hardware", at_key=True
                )
            return self.source.problem(path, unknown("ofmap that can stay", name, names), True)
        item = self.maps[name]
        readers = [self.network.layers[each].name for each in item.readers]
        if [*asked.readers] != readers[: len(asked.readers)]:
            message = f"expected the first of its readers, {', '.join(readers)}"
            return self.source.problem((*path, "readers"), message)
        if asked.address + item.size > size:
            message = (
                f"its {item.size:,} bytes at {asked.address:,} end beyond the buffer of "
                f"{size:,}; give at most {max(size - item.size, 0):,}"
            )
            return self.source.problem((*path, "address"), message)
        return None

    def _overlaps(self, stays: Sequence[Stay]) -> Iterator[Problem]:
        """Stays that have an address at a time."""
        for one, other in combinations(stays, 2):
            apart = one.end <= other.address or other.end <= one.address
            if not apart and other.first <= one.last and one.first <= other.last:
                message = f"has addresses of {one.feature_map.name} while that is on chip"
                yield self.source.problem(("on_chip", other.feature_map.name, "address"), message)

    def _wrong_rooms(self, stays: Sequence[Stay]) -> Iterator[Problem]:
        """Rooms of layers that are not there, or that stays take."""
        names = [layer.name for layer in self.network.layers]
        for name, room in (self.source.plan.rooms or {}).items():
            if name not in names:
                yield self.source.problem(("rooms", name), unknown("layer", name, names), True)
                continue
            most = self._most_room(names.index(name), stays)
            if room > most:
                message = f"expected at most the {most:,} bytes below what stays, found {room:,}"
                yield self.source.problem(("rooms", name), message)

    def _most_room(self, layer: int, stays: Sequence[Stay]) -> int:
        """Bytes below all that is on chip in the course of the layers."""
        here = (stay.address for stay in stays if stay.first <= layer <= stay.last)
        return min(here, default=self._buffer_size)

    def _share(self, layer: int, stays: Sequence[Stay]) -> Share:
        """A layer's share: all that is on chip in its time, and the best tiling in its room."""
        here = tuple(stay for stay in stays if layer in stay.time)
        residence = self.search.residence(layer, here)
        kernel = self.kernels[layer]
        if isinstance(kernel, Alias):
            return Share(here, residence, 0, None)
        name = self.network.layers[layer].name
        room = (self.source.plan.rooms or {}).get(name)
        space = room or min((stay.address for stay in here), default=self.search.size)
        return Share(here, residence, space, self.finder(kernel, residence).refined_within(space))

    def _refuse_misfits(self, shares: Sequence[Share]) -> None:
        """Raise DoesNotFitError with every layer that has no tiling in its room."""
        told = [
            f"{self.network.name}: layer {layer.name}: no tile of it fits the {share.space:,} "
            "bytes that on_chip leaves it; force smaller tiles, or let less stay"
            for layer, kernel, share in zip(self.network.layers, self.kernels, shares, strict=True)
            if share.ranked is None and not isinstance(kernel, Alias)
        ]
        if told:
            raise DoesNotFitError("\n".join(told))

    def _alone(self, layer: int, share: Share) -> Share:
        """The layer with nothing on chip and nothing forced, which savings compare with."""
        if share.ranked is None:
            return share
        free = self.finder.free(self.kernels[layer], Residence())
        return replace(share, ranked=free.refined_within(share.space))

    @property
    def _buffer_size(self) -> int:
        target = self.finder.target
        return target.buffers[target.buffer_index("ifmap")].size
