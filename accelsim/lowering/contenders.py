"""What else a layer could do: its tiling among the best of others, on any unit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from accelsim.lowering.cost import significant
from accelsim.lowering.cut import parts_of, total
from accelsim.lowering.gemm_tasks import AXES as AXES_OF_LOOP
from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel
from accelsim.lowering.objective import weighed
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.ranking import Ranked, Tiling
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_candidates import AXES, near
from accelsim.lowering.row_stationary_cost import legal, mapping_cost
from accelsim.lowering.row_stationary_ranks import ranked_as
from accelsim.lowering.search import Ranks, Search
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import OPERAND_LOOPS, CutTiling, GemmTiling, VectorTiling, whole_sizes
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.lowering.vector_search import VectorSearch, ranked_of, sizes_of, with_space

INDEXED = {
    item: {"groups", *(axis for loop in OPERAND_LOOPS[item] for axis in AXES_OF_LOOP[loop])}
    for item in ("ifmap", "filter", "ofmap")
}
"""The axes that change each operand's tile of a systolic array."""

CUTS = ("f", "tap_rows", "tap_cols")
"""What neighbours of a mapping leave as it is: rows and windows in parts."""


def mappings_near(kernel: GemmKernel, target: Target, chosen: Mapping, count: int) -> list[Ranked]:
    """A row-stationary mapping, and those of least cost that differ from it a little."""
    around = near(kernel, target, chosen, [axis for axis in AXES if axis not in CUTS])
    fitting = around.select(legal(kernel, target, around))
    cost = mapping_cost(kernel, target, fitting)
    costs = np.asarray(weighed(target.objective, cost.cycles, cost.energy_pj))
    order = np.lexsort((cost.cycles, significant(costs)))[:count]
    several = dict.fromkeys((chosen, *(fitting.only(int(index)) for index in order)))
    return [ranked_as(kernel, target, each) for each in list(several)[:count]]


def vector_tilings(
    kernel: VectorKernel, target: Target, chosen: VectorTiling, space: int, count: int
) -> list[Ranked]:
    """A tiling of a vector unit, and those of least cost of a coarse grid and around it."""
    search = VectorSearch(kernel, with_space(target, space))
    center = sizes_of(chosen)
    tried = np.unique(np.concatenate([search.grid(), search.around(center)], axis=1), axis=1)
    guess = VectorCosts(kernel=kernel, target=search.target, sizes=tried, kinds=False)
    fits = np.flatnonzero(guess.fits & (guess.arrays <= guess.blocks))
    keys = guess.tiles_in_all, guess.second, significant(guess.cost)  # as the search breaks ties
    order = fits[np.lexsort([np.broadcast_to(key, guess.fits.shape)[fits] for key in keys])[:count]]
    found = (VectorTiling(*map(int, sizes)) for sizes in tried[:, order].T.tolist())
    several = list(dict.fromkeys((chosen, *found)))[:count]
    costs = (
        VectorCosts(kernel=kernel, target=search.target, sizes=sizes_of(each)) for each in several
    )
    return [ranked_of(each, 0) for each in costs]


Extents = list[tuple[str, int, int]]
"""(axis, all of it, of a tile) of each loop over tiles, the outermost first."""


def loop_extents(kernel: Kernel, tiling: Tiling | None) -> Extents:
    """The loops of a tiling, those that turn once, too."""
    return KINDS[type(tiling)].loops(kernel, tiling)


def _of_gemm(kernel: GemmKernel, tiling: GemmTiling) -> Extents:
    """Tiles of groups, and in each the loops in their order."""
    names = [item.name for item in fields(GemmTiling)]
    totals = dict(zip(names, whole_sizes(kernel), strict=False))
    axes = [axis for loop in ("groups", *tiling.order.value) for axis in AXES_OF_LOOP[loop]]
    return [(axis, totals[axis], getattr(tiling, axis)) for axis in axes]


def _of_cut(kernel: GemmKernel, tiling: CutTiling) -> Extents:
    """The two parts, and the loops of the larger one."""
    whole = total(kernel, tiling.cut)
    larger = max(tiling.at, whole - tiling.at)
    first, rest = parts_of(kernel, tiling.cut, tiling.at)
    inside = loop_extents(*((first, tiling.first) if larger == tiling.at else (rest, tiling.rest)))
    return [(tiling.cut, whole, larger), *inside]


