"""Row-stationary mappings that are found against the best of all, by brute force."""

from fractions import Fraction
from functools import partial
from itertools import islice

import numpy as np
import pytest
from cases import LAYOUTS, best_cycles, row_array, row_target, row_targets, windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.best_mapping import chosen, least_cycles

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target
from accelsim.network.ops import Window

slow = partial(pytest.param, marks=pytest.mark.slow)


def over_the_best(kernel: GemmKernel, to: Target) -> float:
    """Time of the mapping found, relative to the best of all."""
    found, least = best_cycles(kernel, to), least_cycles(kernel, to)
    return 1.0 if found == least else found / least


TINY = st.builds(GemmKernel, *(st.integers(1, 2) for _ in range(4)), windows(3, 2), windows(3, 2))


@given(TINY, row_targets())
@drawn(40)
def test_tiny_layers_get_the_best_of_all_mappings(kernel: GemmKernel, to: Target) -> None:
    """Within 1 %: times that are equal to some digits count as equal."""
    assert over_the_best(kernel, to) <= 1.01


def mid_sized(rng: np.random.Generator) -> tuple[GemmKernel, Target]:
    """A layer of up to some hundred thousand mappings, on an array of up to 8 x 8."""
    taps = [(1, 1), (2, 2), (3, 3), (3, 1), (1, 4), (5, 3)][rng.integers(6)]
    rows, cols = (
        Window(int(size) + kernel - 1, kernel)
        for size, kernel in zip(rng.integers(3, 8, 2), taps, strict=True)
    )
    kernel = GemmKernel(*(int(each) for each in rng.integers(1, (3, 3, 11, 11))), rows, cols)
    rates = [Fraction(1), Fraction(5, 2), Fraction(8)]
    model = row_array(
        tuple(int(each) for each in rng.integers(2, 9, 2)),  # type: ignore[arg-type]
        (int(rng.integers(3, 9)), int(rng.integers(9, 40)), int(rng.integers(2, 9))),
        tuple(rates[each] for each in rng.integers(3, size=4)),  # type: ignore[arg-type]
    )
    layout = LAYOUTS[rng.integers(len(LAYOUTS))]
    sizes = tuple(int(each) for each in rng.integers(100, 2500, len(layout)))
    banks = tuple(int(each) for each in rng.choice([1, 1, 32], len(layout)))
    rate, arrays = rates[rng.integers(3)], int(rng.integers(1, 4))
    return kernel, row_target(model, layout, sizes, banks, rate=rate, arrays=arrays)


@pytest.mark.parametrize("seed", [*range(4), *(slow(seed) for seed in range(4, 28))])
def test_mid_sized_layers_get_the_best_of_all_mappings(seed: int) -> None:
    assert over_the_best(*mid_sized(np.random.default_rng(seed))) <= 1.03


def any_sized(rng: np.random.Generator, most: int) -> tuple[GemmKernel, Target]:
    """A layer with more of any axis, of up to `most` mappings, on an array of up to 48 x 48."""

    def size(low: int, high: int) -> int:
        return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))

    while True:
        taps = LONG[rng.integers(len(LONG))]
        stride = int(rng.choice([1, 1, 2, 3]))
        rows, cols = (Window((size(1, 20) - 1) * stride + each, each, stride) for each in taps)
        kernel = GemmKernel(size(1, 4), size(1, 4), size(1, 40), size(1, 40), rows, cols)
        rates = [Fraction(1), Fraction(5, 2), Fraction(8)]
        model = row_array(
            (size(2, 48), size(2, 48)),
            (size(2, 16), size(4, 224), size(1, 24)),
            tuple(rates[each] for each in rng.integers(3, size=4)),  # type: ignore[arg-type]
        )
        layout = LAYOUTS[rng.integers(len(LAYOUTS))]
        sizes = tuple(size(300, 60_000) for _ in layout)
        banks = tuple(int(each) for each in rng.choice([1, 1, 32, 256], len(layout)))
        rate, arrays = Fraction(size(1, 64), 2), int(rng.choice([1, 1, 2, 3]))
        to = row_target(model, layout, sizes, banks, rate=rate, arrays=arrays)
        if 2000 <= sum(1 for _ in islice(chosen(kernel, to), most + 1)) <= most:
            return kernel, to


LONG = ((1, 1), (2, 2), (3, 3), (3, 1), (1, 4), (5, 3), (7, 7), (1, 7), (11, 1), (5, 5))
"""Taps of windows, down and across."""

VALLEYS = (98, 396)
"""Seeds of layers whose best mapping differs along many axes from those that are nearly as good."""


@pytest.mark.parametrize("seed", [1, 2, *(slow(seed) for seed in (*range(400, 420), *VALLEYS))])
def test_any_layer_gets_the_best_of_all_mappings(seed: int) -> None:
    assert over_the_best(*any_sized(np.random.default_rng(seed), 200_000)) <= 1.03


@pytest.mark.slow
def test_a_layer_of_very_many_mappings_gets_the_best_of_them() -> None:
    """Its best mapping lies far from all that are easily found."""
    assert over_the_best(*any_sized(np.random.default_rng(36), 1_500_000)) <= 1.03
