"""Kernels of a training step against the adjoint of each layer, computed value by value."""

import math
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
    Steps,
    alone,
    check_gemm,
    check_vector,
    computed,
    convolutions,
    loaded,
    of_kind,
    only_task,
    stored,
    trained,
    whole,
)
from drawing import drawn
from hypothesis import example, given
from machines import chain
from oracles.counted import (
    Index,
    Operand,
    Program,
    Term,
    Work,
    phase_terms,
    taps,
    weight_gradient_terms,
)

from accelsim.lowering.kernels import Alias, GemmKernel, VectorKernel, kernel_of
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.backward import Optimizer, training_step
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import (
    OPS,
    Add,
    Attention,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Rotary,
    Shape,
    Sigmoid,
    Slice,
    Softmax,
    SubSampling,
    Transpose,
)
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BatchNormForward,
    BatchNormInputGradient,
    BetaGradient,
    BiasGradient,
    ChannelMean,
    ChannelVariance,
    ConvInputGradient,
    ConvWeightGradient,
    DenseInputGradient,
    DenseWeightGradient,
    DropoutMask,
    ForwardMask,
    FunctionGradient,
    GammaGradient,
    GradientProduct,
    GradientSum,
    GradientTranspose,
    Interleave,
    LossGradient,
    LrnGradient,
    MaxPoolGradient,
    Part,
    PixelSum,
    ProductSum,
    ScaledForward,
    ScaledGradient,
    SliceGradient,
    SoftmaxGradient,
    Update,
    View,
    WindowSum,
    WindowSumGradient,
)
from accelsim.network.ops.pointwise_gradients import PointwiseGradient
from accelsim.network.ops.product_gradients import (
    GradientContext,
    GradientMatMul,
    GradientReduction,
    GradientScores,
)
from accelsim.network.ops.token_gradients import RotaryGradient
from accelsim.numerics.formats import Array

MAP, ROWS = (3, 5, 4), (4, 6)

# --- Products: every term of the layer once -------------------------------------------------------


@given(convolutions())
@example((UNEVEN, (4, 7, 5)))
@drawn(30)
def test_convolutions(drawn_layer: tuple[Conv, Shape]) -> None:
    """Together the phases have each product of the layer once, and some with what lies around."""
    op, shape = drawn_layer
    steps = trained(shape, op)
    for step, ofmap in of_kind(steps, ConvInputGradient):
        back = step.layer.op
        assert isinstance(back, ConvInputGradient)
        at = back.at
        kernel = kernel_of(step.layer, BATCH)
        if isinstance(kernel, VectorKernel):
            assert [*phase_terms(op, step.layer.input_shapes[0], ofmap.shape[1:], at)] == []
            assert (kernel.inputs, kernel.outputs) == ((), ofmap.size)
            assert not ofmap.any()
            continue

        def terms(
            _: Any, shapes: tuple[Shape, ...], made: Shape, at: tuple[int, int] = at
        ) -> Iterator[Term]:
            return phase_terms(op, shapes[0], made, at)

        weight = step.parameters.weight.values[None]
        check_gemm(step, ofmap, terms, (step.inputs[0].values, weight))
    ((step, ofmap),) = of_kind(steps, ConvWeightGradient)
    operands = step.inputs[0].values, step.inputs[1].values
    check_gemm(
        step, ofmap, lambda _, shapes, made: weight_gradient_terms(op, shapes, made), operands
    )


def test_inserted_zeros_are_multiplied() -> None:
    """One convolution over the gradient with zeros between: all taps, as of stride 1."""
    spread = Conv(
        out_channels=2, kernel=(3, 2), stride=(2, 3), bias=False, input_gradient="zero_inserted"
    )
    ((step, ofmap),) = of_kind(trained((2, 7, 8), spread), ConvInputGradient)
    plain = Conv(out_channels=2, kernel=(3, 2), bias=False)

    def terms(_: Any, shapes: tuple[Shape, ...], made: Shape) -> Iterator[Term]:
        return phase_terms(plain, shapes[0], made, (0, 0))

    weight = step.parameters.weight.values[None]
    check_gemm(step, ofmap, terms, (step.inputs[0].values, weight))


