"""What a layer becomes: its kernel against the layer computed value by value."""

import math
import operator
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from counting import (
    BATCH,
    ROOMY,
    UNEVEN,
    Read,
    alone,
    check_gemm,
    check_vector,
    computed,
    convolutions,
    only_task,
    run,
    whole,
)
from drawing import drawn
from hypothesis import example, given
from hypothesis import strategies as st
from oracles.counted import (
    Index,
    Program,
    Term,
    Work,
    conv_terms,
    inside,
    matrix_terms,
    phase_terms,
    rows_of,
    taps,
)

from accelsim.lowering.kernels import Alias, GemmKernel, VectorKernel, kernel_of
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.graph import Network
from accelsim.network.ops import (
    ELEMENTWISE,
    FUNCTIONS,
    OPS,
    POINTWISE,
    Add,
    Append,
    ArgMax,
    AsValues,
    AttentionContext,
    AttentionScores,
    AvgPool,
    BatchNorm,
    ClassToken,
    Concat,
    Conv,
    Dense,
    Dropout,
    DynamicQuantize,
    Embedding,
    Expand,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Largest,
    LayerNorm,
    Local,
    Lrn,
    Maps,
    MatMul,
    MaxPool,
    Mean,
    Mixture,
    Mul,
    Op,
    Pad,
    Phase,
    Phases,
    Position,
    Power,
    Product,
    Relu,
    Reshape,
    Resize,
    RmsNorm,
    Rotary,
    ScaleShift,
    Shape,
    Slice,
    Softmax,
    Sort,
    SplitPart,
    SubSampling,
    Sum,
    Transpose,
)
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array

# --- Products: every term once --------------------------------------------------------------------


def _operands(step: Computation) -> tuple[Array, Array]:
    """The ifmap, and a weight for all images."""
    return step.inputs[0].values, step.parameters.weight.values[None]


@given(convolutions())
@example((UNEVEN, (4, 7, 5)))
@drawn(40)
def test_convolutions(drawn_layer: tuple[Conv, Shape]) -> None:
    op, shape = drawn_layer
    ((step, ofmap),) = computed(alone(op, shape))
    check_gemm(step, ofmap, conv_terms, _operands(step))


@given(convolutions(), st.tuples(st.integers(0, 2), st.integers(0, 2)))
@drawn(40)
def test_phases_of_transposed_convolutions(
    drawn_layer: tuple[Conv, Shape], at: tuple[int, int]
) -> None:
    conv, shape = drawn_layer
    place = (at[0] % conv.stride[0], at[1] % conv.stride[1])
    keys = {key: getattr(conv, key) for key in ("kernel", "stride", "dilation", "groups", "bias")}
    op = Phase(out_channels=conv.out_channels, at=place, **keys)
    ((step, ofmap),) = computed(alone(op, shape))
    if ofmap.size == 0:
        return
    kernel = kernel_of(step.layer, BATCH)
    if isinstance(kernel, VectorKernel):
        unreached = [*phase_terms(op, shape, ofmap.shape[1:], place)]
        assert unreached == []
        assert kernel.inputs == ()
        assert kernel.outputs == ofmap.size
        return

    def terms(op: Any, shapes: tuple[Shape, ...], made: Shape) -> Iterator[Term]:
        """A transposed convolution's weight is (made, read in its group, ...)."""
        group = made[0] // op.groups
        for y, x, (c, k, r, s) in phase_terms(op, shapes[0], made, place):
            assert y[0] % group == k
            yield y, x, (y[0], c % (shapes[0][0] // op.groups), r, s)

    check_gemm(step, ofmap, terms, _operands(step))


def dense_terms(op: Any, shapes: tuple[Shape, ...], ofmap: Shape) -> Iterator[Term]:
    """A row for each token; whatever else is one row."""
    for y in np.ndindex(*ofmap):
        for at, x in enumerate(np.ndindex(*(shapes[0][1:] if len(ofmap) == 2 else shapes[0]))):
            yield y, (*y[:-1], *x), (y[-1], at)


@pytest.mark.parametrize("shape", [(7,), (2, 3, 2), (3, 5)])
def test_dense(shape: Shape) -> None:
    ((step, ofmap),) = computed(alone(Dense(out_features=4, bias=False), shape))
    check_gemm(step, ofmap, dense_terms, _operands(step))


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 4), (4, 2)), ((2, 3, 4), (2, 4, 5)), ((3, 2, 2, 4), (3, 1, 4, 2)), ((2, 3, 4), (4, 2))],
)
def test_matrices(first: Shape, second: Shape) -> None:
    """A second factor that several of the first have in common is one filter for their rows."""
    rows = [*np.broadcast_shapes(first[:-2], second[:-2])]
    own = math.prod(second[:-2])
    stacked = math.prod(rows) // own * first[-2]
    for turned in (False, True):
        shape = (*second[:-2], second[-1], second[-2]) if turned else second
        op = MatMul(transpose_second=turned, scale=0.5)
        ((step, ofmap),) = computed(alone(op, first, shape))
        x, y = (each.values for each in step.inputs)
        y = y.swapaxes(-1, -2) if turned else y
        operands = x.reshape(BATCH, own, stacked, -1), y.reshape(BATCH, own, *second[-2:])
        terms = [*matrix_terms(own, stacked, second[-1], first[-1])]
        _check_matrices(step, ofmap, terms, operands)


