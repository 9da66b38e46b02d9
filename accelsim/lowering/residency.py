"""The residency plan: which feature maps stay on chip, and what that means for every layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from accelsim.lowering.feature_maps import feature_maps
from accelsim.lowering.gates import Gate, Gates, Order, limits, order_of, set_apart
from accelsim.lowering.kernels import Kernel
from accelsim.lowering.ranking import Tiling
from accelsim.lowering.search import Search
from accelsim.lowering.stay_search import Share, StaySearch, dram_bytes, no_worse
from accelsim.lowering.stays import Stay
from accelsim.lowering.target import Residence, Target
from accelsim.network.graph import Network


def can_keep(target: Target) -> bool:
    """Whether feature maps can stay: a row-stationary array fills its buffer with blocks.

    Of several arrays each has buffers of its own. They stay in those of the first, which then
    makes and reads them by itself.
    """
    return not target.reserves_blocks


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


def plan_residency(
    network: Network,
    kernels: Sequence[Kernel],
    needs: Sequence[Sequence[int]],
    finder: Search,
    batch: int,
) -> Plan:
    """The stays that make the DRAM traffic least, as far as taking them one by one finds it.

    None of them makes its time longer, by the closed form of the cost.
    """
    target = finder.target
    maps = feature_maps(network, kernels, batch * target.bytes_of("ofmap"))
    search = StaySearch(network=network, kernels=kernels, needs=needs, search=finder, maps=maps)
    search.run()
    order = order_of(needs)
    rooms = [2 * share.ranked.tile_bytes if share.ranked else 0 for share in search.shares]
    stays = set_apart(search.stays, rooms, (order, search.order), search.size)
    share = target.buffer_index("filter") == search.buffer
    shares = _shares(search, stays, order, share)
    spaces = [each.space for each in shares]
    gates = Gates(
        needs=needs, stays=stays, spaces=spaces, size=search.size, filters_share=share
    ).gates()
    refine = partial(_refined, finder)
    refined, alone = (map(refine, kernels, each) for each in (shares, search.alone))
    return Plan(stays, tuple(map(placement_of, refined, gates, alone)))


def _refined(finder: Search, kernel: Kernel, share: Share) -> Share:
    """The share with the best tiling for it; while planning, those at every scale were enough."""
    if share.ranked is None:
        return share
    ranks = finder(kernel, share.residence)
    return replace(share, ranked=ranks.refined_within(share.space))


def _shares(
    search: StaySearch, stays: Sequence[Stay], order: Order, filters_share: bool
) -> list[Share]:
    """Every layer's share, with room for its tiles up to the stays of its time.

    Where it would wait for others, or they for it, it takes less if that costs nothing.
    """
    around: list[list[Stay]] = [[] for _ in search.kernels]
    for stay in stays:
        for layer in stay.time:
            around[layer].append(stay)
    shares = [
        replace(
            share,
            stays=tuple(here),
            space=min((stay.address for stay in here), default=search.size) if share.ranked else 0,
        )
        for here, share in zip(around, search.shares, strict=True)
    ]
    spaces = [share.space for share in shares]
    for layer, addresses in enumerate(limits(stays, spaces, order, filters_share)):
        for space in sorted(addresses):
            ranked = search.rank(layer, shares[layer].residence, space)
            if no_worse(ranked, shares[layer].ranked):
                shares[layer] = replace(shares[layer], space=space, ranked=ranked)
                break
    return shares


def placement_of(share: Share, gate: Gate, alone: Share) -> Placement:
    """What a share and a gate are for a layer; `alone` is its share with nothing on chip."""
    ranked = share.ranked
    return Placement(
        tiling=ranked.tiling if ranked else None,
        residence=share.residence,
        space=share.space,
        follows=gate.inputs,
        filters_follow=gate.filters,
        saved_bytes=dram_bytes(alone.ranked) - dram_bytes(ranked),
    )
