"""`compute` takes arrays as a file has its inputs, and gives its outputs as it has them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import FLOAT32, saved
from test_onnx import node
from typer.testing import CliRunner

import accelsim
from accelsim.cli import app
from accelsim.errors import InputError

REAL, WHOLE, TRUTH = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
F32 = default_rng(0).standard_normal
ARRAYS = {
    "w": F32((1, 12, 5), np.float32),
    "r": F32((1, 12, 3), np.float32),
    "square": F32((5, 5), np.float32),
    "scale": np.float32(0.1),
    "middle": np.uint8(120),
}
LSTM = helper.make_node("LSTM", [*"xwr"], ["h", "last"], hidden_size=3)

# nodes, inputs (type, shape; "N" of the batch), outputs
CASES: dict[str, tuple[list[Any], dict[str, Any], dict[str, int]]] = {
    "times first": (
        [
            helper.make_node("LSTM", [*"xwr"], ["h", "last"], hidden_size=3),
            node("Squeeze", "h one", "y"),
        ],
        {"x": (REAL, (4, "N", 5))},
        {"y": REAL, "last": REAL},
    ),
    "an axis of images alone": (
        [node("Unsqueeze", "x one", "wide"), node("Mul", "wide z", "y")],
        {"x": (REAL, ("N",)), "z": (REAL, ("N", 3))},
        {"y": REAL},
    ),
    "a number": (
        [node("Mul", "x z", "y"), node("ReduceMax", "y", "m", keepdims=0)],
        {"x": (REAL, ()), "z": (REAL, (2, 3))},
        {"y": REAL, "m": REAL},
    ),
    "seven axes": (
        [node("Relu", "x", "y")],
        {"x": (REAL, ("N", 2, 1, 2, 3, 2, 2, 2))},
        {"y": REAL},
    ),
    "truths": (
        [node("Where", "seen x zero", "y"), node("Not", "seen", "hidden")],
        {"seen": (TRUTH, ("N", 5)), "x": (REAL, ("N", 5))},
        {"y": REAL, "hidden": TRUTH},
    ),
    "places": (
        [node("ArgMax", "x", "y", axis=1, keepdims=0)],
        {"x": (REAL, ("N", 5))},
        {"y": WHOLE},
    ),
}


def model(name: str) -> Any:
    nodes, inputs, outputs = CASES[name]
    arrays = {**ARRAYS, "one": np.array([1]), "zero": np.float32(0)}
    read = {each for one in nodes for each in one.input}
    graph = helper.make_graph(
        nodes,
        "arrays",
        [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(key, kind, None) for key, kind in outputs.items()],
        [numpy_helper.from_array(each, key) for key, each in arrays.items() if key in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def fed(name: str, images: int) -> dict[str, Any]:
    draw, feeds = default_rng(1), {}
    for key, (kind, shape) in CASES[name][1].items():
        sizes = [images if each == "N" else each for each in shape]
        drawn = np.asarray(draw.standard_normal(sizes), np.float32)
        feeds[key] = drawn > 0 if kind == TRUTH else drawn
    return feeds


@pytest.mark.parametrize("name", CASES)
def test_arrays_are_as_the_file_has_them(name: str, tmp_path: Path) -> None:
    """Names, shapes, types and values of the outputs are onnxruntime's."""
    path, feeds = saved(model(name), tmp_path), fed(name, 2)
    outputs = [*CASES[name][2]]
    wanted = onnxruntime.InferenceSession(path).run(outputs, feeds)
    found = accelsim.compute(path, "edge_ws", inputs=feeds, set=[FLOAT32]).outputs
    assert found.keys() == {*outputs}
    for key, each in zip(outputs, wanted, strict=True):
        assert (found[key].shape, found[key].dtype) == (each.shape, each.dtype)
        np.testing.assert_allclose(found[key], each, rtol=1e-5, atol=1e-6)


def test_codes_are_the_file_s(tmp_path: Path) -> None:
    """An output of uint8 codes, on hardware of int8: 0.1 (code - 120)."""
    nodes = [
        node("QuantizeLinear", "x scale middle", "q0"),
        node("DequantizeLinear", "q0 scale middle", "x1"),
        node("Relu", "x1", "x2"), node("QuantizeLinear", "x2 scale middle", "q"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "codes",
        [helper.make_tensor_value_info("x", REAL, ("N", 5))],
        [helper.make_tensor_value_info("q", TensorProto.UINT8, ("N", 5))],
        [numpy_helper.from_array(np.asarray(ARRAYS[key]), key) for key in ("scale", "middle")],
    )
    given = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    reals = np.float32([[0.5, -3.0, 12.0, 40.0, 0.04]])
    found = accelsim.compute(
        saved(given, tmp_path), "edge_ws", inputs={"x": reals}, set=[FLOAT32]
    ).outputs["q"]
    assert (found.dtype, found.tolist()) == (np.uint8, [[125, 120, 240, 255, 120]])


def test_what_does_not_fit_is_told_in_the_shape_of_the_file(tmp_path: Path) -> None:
    path = saved(model("times first"), tmp_path)
    with pytest.raises(InputError, match=r"x: has shape \(2, 4, 5\), needs \(4, N, 5\), as"):
        accelsim.compute(path, inputs={"x": np.zeros((2, 4, 5), np.int8)})


def test_outputs_are_shown_and_saved_by_name(tmp_path: Path) -> None:
    path, feeds = saved(model("times first"), tmp_path), fed("times first", 2)
    given, kept = tmp_path / "x.npz", tmp_path / "y.npz"
    np.savez(given, **feeds)
    arguments = ["compute", str(path), "edge_ws", "--set", FLOAT32, "--input", str(given)]
    shown = CliRunner().invoke(app, [*arguments, "--show", "y", "--save", str(kept)])
    assert "y: 4 x 2 x 3, float32" in shown.output
    (wanted,) = onnxruntime.InferenceSession(path).run(["y"], feeds)
    arrays = np.load(kept)
    assert [*arrays] == ["y"]
    np.testing.assert_allclose(arrays["y"], wanted, rtol=1e-5, atol=1e-6)
    CliRunner().invoke(app, [*arguments, "--save", str(kept)])
    assert {"y", "last"} < {*np.load(kept)}
