"""The bound on floating-point sums in another order: it holds, and it is not idle."""

import numpy as np
import pytest
from layers import step_of

from accelsim.network.ops import AvgPool, Conv, Dense, MatMul, Op, Softmax
from accelsim.numerics.arithmetic import arithmetic_of
from accelsim.numerics.formats import Array, Tensor
from accelsim.numerics.reference import Computation, compute
from accelsim.numerics.tolerance import tolerance


def shuffled_dense(work: Computation, x: Array, weight: Array, order: Array, cuts: int) -> Array:
    """The dense layer with k in another order and cut into slices."""
    arithmetic = work.arithmetic
    psum = arithmetic.preload(None)
    for ks in np.array_split(order, cuts):
        psum = arithmetic.accumulate(psum, weight[:, ks], x[:, ks].T)
    unit = np.ones((), np.float32)
    return arithmetic.finish(psum, unit, work.output, None).T


@pytest.mark.parametrize("psum", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("operand", ["float32", "float16", "bfloat16"])
def test_bound_holds_for_any_order(operand: str, psum: str) -> None:
    generator = np.random.default_rng(1)
    arithmetic = arithmetic_of(operand, operand, psum, operand)
    x = arithmetic.activation.rounded(generator.standard_normal((2, 300), np.float32))
    weight = arithmetic.activation.rounded(generator.standard_normal((20, 300), np.float32))
    op = Dense(out_features=20, bias=False)
    work = step_of(op, Tensor(x), arithmetic=arithmetic, arrays={"weight": weight})
    ofmap = compute(work).values
    bound = tolerance(work, ofmap)
    differences = []
    for cuts in (1, 7, 300):
        other = shuffled_dense(work, x, weight, generator.permutation(300), cuts)
        differences.append(np.abs(ofmap.astype(np.float64) - other))
    assert (np.max(differences, axis=0) <= bound).all()
    if psum != "float32" or operand == "float32":  # else storing the ofmap hides every difference
        assert np.max(differences) > 0


def test_bound_of_a_dense_layer_by_hand() -> None:
    # k = 1: 4 roundings of a term of 6: 2 * 4 * 2^-24 * 6 and a little; plus storing 6 anew
    arithmetic = arithmetic_of("float32", "float32", "float32", "float32")
    work = step_of(
        Dense(out_features=1, bias=False),
        Tensor(np.float32([[-2]])),
        arithmetic=arithmetic,
        arrays={"weight": np.float32([[3]])},
    )
    bound = tolerance(work, compute(work).values)
    sums, stored = 48 * 2.0**-24, 3 * 9 * 6 * 2.0**-24
    assert bound == pytest.approx(1.01 * sums + stored, rel=1e-5)


def test_bound_tells_a_missing_product() -> None:
    """One of 1,000 products left out is far outside."""
    arithmetic = arithmetic_of("float32", "float32", "float32", "float32")
    x, weight = np.ones((1, 1000), np.float32), np.ones((1, 1000), np.float32)
    work = step_of(
        Dense(out_features=1, bias=False),
        Tensor(x),
        arithmetic=arithmetic,
        arrays={"weight": weight},
    )
    ofmap = compute(work).values
    assert tolerance(work, ofmap)[0, 0] < 1


@pytest.mark.parametrize(
    ("op", "shape", "shapes"),
    [
        (
            Conv(out_channels=2, kernel=(3, 3), padding=(1, 1, 1, 1), activation="tanh"),
            (3, 6, 6),
            {"weight": (2, 3, 3, 3), "bias": (2,)},
        ),
        (AvgPool(kernel=(2, 2)), (3, 6, 6), {}),
        (Softmax(), (50,), {}),
        (MatMul(), (5, 5), {}),
    ],
)
def test_bound_covers_float64(
    op: Op, shape: tuple[int, ...], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Float64 is one more right result: nearer to the truth than any order in float32."""
    generator = np.random.default_rng(2)
    arithmetic = arithmetic_of("float32", "float32", "float32", "float32")
    x = generator.standard_normal((1, *shape))
    inputs = [Tensor(x.astype(np.float32))] * (2 if isinstance(op, MatMul) else 1)
    arrays = {
        name: generator.standard_normal(size).astype(np.float32) for name, size in shapes.items()
    }
    work = step_of(op, *inputs, arithmetic=arithmetic, arrays=arrays)
    ofmap = compute(work).values
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    truth = _float64(op, inputs[0].values.astype(np.float64), arrays)
    difference = np.abs(ofmap - truth)
    assert (difference <= tolerance(work, ofmap)).all()
    assert difference.max() > 0


def _float64(op: Op, x: Array, arrays: dict[str, Array]) -> Array:
    match op:
        case Conv():
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            sums = np.einsum("nchwrs,kcrs->nkhw", windows, arrays["weight"])
            return np.tanh(sums + arrays["bias"].reshape(-1, 1, 1))
        case AvgPool():
            return x.reshape(1, 3, 3, 2, 3, 2).mean((3, 5))
        case Softmax():
            return np.exp(x) / np.exp(x).sum()
    return x @ x
