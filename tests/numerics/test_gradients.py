"""Gradients of every layer type against finite differences, in float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.network.backward import REFUSED, TARGET, Step, training_step
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import (
    ELEMENTWISE,
    OPS,
    Add,
    Append,
    Attention,
    AttentionContext,
    AttentionScores,
    AvgPool,
    BatchNorm,
    ClassToken,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Embedding,
    Expand,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Largest,
    LayerNorm,
    Line,
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
    Position,
    Reshape,
    Resize,
    RmsNorm,
    Rotary,
    ScaleShift,
    Shape,
    Slice,
    Softmax,
    Split,
    SplitPart,
    SubSampling,
    Sum,
    Transpose,
)
from accelsim.network.ops.gradients import Loss, LossGradient, Update
from accelsim.network.ops.mixture_gradients import MixtureGradient
from accelsim.numerics.computation import Computation
from accelsim.numerics.floats import FloatArithmetic
from accelsim.numerics.formats import FLOAT64, Array, Quantization, Tensor
from accelsim.numerics.mixtures import mixture_gradient
from accelsim.numerics.parameters import LayerParameters, Parameters
from accelsim.numerics.reference import reference

DOUBLE = FloatArithmetic(FLOAT64, FLOAT64, FLOAT64)
BATCH, STEP = 2, 1e-6
MOST_PLACES = 24
"""Values of a parameter that are moved one by one."""


@dataclass
class Trained:
    """A step of training with values for all it reads, and what its loss is."""

    step: Network
    loss: Loss
    given: dict[str, Array]

    @classmethod
    def of(cls, network: Network, loss: Loss = "squared_error", seed: int = 0) -> "Trained":
        generator = np.random.default_rng(seed)
        step = training_step(network, loss, rate=1.0)
        given = {
            name: generator.standard_normal((BATCH, *shape)) for name, shape in step.inputs.items()
        }
        if loss == "cross_entropy":
            given[TARGET] = np.eye(step.inputs[TARGET][0])[:BATCH] * 1.0
        for name, entries in step.entries.items():
            given[name] = generator.integers(0, entries, given[name].shape)
        for layer in step.layers:
            for name, shape in layer.parameter_shapes.items():
                given[f"{layer.name}.{name}"] = generator.standard_normal(shape) / 2
        return cls(step, loss, given)

    def value(self, given: dict[str, Array]) -> float:
        """The loss summed over the images; what comes behind the last of it is not computed."""
        parameters = Parameters.of(self.step, DOUBLE, given=given)
        left = sum(isinstance(layer.op, LossGradient) for layer in self.step.layers)
        losses = []
        for work, _ in reference(self.step, DOUBLE, parameters, BATCH):
            op = work.layer.op
            if isinstance(op, LossGradient):
                y, target = (x.values for x in work.inputs)
                squared = self.loss == "squared_error"
                terms = np.square(y - target) / 2 if squared else -target * np.log(y)
                losses.append(op.weight * float(terms.sum()))
                if len(losses) == left:
                    break
        return sum(losses)

    def gradients(self) -> dict[str, Array]:
        """Of every parameter, read off what its update takes away."""
        parameters = Parameters.of(self.step, DOUBLE, given=self.given)
        found = {}
        for work, ofmap in reference(self.step, DOUBLE, parameters, BATCH):
            op = work.layer.op
            if isinstance(op, Update) and not op.kept:
                name = f"{op.owner}.{op.parameter}"
                found[name] = np.zeros_like(self.given[name])
                found[name][op.rows] = self.given[name][op.rows] - ofmap.values[0]
        return found

    def check_along(self, generator: np.random.Generator) -> None:
        """The gradient along a direction is a finite difference, to 1e-6 of the terms' sum."""
        along = {name: generator.standard_normal(each.shape) for name, each in self.learned()}
        found = self.gradients()
        terms = [found[name] * step for name, step in along.items()]
        sides = [
            self.value(
                self.given
                | {name: self.given[name] + sign * STEP * step for name, step in along.items()}
            )
            for sign in (1, -1)
        ]
        size = max(sum(float(np.abs(each).sum()) for each in terms), 1.0)
        slope = (sides[0] - sides[1]) / (2 * STEP)
        assert abs(sum(float(each.sum()) for each in terms) - slope) < 1e-6 * size

    def learned(self) -> list[tuple[str, Array]]:
        """The parameters by name."""
        return [(name, each) for name, each in self.given.items() if name not in self.step.inputs]

    def check(self) -> None:
        """Gradients are finite differences, to 1e-6 of the largest: of drawn values of every
        parameter, and of all of them along a direction.
        """
        found = self.gradients()
        assert set(found) == set(self.given) - set(self.step.inputs)
        generator = np.random.default_rng(0)
        for name, gradient in found.items():
            places = list(np.ndindex(gradient.shape))
            if len(places) > MOST_PLACES:
                places = [places[at] for at in generator.permutation(len(places))[:MOST_PLACES]]
            slopes = np.array([self.slope(name, place) for place in places])
            size = max(float(np.abs(slopes).max()), 1.0)
            exact = np.array([gradient[place] for place in places])
            assert np.abs(exact - slopes).max() < 1e-6 * size, name
        self.check_along(generator)

    def slope(self, name: str, place: tuple[int, ...]) -> float:
        """Of the loss by one value of a parameter."""
        sides = []
        for sign in (1, -1):
            moved = self.given[name].copy()
            moved[place] += sign * STEP
            sides.append(self.value(self.given | {name: moved}))
        return (sides[0] - sides[1]) / (2 * STEP)


