"""What is forced, against all tilings that obey."""

from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
import pytest
from cases import LAYOUTS, row_array, row_target, target
from oracles.best_mapping import every_mapping
from oracles.best_tiling import AXES, costs, every_tiling

from accelsim.lowering.forced import ForcedSearch
from accelsim.lowering.forced_ranks import ForcedGemm, ForcedVector
from accelsim.lowering.gemm_search import ways_of
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.recall import Memory
from accelsim.lowering.row_stationary_cost import mapping_cost
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import LoopOrder, VectorTiling
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.network.ops import Window

MARGIN = 1.03
"""What the search may take more than the best."""
ROOM = 160
TIGHT = target(LAYOUTS[1], sizes=(ROOM, ROOM, ROOM))
"""Not all of a layer fits."""
GEMM = GemmKernel(2, 1, 5, 3, Window(5, 2), Window(4, 2))
VECTOR = VectorKernel(2, 5, Window(6, 3, 2, 1, 1, 1), Window(4, 2), 7, tap_operations=1)
ROWS = row_target(row_array(), sizes=(96, 96, 128, 0))


def forced(kernel: GemmKernel | VectorKernel, to: Target, **values: Any) -> Any:
    """The best that the search finds of what obeys."""
    kind = ForcedGemm if isinstance(kernel, GemmKernel) else ForcedVector
    own = {item.name: getattr(kernel, item.name) for item in fields(kernel)}
    made = kind(**own, forced=tuple(values.items()))
    return ForcedSearch(to, Memory(), None)(made, Residence())


@pytest.mark.parametrize(
    "values",
    [
        {"rows": 3},
        {"filters": 2, "channels": 2},
        {"tap_rows": 1, "cols": 2},
        {"order": LoopOrder.FILTER_STAYS},
        {"order": LoopOrder.IFMAP_STAYS, "batch": 1, "channels": 1},
    ],
    ids=str,
)
def test_tilings(values: dict[str, Any]) -> None:
    """As cheap as the best of all that obey, and one of them."""
    orders = [way.order for way in ways_of(GEMM, TIGHT)]
    ways = [at for at, order in enumerate(orders) if values.get("order", order) == order]
    least = np.inf
    for sizes in every_tiling(GEMM):
        obeys = np.logical_and.reduce(
            [np.ones(len(sizes["rows"]), bool)]
            + [sizes[axis] == values[axis] for axis in AXES if axis in values]
        )
        if obeys.any():
            obeying = {axis: column[obeys] for axis, column in sizes.items()}
            least = min(least, costs(GEMM, TIGHT, obeying)[0][ways].min())
    found = forced(GEMM, TIGHT, **values).refined
    assert {name: getattr(found.tiling, name) for name in values} == values
    assert least <= found.cycles <= least * MARGIN


@pytest.mark.parametrize(
    "values", [{"rows": 2}, {"channels": 2, "cols": 1}, {"batch": 1}, {"channels": 4}], ids=str
)
def test_tilings_of_vector_units(values: dict[str, int]) -> None:
    totals = (2, 5, VECTOR.rows.outputs, VECTOR.cols.outputs, 3, 2)
    every = np.array([(*sizes, 1) for sizes in product(*(range(1, n + 1) for n in totals))]).T
    cut = (every[4] < 3) | (every[5] < 2)
    whole = every[:, ~cut | ((every[2] == 1) & (every[3] == 1))]
    names = [item.name for item in fields(VectorTiling)]
    obeys = np.logical_and.reduce([whole[names.index(name)] == one for name, one in values.items()])
    obeying = VectorCosts(VECTOR, TIGHT, whole[:, obeys])
    least = obeying.cycles[obeying.fits].min()
    found = forced(VECTOR, TIGHT, **values).best
    assert {name: getattr(found.tiling, name) for name in values} == values
    assert found.cycles <= least * MARGIN


@pytest.mark.parametrize(
    "values", [{"e": 2}, {"p": 2, "n": 1}, {"q": 1, "r": 2}, {"m": 4}], ids=str
)
def test_mappings(values: dict[str, int]) -> None:
    least = np.inf
    for some in every_mapping(GEMM, ROWS):
        obeys = np.logical_and.reduce([getattr(some, name) == one for name, one in values.items()])
        if obeys.any():
            least = min(least, mapping_cost(GEMM, ROWS, some.select(obeys)).cycles.min())
    found = forced(GEMM, ROWS, **values).best
    assert {name: int(getattr(found.tiling, name)) for name in values} == values
    assert found.cycles <= least * MARGIN


@pytest.mark.parametrize(
    ("kernel", "to", "values", "said"),
    [
        # 2 x 4 x 3 psums of 4 bytes, of a filter
        (GEMM, TIGHT, {"batch": 2, "rows": 4, "cols": 3}, "needs 96 bytes of buffer psum+ofmap"),
        (VECTOR, TIGHT, {"batch": 2, "channels": 5, "rows": 3, "cols": 3}, "needs 240 bytes"),
        (GEMM, ROWS, {"r": 3, "q": 1, "tap_rows": 2, "e": 2}, "r PE sets do not fit above"),
        (GEMM, ROWS, {"p": 4}, "more than the 3 words of psum_spad"),
    ],
)
def test_what_does_not_fit_is_told(
    kernel: GemmKernel | VectorKernel, to: Target, values: dict[str, int], said: str
) -> None:
    ranks = forced(kernel, to, **values)
    assert ranks.best is None
    assert said in ranks.misfit