@pytest.mark.parametrize("shape", [(2, 3, 2), (3, 5), (7,)])
def test_dense(shape: Shape) -> None:
    """A term for each value of the ifmap and each feature, token by token."""
    matrix = len(shape) == 2
    steps = trained(shape, Dense(out_features=4, bias=False))

    def inputs(_: Any, shapes: tuple[Shape, ...], made: Shape) -> Iterator[Term]:
        for flat, x in enumerate(np.ndindex(*made)):
            for n in range(4):
                yield x, (x[0], n) if matrix else (n,), (n, x[1] if matrix else flat)

    def weights(_: Any, shapes: tuple[Shape, ...], made: Shape) -> Iterator[Term]:
        tokens = shape[:1] if matrix else ()
        for image in range(BATCH):
            for place in np.ndindex(*tokens):
                for n, k in np.ndindex(*made):
                    yield (n, k), (image, *place, k), (image, *place, n)

    back = next(each for each in of_kind(steps, DenseInputGradient) if each[1].shape[1:] == shape)
    check_gemm(*back, inputs, (back[0].inputs[0].values, back[0].parameters.weight.values[None]))
    step, ofmap = next(
        each for each in of_kind(steps, DenseWeightGradient) if each[1].shape[1] == 4
    )
    x, gradient = (each.values for each in step.inputs)
    if not matrix:
        x = x.reshape(BATCH, -1)
    check_gemm(step, ofmap, weights, (x, gradient))


def _counted(*shape: int) -> int:
    return sum(1 for _ in np.ndindex(*shape))


@pytest.mark.parametrize("turned", [False, True])
def test_matrices_and_heads(turned: bool) -> None:
    """Each gradient of a product has as many terms as the product."""
    specs = [
        LayerSpec("a", Dense(out_features=4), ("x",)),
        LayerSpec("b", Dense(out_features=4), ("x",)),
        LayerSpec("y", MatMul(transpose_first=not turned, transpose_second=turned), ("a", "b")),
        LayerSpec("flat", Flatten(), ("y",)),
        LayerSpec("head", Dense(out_features=2), ("flat",)),
    ]
    steps = [*computed(training_step(build_network("m", {"x": (3, 5)}, specs), "squared_error"))]
    macs = BATCH * (_counted(3, 3, 4) if turned else _counted(4, 4, 3))
    found = of_kind(steps, GradientMatMul)
    assert [kernel_of(step.layer, BATCH).macs for step, _ in found] == [macs, macs]  # type: ignore[union-attr]


def test_attention() -> None:
    """Two heads of queries for one of keys: gradients of keys are added for both."""
    tokens, heads, size = 3, 4, 2
    specs = [
        *(
            LayerSpec(name, Dense(out_features=count * size), ("x",))
            for name, count in (("q", heads), ("k", 2), ("v", 2))
        ),
        *(
            LayerSpec(*part)
            for part in Attention(heads=heads, key_heads=2).parts("y", ("q", "k", "v"))
        ),
        LayerSpec("flat", Flatten(), ("y/context",)),
        LayerSpec("head", Dense(out_features=2), ("flat",)),
    ]
    steps = [
        *computed(training_step(build_network("m", {"x": (tokens, 5)}, specs), "squared_error"))
    ]
    macs = BATCH * _counted(heads, tokens, tokens, size)
    found = of_kind(steps, GradientScores) + of_kind(steps, GradientContext)
    assert len(found) == 4
    for step, ofmap in found:
        kernel = kernel_of(step.layer, BATCH)
        assert isinstance(kernel, GemmKernel)
        assert (kernel.macs, kernel.written_words) == (macs, ofmap.size)
        loads = {load.operand: load.size for load in only_task(kernel).step.loads}
        assert loads == dict(
            zip(("ifmap", "filter"), (each.values.size for each in step.inputs), strict=True)
        )
    for step, _ in of_kind(steps, GradientReduction):
        task = only_task(kernel_of(step.layer, BATCH))
        assert task.step.work.operations == loaded(task, "ifmap") == step.inputs[0].values.size


# --- Vector units ---------------------------------------------------------------------------------


def _of(operand: Operand, channel: int) -> float:
    """The value of a channel, of an operand that has one for each; all images have the same."""
    shape = operand.shape
    axis = max(range(len(shape)), key=lambda at: shape[at])
    return operand[tuple(channel if at == axis else 0 for at in range(len(shape)))]


def _channels(work: Work) -> Iterator[tuple[int, list[Index]]]:
    """Every channel with its places in the maps of all images."""
    images, channels, *sides = work.x.shape
    for c in range(channels):
        yield c, [(n, c, *place) for n in range(images) for place in np.ndindex(*sides)]


