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
from accelsim.facade import compile_program, simulate
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware

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