def behind(op: Op, shape: Shape = (2, 6, 5), first: Op | None = None) -> Network:
    """A layer behind one with parameters, so that its input gradient decides theirs."""
    first = first or Conv(out_channels=4, kernel=(1, 1))
    specs = [LayerSpec("first", first, ("x",)), LayerSpec("layer", op, ("first",))]
    return build_network("one", {"x": shape}, specs)


PADDED = (1, 2, 0, 1)
ONE_LAYER = {
    "conv": Conv(out_channels=3, kernel=(3, 2), padding=PADDED),
    "conv, strided": Conv(out_channels=3, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)),
    "conv, stride over kernel": Conv(out_channels=2, kernel=(1, 2), stride=(2, 3)),
    "conv, rows left over": Conv(out_channels=2, kernel=(3, 3), stride=(2, 2)),
    "conv, dilated": Conv(out_channels=2, kernel=(2, 3), dilation=(3, 2), padding=(2, 2, 2, 2)),
    "conv, dilated and strided": Conv(
        out_channels=2, kernel=(3, 2), dilation=(2, 2), stride=(2, 3), padding=(2, 1, 1, 2)
    ),
    "conv, grouped": Conv(out_channels=6, kernel=(2, 3), groups=2, stride=(1, 2)),
    "conv, depthwise": Conv(out_channels=4, kernel=(3, 3), groups=4, padding="same"),
    "conv, padded beyond its kernel": Conv(out_channels=2, kernel=(2, 2), padding=(3, 3, 2, 3)),
    "conv, whole map": Conv(out_channels=2, kernel=(6, 5)),
    "conv, as large as the map but shifted": Conv(
        out_channels=2, kernel=(6, 5), stride=(3, 3), padding=(1, 0, 2, 0)
    ),
    "conv, tanh": Conv(out_channels=3, kernel=(2, 2), activation="tanh"),
    "conv, silu": Conv(out_channels=3, kernel=(2, 2), activation="silu"),
    "dense": Dense(out_features=2),
    "dense, gelu": Dense(out_features=1, activation="gelu"),
    "conv, zeros inserted": Conv(
        out_channels=2, kernel=(3, 2), stride=(2, 3), padding=PADDED, input_gradient="zero_inserted"
    ),
    "conv, dilated, zeros inserted": Conv(
        out_channels=4,
        kernel=(2, 2),
        stride=(3, 2),
        dilation=(2, 1),
        groups=2,
        input_gradient="zero_inserted",
    ),
    "conv, of nothing but padding": Conv(
        out_channels=2, kernel=(2, 2), stride=(3, 9), dilation=(1, 6), padding=(0, 0, 1, 1)
    ),
    "max pool": MaxPool(kernel=(2, 2)),
    "max pool, overlapping": MaxPool(kernel=(3, 3), stride=(2, 1), padding=(1, 1, 1, 1)),
    "max pool, ceil": MaxPool(kernel=(4, 3), stride=(3, 2), ceil_mode=True),
    "avg pool": AvgPool(kernel=(3, 2), stride=(1, 2), padding=(1, 1, 1, 0)),
    "avg pool, data only": AvgPool(kernel=(3, 3), padding=PADDED, count_padding=False),
    "avg pool, ceil": AvgPool(kernel=(4, 3), stride=(3, 2), ceil_mode=True),
    "avg pool, global": AvgPool(kernel="global"),
    "batch norm": BatchNorm(epsilon=0.1),
    "batch norm, silu": BatchNorm(activation="silu"),
    "batch norm, relu": BatchNorm(activation="relu"),
    "flatten": Flatten(),
    "reshape": Reshape(shape=(12, 10)),
    "transpose": Transpose(order=(2, 0, 1)),
    "slice": Slice(start=(1, 0, 2), stop=(4, 6, 5), step=(2, 1, 2)),
    "part of a split": SplitPart(sizes=(1, 3, 2), axis=1, part=1),
    "softmax": Softmax(),
    "softmax, along columns": Softmax(axis=2),
    "sub-sampling": SubSampling(kernel=(2, 2), activation="scaled_tanh"),
    "sub-sampling, overlapping": SubSampling(kernel=(3, 2), stride=(2, 1), padding=PADDED),
    "sub-sampling, gelu": SubSampling(kernel=(2, 1), activation="gelu"),
    "layer norm": LayerNorm(epsilon=0.1),
    "layer norm, of two axes": LayerNorm(axes=2, bias=False),
    "layer norm, of all axes": LayerNorm(axes=3),
    "rms norm": RmsNorm(axes=2, epsilon=0.1),
    "rms norm, biased": RmsNorm(bias=True),
    "group norm": GroupNorm(groups=2),
    "instance norm": InstanceNorm(epsilon=0.1),
    "scale and shift": ScaleShift(shape=(4, 6, 5)),
    "scale and shift, broadcast": ScaleShift(shape=(1, 6, 1)),
    "mean": Mean(axes=(1, 2)),
    "mean, kept": Mean(axes=(-2,), keep=True),
    "sum": Sum(axes=(0, 1)),
    "max": Largest(axes=(1,)),
    "max, of all": Largest(axes=(0, 1, 2), keep=True),
    "pad": Pad(before=(1, 0, 2), after=(0, 1, 1), value=0.5),
    "pad, between": Pad(before=(1, 0, 2), after=(0, 1, 1), between=(0, 1, 2)),
    "pad, mirrored": Pad(before=(0, 2, 1), after=(3, 1, 0), mode="reflect"),
    "pad, repeated": Pad(before=(0, 2, 1), after=(1, 1, 0), mode="edge"),
    "resize": Resize(size=(9, 3)),
    "resize, bilinear": Resize(size=(11, 4), mode="bilinear"),
    "resize, by corners": Resize(size=(4, 8), mode="bilinear", coordinates="align_corners"),
    "mixture": Mixture(out_channels=3, penalty=0.5),
    "mixture, tanh": Mixture(out_channels=5, bias=False, activation="tanh"),
    "maps": Maps(maps=(3, 0, 3, 1)),
    "local": Local(out_channels=2, kernel=(3, 2), stride=(2, 1), padding=PADDED),
    "local, tanh": Local(out_channels=2, kernel=(2, 2), stride=(3, 2), activation="tanh"),
    "lrn": Lrn(size=3, alpha=0.7, beta=0.6),
    "lrn, wide": Lrn(size=7, alpha=0.9, bias=1.5),
    **{row.name: row() for row in ELEMENTWISE},
}


