"""Training steps by tiles against the reference: floats within the bound of their sums."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from drawing import drawn
from drawn_networks import Draw
from hypothesis import given
from hypothesis import strategies as st
from test_tiled import FLOAT, hardware, verified

from accelsim.hardware import DATAFLOWS
from accelsim.lowering.kernels import Alias
from accelsim.lowering.lower import lower
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import (
    Add,
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
    Larger,
    Largest,
    LayerNorm,
    Local,
    Lrn,
    MatMul,
    MaxPool,
    Mean,
    Mixture,
    Mul,
    Op,
    Pad,
    Position,
    Reshape,
    Resize,
    RmsNorm,
    Rotary,
    ScaleShift,
    Slice,
    Softmax,
    Split,
    SubSampling,
    Sum,
    Transpose,
)
from accelsim.network.ops.gradients import GRADIENTS, GradientSum

SQUARE = {"kernel": (3, 3), "padding": (1, 1, 1, 1)}
LAYERS: dict[str, tuple[Op, tuple[str, ...]]] = {
    "a": (Conv(out_channels=6, kernel=(3, 3), padding="same"), ("x",)),
    "b": (Conv(out_channels=4, kernel=(3, 2), stride=(2, 1), groups=2), ("a",)),
    "n": (Lrn(size=3, alpha=0.5), ("b",)),
    "m": (MaxPool(kernel=(3, 3), stride=(1, 2), padding=(1, 1, 1, 1)), ("n",)),
    "v": (AvgPool(kernel=(2, 2), stride=(1, 1)), ("m",)),
    "c": (Conv(out_channels=5, kernel=(2, 1), activation="relu"), ("v",)),
    "d": (Conv(out_channels=3, kernel=(2, 1), activation="silu"), ("v",)),
    "j": (Concat(), ("c", "d")),
    "h": (BatchNorm(activation="relu"), ("j",)),
    "u": (
        SubSampling(kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 1), activation="tanh"),
        ("h",),
    ),
    "i": (Slice(start=(1, 0, 0), stop=(8, 2, 2), step=(2, 1, 1)), ("u",)),
    "p": (AvgPool(kernel="global"), ("i",)),
    "s": (Mul(), ("i", "p")),
    "r": (Add(), ("s", "p")),
    "o": (Dropout(rate=0.25), ("r",)),
    "t": (Transpose(order=(1, 2, 0)), ("o",)),
    "f": (Reshape(shape=(4, 4)), ("t",)),
    "k": (Dense(out_features=9), ("f",)),
    "q": (MatMul(transpose_second=True), ("k", "k")),
    "w": (Softmax(), ("q",)),
    "y": (MatMul(), ("w", "k")),
    "z": (Flatten(), ("y",)),
    "e": (Dense(out_features=7), ("z",)),
}


def deep() -> Network:
    """Layers of nearly every type behind each other."""
    specs = [LayerSpec(name, op, inputs) for name, (op, inputs) in LAYERS.items()]
    return build_network("deep", {"x": (3, 9, 7)}, specs)


def attention() -> Network:
    """Two heads of keys for four of queries; then a product whose second factor is for all."""
    specs = [
        LayerSpec("q", Dense(out_features=12), ("x",)),
        *(LayerSpec(name, Dense(out_features=6), ("x",)) for name in "kv"),
        LayerSpec("scores", AttentionScores(heads=4, key_heads=2), ("q", "k")),
        LayerSpec("shares", Softmax(axis=-1, causal=True), ("scores",)),
        LayerSpec("mixed", AttentionContext(heads=4, key_heads=2), ("shares", "v")),
        LayerSpec("larger", Larger(), ("mixed", "q")),
        LayerSpec("apart", Reshape(shape=(2, 4, 12)), ("larger",)),
        LayerSpec("out", MatMul(transpose_second=True), ("apart", "mixed")),
    ]
    return build_network("attention", {"x": (8, 5)}, specs)


def sequence() -> Network:
    """A transformer's block, whose last layer shares the table."""
    mixed = Attention(heads=2, causal=True).parts("mixed", ("q2", "k", "v"))
    specs = [
        LayerSpec("table", Embedding(entries=9, features=8), ("x",)),
        LayerSpec("class", ClassToken(), ("table",)),
        LayerSpec("place", Position(length=7, offset=1), ("class",)),
        LayerSpec("norm", LayerNorm(), ("place",)),
        *(LayerSpec(name, Dense(out_features=8), ("norm",)) for name in "qkv"),
        LayerSpec("q2", Rotary(heads=2), ("q",)),
        *(LayerSpec(*part) for part in mixed),
        LayerSpec("sum", Add(), ("place", "mixed/context")),
        LayerSpec("rms", RmsNorm(), ("sum",)),
        LayerSpec("scaled", ScaleShift(shape=(1, 8)), ("rms",)),
        LayerSpec("out", Dense(out_features=9, bias=False, shares="table"), ("scaled",)),
    ]
    return build_network("sequence", {"x": (5,)}, specs)


