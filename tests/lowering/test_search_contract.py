"""What the search promises, on drawn layers and machines: see `search_contract` for each promise.

benchmarks/search.py does the same on more of them, and shows the worst.
"""

from itertools import product

import numpy as np
import pytest
from oracles.best_tiling import (
    AXES,
    challenge,
    cheapest,
    costs,
    cycles_of,
    totals,
)
from search_cases import LARGE, LAYERS, drawn_machine, mid_case, tiling_count
from search_contract import PROMISES, broken

from accelsim.lowering.gemm_search import ways_of
from accelsim.lowering.target import target_of

SEED = 1

Batch = tuple[str, range]


def batches(promise: str, count: int, each: int, after: int = 0) -> list[Batch]:
    """`count` cases, `each` in a test."""
    return [
        (promise, range(start, min(start + each, after + count)))
        for start in range(after, after + count, each)
    ]


@pytest.mark.parametrize(
    ("promise", "numbers"),
    [
        *batches("best", 60, 10),
        *batches("unbeaten", 10, 5),
        *batches("whole", 40, 10),
        *batches("one-more", 20, 10),
    ],
    ids=str,
)
def test_promises_are_kept(promise: str, numbers: range) -> None:
    assert not (lines := broken(promise, SEED, numbers)), "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("promise", "numbers"),
    [
        *batches("best", 400, 20, after=60),
        *batches("best-of-many", 20, 5),
        *batches("unbeaten", 100, 10, after=10),
        *batches("whole", 200, 20, after=40),
        *batches("one-more", 100, 20, after=20),
        *batches("played", 25, 5),
    ],
    ids=str,
)
def test_promises_are_kept_by_many(promise: str, numbers: range) -> None:
    assert not (lines := broken(promise, SEED, numbers)), "\n".join(lines)


# --- The oracle itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(6))
def test_the_cheapest_is_the_least_one_by_one(number: int) -> None:
    """Every tiling alone, in plain loops, costs no less than those that are found together."""
    case = mid_case(SEED, number, least=32, most=200)
    kernel, target = case.layer.kernel, target_of(case.hardware)
    cycles: list[float] = []
    for sizes in product(*(range(1, total + 1) for total in totals(kernel).values())):
        one = {axis: np.array([size]) for axis, size in zip(AXES, sizes, strict=True)}
        cycles += costs(kernel, target, one)[0].ravel().tolist()
    finite = sorted(each for each in cycles if np.isfinite(each))
    found = cheapest(kernel, target, 20)
    assert [each.cycles for each in found] == finite[:20]
    assert [cycles_of(kernel, target, each.tiling) for each in found] == finite[:20]


@pytest.mark.parametrize("number", range(8))
def test_climbing_comes_close_to_the_cheapest(number: int) -> None:
    """Where all tilings can be looked at, climbing from anywhere ends within 1 % of the best."""
    case = mid_case(SEED, number, most=20_000)
    kernel, target = case.layer.kernel, target_of(case.hardware)
    best = cheapest(kernel, target)
    climbed = challenge(kernel, target, None, np.random.default_rng(number))
    if not best:
        assert climbed is None
        return
    assert climbed is not None
    assert best[0].cycles <= climbed.cycles <= 1.01 * best[0].cycles


def test_what_is_not_legal_costs_forever() -> None:
    case = mid_case(SEED, 0)
    kernel, target = case.layer.kernel, target_of(case.hardware)
    rng = np.random.default_rng(0)
    sizes = {axis: rng.integers(1, total + 1, 500) for axis, total in totals(kernel).items()}
    cycles, legal = costs(kernel, target, sizes)
    assert cycles.shape == (len(ways_of(target)), 500)
    assert (np.isfinite(cycles) == legal).all()
    assert 0 < legal.sum() < 500
    assert set(sizes) == set(AXES)


# --- The cases ------------------------------------------------------------------------------------


def test_the_whole_space_is_drawn() -> None:
    """Every kind of layer, and machines from small to large, come up."""
    rng = np.random.default_rng(SEED)
    kernels = [draw(rng, LARGE).kernel for draw in LAYERS for _ in range(40)]
    machines = [drawn_machine(rng) for _ in range(200)]
    assert {"os", "ws", "is"} == {each.array.dataflow for each in machines}
    assert {1, 2, 3, 4} == {each.array.count for each in machines}
    assert {1, 2, 3, 4} == {len(each.buffers) for each in machines}
    sides = [side for each in machines for side in (each.array.rows, each.array.cols)]
    assert min(sides) <= 4
    assert max(sides) >= 250
    sizes = [buffer.size for each in machines for buffer in each.buffers.values()]
    assert min(sizes) < 2048
    assert max(sizes) > 2**22
    assert any(each.dram.timing for each in machines)
    windows = {(each.rows.kernel, each.cols.kernel) for each in kernels}
    assert {(1, 1), (3, 3), (5, 5), (7, 7)} <= windows
    assert any(rows == 1 < cols for rows, cols in windows)
    assert any(cols == 1 < rows for rows, cols in windows)
    assert any(min(each) >= 100 for each in windows)
    assert any(each.filter_is_input for each in kernels)
    assert any(each.groups > 1 == each.channels for each in kernels)
    assert any(each.rows.stride > 1 for each in kernels)
    assert any(each.rows.dilation > 1 for each in kernels)
    assert any(each.rows.before for each in kernels)


def test_a_case_is_the_same_alone_and_among_others() -> None:
    first = [str(mid_case(SEED, number)) for number in range(8)]
    assert str(mid_case(SEED, 5)) == first[5]
    assert len(set(first)) == 8
    assert str(mid_case(SEED + 1, 5)) != first[5]


def test_mid_sized_is_not_small() -> None:
    counts = [tiling_count(mid_case(SEED, number).layer.kernel) for number in range(60)]
    assert min(counts) > 4096
    assert max(counts) > 80_000


def test_a_promise_has_a_bound_that_can_break() -> None:
    assert all(1 < promise.bound <= 1.05 for promise in PROMISES.values())
