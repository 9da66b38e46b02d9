"""Products, normalisations and reductions of tensors of any rank: tiles, reference and float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from layers import FLOAT32, step_of
from test_tiled import FLOAT, UINT8, check, hardware, single

from accelsim.errors import ShapeError
from accelsim.lowering.lower import lower
from accelsim.network.ops import (
    Add,
    AttentionContext,
    AttentionScores,
    Concat,
    Expand,
    GroupNorm,
    InstanceNorm,
    Largest,
    LayerNorm,
    Maps,
    MatMul,
    Mean,
    Mul,
    Op,
    Relu,
    RmsNorm,
    ScaleShift,
    Shape,
    Slice,
    Softmax,
    Sum,
    Transpose,
)
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.reference import compute
from accelsim.numerics.tolerance import tolerance


@dataclass(frozen=True)
class Case:
    """A layer, and what it is in float64 of inputs (N, ...) and learned arrays."""

    op: Op
    shapes: tuple[Shape, ...]
    truth: Callable[..., Array]


def swapped(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def heads(x: Array, count: int) -> Array:
    return np.stack(np.split(x, count, axis=-1), axis=1)


def normal(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + epsilon)


def softmax(x: Array, axis: int) -> Array:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def causal(x: Array) -> Array:
    time = np.arange(x.shape[-2])[:, None] + x.shape[-1] - x.shape[-2]
    return softmax(np.where(np.arange(x.shape[-1]) > time, -np.inf, x), -1)


MAP = (6, 9, 17)
CASES = {
    "turned matmul of stacks": Case(
        MatMul(transpose_second=True, scale=0.3),
        ((3, 2, 7, 30), (3, 1, 8, 30)),
        lambda x, y: 0.3 * x @ swapped(y),
    ),
    "matmul of one and many": Case(
        MatMul(transpose_first=True),
        ((30, 7), (3, 2, 30, 8)),
        lambda x, y: swapped(x)[:, None, None] @ y,
    ),
    "scores": Case(
        AttentionScores(heads=6, key_heads=2),
        ((7, 30), (9, 10)),
        lambda x, y: heads(x, 6) @ swapped(heads(y, 2).repeat(3, 1)) / math.sqrt(5),
    ),
    "context": Case(
        AttentionContext(heads=6, key_heads=2),
        ((6, 7, 9), (9, 10)),
        lambda x, y: np.concatenate([*np.moveaxis(x @ heads(y, 2).repeat(3, 1), 1, 0)], -1),
    ),
    "softmax of rows": Case(Softmax(axis=-1), ((3, 7, 60),), lambda x: softmax(x, -1)),
    "softmax of columns": Case(Softmax(axis=1), ((3, 50, 6),), lambda x: softmax(x, 2)),
    "softmax of four axes": Case(Softmax(), ((3, 2, 7, 60),), lambda x: softmax(x, -1)),
    "causal softmax": Case(Softmax(causal=True), ((3, 7, 61),), causal),
    "causal softmax in passes": Case(Softmax(causal=True), ((9, 300),), causal),
    "layer norm": Case(
        LayerNorm(), ((9, 30),), lambda x, gamma, beta: normal(x, (-1,), 1e-5) * gamma + beta
    ),
    "layer norm of maps": Case(
        LayerNorm(axes=3, bias=False),
        (MAP,),
        lambda x, gamma: normal(x, (1, 2, 3), 1e-5) * gamma,
    ),
    "rms norm in passes": Case(
        RmsNorm(epsilon=0.5),
        ((9, 300),),
        lambda x, gamma: x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.5) * gamma,
    ),
    "group norm": Case(
        GroupNorm(groups=3),
        (MAP,),
        lambda x, gamma, beta: (
            normal(x.reshape(-1, 3, 2, *MAP[1:]), (2, 3, 4), 1e-5).reshape(x.shape)
            * gamma[:, None, None]
            + beta[:, None, None]
        ),
    ),
    "instance norm": Case(
        InstanceNorm(),
        ((6, 153),),
        lambda x, gamma, beta: normal(x, (2,), 1e-5) * gamma[:, None] + beta[:, None],
    ),
    "scale and shift of rows": Case(
        ScaleShift(shape=(1, 30)), ((19, 30),), lambda x, gamma, beta: x * gamma + beta
    ),
    "scale and shift of all": Case(
        ScaleShift(shape=(6, 9, 17)), (MAP,), lambda x, gamma, beta: x * gamma + beta
    ),
    "mean of columns": Case(Mean(axes=(0,)), ((19, 60),), lambda x: x.mean(1)),
    "mean of maps": Case(
        Mean(axes=(1, -1), keep=True), (MAP,), lambda x: x.mean((2, 3), keepdims=True)
    ),
    "sum": Case(Sum(axes=(1,)), ((6, 19, 6, 7),), lambda x: x.sum(2)),
    "max": Case(Largest(), (MAP,), lambda x: x.max(-1)),
    "concat": Case(
        Concat(axis=1), ((6, 9, 6, 7), (6, 3, 6, 7)), lambda x, y: np.concatenate([x, y], 2)
    ),
    "concat of the last axis": Case(
        Concat(), ((6, 9, 6, 7), (6, 9, 6, 2)), lambda x, y: np.concatenate([x, y], -1)
    ),
    "transpose": Case(
        Transpose(order=(3, 0, 2, 1)), ((6, 9, 6, 7),), lambda x: x.transpose(0, 4, 1, 3, 2)
    ),
    "expand": Case(
        Expand(shape=(6, 5, 19, 7)),
        ((6, 1, 19, 7),),
        lambda x: np.broadcast_to(x, (2, 6, 5, 19, 7)),
    ),
    "slice": Case(
        Slice(start=(0, 1, 2, 0), stop=(6, 9, 6, 5)), ((6, 9, 6, 7),), lambda x: x[:, :, 1:, 2:, :5]
    ),
    "maps": Case(Maps(maps=(7, 0, 7, 3)), ((9, 19, 30),), lambda x: x[:, [7, 0, 7, 3]]),
    "add of a row and a column": Case(Add(), ((6, 1, 17), (1, 19, 1)), lambda x, y: x + y),
    "mul by a mask": Case(Mul(), ((3, 9, 30), (1, 1, 30)), lambda x, y: x * y),
    "mul by a number for each row": Case(Mul(), ((19, 30), (19, 1)), lambda x, y: x * y),
    "relu": Case(Relu(), ((6, 9, 6, 7),), lambda x: np.maximum(x, 0)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
MACHINES = (("ws", "array.count=3"), ("rs", *UINT8))


@every_case
@pytest.mark.parametrize("machine", MACHINES, ids=["3x int8", "uint8"])
def test_integers_equal_the_reference(case: Case, machine: tuple[str, ...]) -> None:
    result = check(single(case.op, *case.shapes), hardware(*machine))
    assert (result.mismatches, result.problems) == (0, ())
    assert result.spread.least < result.spread.most


@every_case
def test_floats_lie_within_the_bound(case: Case) -> None:
    result = check(single(case.op, *case.shapes), hardware("ws", *FLOAT))
    assert (result.mismatches, result.problems) == (0, ())


def test_these_layers_are_really_tiled() -> None:
    machine = hardware("ws")
    for case in CASES.values():
        (layer,) = lower(single(case.op, *case.shapes), machine, 2).layers
        assert layer.tiles > 1


def arrays_of(case: Case, generator: np.random.Generator) -> dict[str, Array]:
    shapes = case.op.parameter_shapes(case.shapes)
    return {
        name: generator.standard_normal(size).astype(np.float32) for name, size in shapes.items()
    }


@every_case
def test_reference_is_what_float64_says(case: Case) -> None:
    generator = np.random.default_rng(3)
    inputs = [generator.standard_normal((2, *s)).astype(np.float32) + 0.5 for s in case.shapes]
    arrays = arrays_of(case, generator)
    work = step_of(case.op, *map(Tensor, inputs), arithmetic=FLOAT32, arrays=arrays)
    ofmap = compute(work).values
    wide = [x.astype(np.float64) for x in (*inputs, *arrays.values())]
    difference = np.abs(ofmap - case.truth(*wide))
    one_order = isinstance(case.op, ScaleShift)  # so it has no bound of sums
    assert (difference <= (1e-6 if one_order else tolerance(work, ofmap))).all()
    assert tolerance(work, ofmap).max() < 2e-3


@every_case
def test_integers_are_what_float64_says(case: Case) -> None:
    """Of the real numbers that the codes stand for, to one code."""
    generator = np.random.default_rng(4)
    inputs = [generator.integers(-128, 128, (2, *shape)).astype(np.int8) for shape in case.shapes]
    arrays = arrays_of(case, generator)
    codes = [Tensor(x, Quantization(2.0**-6, 3)) for x in inputs]
    reals = [2.0**-6 * (x.astype(np.float64) - 3) for x in inputs]
    truth = case.truth(*reals, *(array.astype(np.float64) for array in arrays.values()))
    scale = float(np.abs(truth).max()) / 120
    work = step_of(case.op, *codes, output=Quantization(scale, -2), arrays=arrays)
    ofmap = scale * (compute(work).values.astype(np.float64) + 2)
    steps = (
        1.5
        if isinstance(case.op, Add | Largest | Concat | Expand | Transpose | Slice | Relu)
        else 1.01
    )
    assert np.abs(ofmap - truth).max() <= steps * scale


# --- Drawn --------------------------------------------------------------------------------------


@st.composite
def drawn_layers(draw: st.DrawFn) -> tuple[Op, tuple[Shape, ...]]:
    size = st.integers(1, 40)
    shape = (*draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)), draw(size))
    rank = len(shape)
    axis = draw(st.integers(-rank, rank - 1))
    kind = draw(
        st.sampled_from(["norm", "group", "reduce", "softmax", "causal", "product", "heads"])
    )
    if kind == "norm":
        op = draw(st.sampled_from([LayerNorm, RmsNorm]))
        return op(axes=draw(st.integers(1, rank)), epsilon=draw(st.sampled_from([0.0, 1e-5]))), (
            shape,
        )
    if kind == "group":
        groups = draw(st.sampled_from([n for n in range(1, 41) if shape[0] % n == 0]))
        return draw(st.sampled_from([GroupNorm(groups=groups), InstanceNorm()])), (shape,)
    if kind == "reduce":
        return draw(st.sampled_from([Mean, Sum, Largest]))(axes=(axis,)), (shape,)
    if kind == "softmax":
        return Softmax(axis=axis), (shape,)
    if kind == "causal":
        return Softmax(causal=True), ((*shape[:-1], shape[-2] + draw(size)),)
    m, n, k = draw(size), draw(size), draw(size)
    if kind == "heads":
        share, count = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        made = {"heads": share * count, "key_heads": count}
        if draw(st.booleans()):
            return AttentionScores(**made), ((m, share * count * k), (n, count * k))
        return AttentionContext(**made), ((share * count, m, n), (n, count * k))
    first, second = ([size if draw(st.booleans()) else 1 for size in shape[:-1]] for _ in "ab")
    second = second[draw(st.integers(0, len(second))) :]
    turned = draw(st.booleans()), draw(st.booleans())
    op = MatMul(transpose_first=turned[0], transpose_second=turned[1])
    last = ((k, m) if turned[0] else (m, k)), ((n, k) if turned[1] else (k, n))
    return op, ((*first, *last[0]), (*second, *last[1]))


@given(drawn_layers(), st.sampled_from(["ws", "os", "rs"]), st.integers(1, 3), st.booleans())
@drawn(300, 3)
def test_drawn_layers_equal_the_reference(
    drawn_layer: tuple[Op, tuple[Shape, ...]], dataflow: str, batch: int, floats: bool
) -> None:
    op, shapes = drawn_layer
    machine = hardware(dataflow, *(FLOAT if floats else ()))
    result = check(single(op, *shapes), machine, batch)
    assert (result.mismatches, result.problems) == (0, ())


# --- Refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (MatMul(), ((2, 3, 4), (3, 4, 5)), "axes before the matrices differ"),
        (MatMul(transpose_first=True), ((2, 3), (3, 5)), "inner sizes differ: 3x2 times 3x5"),
        (Softmax(axis=2), ((3, 4),), "there is no axis 2"),
        (Softmax(causal=True), ((5, 4),), "causal needs queries and at least as many keys"),
        (Softmax(causal=True, axis=0), ((4, 4),), "causal needs queries"),
        (LayerNorm(axes=3), ((5, 4),), "axes 3 are more than"),
        (GroupNorm(groups=4), ((6, 4),), "6 .* into 4 groups; groups must divide 6"),
        (Mean(axes=(0, 2)), ((5, 4, 3),), "do not lie side by side"),
        (Mean(axes=(0, 0)), ((5, 4, 3),), "do not lie side by side"),
        (AttentionScores(heads=3, key_heads=2), ((5, 6), (5, 4)), "3 heads do not share 2"),
        (AttentionScores(heads=4), ((5, 6), (5, 6)), "6 features do not divide into 4 heads"),
        (AttentionScores(heads=2), ((5, 6), (5, 4)), "heads of queries have 3 features"),
        (AttentionContext(heads=2), ((3, 5, 6), (6, 4)), "are not of 2 heads and 6 values"),
        (AttentionContext(heads=2), ((5, 6), (6, 4)), "takes inputs of 3 and 2 axes"),
        (Add(), ((5, 6), (4, 6)), "input shapes differ"),
        (Add(), ((5, 6), (6,)), "input shapes differ"),
        (ScaleShift(shape=(5, 2)), ((5, 6),), "does not fit an input of"),
        (Expand(shape=(5, 2)), ((5, 6),), "does not expand to"),
        (Concat(axis=0), ((5, 6), (6, 4)), "inputs differ beyond the joined axis"),
    ],
)
def test_misfits_are_refused(op: Op, shapes: tuple[Shape, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.output_shape(shapes)
