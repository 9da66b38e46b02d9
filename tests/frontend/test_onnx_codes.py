"""What codes cannot say is cut off: in real numbers, too, and before what follows is computed."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.frontend import load_network
from accelsim.network.ops import Reshape

DRAW = default_rng(5)
SHAPE = (2, 3, 6, 6)
INT8 = ("precision={ifmap: int8, filter: int8, psum: int32, ofmap: int8}",)


def reals(*shape: int) -> Any:
    return DRAW.standard_normal(shape).astype(np.float32)


X = 3 * reals(*SHAPE)
ARRAYS = {
    "w": DRAW.integers(-63, 64, (4, 3, 3, 3)).astype(np.int8), "ws": np.float32([0.01]),
    "xs": np.float32(0.02), "cs": np.float32(0.02), "ys": np.float32(0.05),
    "wz": np.int8(0), "xz": np.int8(-3), "cz": np.int8(-128), "yz": np.int8(-100),
    "two": np.float32(2.5), "each": reals(4, 1, 1), "g": reals(4), "b": reals(4),
    "mean": reals(4), "var": np.abs(reals(4)) + 1,
}  # fmt: skip


def pair(source: str, scale: str, made: str) -> list[tuple[str, str, str]]:
    return [
        ("QuantizeLinear", f"{source} {scale}s {scale}z", f"{source}/q"),
        ("DequantizeLinear", f"{source}/q {scale}s {scale}z", made),
    ]


def model(*between: tuple[str, str, str]) -> Any:
    """A convolution `c`, its codes that end at zero as `d`, what lies between, and codes of `m`."""
    nodes = [
        *pair("x", "x", "r"), ("DequantizeLinear", "w ws wz", "v"), ("Conv", "r v", "c"),
        *pair("c", "c", "d"), *between, *pair("m", "y", "y"),
    ]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(op, read.split(), [made], name=made) for op, read, made in nodes],
        "codes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in ARRAYS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def coded(values: Any, name: str) -> Any:
    return np.clip(np.rint(values / ARRAYS[f"{name}s"]) + int(ARRAYS[f"{name}z"]), -128, 127)


BEHIND = {
    "a number": ("Mul", "d two", "m"),
    "numbers of channels": ("Mul", "d each", "m"),
    "a sum": ("Add", "d each", "m"),
    "a batch norm": ("BatchNormalization", "d g b mean var", "m"),
}


@pytest.mark.parametrize("node", BEHIND.values(), ids=BEHIND)
def test_codes_end_before_they_are_scaled(node: tuple[str, str, str], tmp_path: Path) -> None:
    """Nothing is folded into the convolution, whose scale of one number has a zero point of ()."""
    path = saved(model(node), tmp_path)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": X})
    assert np.abs(computed(path, {"x": X}) - wanted).max() < 0.02 * np.abs(wanted).max()
    feeds = {"x": coded(X, "x").astype(int)}
    assert np.array_equal(computed(path, feeds, INT8), coded(wanted, "y"))
    assert wrong_tiles(path, feeds, INT8) == []


def test_what_is_read_as_it_is_has_its_codes_in_a_layer_of_their_own(tmp_path: Path) -> None:
    path = saved(model(("Tanh", "c", "t"), ("Add", "t d", "m")), tmp_path)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": X})
    assert np.abs(computed(path, {"x": X}) - wanted).max() < 0.02 * np.abs(wanted).max()
    assert wrong_tiles(path, {"x": X}) == []
    layers = [each for each in load_network(path).layers if not isinstance(each.op, Reshape)]
    assert [layer.op.name for layer in layers] == ["conv", "tanh", "clip", "add"]