def _bias(work: Work) -> Array:
    made = np.zeros(work.shape)
    for c, places in _channels(work):
        for place in places:
            made[c] = work.lane(made[c] + work.x[place])
    return made


def _mean(work: Work) -> Array:
    made = []
    for _, places in _channels(work):
        total = 0.0
        for place in places:
            total = work.lane(total + work.x[place])
        made.append(work.lane(total / len(places)))
    return np.array(made).reshape(work.shape)


def _variance(work: Work) -> Array:
    made = []
    for c, places in _channels(work):
        squares = 0.0
        for place in places:
            distance = work.lane(work.x[place] - _of(work.inputs[1], c))
            squares = work.lane(squares + distance**2)
        made.append(work.lane(squares / len(places)))
    return np.array(made).reshape(work.shape)


def _line(work: Work) -> Array:
    """A product and a sum, whose factors are made of the statistics once for a channel."""
    _, mean, variance = work.inputs

    def value(y: Index) -> float:
        deviation = math.sqrt(_of(variance, y[0]) + work.op.epsilon)
        gamma, beta = (work.learned[name][y[0]] for name in ("gamma", "beta"))
        return work.lane(work.lane(gamma / deviation * (work.x[y] - _of(mean, y[0]))) + beta)

    return work.mapped(value)


def _gamma(work: Work) -> Array:
    """Distance, product and sum; the deviation is divided by once."""
    gradient, x, mean, variance = work.inputs
    made = []
    for c, places in _channels(work):
        total = 0.0
        for place in places:
            distance = work.lane(x[place] - _of(mean, c))
            total = work.lane(total + work.lane(gradient[place] * distance))
        made.append(total / math.sqrt(_of(variance, c) + work.op.epsilon))
    return np.array(made).reshape(work.shape)


def _batch_norm_input(work: Work) -> Array:
    """The gradient less its mean and less a share of the distance, times a factor."""
    gradient, x, mean, variance, of_gamma, of_beta = work.inputs
    count = BATCH * math.prod(work.shape[1:])

    def value(y: Index) -> float:
        deviation = math.sqrt(_of(variance, y[0]) + work.op.epsilon)
        share = _of(of_gamma, y[0]) / deviation / count
        distance = work.lane(work.lane(x[y] - _of(mean, y[0])) * share)
        left = work.lane(work.lane(gradient[y] - _of(of_beta, y[0]) / count) - distance)
        return work.lane(left * work.learned["gamma"][y[0]] / deviation)

    return work.mapped(value)


def _products_added(work: Work) -> Array:
    """A product and a sum for each value of a channel."""
    made = np.zeros(work.shape)
    other = work.inputs[1]
    for c, places in _channels(work):
        for place in places:
            made[c] = work.lane(made[c] + work.lane(work.x[place] * other[place]))
    return made


def _pixels(work: Work) -> Array:
    """As above, image by image, or the sum alone."""
    made = np.zeros(work.shape)
    for place in np.ndindex(*work.x.shape):
        value = work.x[place]
        if len(work.inputs) > 1:
            value = work.lane(value * work.inputs[1][place])
        made[place[0], 0, 0] = work.lane(made[place[0], 0, 0] + value)
    return made


def _added(work: Work) -> Array:
    one, other = work.inputs
    return work.mapped(lambda y: work.lane(one[y] + other[y]))


def _multiplied(work: Work) -> Array:
    one, other = work.inputs
    return work.mapped(lambda y: work.lane(one[y] * other[y]))


def _sigmoid(work: Work) -> Array:
    """The derivative is a look-up."""
    gradient, y = work.inputs
    return work.mapped(lambda at: work.lane(gradient[at] * work.lane(y[at] * (1 - y[at]))))