def enlarged() -> Network:
    """Maps that are made larger, and those whose weights are not shared."""
    up = ConvTranspose(out_channels=4, kernel=(3, 3), stride=(2, 2), activation="relu")
    strided = Conv(out_channels=4, kernel=(2, 1), stride=(2, 1), input_gradient="zero_inserted")
    specs = [
        LayerSpec("a", Conv(out_channels=4, kernel=(2, 2)), ("x",)),
        *(LayerSpec(*part) for part in Split(sizes=(1, 3)).parts("b", ("a",))),
        LayerSpec("back", Concat(), ("b/1", "b/0")),
        LayerSpec("z", strided, ("back",)),
        LayerSpec("mixed", Mixture(out_channels=4, penalty=0.1), ("z",)),
        *(LayerSpec(*part) for part in up.parts("up", ("mixed",))),
        LayerSpec("g", GroupNorm(groups=2), ("up/whole",)),
        LayerSpec("s", ScaleShift(shape=(4, 9, 7)), ("g",)),
        LayerSpec("l", Local(out_channels=3, kernel=(3, 2), stride=(2, 1)), ("s",)),
        LayerSpec("p", Pad(before=(0, 1, 1), after=(0, 2, 1), mode="reflect"), ("l",)),
        LayerSpec("c", Pad(before=(0, 1, 0), after=(0, 0, 2)), ("p",)),
        LayerSpec("r", Resize(size=(7, 5), mode="bilinear"), ("c",)),
        LayerSpec("m", Mean(axes=(1,), keep=True), ("r",)),
        LayerSpec("w", Expand(shape=(3, 7, 5)), ("m",)),
        LayerSpec("j", Mul(), ("w", "r")),
        LayerSpec("n", Largest(axes=(0,)), ("j",)),
        LayerSpec("i", Sum(axes=(0,)), ("n",)),
    ]
    return build_network("enlarged", {"x": (3, 9, 4)}, specs)


@pytest.mark.parametrize("dataflow", [pytest.param("ws", marks=pytest.mark.slow), "rs"])
@pytest.mark.parametrize("network", [sequence, pytest.param(enlarged, marks=pytest.mark.slow)])
def test_tiles_of_a_step_of_other_layers_equal_the_reference(
    network: Callable[[], Network], dataflow: str
) -> None:
    step = training_step(network(), "squared_error")
    program = lower(step, hardware(dataflow, *FLOAT), 2)
    assert [check for check in verified(program) if not check.passed] == []


@pytest.mark.parametrize("dataflow", ["os", "rs"])
def test_tiles_of_a_step_of_attention_equal_the_reference(dataflow: str) -> None:
    program = lower(training_step(attention(), "squared_error"), hardware(dataflow, *FLOAT), 2)
    assert [check for check in verified(program) if not check.passed] == []


