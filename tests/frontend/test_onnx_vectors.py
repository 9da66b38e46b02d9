"""Products by vectors and of constants from the left, against onnx's own implementation."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.errors import UncoveredError
from accelsim.frontend import load_network

Shapes = tuple[tuple[int, ...], ...]
SCALES = {"alpha": 0.5, "beta": -1.5}
CASES: dict[str, tuple[str, Shapes, str, dict[str, float]]] = {
    "rows by a vector": ("MatMul", ((2, 3, 5), (5,)), "x", {}),
    "one row by a vector": ("MatMul", ((2, 5), (5,)), "x", {}),
    "maps by a vector": ("MatMul", ((2, 4, 3, 5), (5,)), "x", {}),
    "a vector by matrices": ("MatMul", ((5,), (2, 5, 3)), "z", {}),
    "a vector by many": ("MatMul", ((5,), (2, 4, 5, 3)), "z", {}),
    "a matrix by a vector": ("MatMul", ((3, 5), (5,)), "z", {}),
    "both computed, column": ("MatMul", ((2, 3, 5), (5,)), "xz", {}),
    "both computed, row": ("MatMul", ((5,), (2, 4, 5, 3)), "xz", {}),
    "two vectors": ("MatMul", ((5,), (5,)), "xz", {}),
    "two vectors, one constant": ("MatMul", ((5,), (5,)), "x", {}),
    "constant A": ("Gemm", ((3, 5), (5, 4)), "z", {"alpha": 0.5}),
    "constant A turned": ("Gemm", ((5, 3), (4, 5)), "z", {"transA": 1, "transB": 1}),
    "constant A, and C": ("Gemm", ((3, 5), (5, 4), (3, 1)), "z", {"alpha": 2.0, "beta": 0.25}),
    "constant A, a row": ("Gemm", ((3, 5), (5, 4), (4,)), "z", {"beta": 2.0}),
    "constant A, computed C": ("Gemm", ((3, 5), (5, 4), (3, 1)), "zc", {"beta": 0.25}),
    "computed C": ("Gemm", ((3, 5), (5, 4), (3, 4)), "xc", SCALES),
    "computed C, a column": ("Gemm", ((3, 5), (5, 4), (3, 1)), "xc", SCALES),
    "computed C, a vector": ("Gemm", ((3, 5), (5, 4), (4,)), "xc", SCALES),
    "all computed": ("Gemm", ((3, 5), (4, 5), ()), "xzc", {**SCALES, "transB": 1}),
}


def model(op: str, shapes: Shapes, asked: str, said: dict[str, float]) -> tuple[Any, Any]:
    """A node of x, z and c, of which those that are `asked` are inputs; and these."""
    draw = default_rng(7)
    arrays = {
        name: np.asarray(draw.standard_normal(shape, dtype=np.float32))
        for name, shape in zip("xzc", shapes, strict=False)
    }
    feeds = {name: arrays[name] for name in asked}
    graph = helper.make_graph(
        [helper.make_node(op, list(arrays), ["y"], **said)],
        "vectors",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, each.shape)
            for name, each in feeds.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(each, name) for name, each in arrays.items() if name not in feeds],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), feeds


@pytest.mark.parametrize(("op", "shapes", "asked", "said"), CASES.values(), ids=CASES)
def test_products_by_vectors(
    op: str, shapes: Shapes, asked: str, said: dict[str, float], tmp_path: Path
) -> None:
    given, feeds = model(op, shapes, asked, said)
    path = saved(given, tmp_path)
    (wanted,) = onnx.reference.ReferenceEvaluator(given).run(None, feeds)
    values = computed(path, feeds).reshape(np.shape(wanted))
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5)
    assert wrong_tiles(path, feeds) == []


INTEGERS: dict[str, Shapes] = {
    "one matrix for many": ((6, 4), (2, 3, 4, 5)),
    "a matrix for each": ((3, 6, 4), (2, 3, 4, 5)),
    "a vector": ((4,), (2, 4, 3)),
}


@pytest.mark.parametrize("shapes", INTEGERS.values(), ids=INTEGERS)
def test_constant_codes_may_be_first(shapes: Shapes, tmp_path: Path) -> None:
    codes = [
        default_rng(at).integers(0, 256, shape).astype(np.uint8) for at, shape in enumerate(shapes)
    ]
    arrays = {"w": codes[0], "zw": np.uint8(3), "zx": np.uint8(12)}
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["w", "x", "zw", "zx"], ["y"])],
        "codes",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shapes[1])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = saved(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path)
    weight, given = codes[0].astype(np.float32) - 3, codes[1].astype(np.float32) - 12
    wanted = weight @ given
    assert np.array_equal(computed(path, {"x": given}).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("batch", [1, 2, "N"])
def test_a_computed_weight_is_told_as_the_reason(op: str, batch: Any, tmp_path: Path) -> None:
    given, _ = model(op, ((2, 4, 6, 6), (4, 4, 3, 3)), "xz", {})
    dim = given.graph.input[0].type.tensor_type.shape.dim[0]
    if batch == "N":
        dim.dim_param = batch
    else:
        dim.dim_value = batch
    with pytest.raises(UncoveredError, match=r"its weight must be constant, but is computed \('z'"):
        load_network(saved(given, tmp_path))
