"""What points share in a process changes no result: cached equals fresh, to the last byte."""

import json
import random
from importlib import import_module
from pkgutil import iter_modules

import pytest
from sweeps import small_sweep

from accelsim import lowering
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.work import Worker, evaluate


def test_lowering_remembers_nothing_by_itself() -> None:
    """What is remembered belongs to the worker."""
    for module in iter_modules(lowering.__path__, f"{lowering.__name__}."):
        for name, item in vars(import_module(module.name)).items():
            assert not hasattr(item, "cache_clear") or item.cache_info().maxsize is None, name


def content(outcome: Outcome) -> str:
    return json.dumps([outcome.status, outcome.error, outcome.totals, outcome.layers])


def fresh(point: Point) -> str:
    return content(evaluate(point, Worker()))


VARIED = {
    "edge_ws": {
        "dram.bandwidth": ["1 GB/s", "7 GB/s"],
        "dram.latency": ["0 ns", "500 ns"],
        "buffers.filter_sram.size": ["128 B", "64 KiB"],
        "array.rows": [16, 12],
    },
    "eyeriss": {"dram.bandwidth": ["100 MB/s", "1 GB/s"], "dram.latency": ["0 ns", "500 ns"]},
    "tpu_v1": {"clock": ["350 MHz", "700 MHz", "1 GHz"]},  # its DRAM has a data sheet
}


@pytest.mark.parametrize(
    ("base", "most"),
    [*((base, 4) for base in VARIED), pytest.param("edge_ws", 16, marks=pytest.mark.slow)],
)
def test_cached_equals_fresh_whatever_came_before(base: str, most: int) -> None:
    """Machines vary, in an order drawn at random, with what other points have left behind."""
    points = [*small_sweep(base=base, matrix=VARIED[base]).points]
    points = random.Random(0).sample(points, min(most, len(points)))
    expected = {point.key: fresh(point) for point in points}
    worker = Worker()
    order = points * 2
    random.Random(0).shuffle(order)
    assert len(set(expected.values())) > 1
    for point in order:
        assert content(evaluate(point, worker)) == expected[point.key]


def test_a_sweep_of_dram_rates_lists_no_task_again() -> None:
    """Where the tiling stays, so do its tasks; what tilings move is worked out once."""
    first, *others = small_sweep(
        networks=["lenet5"], matrix={"dram.bandwidth": [f"{rate} GB/s" for rate in (32, 33, 34)]}
    ).points
    worker = Worker()
    evaluate(first, worker)
    assert worker.memory
    before = {kind: [*worker.memory.kinds[kind]] for kind in ("schedules", "rankings")}
    assert all(before.values())
    for point in others:
        evaluate(point, worker)
    assert before == {kind: [*worker.memory.kinds[kind]] for kind in before}