def _spread(divided: bool) -> Program:
    """Pixel by pixel the gradients of so many windows as can lie over one; some are not there."""

    def program(work: Work) -> Array:
        op = work.op.pool
        kernel, (stride, padding) = op.kernel, (op.stride, op.padding)

        def windows(place: int, axis: int) -> Iterator[int]:
            last = (place + padding[2 * axis]) // stride[axis]
            for before in range(-(-kernel[axis] // stride[axis])):
                first = (last - before) * stride[axis] - padding[2 * axis]
                yield last - before if first <= place < first + kernel[axis] else -1

        def value(x: Index) -> float:
            total = 0.0
            for p, q in product(windows(x[1], 0), windows(x[2], 1)):
                total = work.lane(total + work.x.near((x[0], p, q)))
            return work.lane(total / math.prod(kernel)) if divided else total

        return work.mapped(value)

    return program


def _lrn(work: Work) -> Array:
    """Sums of squares around, two functions of them, and a sum of products of the channels around.

    What the channels around have is at hand: each has its own once.
    """
    op, lane, (gradient, x) = work.op.lrn, work.lane, work.inputs
    half, channels = op.size // 2, work.shape[0]
    made = np.empty(work.shape)
    for h, w in np.ndindex(*work.shape[1:]):
        own, terms, slopes = [], {}, {}
        for c in range(channels):
            squares = 0.0
            for around in range(c - half, c + half + 1):
                squares = lane(squares + x.near((around, h, w)) ** 2)
            base = op.bias + op.alpha / op.size * squares
            own.append(lane(base**-op.beta))
            slopes[c] = lane(2 * op.alpha / op.size * op.beta * base ** (-op.beta - 1))
            terms[c] = lane(gradient[c, h, w] * x[c, h, w])
        for c in range(channels):
            total = 0.0
            for around in range(c - half, c + half + 1):
                total = lane(total + lane(terms.get(around, 0.0) * slopes.get(around, 0.0)))
            first = lane(gradient[c, h, w] * own[c])
            made[c, h, w] = lane(first - lane(x[c, h, w] * total))
    return made


def _loss(work: Work) -> Array:
    y, target = work.inputs
    weight = work.op.weight

    def value(at: Index) -> float:
        distance = work.lane(y[at] - target[at])
        return distance if weight == 1 else work.lane(distance * weight)

    return work.mapped(value)


def _softmax(work: Work) -> Array:
    """The sum of products, then a difference and a product."""
    (gradient, y), axis = work.inputs, work.op.softmax.along(work.shape)
    made = np.empty(work.shape)
    for front in np.ndindex(*work.shape[:axis]):
        for behind in np.ndindex(*work.shape[axis + 1 :]):
            row, total = [(*front, at, *behind) for at in range(work.shape[axis])], 0.0
            for place in row:
                total = work.lane(total + work.lane(gradient[place] * y[place]))
            for place in row:
                made[place] = work.lane(y[place] * work.lane(gradient[place] - total))
    return made


def _slice(work: Work) -> Array:
    taken, lane = work.op.taken, work.lane

    def value(x: Index) -> float:
        place = [divmod(at - s, t) for at, s, t in zip(x, taken.start, taken.step, strict=True)]
        return lane(0.0 if any(r for _, r in place) else work.x.near(tuple(p for p, _ in place)))

    return work.mapped(value)


def _window_sum(work: Work) -> Array:
    def value(y: Index) -> float:
        total = 0.0
        for place in taps(work.op.pool, work.x.shape, y):
            total = work.lane(total + work.x.near((y[0], *place)))
        return total

    return work.mapped(value)


def _scaled(work: Work) -> Array:
    beta, offset = work.learned["beta"], work.learned["offset"]
    return work.mapped(lambda y: work.lane(work.lane(work.x[y] * beta[y[0]]) + offset[y[0]]))


def _times_beta(work: Work) -> Array:
    return work.mapped(lambda y: work.lane(work.x[y] * work.learned["beta"][y[0]]))


def _turned(work: Work) -> Array:
    """Of order (2, 0, 1), back."""
    return work.mapped(lambda y: work.lane(work.x[y[2], y[0], y[1]]))


POOL: dict[str, Any] = {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1, 0, 0)}
SLICE = Slice(start=(1, 0, 1), stop=(3, 5, 4), step=(1, 2, 1))
Case = tuple[type[Op], tuple[Op, ...], Program, Read]
CASES: dict[str, Case] = {
    "bias": (BiasGradient, (Conv(out_channels=2, kernel=(2, 2)),), _bias, "touched"),
    "mean": (ChannelMean, (BatchNorm(),), _mean, "touched"),
    "variance": (ChannelVariance, (BatchNorm(),), _variance, "touched"),
    "batch norm": (BatchNormForward, (BatchNorm(),), _line, "touched"),
    "gamma": (GammaGradient, (BatchNorm(),), _gamma, "touched"),
    "batch norm, input": (BatchNormInputGradient, (BatchNorm(),), _batch_norm_input, "touched"),
    "function": (FunctionGradient, (Sigmoid(),), _sigmoid, "touched"),
    "avg_pool": (AvgPoolGradient, (AvgPool(**POOL),), _spread(True), "each"),
    "lrn": (LrnGradient, (Lrn(size=3, alpha=0.5),), _lrn, "touched"),
    "loss": (LossGradient, (), _loss, "touched"),
    "softmax": (SoftmaxGradient, (Softmax(),), _softmax, "touched"),
    "softmax, axis": (SoftmaxGradient, (Softmax(axis=1),), _softmax, "touched"),
    "slice": (SliceGradient, (SLICE,), _slice, "each"),
    "window sum": (WindowSum, (SubSampling(**POOL),), _window_sum, "box"),
    "window sum, back": (WindowSumGradient, (SubSampling(**POOL),), _spread(False), "each"),
    "scaled": (ScaledForward, (SubSampling(**POOL),), _scaled, "touched"),
    "beta": (BetaGradient, (SubSampling(**POOL),), _products_added, "touched"),
    "scaled, back": (ScaledGradient, (SubSampling(**POOL),), _times_beta, "touched"),
    "transpose": (GradientTranspose, (Transpose(order=(2, 0, 1)),), _turned, "touched"),
}


@pytest.mark.parametrize("case", CASES)
def test_vector_units(case: str) -> None:
    kind, ops, program, read = CASES[case]
    for step, ofmap in of_kind(trained(MAP, *ops), kind):
        check_vector(step, ofmap, program, read)


def test_lrn_reads_as_far_back_as_sums_of_sums_reach() -> None:
    """Channel by channel: those around a channel, and those around each of these."""
    ((step, _),) = of_kind(trained((7, 2, 3), Lrn(size=3)), LrnGradient)
    kernel = kernel_of(step.layer, BATCH)
    assert isinstance(kernel, VectorKernel)
    (schedule,) = vector_schedules(kernel, ROOMY, replace(whole(kernel), channels=1))

    def around(channels: set[int]) -> set[int]:
        return {c + d for c in channels for d in (-1, 0, 1)} & {*range(7)}

    words = sum(len(around(around({c}))) for c in range(7))
    read = sum(load.size for task in schedule.tasks for load in task.step.loads)
    assert read == BATCH * 2 * 3 * 2 * words  # gradient and ifmap, maps of 2 x 3


def joined(op: Op, *sides: int) -> Steps:
    """A step of training of two branches: maps, and maps of so many rows and columns."""
    specs = [
        LayerSpec("a", Conv(out_channels=2, kernel=(1, 1)), ("x",)),
        LayerSpec("b", Conv(out_channels=2, kernel=sides), ("x",)),  # type: ignore[arg-type]
        LayerSpec("y", op, ("a", "b")),
        LayerSpec("flat", Flatten(), ("y",)),
        LayerSpec("head", Dense(out_features=2), ("flat",)),
    ]
    return [*computed(training_step(build_network("two", {"x": MAP}, specs), "squared_error"))]


@pytest.mark.parametrize(
    ("op", "kernel", "kind", "program"),
    [
        (Mul(), (1, 1), GradientProduct, _multiplied),
        (Mul(), (5, 4), ProductSum, _pixels),
        (Add(), (5, 4), PixelSum, _pixels),
    ],
)
def test_joined_maps(op: Op, kernel: tuple[int, int], kind: type[Op], program: Program) -> None:
    for step, ofmap in of_kind(joined(op, *kernel), kind):
        check_vector(step, ofmap, program)


def test_gradients_of_several_readers_are_added() -> None:
    specs = [
        LayerSpec("a", Conv(out_channels=3, kernel=(1, 1)), ("x",)),
        LayerSpec("b", Conv(out_channels=3, kernel=(1, 1)), ("a",)),
        LayerSpec("y", Add(), ("a", "b")),
        LayerSpec("flat", Flatten(), ("y",)),
        LayerSpec("head", Dense(out_features=2), ("flat",)),
    ]
    steps = [*computed(training_step(build_network("two", {"x": MAP}, specs), "squared_error"))]
    check_vector(*of_kind(steps, GradientSum)[0], _added)


def test_a_loss_with_a_weight_is_multiplied() -> None:
    weighted = LossGradient(shape=(6,), loss="squared_error", weight=0.5)
    check_vector(*next(computed(alone(weighted, (6,), (6,)))), _loss)


def test_a_mean_of_whole_maps_reads_one_gradient_for_each() -> None:
    ((step, _),) = of_kind(trained(MAP, AvgPool(kernel="global")), AvgPoolGradient)
    task = only_task(kernel_of(step.layer, BATCH))
    assert (loaded(task, "ifmap"), stored(task)) == (BATCH * 3, BATCH * math.prod(MAP))
    assert task.step.work.operations == 2 * stored(task)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (4, 2), (2, 3)])