@pytest.mark.parametrize("op", ONE_LAYER.values(), ids=ONE_LAYER)
def test_gradients_are_finite_differences(op: Op) -> None:
    Trained.of(behind(op)).check()


COMPOSED = {
    "transposed": ConvTranspose(out_channels=3, kernel=(3, 2), stride=(2, 2)),
    "transposed, one phase": ConvTranspose(out_channels=2, kernel=(3, 3), activation="tanh"),
    "transposed, relu": ConvTranspose(
        out_channels=2, kernel=(4, 3), stride=(2, 3), padding=(1, 0, 0, 1), activation="relu"
    ),
    "transposed, gelu": ConvTranspose(
        out_channels=2, kernel=(2, 3), stride=(2, 1), groups=2, activation="gelu"
    ),
    "transposed, more": ConvTranspose(
        out_channels=2, kernel=(3, 3), stride=(3, 2), output_padding=(2, 1), bias=False
    ),
    "transposed, kernel below stride": ConvTranspose(
        out_channels=2, kernel=(1, 2), stride=(3, 4), padding=(0, 0, 0, 1), activation="gelu"
    ),
    "transposed, no tap first": ConvTranspose(
        out_channels=2, kernel=(1, 3), stride=(2, 2), padding=(1, 0, 0, 0), activation="relu"
    ),
    "transposed, less than a stride": ConvTranspose(
        out_channels=2, kernel=(2, 1), stride=(5, 4), padding=(3, 2, 4, 4), groups=2
    ),
    "transposed, dilated": ConvTranspose(
        out_channels=2,
        kernel=(2, 3),
        stride=(2, 1),
        dilation=(3, 2),
        groups=2,
        padding=(1, 0, 1, 0),
    ),
    "transposed, dilated, zeros inserted": ConvTranspose(
        out_channels=2, kernel=(2, 3), stride=(2, 3), dilation=(2, 2), form="zero_inserted"
    ),
    "transposed, zeros inserted": ConvTranspose(
        out_channels=2,
        kernel=(4, 3),
        stride=(2, 3),
        padding=(1, 0, 0, 1),
        output_padding=(1, 2),
        groups=2,
        activation="gelu",
        form="zero_inserted",
    ),
}


