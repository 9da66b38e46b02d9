"""Values taken from, and put into, places that are constant: what exporters make of indexing."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import outputs, saved, wrong_tiles

from accelsim.errors import UncoveredError
from accelsim.frontend import load_network

SHAPE = (2, 3, 5, 6)
DRAW = default_rng(0)
END = np.iinfo(np.int64).min
EVERY = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
"""The places of all values."""


def reals(*shape: int) -> Any:
    return DRAW.standard_normal(shape).astype(np.float32)


def images(indices: Any) -> Any:
    """The same indices for each image."""
    return np.repeat(np.asarray(indices)[None], SHAPE[0], 0)


Case = tuple[list[tuple[str, str, dict[str, Any]]], dict[str, Any]]
CASES: dict[str, Case] = {
    "elements": (
        [("GatherElements", "x i", {"axis": 1})],
        {"i": images(np.array([[[2, 0, 1], [1, 1, -1]]]))},
    ),
    "parts of each image": (
        [("GatherND", "x i", {"batch_dims": 1})],
        {"i": images([[0, 4], [2, 1]])},
    ),
    "places of an axis, the batch behind": (
        [
            ("Transpose", "x", {"perm": [1, 0, 2, 3]}),
            ("GatherND", "_ i", {}),
            ("Transpose", "_", {"perm": [1, 0, 2, 3]}),
        ],
        {"i": np.array([[2], [0]])},
    ),
    "pixels, the batch behind": (
        [
            ("Transpose", "x", {"perm": [2, 3, 0, 1]}),
            ("GatherND", "_ i", {}),
            ("Transpose", "_", {"perm": [1, 2, 0]}),
        ],
        {"i": np.array([[2, 5], [0, 1], [0, 2]])},
    ),
    "a box put in": (
        [("Slice", "x a b c", {}), ("ScatterND", "x i _", {})],
        {
            "i": EVERY[:, 1:3, 1:4, :], "a": np.array([0, 1]), "b": np.array([2, 4]),
            "c": np.array([1, 2]),
        },
    ),
    "a box put into constants": (
        [("Slice", "x a b c", {}), ("ScatterND", "d i _", {})],
        {
            "i": EVERY[:, :, 2:], "d": np.repeat(reals(1, *SHAPE[1:]), 2, 0),
            "a": np.array([0]), "b": np.array([3]), "c": np.array([2]),
        },
    ),
    "numbers put in": (
        [("ScatterElements", "x i u", {"axis": 3})],
        {"i": images([[[1], [4]]]), "u": images(reals(1, 2, 1))},
    ),
    "rows put in, the batch behind": (
        [
            ("Transpose", "x", {"perm": [2, 0, 1, 3]}),
            ("Slice", "_ a b c", {}),
            ("ScatterND", "t0 i _", {}),
            ("Transpose", "_", {"perm": [1, 2, 0, 3]}),
        ],
        {"i": np.array([[1], [2]]), "a": np.array([3]), "b": np.array([5]), "c": np.array([0])},
    ),
    "above a diagonal": ([("Trilu", "x k", {"upper": 1})], {"k": np.array(-1)}),
    "below a diagonal": ([("Trilu", "x", {"upper": 0})], {}),
    "backwards": (
        [("Slice", "x a b c s", {})],
        {
            "a": np.array([-1, 4]), "b": np.array([END, 0]), "c": np.array([1, 3]),
            "s": np.array([-1, -2]),
        },
    ),
    "from the end, each second": (
        [("Slice", "x a b c s", {})],
        {"a": np.array([99]), "b": np.array([-100]), "c": np.array([1]), "s": np.array([-2])},
    ),
}  # fmt: skip


def model(nodes: list[tuple[str, str, dict[str, Any]]], arrays: dict[str, Any]) -> Any:
    """Nodes one behind another: `_` is what the one before makes."""
    made = []
    for at, (op, read, said) in enumerate(nodes):
        names = [f"t{at - 1}" if name == "_" else name for name in read.split()]
        made.append(helper.make_node(op, names, [f"t{at}"], **said))
    made[-1].output[0] = "y"
    real = TensorProto.FLOAT
    graph = helper.make_graph(
        made,
        "indexed",
        [helper.make_tensor_value_info("x", real, SHAPE)],
        [helper.make_tensor_value_info("y", real, None)],
        [numpy_helper.from_array(each, name) for name, each in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("name", CASES)
def test_constant_places_are_slices(name: str, tmp_path: Path) -> None:
    path, feeds = saved(model(*CASES[name]), tmp_path), {"x": reals(*SHAPE)}
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    assert np.array_equal(outputs(path, feeds)["y"].reshape(wanted.shape), wanted)
    assert wrong_tiles(path, feeds) == []


def test_what_holds_nothing_is_left_out(tmp_path: Path) -> None:
    """The part that is not turned, where a rotary embedding turns all: joined again behind it."""
    arrays = {"first": np.array([0]), "all": np.array([6]), "axis": np.array([3])}
    given = model([("Tanh", "x", {}), ("Slice", "x all all axis", {})], arrays)
    given.graph.node.append(helper.make_node("Concat", ["t0", "y"], ["z"], axis=3))
    given.graph.output[0].name = "z"
    path, feeds = saved(given, tmp_path), {"x": reals(*SHAPE)}
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    np.testing.assert_allclose(outputs(path, feeds)["z"].reshape(wanted.shape), wanted, rtol=1e-6)
    assert [layer.op.name for layer in load_network(path).layers] == ["tanh"]


def test_places_that_are_computed_are_times_ones_and_zeros(tmp_path: Path) -> None:
    """The token that a text model ends with: of one image, as its number is among all images'."""
    nodes = [
        ("ReduceMax", "x", {"axes": [3], "keepdims": 0}), ("Reshape", "_ one", {}),
        ("ArgMax", "_", {"axis": 1, "keepdims": 0}), ("Reshape", "x rows", {}),
        ("Gather", "_ t2", {"axis": 0}),
    ]  # fmt: skip
    given = model(nodes, {"one": np.array([1, -1]), "rows": np.array([-1, 6])})
    given.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    path, feeds = saved(given, tmp_path), {"x": reals(1, *SHAPE[1:])}
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    assert np.array_equal(outputs(path, feeds)["y"].reshape(wanted.shape), wanted)
    assert wrong_tiles(path, feeds) == []


REFUSED: dict[str, tuple[Case, str]] = {
    "far apart": (
        (
            [("GatherElements", "x i", {"axis": 3})],
            {"i": np.broadcast_to(np.arange(6)[::-1], SHAPE)},
        ),
        "only 64 rows",
    ),
    "beyond": (
        ([("GatherND", "x i", {"batch_dims": 1})], {"i": images([[3, 0]])}),
        "beyond the size",
    ),
    "summed": (
        (
            [("ScatterElements", "x i u", {"axis": 3, "reduction": "add"})],
            {"i": images([[[1], [4]]]), "u": images(reals(1, 2, 1))},
        ),
        "with the reduction 'add'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_places_are_refused(name: str, tmp_path: Path) -> None:
    case, reason = REFUSED[name]
    with pytest.raises(UncoveredError, match=reason):
        load_network(saved(model(*case), tmp_path))


def test_a_batch_that_is_in_the_way_is_told(tmp_path: Path) -> None:
    nodes = [("Transpose", "x", {"perm": [1, 0, 2, 3]}), ("Conv", "_ w", {})]
    given = model(nodes, {"w": reals(4, SHAPE[0], 3, 3)})  # a convolution across images
    with pytest.raises(UncoveredError, match="the file says 2 images at a time"):
        load_network(saved(given, tmp_path))