@pytest.mark.parametrize(
    "dataflow",
    [pytest.param(flow, marks=pytest.mark.slow if flow == "rs" else ()) for flow in DATAFLOWS],
)
def test_tiles_of_a_training_step_equal_the_reference(dataflow: str) -> None:
    """Their schedules keep the spec, too: `verified` looks at both.

    One plan of what stays on chip is enough here.
    """
    stays = f"residency={'on' if dataflow == 'rs' else 'off'}"
    program = lower(training_step(deep()), hardware(dataflow, *FLOAT, stays), 2)
    assert [check for check in verified(program) if not check.passed] == []
    at_work = [layer for layer in program.layers if not isinstance(layer.kernel, Alias)]
    assert sum(layer.tiles > 1 for layer in at_work) > len(at_work) / 3  # some are tiny


def test_the_step_has_every_kind_of_layer() -> None:
    made = (deep(), attention(), sequence(), enlarged())
    steps = [training_step(network, "squared_error") for network in made]
    missing = set(GRADIENTS) - {type(layer.op) for step in steps for layer in step.layers}
    assert missing == set()


def test_weight_gradients_do_as_many_products_as_the_forward_pass() -> None:
    step = training_step(deep())
    for name in "ae":
        forward, backward = step.by_name[name], step.by_name[f"{name}@weight_gradient"]
        assert backward.macs == forward.macs


@given(st.integers(0, 2**32 - 1))
@drawn(100, 20)
def test_input_gradients_by_zeros_are_told_apart(seed: int) -> None:
    """Place by place of the ifmap and tap by tap: those that meet a value, and all others."""
    draw = Draw(np.random.default_rng(seed))
    groups, shape = draw.number(1, 2), (4, draw.number(4, 9), draw.number(4, 9))
    conv = Conv(
        out_channels=2 * groups,
        groups=groups,
        dilation=draw.pair(1, 2),
        kernel=draw.pair(2, 3),
        stride=draw.pair(1, 3),
        padding=(1, 0, 0, 1),
    )
    useful, zeros = 0, 0
    rows, cols = conv.windows(shape)
    for (y, x), (r, s) in product(np.ndindex(shape[1:]), np.ndindex(conv.kernel)):
        down, across = y + rows.before - r * rows.dilation, x + cols.before - s * cols.dilation
        met = down % rows.stride == 0 and across % cols.stride == 0
        useful, zeros = useful + met, zeros + (not met)
    found = []
    for form in ("phases", "zero_inserted"):
        own = replace(conv, input_gradient=form)
        specs = [
            LayerSpec("a", Conv(out_channels=4, kernel=(1, 1)), ("x",)),
            LayerSpec("b", own, ("a",)),
        ]
        step = training_step(build_network("strided", {"x": shape}, specs), "squared_error")
        back = [each for each in step.layers if each.name.startswith("b@input_gradient")]
        found.append((sum(each.macs for each in back), sum(each.zero_macs for each in back)))
    terms = 4 * conv.out_channels // groups
    assert found[0] == (terms * useful, 0)
    assert found[1] == ((terms * useful, terms * zeros) if conv.stride != (1, 1) else found[0])


def test_input_gradients_multiply_by_no_inserted_zero() -> None:
    """Stride 2 x 2: the four phases have 4 + 2 + 2 + 1 of the 3 x 3 taps between them."""
    specs = [
        LayerSpec("a", Conv(out_channels=2, kernel=(1, 1)), ("x",)),
        LayerSpec("b", Conv(out_channels=5, stride=(2, 2), **SQUARE), ("a",)),  # type: ignore[arg-type]
    ]
    step = training_step(build_network("strided", {"x": (3, 8, 8)}, specs), "squared_error")
    phases = {each.name[-5:]: each.macs for each in step.layers if "input_gradient[" in each.name}
    each_tap = 2 * 4 * 4 * 5
    assert phases == {
        "[0,0]": each_tap,
        "[0,1]": 2 * each_tap,
        "[1,0]": 2 * each_tap,
        "[1,1]": 4 * each_tap,
    }
    assert not any(isinstance(layer.op, GradientSum) for layer in step.layers)