@pytest.mark.parametrize("op", COMPOSED.values(), ids=COMPOSED)
def test_gradients_of_transposed_convolutions(op: ConvTranspose) -> None:
    specs = [LayerSpec("first", Conv(out_channels=4, kernel=(1, 1)), ("x",))]
    specs += [LayerSpec(*part) for part in op.parts("up", ("first",))]
    Trained.of(build_network("up", {"x": (2, 4, 3)}, specs)).check()


@pytest.mark.parametrize(
    "pad",
    [
        Pad(before=(0, 0, 0), after=(0, 1, 0), between=(0, 1, 2)),
        Pad(before=(0, 0, 0), after=(0, 3, 0), between=(0, 1, 2)),
        Pad(before=(0, 1, 0), after=(1, 0, 0), between=(1, 1, 2), value=0.5),
    ],
    ids=["as a transposed convolution has", "more behind", "of another kind"],
)
def test_gradients_of_a_convolution_over_what_a_file_spreads(pad: Pad) -> None:
    specs = [
        LayerSpec("first", Conv(out_channels=2, kernel=(1, 1)), ("x",)),
        LayerSpec("spread", pad, ("first",)),
        LayerSpec("up", Phase(out_channels=2, kernel=(3, 3), apart=(2, 3)), ("spread",)),
    ]
    Trained.of(build_network("up", {"x": (2, 3, 2)}, specs)).check()


