"""Exact products, and accumulators against a register that is clocked addition by addition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.numerics.formats import Array, IntegerFormat
from accelsim.numerics.gemm import Accumulator, Overflow, exact_matmul

EXTREMES = {
    "int8": (np.int8, -128, 127),
    "uint8 less any zero point": (np.int16, -255, 255),
    "int16": (np.int16, -32768, 32767),
}


@pytest.mark.parametrize("k", [1, 513, 514, 515, 516, 1023, 1024, 1025, 2049])
@pytest.mark.parametrize("left", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("right", EXTREMES.values(), ids=EXTREMES)
def test_exact_at_the_extremes(
    left: tuple[type, int, int], right: tuple[type, int, int], k: int
) -> None:
    """Rows of only the lowest, only the highest and odd mixtures, across the chunks of k."""
    rows = [np.full(k, left[1]), np.full(k, left[2]), np.where(np.arange(k) % 3, *left[1:])]
    cols = [np.full(k, right[1]), np.full(k, right[2]), np.where(np.arange(k) % 2, *right[1:])]
    a, b = np.array(rows, left[0]), np.array(cols, right[0]).T
    assert np.array_equal(exact_matmul(a, b), a.astype(np.int64) @ b.astype(np.int64))


def test_float32_chunk_is_as_long_as_it_may_be() -> None:
    # 1,025 products of 2^14 and one of 1: 2^24 + 2^14 + 1 is odd, and needs 25 bits
    a = np.full((1, 1026), -128, np.int8)
    b = np.full((1026, 1), -128, np.int8)
    a[0, 0] = b[0, 0] = 1
    assert exact_matmul(a, b)[0, 0] == 1025 * 2**14 + 1


def test_result_widens_to_int64() -> None:
    a = np.full((1, 4), -32768, np.int16)
    assert exact_matmul(a, a.T)[0, 0] == 2**32  # 4 * 2^30
    assert exact_matmul(a[:, :1], a.T[:1])[0, 0] == 2**30


def test_zeros() -> None:
    assert (
        exact_matmul(np.zeros((2, 3), np.int8), np.ones((3, 4), np.int8)).tolist() == [[0] * 4] * 2
    )


def test_blocks_of_columns_and_stacks() -> None:
    generator = np.random.default_rng(0)
    a = generator.integers(-128, 128, (3, 5, 700), np.int8)
    b = generator.integers(-128, 128, (3, 700, 1000), np.int8)
    expected = np.einsum("gnk,gkm->gnm", a.astype(np.int64), b.astype(np.int64))
    assert np.array_equal(exact_matmul(a, b), expected)


# --- Accumulators ---------------------------------------------------------------------------------


def clocked(
    accumulator: Accumulator, bias: int, row: list[int], column: list[int]
) -> tuple[int, bool]:
    """One register: what it holds in the end, and whether its output overflowed."""
    low, high = accumulator.format.lowest, accumulator.format.highest
    if accumulator.overflow == "wrap":
        exact = bias + sum(x * y for x, y in zip(row, column, strict=True))
        return (exact - low) % (high - low + 1) + low, not low <= exact <= high
    held, clamped = 0, False
    for addend in (bias, *(x * y for x, y in zip(row, column, strict=True))):
        exact = held + addend
        held = min(max(exact, low), high)
        clamped |= held != exact
    return held, clamped


def run(
    accumulator: Accumulator, bias: Array, a: Array, b: Array, cuts: list[int]
) -> tuple[Array, int]:
    psum = accumulator.preload(bias)
    for first, last in zip([0, *cuts], [*cuts, a.shape[1]], strict=True):
        psum = accumulator.accumulate(psum, a[:, first:last], b[first:last])
    return accumulator.finish(psum)


@given(
    data=st.data(), bits=st.sampled_from([8, 12, 16, 18, 24, 32]), seed=st.integers(0, 2**32 - 1)
)
@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_slices_equal_the_clocked_register(
    overflow: Overflow, data: st.DataObject, bits: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    n, k, m = generator.integers(1, [4, 40, 4])
    size = int(generator.choice([3, 30, 128]))  # now and then no overflow, or one at the very end
    a = generator.integers(-size, size, (n, k), np.int8)
    b = generator.integers(-size, size, (k, m), np.int8)
    limit = 2 ** min(bits, 20)
    bias = generator.integers(-limit, limit, n)
    cuts = sorted(data.draw(st.sets(st.integers(1, k - 1), max_size=4))) if k > 1 else []
    accumulator = Accumulator(IntegerFormat(bits), overflow)
    expected = [
        [clocked(accumulator, int(bias[i]), a[i].tolist(), b[:, j].tolist()) for j in range(m)]
        for i in range(n)
    ]
    for slices in ([], cuts):
        values, overflowed = run(accumulator, bias, a, b, slices)
        assert values.tolist() == [[held for held, _ in row] for row in expected]
        assert overflowed == sum(wrong for row in expected for _, wrong in row)


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2]])
def test_saturation_sees_every_addition(cuts: list[int]) -> None:
    # int8: 100 + 100 clamps to 127, less 100 is 27; the exact sum 100 would have fitted
    accumulator = Accumulator(IntegerFormat(8), "saturate")
    a, b = np.array([[100, 100, -100]], np.int8), np.ones((3, 1), np.int8)
    values, overflowed = run(accumulator, np.array([0]), a, b, cuts)
    assert (values.tolist(), overflowed) == ([[27]], 1)


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2]])
def test_wrapping_forgives_what_comes_back(cuts: list[int]) -> None:
    accumulator = Accumulator(IntegerFormat(8), "wrap")
    a, b = np.array([[100, 100, -100]], np.int8), np.ones((3, 1), np.int8)
    values, overflowed = run(accumulator, np.array([0]), a, b, cuts)
    assert (values.tolist(), overflowed) == ([[100]], 0)


def test_int32_wraps_beyond_two_billion() -> None:
    # 131,073 products of 2^14 are 2^31 + 2^14: two's complement -2^31 + 2^14
    a = np.full((1, 131_073), -128, np.int8)
    values, overflowed = run(
        Accumulator(IntegerFormat(32)), np.array([0]), a, a.T, [50_000, 100_000]
    )
    assert (values.tolist(), overflowed) == ([[-(2**31) + 2**14]], 1)


def test_int32_saturates_beyond_two_billion() -> None:
    a = np.full((1, 131_073), -128, np.int8)
    accumulator = Accumulator(IntegerFormat(32), "saturate")
    values, overflowed = run(accumulator, np.array([0]), a, a.T, [131_000])
    assert (values.tolist(), overflowed) == ([[2**31 - 1]], 1)


def test_bias_is_the_first_addition() -> None:
    # int8: 200 is clamped to 127 on loading, and counted, before -100 is added
    accumulator = Accumulator(IntegerFormat(8), "saturate")
    a, b = np.array([[-100]], np.int8), np.ones((1, 2), np.int8)
    values, overflowed = run(accumulator, np.array([200]), a, b, [])
    assert (values.tolist(), overflowed) == ([[27, 27]], 2)
