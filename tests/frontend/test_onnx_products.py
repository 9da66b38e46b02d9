"""Einsum and the integer products of ONNX, against onnx's own implementation."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.errors import InputError
from accelsim.frontend import load_network

EQUATIONS = {  # equation -> the shapes of its operands, of which w is constant
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "bij,bkj->bki": ((2, 3, 4), (2, 5, 4)),
    "bhqd,bhkd->bhqk": ((2, 3, 4, 5), (2, 3, 6, 5)),
    "bqhd,bkhd->bhqk": ((2, 4, 3, 5), (2, 6, 3, 5)),
    "bhqk,bkhd->bqhd": ((2, 3, 4, 6), (2, 6, 3, 5)),
    "bi,bj->bij": ((2, 3), (2, 4)),
    "bi,bi->b": ((2, 3), (2, 3)),
    "bij,bjk->bk": ((2, 3, 4), (2, 4, 5)),
    "bijk->bkj": ((2, 3, 4, 5),),
    "bijk->bkji": ((2, 3, 4, 5),),
    "bij->b": ((2, 3, 4),),
    "bij->jb": ((2, 3, 4),),
}
WEIGHTED = {
    "bsd,dhk->bshk": ((2, 3, 4), (4, 2, 5)),
    "bsd,hkd->bhks": ((2, 3, 4), (2, 5, 4)),
    "bshk,hkd->bsd": ((2, 3, 2, 5), (2, 5, 4)),
    "bshk,dhk->bds": ((2, 3, 2, 5), (4, 2, 5)),
    "bsd,e->bsde": ((2, 3, 4), (5,)),
}


def einsum(equation: str, shapes: tuple[tuple[int, ...], ...], constant: bool) -> Any:
    names = ["x", "w" if constant else "z"][: len(shapes)]
    given = [names[0]] if constant else names
    values = [
        numpy_helper.from_array(default_rng(1).standard_normal(shapes[-1], np.float32), "w")
    ] * constant
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Einsum", names, ["y"], equation=equation)],
            "products",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in zip(given, shapes, strict=False)
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            values,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def feeds_of(shapes: tuple[tuple[int, ...], ...]) -> dict[str, Any]:
    generator = default_rng(0)
    return {
        name: generator.standard_normal(shape, np.float32)
        for name, shape in zip("xz", shapes, strict=False)
    }


@pytest.mark.parametrize("equation", [*EQUATIONS, *WEIGHTED])
def test_einsum_is_what_numpy_computes(equation: str, tmp_path: Path) -> None:
    constant = equation in WEIGHTED
    shapes = WEIGHTED[equation] if constant else EQUATIONS[equation]
    path = saved(einsum(equation, shapes, constant), tmp_path)
    feeds = feeds_of(shapes[:1] if constant else shapes)
    operands = [*feeds.values(), default_rng(1).standard_normal(shapes[-1], np.float32)]
    wanted = np.einsum(equation, *operands[: len(shapes)])
    values = computed(path, feeds).reshape(wanted.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5)
    assert wrong_tiles(path, feeds) == []


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ii->i", ((3, 3),), "an axis twice"),
        ("...i->...", ((2, 3),), "an ellipsis"),
        ("bi,bi", ((2, 3), (2, 3)), "have not the batch first"),
    ],
)
def test_what_einsum_cannot_say_is_refused(
    equation: str, shapes: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load_network(saved(einsum(equation, shapes, constant=False), tmp_path))


def integer(op: str, weight: Any, kind: Any, shape: tuple[int, ...]) -> Any:
    arrays = {"w": weight, "xz": np.asarray(3, kind), "wz": np.asarray(2, weight.dtype)}
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(op, ["x", "w", "xz", "wz"], ["y"])],
            "products",
            [helper.make_tensor_value_info("x", element, shape)],
            [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize(
    ("op", "weight", "shape"),
    [
        ("MatMulInteger", (4, 5), (2, 3, 4)),
        ("ConvInteger", (3, 2, 2, 3), (2, 2, 5, 6)),
        ("ConvInteger", (3, 2, 3), (2, 2, 6)),
    ],
)
def test_integer_products_are_of_distances_from_zero_points(
    op: str, weight: tuple[int, ...], shape: tuple[int, ...], kind: Any, tmp_path: Path
) -> None:
    generator = default_rng(0)
    made = integer(op, generator.integers(0, 100, weight, np.int8), kind, shape)
    codes = generator.integers(0, 100, shape).astype(kind)
    (wanted,) = onnx.reference.ReferenceEvaluator(made).run(None, {"x": codes})
    reals = {"x": codes.astype(np.float32) - 3}
    path = saved(made, tmp_path)
    np.testing.assert_array_equal(computed(path, reals).reshape(wanted.shape), wanted)
    assert wrong_tiles(path, reals) == []


@pytest.mark.parametrize("opset", [10, 13, 17, 18, 19, 21])
def test_weights_in_codes_are_the_reals_they_stand_for_in_every_opset(
    opset: int, tmp_path: Path
) -> None:
    """onnx's reference has no older DequantizeLinear than that of opset 19."""
    codes = default_rng(opset).integers(-100, 100, (4, 5), np.int8)
    arrays = {"w": codes, "scale": np.float32(0.25), "zero": np.int8(3)}
    made = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["reals"]),
                helper.make_node("MatMul", ["x", "reals"], ["y"]),
            ],
            "weights",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 4))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    x = default_rng(0).standard_normal((1, 4)).astype(np.float32)
    wanted = x @ ((codes.astype(np.float32) - 3) / 4)
    path = saved(made, tmp_path)
    np.testing.assert_allclose(computed(path, {"x": x}).reshape(wanted.shape), wanted, rtol=1e-5)
    assert wrong_tiles(path, {"x": x}) == []
