"""What else a layer could do: its tiling among the best of others, on any unit."""

import numpy as np

from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel
from accelsim.lowering.objective import weighed
from accelsim.lowering.ranking import Ranked
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_candidates import AXES, near
from accelsim.lowering.row_stationary_cost import legal, mapping_cost
from accelsim.lowering.row_stationary_ranks import ranked_as
from accelsim.lowering.target import Target
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.lowering.vector_search import VectorSearch, ranked_of, sizes_of, with_space

CUTS = ("f", "tap_rows", "tap_cols")
"""What neighbours of a mapping leave as it is: rows and windows in parts."""


def mappings_near(kernel: GemmKernel, target: Target, chosen: Mapping, count: int) -> list[Ranked]:
    """A row-stationary mapping, and those of least cost that differ from it a little."""
    around = near(kernel, target, chosen, [axis for axis in AXES if axis not in CUTS])
    fitting = around.select(legal(kernel, target, around))
    cost = mapping_cost(kernel, target, fitting)
    costs = np.asarray(weighed(target.objective, cost.cycles, cost.energy_pj))
    order = np.argsort(costs, kind="stable")
    several = dict.fromkeys((chosen, *(fitting.only(int(index)) for index in order[:count])))
    return [ranked_as(kernel, target, each) for each in list(several)[:count]]


def vector_tilings(
    kernel: VectorKernel, target: Target, chosen: VectorTiling, space: int, count: int
) -> list[Ranked]:
    """A tiling of a vector unit, and those of least cost of a coarse grid and around it."""
    search = VectorSearch(kernel, with_space(target, space))
    center = sizes_of(chosen)
    tried = np.unique(np.concatenate([search.coarse(), search.around(center)], axis=1), axis=1)
    guess = VectorCosts(kernel=kernel, target=search.target, sizes=tried, kinds=False)
    fits = np.flatnonzero(guess.fits & (guess.arrays <= guess.blocks))
    order = fits[np.argsort(guess.cost[fits], kind="stable")[:count]]
    found = (VectorTiling(*map(int, sizes)) for sizes in tried[:, order].T.tolist())
    several = list(dict.fromkeys((chosen, *found)))[:count]
    costs = (
        VectorCosts(kernel=kernel, target=search.target, sizes=sizes_of(each)) for each in several
    )
    return [ranked_of(each, 0) for each in costs]


Extents = list[tuple[str, int, int]]
"""(axis, all of it, of a tile) of each loop over tiles, the outermost first."""


def loop_extents(kernel: Kernel, tiling: object) -> Extents:
    """The loops of a row-stationary mapping, or of a vector unit's tiling."""
    if isinstance(kernel, GemmKernel) and isinstance(tiling, Mapping):
        return _of_mapping(kernel, tiling)
    if isinstance(kernel, VectorKernel) and isinstance(tiling, VectorTiling):
        return _of_vector(kernel, tiling)
    return []


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