def test_gradients_of_layers_of_sequences() -> None:
    """The last layer shares its weight with the table, which so has two gradients."""
    attention = Attention(heads=2, causal=True)
    specs = [
        LayerSpec("table", Embedding(entries=5, features=4), ("x",)),
        LayerSpec("class", ClassToken(), ("table",)),
        LayerSpec("place", Position(length=7, offset=2), ("class",)),
        LayerSpec("norm", LayerNorm(), ("place",)),
        *(LayerSpec(name, Dense(out_features=4), ("norm",)) for name in "qkv"),
        LayerSpec("q2", Rotary(heads=2), ("q",)),
        LayerSpec("k2", Rotary(heads=2, interleaved=True, offset=3), ("k",)),
        *(LayerSpec(*part) for part in attention.parts("mixed", ("q2", "k2", "v"))),
        LayerSpec("sum", Add(), ("place", "mixed/context")),
        LayerSpec("out", Dense(out_features=5, bias=False, shares="table"), ("sum",)),
    ]
    Trained.of(build_network("sequence", {"x": (3,)}, specs)).check()


@pytest.mark.parametrize(
    ("read", "made"),
    [
        pytest.param("0012", ["gradient_concat"], id="all, one twice"),
        pytest.param("02", ["slice_gradient", "slice_gradient"], id="without one"),
        pytest.param("0124", ["gradient_concat", "slice_gradient"], id="split twice"),
    ],
)
def test_gradients_of_splits(read: str, made: list[str]) -> None:
    """Side by side, where every part has one; the second split of the same has the parts 3 to 5.

    That of a part which nothing reads is zero.
    """
    split = Split(sizes=(1, 2, 1))
    twice = [part for name in ("one", "two") for part in split.parts(name, ("first",))]
    specs = [LayerSpec("first", Conv(out_channels=4, kernel=(2, 1)), ("x",))]
    specs += [LayerSpec(*part) for at, part in enumerate(twice) if at < 3 or "4" in read]
    for at, number in enumerate(read):
        conv = Conv(out_channels=2, kernel=(1, 2), stride=(1, 1 + at % 2), padding=(0, 0, 1, 0))
        specs.append(LayerSpec(f"c{at}", conv, (twice[int(number)][0],)))
        specs.append(LayerSpec(f"m{at}", Mean(axes=(1, 2)), (f"c{at}",)))
    specs.append(LayerSpec("out", Concat(), tuple(f"m{at}" for at in range(len(read)))))
    network = build_network("split", {"x": (2, 4, 4)}, specs)
    Trained.of(network).check()
    step = training_step(network, "squared_error")
    names = [each.op.name for each in step.layers]
    assert [name for name in names if name in ("gradient_concat", "slice_gradient")] == made


def test_gradients_of_steps_that_share_a_weight_and_its_bias() -> None:
    specs = [
        LayerSpec("one", Dense(out_features=4), ("x",)),
        LayerSpec("two", Dense(out_features=4, shares="one", activation="tanh"), ("one",)),
        LayerSpec("plain", Dense(out_features=4, shares="one", bias=False), ("two",)),
        LayerSpec("rest", Line(factor=-1.0, term=1.0), ("plain",)),
        LayerSpec("both", Mul(), ("rest", "two")),
    ]
    Trained.of(build_network("steps", {"x": (4,)}, specs)).check()


def test_gradients_of_convolutions_that_share_a_weight() -> None:
    """Of two maps, once with the bias, at other strides, and where one window is all."""
    filters: dict[str, Any] = {"out_channels": 3, "kernel": (3, 2)}
    specs = [
        LayerSpec("first", Conv(out_channels=3, kernel=(1, 1)), ("x",)),
        LayerSpec("one", Conv(**filters, padding=PADDED, activation="tanh"), ("first",)),
        LayerSpec("two", Conv(**filters, stride=(2, 1), bias=False, shares="one"), ("one",)),
        LayerSpec("three", Conv(**filters, padding=PADDED, shares="one"), ("two",)),
        LayerSpec("part", Slice(start=(0, 0, 0), stop=(3, 3, 2)), ("three",)),
        LayerSpec("all", Conv(**filters, shares="one"), ("part",)),
    ]
    Trained.of(build_network("shared", {"x": (2, 7, 5)}, specs)).check()


