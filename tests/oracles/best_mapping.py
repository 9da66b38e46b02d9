"""Every legal row-stationary mapping of a layer, and the least that any of them costs.

`mapping_cost` and `legal` are all that is known of the search; what fits the array and the spads
is said again here.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_cost import legal, mapping_cost
from accelsim.lowering.target import Target
from accelsim.units import ceil_div

CHUNK = 1 << 16


def sets(kernel: GemmKernel, target: Target, set_rows: int) -> Iterator[tuple[int, int, int]]:
    """(e, r, t) that fit the array; a set wider than it is stacked in bands."""
    model = target.row_stationary
    for e in range(1, kernel.rows.outputs + 1):
        bands = ceil_div(e, model.cols)
        beside = model.cols // min(e, model.cols)
        for r in range(1, kernel.channels + 1):
            above = model.rows // (bands * set_rows * r)
            for t in range(1, min(above * beside, kernel.filters) + 1):
                yield e, r, t


def chosen(kernel: GemmKernel, target: Target) -> Iterator[tuple[int, ...]]:
    """(m, n, e, p, q, r, t, f, tap_rows, tap_cols) of all mappings that fit array and spads."""
    model = target.row_stationary
    down, across = kernel.rows.kernel, kernel.cols.kernel
    parts = [(down, across)]
    if target.cuts_windows:
        parts = list(product(range(1, down + 1), range(1, across + 1)))
    for tap_rows, tap_cols in parts:
        set_rows = ceil_div(tap_rows, ceil_div(tap_rows, model.rows))
        spad = min(model.ifmap_spad, model.filter_spad)
        taps = ceil_div(tap_cols, ceil_div(tap_cols, spad))
        for e, r, t in sets(kernel, target, set_rows):
            for q in range(1, min(ceil_div(kernel.channels, r), model.ifmap_spad // taps) + 1):
                most = min(model.psum_spad, model.filter_spad // (q * taps))
                for p in range(1, min(ceil_div(kernel.filters, t), most) + 1):
                    for passes, n, f in product(
                        range(1, ceil_div(kernel.filters, p * t) + 1),
                        range(1, kernel.batch + 1),
                        range(1, kernel.cols.outputs + 1),
                    ):
                        yield passes * p * t, n, e, p, q, r, t, f, tap_rows, tap_cols


def every_mapping(kernel: GemmKernel, target: Target) -> Iterator[Mapping]:
    """All legal mappings, many at a time."""
    rows = np.fromiter(chosen(kernel, target), dtype=np.dtype((np.int64, 10)))
    for start in range(0, len(rows), CHUNK):
        some = Mapping(*rows[start : start + CHUNK].T)
        fits = legal(kernel, target, some)
        if fits.any():
            yield some.select(fits)


def least_cycles(kernel: GemmKernel, target: Target) -> float:
    """The least time of all legal mappings, by the closed form; infinite if there is none."""
    found = (
        mapping_cost(kernel, target, each).cycles.min() for each in every_mapping(kernel, target)
    )
    return float(min(found, default=np.inf))
