"""Element-wise layers: derivatives against finite differences, slopes, and what fusing costs."""

import math

import numpy as np
import pytest

from accelsim.network.ops import (
    ACTIVATIONS,
    ELEMENTWISE,
    FUNCTIONS,
    Clip,
    Elementwise,
    Elu,
    Gelu,
    LeakyRelu,
    Line,
    Power,
)

ROWS = [
    *(row() for row in ELEMENTWISE),
    *(LeakyRelu(slope=-2.5), LeakyRelu(slope=3.0), Elu(alpha=-1.5), Elu(alpha=2.0)),
    *(Clip(low=-1.25, high=0.75), Gelu(approximate="tanh")),
]
POINTS = np.linspace(-7.013, 7.017, 4001)  # no kink of any row is nearer than a step
STEP = 1e-6


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_derivatives_are_finite_differences(row: Elementwise) -> None:
    kinks = {-3.0, 0.0, 3.0, getattr(row, "low", 0.0), getattr(row, "high", 0.0)}
    x = POINTS[np.min([np.abs(POINTS - kink) for kink in kinks], axis=0) > 2 * STEP]
    slope = (row.value(x + STEP) - row.value(x - STEP)) / (2 * STEP)
    assert np.abs(row.derivative(x) - slope).max() < 1e-8
    told = row.derivative_at(row.value(x))
    if told is not None:
        assert np.abs(told - row.derivative(x)).max() < 1e-8


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_no_slope_is_steeper_than_the_bound_and_the_bound_is_near(row: Elementwise) -> None:
    steepest = np.abs(row.derivative(POINTS)).max()
    assert 0.99 * row.steepest <= steepest <= row.steepest


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_single_precision_is_double_precision_rounded(row: Elementwise) -> None:
    single = row.value(POINTS.astype(np.float32))
    exact = row.value(POINTS.astype(np.float32).astype(np.float64))
    assert single.dtype == np.float32
    assert np.abs(single - exact).max() <= 4 * 2.0**-24 * max(1, np.abs(exact).max())
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(row.value(np.float32([-80, 80]))).all()


def test_values_that_papers_give() -> None:
    by_name = {row.name: row() for row in ELEMENTWISE}
    one = np.ones(1)
    expected = {
        "gelu": 0.8413447,  # the share of a normal distribution below 1
        "silu": 0.7310586,  # 1 / (1 + 1/e)
        "hard_swish": 2 / 3,
        "hard_sigmoid": 2 / 3,
        "softplus": 1.3132617,  # log(1 + e)
        "scaled_tanh": 1.7159 * np.tanh(2 / 3),
    }
    for name, value in expected.items():
        assert by_name[name].value(one)[0] == pytest.approx(value, abs=1e-7)
    assert by_name["scaled_tanh"].value(one)[0] == pytest.approx(1, abs=1e-4)  # why it is scaled


def test_every_row_can_be_fused() -> None:
    assert {type(function) for function in ACTIVATIONS.values()} == set(ELEMENTWISE)


@pytest.mark.parametrize(
    "row",
    [
        *(kind() for kind in FUNCTIONS[:-2]),
        *(Line(factor=-1.0, term=1.0), Power(exponent=2.0), Power(exponent=-1.5)),
    ],
    ids=str,
)
def test_functions_are_what_mathematics_says_and_numbers_everywhere(row: Elementwise) -> None:
    x = np.linspace(0.1, 5.99, 401)  # no jump of any row is nearer than a step
    truth = {
        "exp": np.exp(x),
        "log": np.log(x),
        "sqrt": x**0.5,
        "reciprocal": 1 / x,
        "abs": x,
        "floor": x.astype(int),
        "ceil": 1 + x.astype(int),
        "round": (x + 0.5).astype(int),
        "truncate": x.astype(int),
        "sign": np.ones_like(x),
        "sin": np.sin(x),
        "cos": np.cos(x),
        "line": getattr(row, "factor", 1.0) * x + getattr(row, "term", 0.0),
        "power": x ** getattr(row, "exponent", 1.0),
        "erf": np.array([math.erf(each) for each in x]),
    }[row.name]
    assert np.abs(row.value(x) - truth).max() < 1e-12 * truth.max()
    slope = (row.value(x + STEP) - row.value(x - STEP)) / (2 * STEP)
    assert np.abs(row.derivative(x) - slope).max() < 1e-8 * np.abs(slope).max() + 1e-8
    told = row.derivative_at(row.value(x))
    assert told is None or np.abs(told - row.derivative(x)).max() < 1e-8
    odd = np.float32([0, -0.0, -1, -1e30, 1e30, 1e-40, 200, -200])
    assert np.isfinite(row.value(odd)).all()