def test_the_penalty_of_shares_counts_by_its_sign() -> None:
    """Bouvrie 2006, section 3.3: lambda (|alpha_i| - alpha_i sum |alpha_k|), which is zero."""
    op = MixtureGradient(shape=(2, 3), owner="layer", penalty=0.7)
    layer = build_network("one", {"x": (2, 3, 1, 1)}, [LayerSpec("y", op, ("x",))]).layers[0]
    shares = np.array([[0.2, 0.3, 0.5], [0.4, -0.1, 0.3]])  # the second row is no softmax
    gradient = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])
    parameters = LayerParameters({"weight": shares[..., None, None]}, np.ones(()))
    x = Tensor(gradient[None, ..., None, None], Quantization(1.0, 0))
    work = Computation(layer, (x,), parameters, Quantization(1.0, 0), DOUBLE)
    plain = shares * (gradient - (gradient * shares).sum(1, keepdims=True))
    size = np.abs(shares)
    penalty = 0.7 * (size - shares * size.sum(1, keepdims=True))
    assert np.abs(penalty[0]).max() < 1e-15
    assert np.abs(penalty[1]).max() > 0.1
    np.testing.assert_allclose(mixture_gradient(op, work)[0], plain + penalty, atol=1e-15)


def test_gradients_of_what_is_broadcast_anyhow() -> None:
    specs = [
        LayerSpec("a", Conv(out_channels=3, kernel=(1, 1)), ("x",)),
        LayerSpec("rows", Mean(axes=(2,), keep=True), ("a",)),
        LayerSpec("cols", Sum(axes=(0, 1), keep=True), ("a",)),
        LayerSpec("product", Mul(), ("rows", "cols")),
        LayerSpec("sum", Add(), ("product", "cols", "a")),
        LayerSpec("wide", Expand(shape=(3, 4, 5)), ("rows",)),
        LayerSpec("both", Concat(axis=2), ("sum", "wide")),
    ]
    Trained.of(build_network("broadcast", {"x": (2, 4, 3)}, specs)).check()


def test_gradients_of_dense_layers_of_matrices() -> None:
    Trained.of(behind(Dense(out_features=4), (3, 5), Dense(out_features=6))).check()


def test_gradients_of_several_readers_add_up() -> None:
    specs = [
        LayerSpec("a", Conv(out_channels=2, kernel=(1, 1)), ("x",)),
        LayerSpec("b", Conv(out_channels=2, kernel=(3, 3), padding="same"), ("a",)),
        LayerSpec("sum", Add(activation="sigmoid"), ("a", "b", "a")),
        LayerSpec("joined", Concat(), ("sum", "a")),
        LayerSpec("out", Conv(out_channels=1, kernel=(1, 1)), ("joined",)),
    ]
    Trained.of(build_network("several", {"x": (2, 4, 3)}, specs)).check()


@pytest.mark.parametrize("kernel", ["global", (1, 1)])
def test_gradients_of_products_and_of_values_per_channel(kernel: Any) -> None:
    specs = [
        LayerSpec("a", Conv(out_channels=3, kernel=(1, 1)), ("x",)),
        LayerSpec("mean", AvgPool(kernel=kernel), ("a",)),
        LayerSpec("gate", Conv(out_channels=3, kernel=(1, 1), activation="sigmoid"), ("mean",)),
        LayerSpec("scaled", Mul(activation="tanh"), ("a", "gate")),
    ]
    Trained.of(build_network("excite", {"x": (2, 4, 3)}, specs)).check()