def _check_matrices(step: Computation, ofmap: Array, terms: list[Term], operands: Any) -> None:
    """Of operands that have been stacked as the layer has its matrices."""
    kernel = kernel_of(step.layer, BATCH)
    assert isinstance(kernel, GemmKernel)
    assert kernel.filter_is_input
    x, y = operands
    made = np.zeros(
        (BATCH, *(max(axis) + 1 for axis in zip(*(at for at, _, _ in terms), strict=True)))
    )
    for image in range(BATCH):
        for at, left, right in terms:
            made[(image, *at)] += x[(image, *left)] * y[(image, *right)]
    assert isinstance(step.layer.op, Product)
    factor = step.layer.op.factor_of(step.layer.input_shapes)
    np.testing.assert_allclose(np.sort(made.ravel()) * factor, np.sort(ofmap.ravel()), rtol=1e-9)
    task = only_task(kernel)
    assert kernel.macs == task.step.work.operations == BATCH * len(terms)
    loads = {load.operand: load.size for load in task.step.loads}
    assert loads == {"ifmap": x.size, "filter": y.size}
    assert kernel.written_words == ofmap.size


@pytest.mark.parametrize(("heads", "key_heads"), [(1, 1), (4, 4), (4, 2)])
def test_attention(heads: int, key_heads: int) -> None:
    """Heads of queries that share keys are rows of one product."""
    queries, keys, size = 3, 5, 2
    share = heads // key_heads
    shapes = (queries, heads * size), (keys, key_heads * size)
    scores = AttentionScores(heads=heads, key_heads=key_heads)
    ((step, ofmap),) = computed(alone(scores, *shapes))
    q, k = (x.values for x in step.inputs)
    q = q.reshape(BATCH, queries, heads, size).swapaxes(1, 2)
    k = k.reshape(BATCH, keys, key_heads, size).transpose(0, 2, 3, 1)
    terms = [*matrix_terms(key_heads, share * queries, keys, size)]
    _check_matrices(step, ofmap, terms, (q.reshape(BATCH, key_heads, -1, size), k))

    op = AttentionContext(heads=heads, key_heads=key_heads)
    ((step, ofmap),) = computed(alone(op, (heads, queries, keys), shapes[1]))
    shares, v = (x.values for x in step.inputs)
    v = v.reshape(BATCH, keys, key_heads, size).swapaxes(1, 2)
    terms = [*matrix_terms(key_heads, share * queries, size, keys)]
    _check_matrices(step, ofmap, terms, (shares.reshape(BATCH, key_heads, -1, keys), v))


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0, 0, 0)), ((2, 1), (1, 0, 0, 2))])
def test_unshared_convolutions(stride: tuple[int, int], padding: tuple[int, ...]) -> None:
    """Each place has its own window and its own filters; windows are fetched one by one."""
    op = Local(out_channels=2, kernel=(2, 3), stride=stride, padding=padding, bias=False)
    ((step, ofmap),) = computed(alone(op, (3, 5, 4)))
    x, weight = step.inputs[0].values, step.parameters.weight.values
    made, macs = np.zeros(ofmap.shape), 0
    for image, k, p, q in np.ndindex(*ofmap.shape):
        for c, r, s in np.ndindex(3, 2, 3):
            place = (c, p * stride[0] + r - padding[0], q * stride[1] + s - padding[2])
            value = x[(image, *place)] if inside(place, x.shape[1:]) else 0
            made[image, k, p, q] += value * weight[k, p, q, c, r, s]
            macs += 1
    np.testing.assert_allclose(made, ofmap, rtol=1e-9)
    kernel = kernel_of(step.layer, BATCH)
    assert isinstance(kernel, GemmKernel)
    loads = {load.operand: load.size for load in only_task(kernel).step.loads}
    assert kernel.macs == macs
    assert loads == {"ifmap": macs // op.out_channels, "filter": weight.size}
    assert kernel.written_words == ofmap.size


def test_mixtures_are_convolutions_of_a_pixel() -> None:
    ((step, ofmap),) = computed(alone(Mixture(out_channels=3, bias=False), (4, 2, 3)))
    check_gemm(step, ofmap, conv_terms, _operands(step))


# --- Vector units ---------------------------------------------------------------------------------


def _copied(source: Any) -> Program:
    """Each value is what lies at `source(work, place)`, and passes a lane once."""
    return lambda work: work.mapped(lambda y: work.lane(work.x.near(source(work, y))))


def _max_pool(work: Work) -> Array:
    def value(y: Index) -> float:
        top = -math.inf
        for place in taps(work.op, work.x.shape, y):
            top = work.lane(max(top, work.x.near((y[0], *place), -math.inf)))
        return top

    return work.mapped(value)


def _avg_pool(work: Work) -> Array:
    """What ceil_mode adds behind the padding is not counted; the padding is."""
    op, (_, height, width) = work.op, work.x.shape
    padding = op.padding

    def value(y: Index) -> float:
        total, count = 0.0, 0
        for h, w in taps(op, work.x.shape, y):
            total = work.lane(total + work.x.near((y[0], h, w)))
            count += h < height + padding[1] and w < width + padding[3]
        return work.lane(total / count)

    return work.mapped(value)


def _sub_sampling(work: Work) -> Array:
    def value(y: Index) -> float:
        total = 0.0
        for place in taps(work.op, work.x.shape, y):
            total = work.lane(total + work.x.near((y[0], *place)))
        return work.lane(
            work.lane(total * work.learned["beta"][y[0]]) + work.learned["offset"][y[0]]
        )

    return work.mapped(value)


def _broadcast(y: Index, shape: Shape) -> Index:
    return tuple(at if size > 1 else 0 for at, size in zip(y, shape, strict=True))


def _add(work: Work) -> Array:
    def value(y: Index) -> float:
        total = work.x[_broadcast(y, work.x.shape)]
        for other in work.inputs[1:]:
            total = work.lane(total + other[_broadcast(y, other.shape)])
        return total

    return work.mapped(value)


def _mul(work: Work) -> Array:
    one, other = work.inputs
    return work.mapped(
        lambda y: work.lane(one[_broadcast(y, one.shape)] * other[_broadcast(y, other.shape)])
    )


def _lrn(work: Work) -> Array:
    op, half = work.op, work.op.size // 2

    def value(y: Index) -> float:
        squares = 0.0
        for c in range(y[0] - half, y[0] + half + 1):
            squares = work.lane(squares + work.x.near((c, *y[1:])) ** 2)
        power = work.lane((op.bias + op.alpha / op.size * squares) ** -op.beta)
        return work.lane(work.x[y] * power)

    return work.mapped(value)


def _softmax(work: Work, again: bool = False) -> Array:
    """Row by row along the axis; `again` it takes the exponentials twice, not to keep them."""
    axis, made = work.op.along(work.shape), np.empty(work.shape)
    for front in np.ndindex(*work.shape[:axis]):
        for behind in np.ndindex(*work.shape[axis + 1 :]):
            row = [(*front, at, *behind) for at in range(work.shape[axis])]
            top, total, lane = -math.inf, 0.0, work.lane
            for place in row:
                top = lane(max(top, work.x[place]))
            powers = []
            for place in row:
                powers.append(lane(math.exp(work.x[place] - top)))
                total = lane(total + powers[-1])
            for place, power in zip(row, powers, strict=True):
                own = lane(math.exp(work.x[place] - top)) if again else power
                made[place] = lane(own / total)
    return made


def _normalised(work: Work) -> Array:
    """Mean, then distances and their squares, then a product and a sum, whose factors are known."""
    op, x, lane, made = work.op, work.x, work.lane, np.empty(work.shape)
    gamma, beta = (work.learned.get(name) for name in ("gamma", "beta"))
    rows = {
        "layer_norm": lambda: math.prod(work.shape[: -op.axes]),
        "rms_norm": lambda: math.prod(work.shape[: -op.axes]),
        "group_norm": lambda: op.groups,
        "instance_norm": lambda: work.shape[0],
    }[op.name]()
    for row in rows_of(x, rows):
        total = squares = 0.0
        for place in row if op.centred else ():
            total = lane(total + x[place])
        mean = total / len(row)
        for place in row:
            distance = lane(x[place] - mean) if op.centred else x[place]
            squares = lane(squares + distance**2)
        spread = math.sqrt(squares / len(row) + op.epsilon)
        for place in row:
            own = place[:1] if op.name in ("group_norm", "instance_norm") else place[-op.axes :]
            assert gamma is not None
            scaled = lane((x[place] - mean) / spread * gamma[own])
            made[place] = lane(scaled + (beta[own] if beta else 0.0))
    return made


def _dynamic(work: Work) -> Array:
    low = high = 0.0
    for place in work.each():
        low, high = work.lane(min(low, work.x[place])), work.lane(max(high, work.x[place]))
    step = (high - low) / 255
    zero = round(-low / step)

    def value(y: Index) -> float:
        code = work.lane(round(work.lane(work.x[y] / step))) + zero
        return step * (min(max(code, 0), 255) - zero)

    return work.mapped(value)


def _reduction(work: Work) -> Array:
    """The values along axes that lie side by side, behind each other or far apart."""
    op, shape = work.op, work.x.shape
    axes = sorted(axis % len(shape) for axis in op.axes)
    joined, start = (max, -math.inf) if "max" in op.name else (operator.add, 0.0)
    made: list[float] = []
    for kept in np.ndindex(*(size for at, size in enumerate(shape) if at not in axes)):
        total, found = start, []
        for along in np.ndindex(*(shape[axis] for axis in axes)):
            found.append(work.x[(*kept[: axes[0]], *along, *kept[axes[0] :])])
            total = work.lane(joined(total, found[-1]))
        if op.name == "mean":
            total = work.lane(total / len(found))
        made.append(found.index(total) if op.name == "arg_max" else total)
    return np.array(made).reshape(work.shape)


def _batch_norm(work: Work) -> Array:
    """A product and a sum, whose factors are known beforehand."""
    learned = work.learned

    def value(y: Index) -> float:
        deviation = math.sqrt(learned["variance"][y[0]] + work.op.epsilon)
        scaled = work.lane(learned["gamma"][y[0]] / deviation * (work.x[y] - learned["mean"][y[0]]))
        return work.lane(scaled + learned["beta"][y[0]])

    return work.mapped(value)


def _scale_shift(work: Work) -> Array:
    gamma, beta = work.learned["gamma"], work.learned["beta"]

    def value(y: Index) -> float:
        at = _broadcast(y, gamma.shape)
        return work.lane(work.lane(work.x[y] * gamma[at]) + beta[at])

    return work.mapped(value)


def _position(work: Work) -> Array:
    table = work.learned["weight"]
    return work.mapped(lambda y: work.lane(work.x[y] + table[y[0] + work.op.offset, y[1]]))


def _rotary(work: Work) -> Array:
    """A value and the other one of its pair, two products and their sum."""
    op, features = work.op, work.shape[1] // work.op.heads

    def value(y: Index) -> float:
        head, at = divmod(y[1], features)
        if op.interleaved:
            pair, second = divmod(at, 2)
            other = y[1] - 1 if second else y[1] + 1
        else:
            second, pair = divmod(at, features // 2)
            other = head * features + (pair if second else pair + features // 2)
        angle = op.sense * (y[0] + op.offset) * op.base ** (-2 * pair / features)
        own = work.lane(work.x[y] * math.cos(angle))
        crossed = work.lane(work.x[y[0], other] * math.sin(angle))
        return work.lane(own + crossed if second else own - crossed)

    return work.mapped(value)


def _bilinear(work: Work) -> Array:
    """Half pixels: four products and their sum."""
    lane, (_, height, width) = work.lane, work.x.shape

    def ends(place: int, size: int, wanted: int) -> list[tuple[int, float]]:
        at = (place + 0.5) * size / wanted - 0.5
        low = math.floor(at)
        pairs = (low, 1 - (at - low)), (low + 1, at - low)
        return [(min(max(one, 0), size - 1), share) for one, share in pairs]

    def value(y: Index) -> float:
        down, across = ends(y[1], height, work.shape[1]), ends(y[2], width, work.shape[2])
        parts = [
            lane(work.x[y[0], h, w] * (share * other)) for h, share in down for w, other in across
        ]
        total = parts[0]
        for part in parts[1:]:
            total = lane(total + part)
        return total

    return work.mapped(value)


def _nearest(work: Work, y: Index) -> Index:
    """Half pixels, of two the lower."""
    sizes = zip(y[1:], work.x.shape[1:], work.shape[1:], strict=True)
    places = (math.ceil((at + 0.5) * size / wanted - 1) for at, size, wanted in sizes)
    return (
        y[0],
        *(min(max(p, 0), size - 1) for p, size in zip(places, work.x.shape[1:], strict=True)),
    )


def _padded(work: Work, y: Index) -> Index:
    """Where a value comes from; between neighbours and around them there is none."""
    steps = zip(y, work.op.before, work.op.between or (0,) * len(y), strict=True)
    places = [divmod(at - before, gap + 1) for at, before, gap in steps]
    return tuple(-1 if apart else place for place, apart in places)


def _relu(work: Work) -> Array:
    return work.mapped(lambda y: work.lane(max(work.x[y], 0.0)))


POOL: dict[str, Any] = {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1, 0, 1)}
MAP, ROWS = (3, 5, 4), (4, 6)
VECTOR: dict[str, tuple[Op, tuple[Shape, ...], Program, Read]] = {
    "max_pool": (MaxPool(**POOL), (MAP,), _max_pool, "box"),
    "max_pool, gaps": (MaxPool(kernel=(1, 2), stride=(3, 3)), (MAP,), _max_pool, "box"),
    "max_pool, ceil": (MaxPool(kernel=(2, 3), ceil_mode=True), (MAP,), _max_pool, "box"),
    "avg_pool": (AvgPool(**POOL), (MAP,), _avg_pool, "box"),
    "avg_pool, global": (AvgPool(kernel="global"), (MAP,), _avg_pool, "box"),
    "sub_sampling": (SubSampling(**POOL), (MAP,), _sub_sampling, "box"),
    "relu": (Relu(), (MAP,), _relu, "touched"),
    "add": (Add(), (MAP, MAP, MAP), _add, "touched"),
    "add, by channel": (Add(), (MAP, (3, 1, 1)), _add, "touched"),
    "add, broadcast": (Add(), (MAP, (1, 5, 4)), _add, "each"),
    "mul": (Mul(), (ROWS, ROWS), _mul, "touched"),
    "mul, by channel": (Mul(), ((3, 1, 1), MAP), _mul, "touched"),
    "mul, broadcast": (Mul(), (ROWS, (4, 1)), _mul, "each"),
    "lrn": (Lrn(size=3, alpha=0.5), ((5, 2, 3),), _lrn, "touched"),
    "softmax": (Softmax(), (MAP,), _softmax, "touched"),
    "softmax, rows": (Softmax(), (ROWS,), _softmax, "touched"),
    "softmax, axis": (Softmax(axis=1), ((2, 3, 2, 2),), _softmax, "touched"),
    "layer_norm": (LayerNorm(), (ROWS,), _normalised, "touched"),
    "layer_norm, axes": (LayerNorm(axes=2, bias=False), (MAP,), _normalised, "touched"),
    "rms_norm": (RmsNorm(), (ROWS,), _normalised, "touched"),
    "group_norm": (GroupNorm(groups=2), ((4, 3, 2),), _normalised, "touched"),
    "instance_norm": (InstanceNorm(), (MAP,), _normalised, "touched"),
    "dynamic_quantize": (DynamicQuantize(), (MAP,), _dynamic, "touched"),
    "mean": (Mean(axes=(1, 2)), (MAP,), _reduction, "touched"),
    "sum": (Sum(axes=(0,)), (MAP,), _reduction, "touched"),
    "max": (Largest(axes=(1,), keep=True), (MAP,), _reduction, "touched"),
    "arg_max": (ArgMax(axes=(1,)), (MAP,), _reduction, "touched"),
    "batch_norm": (BatchNorm(), (MAP,), _batch_norm, "touched"),
    "scale_shift, small": (ScaleShift(shape=(1, 6)), (ROWS,), _scale_shift, "touched"),
    "scale_shift, large": (ScaleShift(shape=(4, 6)), (ROWS,), _scale_shift, "touched"),
    "position": (Position(length=7, offset=2), (ROWS,), _position, "touched"),
    "rotary": (Rotary(heads=1), (ROWS,), _rotary, "touched"),
    "rotary, pairs": (Rotary(heads=3, interleaved=True), ((3, 6),), _rotary, "touched"),
    "transpose": (
        Transpose(order=(2, 0, 1)), (MAP,), _copied(lambda work, y: (y[1], y[2], y[0])), "touched",
    ),
    "slice": (
        Slice(start=(1, 0, 1), stop=(3, 5, 4), step=(1, 2, 1)),
        (MAP,), _copied(lambda work, y: (y[0] + 1, 2 * y[1], y[2] + 1)), "touched",
    ),
    "split_part": (
        SplitPart(sizes=(1, 3), axis=1, part=1), ((2, 4),),
        _copied(lambda work, y: (y[0], y[1] + 1)), "touched",
    ),
    "maps": (
        Maps(maps=(2, 0)), (MAP,), _copied(lambda work, y: (work.op.maps[y[0]], *y[1:])), "touched",
    ),
    "expand": (
        Expand(shape=(3, 5, 4)), ((1, 5, 1),), _copied(lambda work, y: (0, y[1], 0)), "touched",
    ),
    "pad": (Pad(before=(0, 1, 2), after=(1, 0, 3)), (MAP,), _copied(_padded), "touched"),
    "pad, between": (
        Pad(before=(0, 1, 0), after=(0, 0, 1), between=(0, 2, 1)), (MAP,), _copied(_padded),
        "touched",
    ),
    "resize": (Resize(size=(10, 8)), (MAP,), _copied(_nearest), "touched"),
    "resize, bilinear": (Resize(size=(7, 9), mode="bilinear"), (MAP,), _bilinear, "touched"),
}  # fmt: skip
FETCHED = {"position": ("weight",), "scale_shift, large": ("gamma", "beta")}
"""What is learned and as large as the input is read like it."""


@pytest.mark.parametrize("case", VECTOR)
def test_vector_units(case: str) -> None:
    op, shapes, program, read = VECTOR[case]
    ((step, ofmap),) = computed(alone(op, *shapes))
    check_vector(step, ofmap, program, read, FETCHED.get(case, ()))


def passes_of(kernel: VectorKernel) -> int:
    """Operations in tiles of one channel, where channels need each other: pass by pass."""
    (schedule,) = vector_schedules(kernel, ROOMY, replace(whole(kernel), channels=1))
    assert sum(load.size for task in schedule.tasks for load in task.step.loads) == (
        len(kernel.passes) * len(kernel.inputs) * kernel.outputs
    )
    return schedule.operations


IN_PASSES = {
    "softmax": 3,
    "softmax, axis": 3,
    "layer_norm": 6,
    "rms_norm": 6,
    "instance_norm": 5 * 4,
    "dynamic_quantize": 3 * 5 * 4,
}
"""Values that need each other."""


@pytest.mark.parametrize("case", IN_PASSES)
def test_in_passes(case: str) -> None:
    """Nothing is kept from pass to pass but sums and maxima: a softmax takes exponentials twice."""
    op, shapes, program, _ = VECTOR[case]
    ((step, ofmap),) = computed(alone(op, *shapes))
    if isinstance(op, Softmax):
        program = lambda work: _softmax(work, again=True)  # noqa: E731
    kernel = kernel_of(step.layer, BATCH)
    assert isinstance(kernel, VectorKernel)
    assert kernel.channels == IN_PASSES[case]
    assert passes_of(kernel) == run(step, ofmap, program)[0].operations


def test_channels_around_are_read_with_a_tile() -> None:
    """LRN of 5 channels, one by one: those at the ends have fewer around them."""
    ((step, _),) = computed(alone(Lrn(size=3), (5, 2, 3)))
    kernel = kernel_of(step.layer, BATCH)
    assert isinstance(kernel, VectorKernel)
    (schedule,) = vector_schedules(kernel, ROOMY, replace(whole(kernel), channels=1))
    around = sum(len({c - 1, c, c + 1} & {*range(5)}) for c in range(5))
    assert (
        sum(load.size for task in schedule.tasks for load in task.step.loads) == BATCH * 6 * around
    )


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_value_is_read_with_the_other_one_of_its_pair(interleaved: bool) -> None:
    """Of six features in order: i and i + 3, or 2 i and 2 i + 1."""
    network = alone(Rotary(heads=1, interleaved=interleaved), (2, 6))
    kernel = kernel_of(network.layers[0], BATCH)
    assert isinstance(kernel, VectorKernel)
    rows, cols = kernel.windows
    for at in range(6):
        places = [
            divmod(one, cols.outputs) for one in (at, at ^ 1 if interleaved else (at + 3) % 6)
        ]
        row, col = places[0]
        down, across = (range(*axis.span(p, p + 1)) for axis, p in ((rows, row), (cols, col)))
        assert {*product(down, across)} == {*places}


@pytest.mark.parametrize("count", [1, 2, 5, 8, 9])
def test_sorting_puts_each_value_in_its_place(count: int) -> None:
    """A binary search among the others takes as many comparisons at the most."""
    kernel = kernel_of(alone(Sort(axis=0), (count, 3)).layers[0], BATCH)
    assert isinstance(kernel, VectorKernel)
    compared = 0

    class Counted(int):
        def __lt__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return int(self) < int(other)  # type: ignore[call-overload]

    most = 0
    for wanted in range(count):
        compared = 0
        bisect_right([Counted(at) for at in range(count - 1)], Counted(wanted))
        most = max(most, compared)
    assert kernel.operations == max(most, 1)
    assert (kernel.outputs, kernel.channels, kernel.uncut) == (BATCH * count * 3, count, True)


@pytest.mark.parametrize("row", [*ELEMENTWISE, *FUNCTIONS, *POINTWISE], ids=lambda row: row.name)
def test_functions_of_each_value(row: Any) -> None:
    """Every operand is read once; what a lane takes for a value is the function's own."""
    operands = getattr(row, "operands", 1)
    settings = {"numbers": (None,) * operands} if operands > 1 else {}
    op = row(**settings, **({"exponent": 2.0} if row is Power else {}))
    task = only_task(kernel_of(alone(op, *[MAP] * operands).layers[0], BATCH))
    values = BATCH * math.prod(MAP)
    assert [load.size for load in task.step.loads] == [operands * values]
    assert task.step.work.operations == row.operations * values


def _in_place() -> Iterator[Network]:
    yield alone(Flatten(), MAP)
    yield alone(Reshape(shape=(5, 12)), MAP)
    yield alone(Dropout(rate=0.5), MAP)
    yield alone(Concat(), MAP, MAP)
    yield alone(Append(), ROWS, ROWS)
    yield alone(Phases(stride=(1, 2)), MAP, MAP)


def test_what_lies_there_already_moves_nothing() -> None:
    """The values come out in the order in which they lie, or are written in their place."""
    for network in _in_place():
        assert kernel_of(network.layers[0], BATCH) == Alias()


def test_rows_of_tables() -> None:
    """A table's rows are read for the tokens; a learned token's row stands before the others."""
    for op, shape in ((Embedding(entries=9, features=4), (3,)), (AsValues(), (3,))):
        task = only_task(kernel_of(alone(op, shape).layers[0], BATCH))
        assert [load.size for load in task.step.loads] == [task.step.work.operations]
        assert task.step.work.operations == BATCH * 3 * getattr(op, "features", 1)
    task = only_task(kernel_of(alone(ClassToken(), ROWS).layers[0], BATCH))
    assert [load.size for load in task.step.loads] == [BATCH * 5 * 6]


def test_every_type_is_counted() -> None:
    """A layer type without a test here is not known to be right."""
    others = (Conv, Dense, MatMul, AttentionScores, AttentionContext, Local, Phase, Mixture)
    tables = (Sort, Embedding, AsValues, ClassToken, *ELEMENTWISE, *FUNCTIONS, *POINTWISE)
    moved = {type(network.layers[0].op) for network in _in_place()}
    assert {*OPS.values()} == {*(type(op) for op, *_ in VECTOR.values()), *others, *tables} | moved
