"""What points share in a process changes no result: cached equals fresh, to the last byte."""

import json
import random

import pytest
from sweeps import small_sweep

from accelsim.lowering import (
    gemm_tasks,
    row_stationary_search,
    row_stationary_tasks,
    tiling,
    vector_tasks,
)
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.work import evaluate

CACHES = [
    function
    for module in (tiling, gemm_tasks, vector_tasks, row_stationary_search, row_stationary_tasks)
    for function in vars(module).values()
    if hasattr(function, "cache_clear")
]


def forget() -> None:
    for cached in CACHES:
        cached.cache_clear()


def content(outcome: Outcome) -> str:
    return json.dumps([outcome.status, outcome.error, outcome.totals, outcome.layers])


def fresh(point: Point) -> str:
    forget()
    return content(evaluate(point))


VARIED = {
    "edge_ws": {
        "dram.bandwidth": ["1 GB/s", "7 GB/s", "64 GB/s"],
        "dram.latency": ["0 ns", "500 ns"],
        "dram.burst": ["1 B", "64 B"],
        "buffers.filter_sram.size": ["2 KiB", "64 KiB", "128 KiB"],
        "array.rows": [16, 12],
    },
    "eyeriss": {"dram.bandwidth": ["100 MB/s", "1 GB/s"], "dram.latency": ["0 ns", "500 ns"]},
    "tpu_v1": {"clock": ["350 MHz", "700 MHz", "1 GHz"]},  # its DRAM has a data sheet
}


@pytest.mark.parametrize("base", VARIED)
def test_cached_equals_fresh_whatever_came_before(base: str) -> None:
    """Machines vary, in an order drawn at random, with what other points have left behind."""
    points = [*small_sweep(base=base, matrix=VARIED[base]).points]
    expected = {point.key: fresh(point) for point in points}
    forget()
    order = points * 2
    random.Random(0).shuffle(order)
    assert len(set(expected.values())) > 1
    for point in order:
        assert content(evaluate(point)) == expected[point.key]


def test_a_sweep_of_dram_rates_lists_no_task_again() -> None:
    """Where the tiling stays, so do its tasks; what tilings move is worked out once."""
    points = small_sweep(matrix={"dram.bandwidth": ["32 GB/s", "33 GB/s", "34 GB/s"]}).points
    forget()
    evaluate(points[0])
    listed, ranked = (
        gemm_tasks.gemm_schedules.cache_info().misses,
        tiling._rankings.cache_info().misses,
    )
    for point in points[1:]:
        evaluate(point)
    assert gemm_tasks.gemm_schedules.cache_info().misses == listed
    assert tiling._rankings.cache_info().misses == ranked