def test_gradients_of_terms_with_one_value_per_channel() -> None:
    specs = [
        LayerSpec("a", Conv(out_channels=3, kernel=(1, 1)), ("x",)),
        LayerSpec("mean", AvgPool(kernel="global"), ("a",)),
        LayerSpec("gate", Conv(out_channels=3, kernel=(1, 1)), ("mean",)),
        LayerSpec("raised", Add(activation="tanh"), ("gate", "a", "gate")),
    ]
    Trained.of(build_network("raise", {"x": (2, 4, 3)}, specs)).check()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradients_of_parts_of_a_concat(axis: int) -> None:
    specs = [
        *(LayerSpec(name, Conv(out_channels=2, kernel=(1, 1)), ("x",)) for name in "ab"),
        LayerSpec("joined", Concat(axis=axis), ("a", "b")),
        LayerSpec("out", Conv(out_channels=2, kernel=(2, 3)), ("joined",)),
    ]
    Trained.of(build_network("joined", {"x": (2, 4, 3)}, specs)).check()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_gradients_of_matrices_that_are_read_transposed(first: bool, second: bool) -> None:
    product = MatMul(transpose_first=first, transpose_second=second, scale=0.7)
    sizes = [(3, 4), (4, 5)]
    shapes = [
        size[::-1] if turned else size for size, turned in zip(sizes, (first, second), strict=True)
    ]
    specs = [
        LayerSpec("a", Dense(out_features=shapes[0][1]), ("x",)),
        LayerSpec("b", Dense(out_features=shapes[1][1]), ("y",)),
        LayerSpec("out", product, ("a", "b")),
    ]
    inputs = {"x": (shapes[0][0], 2), "y": (shapes[1][0], 3)}
    Trained.of(build_network("product", inputs, specs)).check()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((2, 3, 2, 4), (4, 3)),
        ((2, 1, 2, 4), (3, 4, 3)),
        ((4, 2, 4), (1, 4, 3)),
        ((2, 4), (3, 4, 2)),
    ],
)
def test_gradients_of_matrices_that_are_broadcast(one: Shape, other: Shape) -> None:
    specs = [
        *_reshaped("a", one),
        *_reshaped("b", other),
        LayerSpec("out", MatMul(scale=0.5), ("a", "b")),
    ]
    Trained.of(build_network("product", {"x": (2,)}, specs)).check()


def _reshaped(name: str, shape: Shape) -> list[LayerSpec]:
    learned = Dense(out_features=math.prod(shape))
    return [
        LayerSpec(f"{name}0", learned, ("x",)),
        LayerSpec(name, Reshape(shape=shape), (f"{name}0",)),
    ]


