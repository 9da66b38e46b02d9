"""Models that contradict themselves: one message with the node and its shapes, never free."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import saved
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.errors import InputError, UncoveredError
from accelsim.frontend import load_network
from accelsim.frontend.onnx.laws import LAWS

FLOAT = TensorProto.FLOAT
IMAGE, ROWS = (2, 4, 6, 6), (2, 5, 8)


NEW = ("Attention", "RMSNormalization", "RotaryEmbedding")


def of(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def lists(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def call(
    op: str, *arrays: Any, shape: tuple[int, ...] = IMAGE, made: int = 1, **said: Any
) -> tuple[Any, list[tuple[int, ...]]]:
    """A model of one node named `bad`, of `x` and constants; the shapes of its inputs."""
    opset = said.pop("opset", 23 if op in NEW else 18)
    element = said.pop("element", FLOAT)
    names = [f"c{at}" if array is not None else "" for at, array in enumerate(arrays)]
    outputs = [f"y{at}" for at in range(made)]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], outputs, name="bad", **said)],
        "misfit",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
        [
            numpy_helper.from_array(array, name)
            for name, array in zip(names, arrays, strict=True)
            if array is not None
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    given = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return given, [shape, *(array.shape for array in arrays if array is not None)]


CODE = {"element": TensorProto.UINT8}
ONE, ZERO = np.float32(0.1), np.uint8(3)
PIXEL = np.ones((5, 4, 1, 1), np.uint8)
MISFITS: dict[str, list[tuple[Any, Any]]] = {
    "Conv": [
        call("Conv", of(3, 5, 3, 3)), call("Conv", of(3, 4, 3, 3), group=3),
        call("Conv", of(3, 2, 3, 3), group=2), call("Conv", of(3, 4, 3)),
        call("Conv", of(3, 4, 3, 3), of(4)), call("Conv", of(3, 4, 3, 3), kernel_shape=[5, 5]),
        call("Conv", of(3, 4, 7, 3)), call("Conv", of(3, 4, 3, 3), pads=[1, 1]),
        call("Conv", of(3, 4, 3, 3), auto_pad="SAME"), call("Conv", of(3, 4, 3, 3), group=0),
        call("Conv", of(3, 4, 3, 3), pads=[1, 1, 1, -1]),
    ],
    "ConvInteger": [call("ConvInteger", PIXEL[:, :3], **CODE)],
    "QLinearConv": [
        call("QLinearConv", ONE, ZERO, PIXEL[:, :3], ONE, ZERO, ONE, ZERO, **CODE),
        call("QLinearConv", of(4), ZERO, PIXEL, ONE, ZERO, ONE, ZERO, **CODE),
    ],
    "QLinearMatMul": [
        call("QLinearMatMul", of(5), ZERO, PIXEL[0, :, :, 0].repeat(8, 1).T, ONE, ZERO, ONE, ZERO,
             shape=ROWS, **CODE),
    ],
    "ConvTranspose": [
        call("ConvTranspose", of(5, 3, 3, 3)), call("ConvTranspose", of(4, 3, 3, 3), of(4)),
    ],
    "MaxPool": [
        call("MaxPool", kernel_shape=[2, 2], pads=[1, 1]), call("MaxPool", kernel_shape=[7, 2]),
    ],
    "AveragePool": [call("AveragePool", kernel_shape=[2, 2], auto_pad="valid")],
    "LpPool": [call("LpPool", kernel_shape=[2, 2], dilations=[9, 1])],
    "Gemm": [
        call("Gemm", of(8, 3), of(4), shape=(2, 8)), call("Gemm", of(7, 3), shape=(2, 8)),
    ],
    "Einsum": [
        call("Einsum", of(7, 3), shape=ROWS, equation="abc,cd->abd"),
        call("Einsum", of(8, 3), shape=ROWS, equation="ab,bd->abd"),
    ],
    "InstanceNormalization": [call("InstanceNormalization", of(5), of(4))],
    "GroupNormalization": [
        call("GroupNormalization", of(4), of(4), num_groups=3, opset=21),
        call("GroupNormalization", of(2), of(4), num_groups=2, opset=21),
    ],
    "LayerNormalization": [
        call("LayerNormalization", of(7)), call("LayerNormalization", of(6), axis=5),
    ],
    "RMSNormalization": [call("RMSNormalization", of(3, 6))],
    "LRN": [call("LRN", size=0)],
    "Softmax": [call("Softmax", axis=4)],
    "LogSoftmax": [call("LogSoftmax", axis=-5)],
    "LpNormalization": [call("LpNormalization", axis=7)],
    "PRelu": [call("PRelu", of(5, 1, 1))],
    "Gelu": [call("Gelu", approximate="erf", opset=20)],
    "Clip": [call("Clip", of(4))],
    "RNN": [call("RNN", of(1, 3, 7), of(1, 3, 3), shape=ROWS, hidden_size=3)],
    "GRU": [
        call("GRU", of(1, 9, 8), of(1, 9, 4), shape=ROWS, hidden_size=3),
        call("GRU", of(1, 9, 8), of(1, 9, 3), shape=ROWS, direction="up"),
    ],
    "LSTM": [
        call("LSTM", of(1, 12, 8), of(1, 12, 3), of(1, 12), shape=ROWS, hidden_size=3),
        call("LSTM", of(2, 12, 8), of(1, 12, 3), shape=ROWS, hidden_size=3),
        call("LSTM", of(1, 12, 8), of(1, 12, 3), None, None, of(2, 5, 3), shape=ROWS),
    ],
    "Attention": [
        call("Attention", of(2, 3, 6, 6), of(2, 3, 6, 6)),
        call("Attention", of(2, 4, 6, 5), of(2, 4, 6, 6)),
        call("Attention", of(2, 5, 8), of(2, 4, 8), shape=ROWS, q_num_heads=2, kv_num_heads=2),
        call("Attention", of(2, 5, 8), of(2, 5, 8), shape=ROWS, q_num_heads=3, kv_num_heads=3),
    ],
    "RotaryEmbedding": [
        call("RotaryEmbedding", of(9, 4), of(9, 3), np.zeros((2, 6), np.int64)),
        call("RotaryEmbedding", of(2, 6, 3), of(2, 5, 3)),
        call("RotaryEmbedding", of(9, 3), of(9, 3), np.full((2, 6), 9, np.int64)),
        call("RotaryEmbedding", of(2, 5, 1), of(2, 5, 1), shape=ROWS, num_heads=3),
    ],
    "Reshape": [
        call("Reshape", lists(2, 4, 7)), call("Reshape", lists(2, -1, -1)),
        call("Reshape", lists(5, -1)), call("Reshape", lists(2, 144, 1, 1, 0)),
    ],
    "Transpose": [call("Transpose", perm=[0, 1, 2]), call("Transpose", perm=[0, 1, 1, 2])],
    "Flatten": [call("Flatten", axis=5)],
    "Gather": [call("Gather", lists(6), axis=1), call("Gather", lists(0), axis=4)],
    "Slice": [
        call("Slice", lists(0, 0), lists(1), lists(1)), call("Slice", lists(0), lists(1), lists(4)),
        call("Slice", lists(0), lists(1), lists(1), lists(0)),
    ],
    "GatherElements": [
        call("GatherElements", np.zeros((2, 4, 6), np.int64)),
        call("GatherElements", np.zeros((2, 5, 6, 6), np.int64), axis=3),
    ],
    "Scatter": [call("Scatter", np.zeros((2, 4, 6, 6), np.int64), of(2, 4, 6, 5), opset=9)],
    "ScatterElements": [call("ScatterElements", np.zeros(IMAGE, np.int64), of(2, 4, 6, 5))],
    "GatherND": [
        call("GatherND", lists(0, 1)[:, None], batch_dims=-5), call("GatherND", lists(*(0,) * 5)),
        call("GatherND", lists(0, 1, 1)[:, None], batch_dims=1),
    ],
    "ScatterND": [
        call("ScatterND", lists(0, 1)[:, None], of(2, 4, 6)),
        call("ScatterND", lists(*(0,) * 5), of(1)),
    ],
    "TopK": [call("TopK", lists(7), made=2), call("TopK", lists(2), made=2, axis=4)],
    "CumSum": [call("CumSum", lists(0, 1)), call("CumSum", np.int64(4))],
    "GridSample": [call("GridSample", of(2, 5, 5, 3))],
    "Split": [
        call("Split", lists(1, 2), made=2, axis=1), call("Split", lists(1, 3), made=3, axis=1),
        call("Split", made=3, num_outputs=1, axis=1), call("Split", made=3, axis=1, opset=13),
    ],
    "Tile": [call("Tile", lists(1, 2, 2))],
    "Pad": [
        call("Pad", lists(1, 1)), call("Pad", lists(*(1,) * 8), mode="zeros"),
        call("Pad", lists(*(1,) * 8), of(2)),
    ],
    "DepthToSpace": [call("DepthToSpace", blocksize=3)],
    "SpaceToDepth": [call("SpaceToDepth", blocksize=4)],
    "Resize": [
        call("Resize", None, of(3)), call("Resize", None, of(4), mode="lanczos"),
        call("Resize", None, of(4), coordinate_transformation_mode="centre"),
    ],
    "Upsample": [call("Upsample", of(3), opset=9)],
    "QuantizeLinear": [
        call("QuantizeLinear", of(5), axis=1), call("QuantizeLinear", of(4), ZERO, axis=1),
    ],
    "DequantizeLinear": [call("DequantizeLinear", of(3), axis=2, **CODE)],
    **{
        name: [call(name, lists(4), opset=18), call(name, np.array([[1]]), opset=18)]
        for name in LAWS if name.startswith("Reduce") and name != "ReduceSum"
    },
    "ReduceSum": [call("ReduceSum", lists(-5))],
    "Add": [call("Add", of(5, 6, 6)), call("Add", np.ones((6, 6)))],
    "Relu": [call("Relu", element=TensorProto.BOOL)],
    "Concat": [call("Concat", of(2, 3, 6, 5), axis=1), call("Concat", of(2, 4, 6, 6), axis=9)],
}  # fmt: skip


@pytest.mark.parametrize("op", MISFITS)
def test_inputs_that_cannot_go_together_are_told_and_never_free(op: str, tmp_path: Path) -> None:
    for given, shapes in MISFITS[op]:
        path = saved(given, tmp_path)
        for free in (False, True):
            with pytest.raises(InputError, match="bad: ") as caught:
                load_network(path, free=free)
            said = str(caught.value)
            assert not isinstance(caught.value, UncoveredError), said
            assert "free" not in said
            assert "fit" not in said or all(str(list(shape)) in said for shape in shapes), said


def test_every_law_is_broken_here() -> None:
    assert LAWS.keys() <= MISFITS.keys()


# --- What is declared -----------------------------------------------------------------------------


def declared(output: Any, between: Any = None, element: int = FLOAT, at: str = "c") -> Any:
    """A convolution of 3 channels and 6x6 pixels, `c`, and a relu of it, `y`."""
    given, _ = call("Conv", of(3, 4, 3, 3), shape=(2, 4, 8, 8))
    graph = given.graph
    graph.node[0].output[0] = "c"
    graph.node.append(helper.make_node("Relu", ["c"], ["y"], name="last"))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("y", element, output))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    if between is not None:
        graph.value_info.append(helper.make_tensor_value_info(at, FLOAT, between))
    return given


CONTRADICTIONS: dict[str, tuple[Any, str]] = {
    "an output": (declared(("N", 3, 6, 7)), "last: .* [1, 3, 6, 6], declared as [?, 3, 6, 7]"),
    "its rank": (declared((2, 3, 36)), "last: .* [1, 3, 6, 6], declared as [2, 3, 36]"),
    "between": (declared(None, (1, 7, 6, 6)), "bad: .* [1, 3, 6, 6], declared as [1, 7, 6, 6]"),
    "a rank between": (declared(None, ("N", "a")), "bad: .* 'c' .* declared as [?, ?]"),
    "a type": (declared(None, element=TensorProto.INT64), "last: .* float, declared as int64"),
    "an initializer": (declared(None, (3, 4, 3), at="c0"), "c0: .* declared as [3, 4, 3]"),
    "an input": (declared(None, ("N", 4, 8, 9), at="x"), "x: .* [1, 4, 8, 8], declared as"),
}
LITERAL = re.compile(r"[\[\]?]")


@pytest.mark.parametrize(("given", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_is_declared_otherwise_than_made_is_refused(
    given: Any, message: str, tmp_path: Path
) -> None:
    path = saved(given, tmp_path)
    for free in (False, True):
        with pytest.raises(InputError, match=LITERAL.sub(lambda one: "\\" + one[0], message)):
            load_network(path, free=free)


@pytest.mark.parametrize("command", ["run {} edge_ws --unsupported free", "show {}", "convert {}"])
def test_every_command_refuses_a_contradiction(command: str, tmp_path: Path) -> None:
    path = saved(declared((2, 3, 36)), tmp_path)
    result = CliRunner().invoke(app, command.format(path).split())
    assert result.exit_code == 2
    assert "declared as [2, 3, 36]" in " ".join(result.output.split())


@pytest.mark.parametrize("shape", [None, ("N", 3, "h", "w"), ("M", "N", 6, 6), (1, 3, 6, "N")])
def test_symbols_contradict_nothing(shape: Any, tmp_path: Path) -> None:
    assert len(load_network(saved(declared(shape, shape), tmp_path)).layers) == 1


def test_names_that_are_given_twice(tmp_path: Path) -> None:
    twice, _ = call("Relu")
    twice.graph.input.append(twice.graph.input[0])
    both, _ = call("Add", of(1))
    both.graph.node[0].output[0] = both.graph.output[0].name = "c0"
    for given, message in ((twice, "x: is given twice"), (both, "bad: 'c0' is made by it, but is")):
        with pytest.raises(InputError, match=message):
            load_network(saved(given, tmp_path))


@pytest.mark.parametrize(
    ("size", "message"), [(0, "it holds nothing"), (-4, "is -4, so open; give --dim")]
)
def test_sizes_that_are_none(size: int, message: str, tmp_path: Path) -> None:
    given, _ = call("Relu", shape=(1, size))
    with pytest.raises(InputError, match=message):
        load_network(saved(given, tmp_path))