def test_maxima_are_found_again(kernel: int, stride: int) -> None:
    """Far from the edges: all windows' comparisons shared by pixels, and the windows over one."""
    pool = MaxPool(kernel=(kernel, kernel), stride=(stride, stride))
    ((step, ofmap),) = of_kind(trained((1, 12, 12), pool), MaxPoolGradient)
    kernel_ = kernel_of(step.layer, BATCH)
    assert isinstance(kernel_, VectorKernel)
    first = 10 * stride
    over = max(
        sum(p * stride <= at < p * stride + kernel for p in range(first + stride))
        for at in range(first, first + stride)
    )
    compared = kernel**2 / stride**2
    assert kernel_.operations == math.ceil(compared) + over**2
    task = only_task(kernel_)
    assert loaded(task, "ifmap") == 2 * ofmap.size
    around = [max(0, 6 - kernel + 1), min(12, 6 + kernel)]
    assert kernel_.rows.span(6, 7) == tuple(around)  # type: ignore[union-attr]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_updates_read_what_they_are_made_of(optimizer: Optimizer) -> None:
    """sgd: w - r g. Momentum: v' = m v + g, w - r v'. Adam: m' = a m + b g, s' = c s + d g g,
    w - r (m' / (1 - ..)) / (sqrt(s' / (1 - ..)) + e)."""
    wanted = {"sgd": [(2, 2)], "momentum": [(2, 2), (2, 2)], "adam": [(2, 3), (2, 4), (3, 6)]}
    network = chain(ROWS, Dense(out_features=5, bias=False))
    layers = training_step(network, "squared_error", optimizer).layers
    found = []
    for layer in layers:
        if isinstance(layer.op, Update):
            task = only_task(kernel_of(layer, BATCH))
            assert stored(task) == 5 * 6
            found.append((loaded(task, "ifmap") // 30, task.step.work.operations // 30))
    assert found == wanted[optimizer]


def test_every_operand_of_a_derivative_is_read() -> None:
    specs = [
        LayerSpec("a", Dense(out_features=4), ("x",)),
        LayerSpec("b", Dense(out_features=4), ("x",)),
        LayerSpec("y", OPS["to_power"](), ("a", "b")),
        LayerSpec("head", Dense(out_features=2), ("y",)),
    ]
    network = training_step(build_network("two", {"x": (5,)}, specs), "squared_error")
    found = [layer for layer in network.layers if isinstance(layer.op, PointwiseGradient)]
    assert sorted(len(layer.inputs) for layer in found) == [3, 3]  # g b a^(b - 1), and g a^b log(a)
    for layer in found:
        task = only_task(kernel_of(layer, BATCH))
        assert loaded(task, "ifmap") == BATCH * 4 * len(layer.inputs)
        assert task.step.work.operations == BATCH * 4 * 2


def test_masks_and_turns_of_pairs() -> None:
    """A product for each value; of a pair each is made of both."""
    for op, kinds, work in (
        (Dropout(rate=0.5), (DropoutMask, ForwardMask), 1),
        (Rotary(heads=1), (RotaryGradient,), 3),
    ):
        steps = trained(ROWS, op)
        for kind in kinds:
            ((step, ofmap),) = of_kind(steps, kind)
            task = only_task(kernel_of(step.layer, BATCH))
            assert loaded(task, "ifmap") == stored(task) == ofmap.size
            assert task.step.work.operations == work * ofmap.size


def test_views_move_nothing() -> None:
    conv = Conv(out_channels=2, kernel=(2, 2), stride=(2, 2))
    steps = trained(MAP, conv) + joined(Concat(), 1, 1)
    for kind in (Interleave, View, Part):
        for step, _ in of_kind(steps, kind):
            assert kernel_of(step.layer, BATCH) == Alias()