@pytest.mark.parametrize(("heads", "key_heads"), [(3, None), (4, 2), (4, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_attention(heads: int, key_heads: int | None, causal: bool) -> None:
    """Queries of 2 tokens see keys of 3; each head has 2 features."""
    keys = {"heads": heads, "key_heads": key_heads}
    specs = [
        LayerSpec("q", Dense(out_features=2 * heads), ("x",)),
        *(LayerSpec(name, Dense(out_features=2 * (key_heads or heads)), ("y",)) for name in "kv"),
        LayerSpec("scores", AttentionScores(**keys), ("q", "k")),
        LayerSpec("shares", Softmax(axis=-1, causal=causal), ("scores",)),
        LayerSpec("mixed", AttentionContext(**keys), ("shares", "v")),
    ]
    Trained.of(build_network("attention", {"x": (2, 3), "y": (3, 2)}, specs)).check()


def test_gradients_of_products_of_matrices() -> None:
    """Attention with one head: both factors are computed, one of them twice."""
    specs = [
        *(LayerSpec(name, Dense(out_features=4), ("x",)) for name in "qkv"),
        LayerSpec("turned", Transpose(order=(1, 0)), ("k",)),
        LayerSpec("scores", MatMul(), ("q", "turned")),
        LayerSpec("weights", Softmax(), ("scores",)),
        LayerSpec("mixed", MatMul(activation="tanh"), ("weights", "v")),
    ]
    Trained.of(build_network("attention", {"x": (3, 5)}, specs)).check()


def test_an_auxiliary_classifier_counts_by_its_weight() -> None:
    specs = [
        LayerSpec("a", Dense(out_features=6, activation="tanh"), ("x",)),
        LayerSpec("side", Dense(out_features=5), ("a",)),
        LayerSpec("b", Dense(out_features=5), ("a",)),
    ]
    whole = build_network("heads", {"x": (4,)}, specs)
    whole = replace(whole, loss_weights={"side": 0.3})
    Trained.of(whole, "cross_entropy").check()
    Trained.of(whole).check()


@pytest.mark.parametrize("softmax", [False, True])
def test_cross_entropy(softmax: bool) -> None:
    specs = [LayerSpec("a", Dense(out_features=5), ("x",))]
    if softmax:
        specs.append(LayerSpec("prob", Softmax(), ("a",)))
    Trained.of(build_network("classes", {"x": (4,)}, specs), "cross_entropy").check()


# --- Drawn shapes ---------------------------------------------------------------------------------


def windowed(draw: np.random.Generator) -> dict[str, Any]:
    """A kernel, a stride, and a padding that leaves no window without data."""
    kernel = draw.integers(1, 4, 2)
    padding = [int(draw.integers(0, size)) for size in np.repeat(kernel, 2)]
    stride = draw.integers(1, 4, 2)
    return {
        "kernel": tuple(map(int, kernel)),
        "stride": tuple(map(int, stride)),
        "padding": tuple(padding),
    }


def conv(draw: np.random.Generator) -> Conv:
    """Two or four channels before it."""
    dilation = tuple(map(int, draw.integers(1, 3, 2)))
    groups = int(draw.integers(1, 3))
    filters = groups * int(draw.integers(1, 4))
    return Conv(out_channels=filters, groups=groups, dilation=dilation, **windowed(draw))


DRAWN: dict[str, Callable[[np.random.Generator], Op]] = {
    "conv": conv,
    "dense": lambda draw: Dense(out_features=int(draw.integers(1, 9))),
    "max_pool": lambda draw: MaxPool(**windowed(draw), ceil_mode=bool(draw.integers(2))),
    "avg_pool": lambda draw: AvgPool(**windowed(draw), count_padding=bool(draw.integers(2))),
    "sub_sampling": lambda draw: SubSampling(**windowed(draw), activation="tanh"),
    "lrn": lambda draw: Lrn(size=2 * int(draw.integers(0, 4)) + 1, alpha=0.5),
    "layer_norm": lambda draw: LayerNorm(axes=int(draw.integers(1, 4)), epsilon=0.1),
    "resize": lambda draw: Resize(
        size=tuple(map(int, draw.integers(2, 12, 2))),
        mode=str(draw.choice(["nearest", "bilinear"])),  # type: ignore[arg-type]
    ),
    "local": lambda draw: Local(out_channels=2, **windowed(draw)),
    "batch_norm": lambda draw: BatchNorm(epsilon=0.1),
    "softmax": lambda draw: Softmax(axis=int(draw.integers(-3, 3))),
    "transpose": lambda draw: Transpose(order=tuple(map(int, draw.permutation(3)))),
}


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DRAWN)
def test_gradients_of_drawn_shapes(name: str, seed: int) -> None:
    draw = np.random.default_rng((seed, sum(name.encode())))
    shape = tuple(map(int, draw.integers(5, 9, 3)))
    first = Conv(out_channels=2 * int(draw.integers(1, 3)), kernel=(1, 1))
    Trained.of(behind(DRAWN[name](draw), shape, first), seed=seed).check_along(draw)


def test_every_layer_type_has_a_rule_or_a_reason() -> None:
    """For a dropout, a batch norm and a sub-sampling others stand in training."""
    rules, stands = Step.__dict__["rule"].dispatcher, {Dropout, BatchNorm, SubSampling}
    ruled = {op for op in OPS.values() if rules.dispatch(op) is not rules.dispatch(object)}
    assert ruled | stands | set(REFUSED) == set(OPS.values())
    assert not ruled & set(REFUSED)


def test_a_layer_without_a_rule_is_refused_with_the_reason() -> None:
    specs = [
        LayerSpec("a", Dense(out_features=3), ("x",)),
        LayerSpec("longer", Append(), ("cache", "a")),
    ]
    network = build_network("cached", {"x": (2, 3), "cache": (4, 3)}, specs)
    with pytest.raises(InputError, match=r"longer.*a cache is of inference"):
        training_step(network)
