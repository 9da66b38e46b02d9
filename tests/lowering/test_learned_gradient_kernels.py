"""Kernels of the gradients of normalisations, sequences and odd convolutions, value by value."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from counting import (
    BATCH,
    check_gemm,
    check_vector,
    computed,
    loaded,
    of_kind,
    only_task,
    stored,
    trained,
)
from oracles.counted import Index, Program, Term, Work, inside, rows_of

from accelsim.lowering.kernels import GemmKernel, kernel_of
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import (
    Conv,
    ConvTranspose,
    Dense,
    Embedding,
    Flatten,
    GroupNorm,
    LayerNorm,
    Local,
    Maps,
    Mixture,
    Op,
    Pad,
    Resize,
    RmsNorm,
    ScaleShift,
    Shape,
)
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.norm_gradients import LearnedProduct, NormInputGradient, Standardised
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    GradientPad,
    GradientSlice,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)
from accelsim.network.ops.token_gradients import EmbeddingGradient, ParameterSum
from accelsim.numerics.formats import Array

MAP, ROWS = (3, 5, 4), (4, 6)

# --- Normalisations -------------------------------------------------------------------------------


def _rows(work: Work) -> list[list[Index]]:
    """Places that have statistics together."""
    norm = work.op.norm
    count = norm.groups if isinstance(norm, GroupNorm) else math.prod(work.shape[: -norm.axes])
    return rows_of(work.inputs[-1], count)


def _statistics(work: Work, row: list[Index]) -> tuple[float, float]:
    """Mean and deviation: a sum; distances and their squares."""
    x, lane, norm = work.inputs[-1], work.lane, work.op.norm
    total = squares = 0.0
    for place in row if norm.centred else ():
        total = lane(total + x[place])
    mean = total / len(row)
    for place in row:
        distance = lane(x[place] - mean) if norm.centred else x[place]
        squares = lane(squares + distance**2)
    return mean, math.sqrt(squares / len(row) + norm.epsilon)


def _standardised(work: Work) -> Array:
    """Distances are at hand from the squares; only the quotient is left."""
    made = np.empty(work.shape)
    for row in _rows(work):
        mean, deviation = _statistics(work, row)
        for place in row:
            made[place] = work.lane((work.x[place] - mean) / deviation)
    return made


def _norm_input(work: Work) -> Array:
    """Statistics, the sum of h = gamma g, that of h y; then h less both shares, as a quotient.

    Where there is a mean, distances are made again for the second sum; in the last pass it is part
    of what is taken from h. Without, y = x / deviation is made for the second sum.
    """
    (gradient, x), lane, norm = work.inputs, work.lane, work.op.norm
    gamma, made = work.learned["gamma"], np.empty(work.shape)

    def own(place: Index) -> float:
        at = place[:1] if isinstance(norm, GroupNorm) else place[-norm.axes :]
        return lane(gradient[place] * gamma[at])

    for row in _rows(work):
        mean, deviation = _statistics(work, row)
        sums = products = 0.0
        for place in row if norm.centred else ():
            sums = lane(sums + own(place))
        for place in row:
            y = lane((x[place] - mean) / deviation)
            products = lane(products + lane(own(place) * y))
        share = products / len(row) / deviation
        rest = sums / len(row) - mean * share
        for place in row:
            left = lane(own(place) - rest) if norm.centred else own(place)
            made[place] = lane(lane(left - lane(x[place] * share)) / deviation)
    return made


def _by_gamma(work: Work) -> Array:
    gamma = work.learned["gamma"]

    def value(y: Index) -> float:
        at = tuple(p if size > 1 else 0 for p, size in zip(y, gamma.shape, strict=True))
        return work.lane(work.x[y] * gamma[at])

    return work.mapped(value)


NORMS = {
    "layer": (LayerNorm(epsilon=0.1), ROWS),
    "layer, axes": (LayerNorm(axes=2, epsilon=0.1), MAP),
    "rms": (RmsNorm(epsilon=0.1), ROWS),
    "group": (GroupNorm(groups=2, epsilon=0.1), (4, 3, 2)),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("kind", "program"), [(Standardised, _standardised), (NormInputGradient, _norm_input)]
)
def test_normalisations(norm: str, kind: type[Op], program: Program) -> None:
    op, shape = NORMS[norm]
    ((step, ofmap),) = of_kind(trained(shape, op), kind)
    check_vector(step, ofmap, program)


@pytest.mark.parametrize(("shape", "fetched"), [((1, 6), ()), ((4, 6), ("gamma",))])
def test_what_is_as_large_as_the_gradient_is_read_like_it(
    shape: Shape, fetched: tuple[str, ...]
) -> None:
    (step, ofmap) = next(
        each
        for each in of_kind(trained(ROWS, ScaleShift(shape=shape)), LearnedProduct)
        if each[0].layer.op.scale.shape == shape  # type: ignore[attr-defined]
    )
    check_vector(step, ofmap, _by_gamma, fetched=fetched)


# --- Transposed and unshared convolutions ---------------------------------------------------------

KEYS: list[dict[str, Any]] = [
    {"kernel": (3, 2), "stride": (2, 1)},
    {"kernel": (2, 3), "stride": (2, 3), "padding": (1, 0, 1, 1), "groups": 2},
    {"kernel": (2, 2), "dilation": (2, 1), "padding": (0, 1, 0, 0), "output_padding": (0, 0)},
    {"kernel": (1, 2), "stride": (3, 2), "output_padding": (2, 1)},
]


@pytest.mark.parametrize("keys", KEYS)
def test_transposed_convolutions(keys: dict[str, Any]) -> None:
    """Each value of the ifmap meets each tap once, whatever the stride: ifmap p reaches ofmap
    p stride + r dilation - padding through tap r."""
    op = ConvTranspose(out_channels=4, bias=False, **keys)
    shape = (2, 3, 4)
    specs = [
        LayerSpec("first", ScaleShift(shape=(1, 1, 1)), ("x",)),
        *(LayerSpec(*part) for part in op.parts("y", ("first",))),
    ]
    specs += [
        LayerSpec("flat", Flatten(), (specs[-1].name,)),
        LayerSpec("head", Dense(out_features=2), ("flat",)),
    ]
    steps = [*computed(training_step(build_network("t", {"x": shape}, specs), "squared_error"))]
    into = shape[0] // op.groups

    def met(p: int, q: int) -> Iterator[tuple[int, int, int, int]]:
        for r, s in np.ndindex(*op.kernel):
            yield (
                p * op.stride[0] + r * op.dilation[0] - op.padding[0],
                q * op.stride[1] + s * op.dilation[1] - op.padding[2],
                r,
                s,
            )

    def terms() -> Iterator[tuple[Index, Index, Index]]:
        """(ifmap, gradient, weight) of every product of an image."""
        made = op.out_channels // op.groups
        for c, p, q in np.ndindex(*shape):
            for k, (h, w, r, s) in product(range(made), met(p, q)):
                y = c // into * made + k
                yield (c, p, q), (y, h, w), (y, c % into, r, s)

    def inputs(_: Any, shapes: tuple[Shape, ...], made: Shape) -> Iterator[Term]:
        yield from terms()

    def weights(_: Any, shapes: tuple[Shape, ...], made: Shape) -> Iterator[Term]:
        for image in range(BATCH):
            for x, gradient, weight in terms():
                yield weight, (image, *gradient), (image, *x)

    ((step, ofmap),) = of_kind(steps, TransposedInputGradient)
    check_gemm(step, ofmap, inputs, (step.inputs[0].values, step.parameters.weight.values[None]))
    ((step, ofmap),) = of_kind(steps, TransposedWeightGradient)
    check_gemm(step, ofmap, weights, (step.inputs[0].values, step.inputs[1].values))


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0, 0, 0)), ((2, 1), (1, 0, 0, 2))])
def test_unshared_convolutions(stride: tuple[int, int], padding: tuple[int, ...]) -> None:
    """Place by place a gradient for every weight, and for every value of a window."""
    op = Local(out_channels=2, kernel=(2, 3), stride=stride, padding=padding, bias=False)  # type: ignore[arg-type]
    steps = trained(MAP, op)
    ((step, ofmap),) = of_kind(steps, LocalWeightGradient)
    x, gradient = (each.values for each in step.inputs)
    made, macs = np.zeros(ofmap.shape[1:]), 0
    for n, k, p, q in np.ndindex(*gradient.shape):
        for c, r, s in np.ndindex(3, *op.kernel):
            place = (c, p * stride[0] + r - padding[0], q * stride[1] + s - padding[2])
            value = x[(n, *place)] if inside(place, MAP) else 0.0
            made[k, p, q, c, r, s] += gradient[n, k, p, q] * value
            macs += 1
    np.testing.assert_allclose(made, ofmap[0], rtol=1e-6)
    _check_local(step, macs, {"ifmap": macs // 2, "filter": gradient.size}, ofmap.size)
    ((step, columns),) = of_kind(steps, LocalColumns)
    weight = step.parameters.weight.values
    _check_local(step, macs, {"ifmap": gradient.size, "filter": weight.size}, columns.size)

    ((step, ofmap),) = of_kind(steps, ColumnsFold)
    task = only_task(kernel_of(step.layer, BATCH))
    at_most = max(
        sum(0 <= h + padding[0] - p * stride[0] < op.kernel[0] for p in range(9)) for h in range(5)
    ) * max(
        sum(0 <= w + padding[2] - q * stride[1] < op.kernel[1] for q in range(9)) for w in range(4)
    )
    assert task.step.work.operations == loaded(task, "ifmap") == at_most * ofmap.size
    assert stored(task) == ofmap.size


def _check_local(step: Any, macs: int, loads: dict[str, int], words: int) -> None:
    kernel = kernel_of(step.layer, BATCH)
    assert isinstance(kernel, GemmKernel)
    assert kernel.macs == macs
    assert {load.operand: load.size for load in only_task(kernel).step.loads} == loads
    assert kernel.written_words == words


# --- Moved values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "readers", "each"),
    [
        (Resize(size=(10, 8)), 4, 1),  # each value was read for four places
        (Resize(size=(2, 2)), 1, 1),
        (Resize(size=(10, 8), mode="bilinear"), 4, 8),  # four products and their sums, for each
        (Maps(maps=(0, 1, 1, 2)), 2, 1),  # some maps were read twice
        (Pad(before=(0, 1, 1), after=(0, 1, 1), mode="edge"), 3, 1),  # 3 x 7 x 6 for 3 x 5 x 4
    ],
)
def test_gradients_go_where_values_came_from(op: Op, readers: int, each: int) -> None:
    ((step, ofmap),) = of_kind(trained(MAP, op), AxisGradient)
    task = only_task(kernel_of(step.layer, BATCH))
    assert loaded(task, "ifmap") == stored(task) == ofmap.size
    assert task.step.work.operations == readers * each * ofmap.size


def _copied(source: Any) -> Program:
    return lambda work: work.mapped(lambda y: work.lane(work.x.near(source(work.op, y))))


def test_copies_of_gradients() -> None:
    """What was padded is taken out of it; zeros lie between values for one convolution of all."""
    padded = trained(MAP, Pad(before=(0, 1, 2), after=(0, 0, 1)))
    taken = _copied(lambda op, y: (y[0], y[1] + 1, y[2] + 2))
    check_vector(*of_kind(padded, GradientSlice)[0], taken)

    spread = Conv(
        out_channels=2, kernel=(3, 2), stride=(2, 3), bias=False, input_gradient="zero_inserted"
    )

    def between(op: Any, y: Index) -> Index:
        places = [divmod(at - b, s) for at, b, s in zip(y, op.before, op.step, strict=True)]
        return tuple(-1 if apart else place for place, apart in places)

    check_vector(*of_kind(trained((2, 7, 8), spread), GradientPad)[0], _copied(between))


# --- Sequences, shared weights, mixtures ----------------------------------------------------------


def test_tables_and_shared_weights() -> None:
    """All of a table is written, and gradients are read for all of it; those of two are added."""
    specs = [
        LayerSpec("e", Embedding(entries=7, features=4), ("x",)),
        LayerSpec("a", Dense(out_features=4), ("e",)),
        LayerSpec("b", Dense(out_features=4, shares="a", bias=False), ("a",)),
        LayerSpec("c", Dense(out_features=4, shares="a", bias=False), ("b",)),
        LayerSpec("flat", Flatten(), ("c",)),
        LayerSpec("head", Dense(out_features=2), ("flat",)),
    ]
    steps = [*computed(training_step(build_network("s", {"x": (3,)}, specs), "squared_error"))]
    ((step, _),) = of_kind(steps, EmbeddingGradient)
    task = only_task(kernel_of(step.layer, BATCH))
    assert {loaded(task, "ifmap"), stored(task), task.step.work.operations} == {7 * 4}

    def added(work: Work) -> Array:
        def value(y: Index) -> float:
            total = work.x[(0, *y)]
            for other in work.inputs[1:]:
                total = work.lane(total + other[(0, *y)])
            return total

        return work.mapped(value)

    ((step, ofmap),) = of_kind(steps, ParameterSum)
    assert len(step.inputs) == 3
    check_vector(step, ofmap, added)


@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_mixtures(penalty: float) -> None:
    """Row by row a softmax, and back through one; a penalty is added to each gradient it uses."""
    steps = trained(MAP, Mixture(out_channels=2, bias=False, penalty=penalty))

    def gradient(work: Work) -> Array:
        shares, made, lane = work.learned["weight"], np.empty(work.shape), work.lane

        def of_loss(k: int, c: int) -> float:
            own = float(work.x.values.reshape(work.shape)[k, c])
            work.x[tuple(at for at in np.argwhere(np.ones(work.x.shape))[3 * k + c])]
            share = float(shares.values[k, c, 0, 0])
            return lane(own + penalty * math.copysign(1.0, share)) if penalty else own

        for k in range(2):
            total = 0.0
            for c in range(3):
                total = lane(total + lane(of_loss(k, c) * shares[k, c, 0, 0]))
            for c in range(3):
                made[k, c] = lane(lane(of_loss(k, c) - total) * shares[k, c, 0, 0])
        return made

    def update(work: Work) -> Array:
        made, lane = np.empty(work.shape), work.lane
        for k in range(2):
            top, total, powers = -math.inf, 0.0, []
            for c in range(3):
                top = lane(max(top, work.x[0, k, c]))
            for c in range(3):
                powers.append(lane(math.exp(work.x[0, k, c] - top)))
                total = lane(total + powers[-1])
            for c in range(3):
                made[k, c] = lane(powers[c] / total)
        return made

    ((step, ofmap),) = of_kind(steps, MixtureGradient)
    check_vector(step, ofmap, gradient, fetched=("weight",))
    ((step, ofmap),) = of_kind(steps, MixtureUpdate)
    check_vector(step, ofmap, update)