def _of_mapping(kernel: GemmKernel, mapping: Mapping) -> Extents:
    """Blocks of ofmaps, and in each the passes over channels and taps."""
    return [
        ("groups", kernel.groups, 1),
        ("batch", kernel.batch, int(mapping.n)),
        ("rows", kernel.rows.outputs, int(mapping.e)),
        ("cols", kernel.cols.outputs, int(mapping.f)),
        ("filters", kernel.filters, int(mapping.m)),
        ("channels", kernel.channels, int(mapping.channels)),
        ("tap_rows", kernel.rows.kernel, int(mapping.tap_rows)),
        ("tap_cols", kernel.cols.kernel, int(mapping.tap_cols)),
    ]


def _of_vector(kernel: VectorKernel, tiling: VectorTiling) -> Extents:
    """Blocks of the ofmap, and in each the passes over channels that need each other, and taps."""
    pixels = [
        ("batch", kernel.batch, tiling.batch),
        ("rows", kernel.rows.outputs, tiling.rows),
        ("cols", kernel.cols.outputs, tiling.cols),
    ]
    taps = [
        ("tap_rows", kernel.rows.kernel, tiling.tap_rows),
        ("tap_cols", kernel.cols.kernel, tiling.tap_cols),
    ]
    channels = ("channels", kernel.channels, tiling.channels)
    if not kernel.passes:
        return [channels, *pixels, *taps]
    turns = len(kernel.passes) if tiling.channels < kernel.channels else 1
    return [*pixels, ("passes", turns, 1), channels, *taps]


def rivals(
    layer: LayerProgram, finder: Search, wanted: Sequence[Tiling | None], count: int
) -> Iterator[Ranked]:
    """Those tilings of a layer that are wanted, and the best of others, `count` of these."""
    return KINDS[type(layer.tiling)].rivals(layer, finder, wanted, count)


def _courses(
    layer: LayerProgram, finder: Search, wanted: Sequence[GemmTiling | CutTiling], count: int
) -> Iterator[Ranked]:
    """Of a systolic array: others with other courses of their loops."""
    ranks, space = finder(layer.kernel, _residence(layer)), _space(layer, finder.target)
    assert isinstance(ranks, Ranks)
    yield from ranks.contenders(space, count)
    yield from (ranks.cost_of(each, space) for each in wanted)


def _mappings(
    layer: LayerProgram, finder: Search, wanted: Sequence[Mapping], count: int
) -> Iterator[Ranked]:
    target = finder.target.holding(_residence(layer))
    assert isinstance(layer.kernel, GemmKernel)
    for each in wanted:
        yield from mappings_near(layer.kernel, target, each, count)


def _on_lanes(
    layer: LayerProgram, finder: Search, wanted: Sequence[VectorTiling], count: int
) -> Iterator[Ranked]:
    target = finder.target.holding(_residence(layer))
    assert isinstance(layer.kernel, VectorKernel)
    for each in wanted:
        yield from vector_tilings(layer.kernel, target, each, _space(layer, target), count)


def _residence(layer: LayerProgram) -> Residence:
    """What lies on chip, as far as the closed form knows it."""
    return replace(layer.placement.residence, filter="fetched")


def _space(layer: LayerProgram, target: Target) -> int:
    """Room of the layer's tiles where ifmaps lie."""
    return layer.spaces[target.buffer_index("ifmap")]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of tiling: its loops, its rivals, and the axes that change each operand's tile."""

    loops: Callable[[Any, Any], Extents]
    rivals: Callable[[LayerProgram, Search, Any, int], Iterator[Ranked]]
    indexed: dict[str, set[str]] = field(default_factory=dict)


KINDS: dict[type, Kind] = {
    GemmTiling: Kind(_of_gemm, _courses, INDEXED),
    CutTiling: Kind(_of_cut, _courses, INDEXED),
    Mapping: Kind(_of_mapping, _mappings),
    VectorTiling: Kind(_of_vector, _on_lanes),
    type(None): Kind(lambda *_: [], lambda *_: iter(())),
}
"""Every kind, and that of a layer with nothing to do."""
