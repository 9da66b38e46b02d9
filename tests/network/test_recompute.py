"""Training steps that compute forward layers again: same values, less kept, in the right order."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from drawing import drawn
from drawn_networks import drawn_network
from hypothesis import given
from hypothesis import strategies as st

from accelsim.facade import simulate, train, verify
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Line,
    MaxPool,
    Sigmoid,
)
from accelsim.network.recompute import blocks_of, with_recompute
from accelsim.numerics.floats import FloatArithmetic
from accelsim.numerics.formats import FLOAT64
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference
from accelsim.report.training import training_memory

DOUBLE = FloatArithmetic(FLOAT64, FLOAT64, FLOAT64)
FLOATS = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"


def conv(channels: int, activation: str | None = None) -> Conv:
    return Conv(
        out_channels=channels,
        kernel=(3, 3),
        padding=(1, 1, 1, 1),
        activation=activation,  # type: ignore[arg-type]
    )


def mixed() -> Network:
    """Two blocks with a way around, then plain layers that share a weight."""
    specs = [
        LayerSpec("a/one", conv(3), ("x",)),
        LayerSpec("a/norm", BatchNorm(activation="relu"), ("a/one",)),
        LayerSpec("a/two", conv(2, "gelu"), ("a/norm",)),
        LayerSpec("b/one", conv(2, "tanh"), ("a/two",)),
        LayerSpec("b/two", conv(2), ("b/one",)),
        LayerSpec("b/sum", Add(activation="relu"), ("b/two", "a/two")),
        LayerSpec("pool", MaxPool(kernel=(2, 2)), ("b/sum",)),
        LayerSpec("flat", Flatten(), ("pool",)),
        LayerSpec("wide", Dense(out_features=8), ("flat",)),
        LayerSpec("same", Dense(out_features=8, shares="wide", activation="silu"), ("wide",)),
        LayerSpec("drop", Dropout(rate=0.3), ("same",)),
        LayerSpec("out", Dense(out_features=3), ("drop",)),
    ]
    return build_network("mixed", {"x": (2, 4, 4)}, specs)


def chain(length: int) -> Network:
    """Plain layers, each of which keeps what it reads and its own ofmap, for its function."""
    names = ["x", *(f"layer{at}" for at in range(length))]
    specs = [LayerSpec(name, conv(2, "tanh"), (before,)) for before, name in pairwise(names)]
    return build_network("chain", {"x": (2, 4, 4)}, specs)


@pytest.mark.parametrize("network", [mixed, lambda: chain(7)], ids=["mixed", "chain"])
def test_all_values_are_those_of_a_step_that_keeps_everything(
    network: Callable[[], Network],
) -> None:
    plain = training_step(network(), "squared_error")
    again = with_recompute(plain)
    check_values(plain, again)
    assert len(again.layers) > len(plain.layers)


def check_values(plain: Network, again: Network) -> None:
    """Those of all layers are equal, also where a layer is computed again."""
    found = []
    for step in (plain, again):
        parameters = Parameters.of(plain, DOUBLE)
        parameters = Parameters.of(step, DOUBLE, given=arrays_of(plain, parameters))
        layers = reference(step, DOUBLE, parameters, 2)
        found.append({work.layer.name: ofmap.values for work, ofmap in layers})
    wanted, values = found
    assert {name for name in values if not name.endswith("@again")} == set(wanted)
    for name, array in values.items():
        np.testing.assert_array_equal(array, wanted[name.removesuffix("@again")])


def arrays_of(step: Network, parameters: Parameters) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Everything that a step reads, so that both read the same."""
    given = {name: parameters.input(name, shape, 2).values for name, shape in step.inputs.items()}
    for layer in step.layers:
        arrays = parameters.layer(layer).arrays if layer.parameter_shapes else {}
        given |= {f"{layer.name}.{name}": array for name, array in arrays.items()}
    return given


@given(st.integers(0, 2**32 - 1))
@drawn(60)
def test_drawn_networks_have_the_same_values_and_hold_no_more(seed: int) -> None:
    network = drawn_network(seed)
    plain = training_step(network, "squared_error")
    check_values(plain, with_recompute(plain))
    whole, again = (training_memory(network, 1, recompute=on) for on in (False, True))
    assert again.activations + again.recomputed <= whole.activations


def test_a_block_that_takes_more_than_it_saves_is_not_computed_again() -> None:
    """The second block is a mean of 2 values and two layers of as many; of what comes into it, 32
    values, nothing is kept for anything else.
    """
    before = [Sigmoid(), Line(term=1.0), Line(factor=2.0)]
    behind = [AvgPool(kernel="global"), *(Conv(out_channels=2, kernel=(1, 1)) for _ in range(4))]
    names = ["x", *(f"layer{at}" for at in range(8))]
    specs = [
        LayerSpec(name, op, (source,))
        for (source, name), op in zip(pairwise(names), [*before, *behind], strict=True)
    ]
    step = training_step(build_network("shrunk", {"x": (2, 4, 4)}, specs), "squared_error")
    assert set(blocks_of(step.layers[:8]).values()) == {0, 1, 2}
    assert not any(layer.again for layer in with_recompute(step).layers)


def test_the_backward_pass_reads_nothing_that_is_not_kept() -> None:
    step = training_step(mixed(), recompute=True)
    forward = [layer for layer in step.layers if layer.phase == "forward"]
    blocks = blocks_of(forward)
    assert [blocks[name] for name in ("a/one", "a/two", "b/one", "pool", "out")] == [0, 0, 1, 2, 3]
    read = {
        name
        for layer in step.layers
        if layer.phase in ("recompute", "input_gradient", "weight_gradient")
        for name in layer.inputs
    }
    inside = {"a/one", "a/norm", "a/two", "b/one", "b/two"} & read
    assert inside == set()  # "a/two/gelu", "b/sum" go from block to block
    assert {"a/two/gelu", "b/sum", "x"} <= read


def test_what_is_computed_again_waits_for_the_gradient() -> None:
    step = training_step(mixed(), recompute=True)
    result = simulate(step, "edge_ws", set=[FLOATS])  # as below, so that it is searched once
    ends = {layer.name: layer.end_cycle for layer in result.layers}
    copies = [layer for layer in step.layers if layer.again is not None]
    assert copies
    for layer, timed in zip(step.layers, result.layers, strict=True):
        if layer.again is not None and timed.cycles:
            assert layer.again.after is not None
            assert timed.start_cycle >= ends[layer.again.after]


def test_its_tiles_are_right() -> None:
    assert verify(training_step(mixed(), recompute=True), "edge_ws", set=[FLOATS]).passed


def test_memory_of_a_chain_is_that_of_its_blocks() -> None:
    """Eight layers and a softmax, of 32 values each, in blocks of three. All ten tensors are kept
    without; with, x, what two blocks make, and the last two layers with the softmax.
    """
    network = chain(8)
    whole = training_memory(network, 1)
    assert (whole.activations, whole.recomputed) == (32 * (1 + 8 + 1), 0)
    again = training_memory(network, 1, recompute=True)
    assert again.activations == 32 * (1 + 2 + 3)
    assert again.recomputed == 32 * 2


def test_less_memory_takes_more_time() -> None:
    plain, again = (train(chain(6), "edge_npu", recompute=on) for on in (False, True))
    assert "recompute" not in plain.phases
    extra = again.phases["recompute"]
    assert plain.cycles < again.cycles
    assert again.macs == plain.macs + extra.macs
    assert 0 < extra.macs < plain.phases["forward"].macs
