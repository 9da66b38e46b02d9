"""RNN, LSTM and GRU, and tensors whose batch is not the first axis, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import Generator, default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.errors import InputError, UncoveredError
from accelsim.facade import simulate
from accelsim.frontend import load_network

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
FUNCTIONS = ("Tanh", "Sigmoid", "Relu", "Softplus")
TIMES, BATCH, FEATURES, SIZE = 4, 2, 5, 3


def node(*names: Any, **attributes: Any) -> Any:
    op, inputs, outputs = names
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(nodes: list[Any], inputs: dict[str, Any], output: str, arrays: dict[str, Any]) -> Any:
    return helper.make_model(
        helper.make_graph(
            nodes,
            "recurrent",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, each.shape)
                for name, each in inputs.items()
            ],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(each, name) for name, each in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def weights(generator: Generator, op: str, count: int, features: int = FEATURES) -> dict[str, Any]:
    wide = GATES[op] * SIZE
    shapes = {"W": (count, wide, features), "R": (count, wide, SIZE), "B": (count, 2 * wide)}
    return {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def drawn(seed: int) -> tuple[Any, dict[str, Any]]:
    """A recurrent node whose first or last outputs are read, and its inputs."""
    generator = default_rng(seed)
    op = str(generator.choice([*GATES]))
    direction = str(generator.choice(["forward", "reverse", "bidirectional"]))
    count = 1 + (direction == "bidirectional")
    arrays = weights(generator, op, count)
    attributes: dict[str, Any] = {"hidden_size": SIZE, "direction": direction}
    if generator.random() < 0.3:
        names = {"RNN": 1, "LSTM": 3, "GRU": 2}[op] * count
        attributes["activations"] = [str(each) for each in generator.choice(FUNCTIONS, names)]
    if op == "GRU":
        attributes["linear_before_reset"] = int(generator.integers(2))
    if generator.random() < 0.3:
        del arrays["B"]
    inputs = {"X": generator.standard_normal((TIMES, BATCH, FEATURES), np.float32)}
    states = ["initial_h", "initial_c"][: 1 + (op == "LSTM")]
    if generator.random() < 0.6:
        state = (count, BATCH, SIZE)
        inputs |= {name: generator.standard_normal(state, np.float32) for name in states}
    read = str(generator.choice(["Y", "Y_h", "Y_c"][: 2 + (op == "LSTM")]))
    made = [name if name == read else "" for name in ("Y", "Y_h", "Y_c")]
    given = ["X", "W", "R", "B" if "B" in arrays else "", "", *(inputs.keys() - {"X"} and states)]
    recurrent = helper.make_node(op, given, made[: 2 + (op == "LSTM")], **attributes)
    return model([recurrent], inputs, read, arrays), inputs


def expected(path: Path, inputs: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.mark.parametrize("seed", range(24))
def test_steps_are_those_of_onnxruntime(seed: int, tmp_path: Path) -> None:
    made, inputs = drawn(seed)
    path = saved(made, tmp_path)
    wanted = expected(path, inputs)
    values = computed(path, inputs)
    np.testing.assert_allclose(values.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
    if seed < 6:
        assert wrong_tiles(path, inputs) == []


def exported(generator: Generator, last: str) -> tuple[Any, dict[str, Any], str]:
    """Two layers as PyTorch exports them with batch_first, the first in both directions."""
    arrays = {f"{name}1": each for name, each in weights(generator, "LSTM", 2).items()}
    arrays |= {f"{name}2": each for name, each in weights(generator, "GRU", 1, 2 * SIZE).items()}
    arrays |= {"shape": np.array([0, 0, -1]), "one": np.array([1]), "end": np.array(-1)}
    arrays["gain"] = generator.standard_normal((SIZE, 4), np.float32)
    nodes = [
        node("Transpose", "x", "times_first", perm=[1, 0, 2]),
        node("LSTM", "times_first W1 R1 B1", "y1", hidden_size=SIZE, direction="bidirectional"),
        node("Transpose", "y1", "both", perm=[0, 2, 1, 3]),
        node("Reshape", "both shape", "wide"),
        node("GRU", "wide W2 R2 B2", "y2 h2", hidden_size=SIZE, linear_before_reset=1),
        node("Squeeze", "y2 one", "plain"),
        node("Relu", "plain", "positive"),
        *{
            "all": [node("Transpose", "positive", "rows", perm=[1, 0, 2])],
            "last": [node("Gather", "positive end", "rows", axis=0)],
            "state": [node("Gather", "h2 end", "rows", axis=0)],
            "mean": [node("ReduceMean", "positive", "rows", axes=[0], keepdims=0)],
            "times": [node("Identity", "positive", "rows")],
        }[last],
        node("MatMul", "rows gain", "y"),
    ]
    inputs = {"x": generator.standard_normal((BATCH, TIMES, FEATURES), np.float32)}
    return model(nodes, inputs, "y", arrays), inputs, "y"


@pytest.mark.parametrize("last", ["all", "last", "state", "mean", "times"])
def test_models_as_they_are_exported(last: str, tmp_path: Path) -> None:
    made, inputs, _ = exported(default_rng(3), last)
    path = saved(made, tmp_path)
    wanted = expected(path, inputs)
    np.testing.assert_allclose(computed(path, inputs), wanted, rtol=1e-4, atol=1e-5)
    network = load_network(path)
    assert ("y has the batch as axis 1" in network.description) == (last == "times")
    arrays = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    learned = sum(each.size for name, each in arrays.items() if name[0] in "WRBg")
    both_added = 2 * 4 * SIZE  # biases of inputs and state are one here, but in linear_before_reset
    assert network.parameters == learned - both_added


def attending(batch: int) -> tuple[Any, dict[str, Any]]:
    """Heads with times first, where batch and heads are one axis, as PyTorch has them inside."""
    heads, size = 3, 4
    generator, wide = default_rng(0), heads * size
    arrays: dict[str, Any] = {
        name: generator.standard_normal((wide, wide), np.float32) for name in ("wq", "wk", "wv")
    }
    arrays |= {"apart": np.array([TIMES, batch * heads, size])}
    arrays |= {"whole": np.array([TIMES, batch, wide])}
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2])]
    for name, order in (("q", [1, 0, 2]), ("k", [1, 2, 0]), ("v", [1, 0, 2])):
        nodes += [
            node("MatMul", f"t w{name}", f"{name}1"),
            node("Reshape", f"{name}1 apart", f"{name}2"),
            node("Transpose", f"{name}2", name, perm=order),
        ]
    nodes += [
        node("MatMul", "q k", "scores"),
        node("Softmax", "scores", "shares", axis=-1),
        node("MatMul", "shares v", "context"),
        node("Transpose", "context", "c", perm=[1, 0, 2]),
        node("Reshape", "c whole", "all"),
        node("Transpose", "all", "y", perm=[1, 0, 2]),
    ]
    inputs = {"x": generator.standard_normal((batch, TIMES, wide), np.float32)}
    return model(nodes, inputs, "y", arrays), inputs


@pytest.mark.parametrize("batch", [1, 2])
def test_batch_and_heads_may_be_one_axis(batch: int, tmp_path: Path) -> None:
    made, inputs = attending(batch)
    path = saved(made, tmp_path)
    wanted = expected(path, inputs)
    np.testing.assert_allclose(computed(path, inputs), wanted, rtol=1e-4, atol=1e-4)
    assert wrong_tiles(path, inputs) == []


def test_each_weight_is_read_once(tmp_path: Path) -> None:
    made, _, _ = exported(default_rng(3), "all")
    network = load_network(saved(made, tmp_path))
    result = simulate(network, "edge_ws", batch=3)
    weight = sum(
        each.parameter_shapes["weight"][0] * each.parameter_shapes["weight"][1]
        for each in network.layers
        if "weight" in each.parameter_shapes
    )
    assert result.dram.filter_read_bytes == weight


def single(op: str, place: str = "", **attributes: Any) -> tuple[Any, dict[str, Any]]:
    generator = default_rng(0)
    arrays = weights(generator, op, 1)
    inputs = {"X": generator.standard_normal((TIMES, BATCH, FEATURES), np.float32)}
    if place:
        wide = {
            "sequence_lens": np.array([TIMES, 1], np.int32),
            "P": np.ones((1, 3 * SIZE), np.float32),
        }
        state = np.ones((1, BATCH, SIZE), np.float32)
        arrays[place] = wide.get(place, state)
    order = ("sequence_lens", "initial_h", "initial_c", "P")
    given = ["X", "W", "R", "B", *(each if each == place else "" for each in order)]
    given = given[: 4 + (order.index(place) + 1 if place else 0)]
    made = helper.make_node(op, given, ["", "Y_h"], **{"hidden_size": SIZE, **attributes})
    return model([made], inputs, "Y_h", arrays), inputs


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (single("LSTM", place="P"), "with peepholes"),
        (single("LSTM", clip=1.0), "with clip"),
        (single("LSTM", input_forget=1), "with input_forget"),
        (single("GRU", place="sequence_lens"), "of other lengths than the longest"),
        (single("GRU", place="initial_h"), "constant initial state other than zero"),
        (single("RNN", activations=["ScaledTanh"]), "with activations ScaledTanh"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_no_step_can_do_is_refused(made: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(UncoveredError, match=why):
        load_network(saved(made[0], tmp_path))


def test_where_the_batch_is_lost_all_is_one_image(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("Reshape", "t shape", "y"),
    ]
    inputs = {"x": default_rng(1).standard_normal((BATCH, TIMES, FEATURES), np.float32)}
    arrays = {"shape": np.array([FEATURES, TIMES * BATCH])}
    path = saved(model(nodes, inputs, "y", arrays), tmp_path)
    network = load_network(path)
    assert network.inputs == {"x": (BATCH, TIMES, FEATURES)}
    assert "no axis of its inputs is the batch" in network.description
    assert (computed(path, inputs) == expected(path, inputs)).all()


def test_an_open_batch_is_the_second_axis(tmp_path: Path) -> None:
    made, _ = single("LSTM")
    shape = made.graph.input[0].type.tensor_type.shape
    shape.dim[1].dim_param = "batch"
    assert load_network(saved(made, tmp_path)).inputs == {"X": (TIMES, FEATURES)}
    shape.dim[0].dim_param = "time"
    with pytest.raises(InputError, match="'time' is open; give --dim time=N"):
        load_network(saved(made, tmp_path))
    assert load_network(saved(made, tmp_path), dims={"time": 2}).inputs == {"X": (2, FEATURES)}
