"""Where a file has the batch: nowhere, in one with other axes, or not in common to its inputs.

And what constants do to what is computed: in which layer they go, and which they may not.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper
from oracles.onnx_models import computed, saved, wrong_tiles
from test_onnx import feed, model, node, right, weights

from accelsim.frontend import load_network
from accelsim.network.graph import Network

WIDE = (3, 4, 6)
ONE = (1, 4, 6)


def split(x: str, y: str) -> Any:
    return helper.make_node("Split", [x], y.split(), axis=0)


WHOLE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "a number": (model([node("Relu")], shape=()), ()),
    "flattened from the first axis on": (model([node("Flatten", axis=0)], shape=WIDE), WIDE),
    "a softmax down the first axis": (model([node("Softmax", axis=0)], shape=WIDE), WIDE),
    "normed over all": (
        model([node("LayerNormalization", "x g b", axis=0)], {
            "g": weights(1, *WIDE) + 1, "b": weights(2, *WIDE),
        }, WIDE), WIDE,
    ),
    "two halves": (
        model([split("x", "a b"), node("Mul", "a b")], shape=(2, 4, 6)), (2, 4, 6),
    ),
    "behind another": (model([node("Concat", "x x", axis=0)], shape=WIDE), WIDE),
    "a matrix turned times itself": (
        model([node("Transpose", "x", "t"), node("MatMul", "t x")], shape=(5, 3)), (5, 3),
    ),
    "transA and a whole C": (
        model([node("Gemm", "x w c", transA=1, alpha=0.5, beta=2.0)], {
            "w": weights(1, 5, 4), "c": weights(2, 3, 4),
        }, (5, 3)), (5, 3),
    ),
    "all summed": (model([node("ReduceSum", keepdims=0)], shape=WIDE), WIDE),
    "one image, its axis turned away": (
        model([node("Transpose", "x", "t", perm=[1, 0, 2]), node("Reshape", "t s")], {
            "s": np.array([2, 2, 6]),
        }, ONE), ONE,
    ),
    "sizes that a constant makes": (
        model([node("Unsqueeze", "x at", "u"), node("Mul", "u c")], {
            "at": np.array([-1]), "c": weights(1, 5),
        }, (2, 3)), (2, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "shape"), WHOLE.values(), ids=WHOLE)
def test_all_that_a_run_is_given_may_be_one_image(given: Any, shape: Any, tmp_path: Path) -> None:
    path = right(given, tmp_path, shape)
    assert wrong_tiles(path, {"x": default_rng(0).standard_normal(shape, np.float32)}) == []


def test_a_file_whose_inputs_have_no_leading_axis_in_common_is_one_image(tmp_path: Path) -> None:
    """Three texts and two pictures, each with each, as CLIP compares them."""
    shapes = {"text": (3, 8), "picture": (2, 8)}
    nodes = [
        node("LpNormalization", "text", "t"),
        node("LpNormalization", "picture", "p"),
        node("Transpose", "p", "q"),
        node("MatMul", "t q", "y"),
    ]
    graph = helper.make_graph(
        nodes,
        "clip",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = saved(made, tmp_path)
    feeds = {n: default_rng(1).standard_normal(s, np.float32) for n, s in shapes.items()}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, feeds)
    np.testing.assert_allclose(computed(path, feeds).reshape(3, 2), wanted, rtol=1e-5)
    network = load_network(path)
    assert network.inputs == shapes
    assert "no axis of its inputs is the batch" in network.description
    assert wrong_tiles(path, feeds) == []


def windows(batch: int) -> Any:
    """Windows of a map ahead of its batch, as Swin has them, and back."""
    arrays = {
        "six": np.array([batch, 2, 2, 2, 2, 6]), "merged": np.array([batch * 4, 4, 6]),
        "w": weights(1, 6, 6), "b": weights(2, 6), "back": np.array([batch, 4, 4, 6]),
    }  # fmt: skip
    nodes = [
        node("Reshape", "x six", "s"),
        node("Transpose", "s", "t", perm=[0, 1, 3, 2, 4, 5]),
        node("Reshape", "t merged", "m"),
        node("MatMul", "m w", "p"),
        node("Add", "p b", "q"),
        node("Transpose", "q", "k", perm=[0, 2, 1]),
        node("MatMul", "q k", "a"),
        node("Softmax", "a", "share", axis=-1),
        node("MatMul", "share q", "c"),
        node("Reshape", "c six", "d"),
        node("Transpose", "d", "e", perm=[0, 1, 3, 2, 4, 5]),
        node("Reshape", "e back", "y"),
    ]
    return model(nodes, arrays, (batch, 4, 4, 6))


@pytest.mark.parametrize("batch", [1, 2])
def test_windows_and_the_batch_may_be_one_axis(batch: int, tmp_path: Path) -> None:
    path = right(windows(batch), tmp_path, (batch, 4, 4, 6))
    network = load_network(path)
    assert network.inputs == {"x": (4, 4, 6)}
    assert network.parameters == 6 * 6 + 6  # the bias is the product's own


STATISTICS = {"g": weights(1, 6), "b": weights(2, 6), "m": weights(3, 6)}
SEVERAL: dict[str, Any] = {
    "rows of all times and images, times first": (
        [
            node("Transpose", "x", "t", perm=[1, 0, 2]), node("Reshape", "t rows", "r"),
            node("Gemm", "r w b", "p"), node("Reshape", "p times", "q"),
            node("Transpose", "q", "y", perm=[1, 0, 2]),
        ],
        {"rows": np.array([10, 6]), "times": np.array([5, 2, 6])},
    ),
    "a row for each image and place, normed": (
        [
            node("MatMul", "x w", "p"), node("Flatten", "p", "r", axis=2),
            node("BatchNormalization", "r g b m v", "n"), node("Relu", "n", "q"),
            node("BatchNormalization", "q g b m v", "k"), node("Reshape", "k back", "y"),
        ],
        {**STATISTICS, "v": np.abs(weights(4, 6)) + 1, "back": np.array([2, 5, 6])},
    ),
    "constants as often as there are images": (
        [
            node("Add", "x places", "a"), node("Reshape", "a heads", "h"),
            node("MatMul", "asked h", "s"), node("Add", "s seen", "m"), node("Softmax", "m", "p"),
            node("Transpose", "h", "k", perm=[0, 2, 1]), node("MatMul", "p k", "c"),
            node("Mul", "c share", "y"),
        ],
        {
            "places": np.repeat(weights(1, 1, 5, 6), 2, 0), "heads": np.array([4, 3, 5]),
            "asked": np.tile(weights(2, 2, 4, 3), (2, 1, 1)),
            "seen": np.repeat(weights(3, 1, 4, 5), 4, 0),
            "share": np.tile(weights(4, 2, 1, 3), (2, 1, 1)),
        },
    ),
    "all values taken in order": (
        [
            node("Reshape", "x flat", "f"), node("Gather", "f at", "g"), node("MatMul", "g w", "y"),
        ],
        {"flat": np.array([-1]), "at": np.arange(60).reshape(2, 5, 6)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_files_of_several_images(name: str, tmp_path: Path) -> None:
    """As exporters write them whose batch is fixed: in one axis with others, in constants."""
    nodes, arrays = SEVERAL[name]
    arrays = {"w": weights(7, 6, 6), "b": weights(8, 6)} | arrays
    path = right(model(nodes, arrays, (2, 5, 6)), tmp_path, (2, 5, 6))
    network = load_network(path)
    assert network.inputs == {"x": (5, 6)}
    assert "the file says 2 images at a time" in network.description


def test_codes_in_rows_of_all_images_and_a_number_that_is_a_code(tmp_path: Path) -> None:
    """As onnxruntime's quantizer writes them: a scale with an axis, its zero point without.

    Where the hardware computes with reals nothing is rounded, so results are half a step apart.
    """
    nodes = [
        node("Reshape", "x rows", "r"), node("QuantizeLinear", "r step zero", "q"),
        node("DequantizeLinear", "q step zero", "d"),
        node("DequantizeLinear", "half steps none", "h"), node("Mul", "d h", "m"),
        node("Reshape", "m back", "y"),
    ]  # fmt: skip
    arrays = {
        "rows": np.array([10, 6]), "back": np.array([2, 5, 6]), "step": np.float32(1 / 16),
        "zero": np.int8(0), "half": np.array([32], np.int32), "steps": np.float32([1 / 64]),
        "none": np.array(0, np.int32),
    }  # fmt: skip
    path, x = saved(model(nodes, arrays, (2, 5, 6)), tmp_path), feed((2, 5, 6))
    (wanted,) = onnxruntime.InferenceSession(path).run(None, x)
    assert load_network(path).inputs == {"x": (5, 6)}
    values = computed(path, x)
    assert np.array_equal(values, x["x"] / 2)
    assert 0 < np.abs(values - wanted).max() <= 1 / 64


def test_what_differs_from_image_to_image_is_no_image_s_own(tmp_path: Path) -> None:
    """Then all that a run of the file is given is one image."""
    nodes = [node("Add", "x places", "y")]
    path = right(model(nodes, {"places": weights(1, 2, 5, 6)}, (2, 5, 6)), tmp_path, (2, 5, 6))
    assert load_network(path).inputs == {"x": (2, 5, 6)}


# --- Constants ------------------------------------------------------------------------------------


def ops(network: Network) -> list[str]:
    return [layer.op.name for layer in network.layers if layer.op.name != "reshape"]


def test_what_an_alias_shares_keeps_its_values(tmp_path: Path) -> None:
    """A bias behind an Identity must not reach who reads what is before it."""
    nodes = [
        node("Conv", "x w", "a"),
        node("Identity", "a", "i"),
        node("Add", "i b", "p"),
        node("Mul", "a p"),
    ]
    arrays = {"w": weights(1, 6, 3, 3, 3), "b": weights(2, 6, 1, 1)}
    right(model(nodes, arrays), tmp_path)


@pytest.mark.parametrize("often", [1, 2])
def test_a_bias_goes_into_a_product_behind_views_that_only_it_reads(
    often: int, tmp_path: Path
) -> None:
    nodes = [
        node("MatMul", "x w", "p"),
        node("Reshape", "p s", "r"),
        node("Mul", "r g", "m"),
        node("Add", "m b", "q"),
        node("Add", f"q {'r' if often == 2 else 'q'}"),
    ]
    arrays = {
        "w": weights(1, 8, 6), "s": np.array([2, 9, 3, 6]), "g": weights(2, 6), "b": weights(3, 6),
    }  # fmt: skip
    path = right(model(nodes, arrays, (2, 3, 9, 8)), tmp_path)
    found = ops(load_network(path))
    assert found == (
        ["dense", "add"] if often == 1 else ["dense", "scale_shift", "scale_shift", "add"]
    )


W, TALL = weights(4, 3, 5, 9), weights(5, 5, 9)
PRODUCTS: dict[str, Any] = {
    "constant first": model([node("MatMul", "c x")], {"c": W}),
    "one for all": model([node("MatMul", "c x")], {"c": TALL}),
    "one for all, with its batch": model([node("MatMul", "c x")], {"c": TALL[None, None]}),
    "one for each": model([node("MatMul", "x c")], {"c": weights(6, 3, 8, 5)}),
    "less what is computed": model([node("Sub", "c x")], {"c": weights(7, 9, 1)}),
    "by what is computed": model(
        [node("Abs", "x", "a"), node("Add", "a c", "p"), node("Div", "c p")],
        {"c": W[:, :1, :1] + 9},
    ),
}


@pytest.mark.parametrize("given", PRODUCTS.values(), ids=PRODUCTS)
def test_constants_may_be_the_first_operand(given: Any, tmp_path: Path) -> None:
    path = right(given, tmp_path)
    shape = (2, 3, 9, 8)
    assert wrong_tiles(path, {"x": default_rng(0).standard_normal(shape, np.float32)}) == []


# --- Composed of layers ---------------------------------------------------------------------------


def of_two(op: str) -> Any:
    return model([node("Sin", "x", "a"), node(op, "a x")])


SHOWN = np.arange(72).reshape(9, 8) % 3 == 0
COMPOSED: dict[str, Any] = {
    **{op: model([node(op)]) for op in ("Softsign", "Celu", "LogSoftmax", "Sin", "Cos", "Mish")},
    **{op: of_two(op) for op in ("Max", "Min", "Mean")},
    **{op: model([node(op, axes=[1, 3])]) for op in ("ReduceMin", "ReduceL1", "ReduceL2")},
    **{
        op: model([node(op, axes=[2], keepdims=0)])
        for op in ("ReduceSumSquare", "ReduceLogSumExp")
    },
    "LpNormalization": model([node("LpNormalization", axis=2, p=1)]),
    "Max of a number": model([node("Max", "x c")], {"c": np.float32(0.25)}),
    "PRelu": model([node("PRelu", "x c")], {"c": weights(1, 3, 1, 1)}),
    "DepthToSpace": model([node("DepthToSpace", blocksize=2)], shape=(2, 12, 3, 4)),
    "DepthToSpace, CRD": model([node("DepthToSpace", blocksize=2, mode="CRD")], shape=(2, 8, 3, 4)),
    "SpaceToDepth": model([node("SpaceToDepth", blocksize=2)], shape=(2, 3, 4, 6)),
    "Tile": model([node("Tile", "x r")], {"r": np.array([1, 2, 1, 3])}),
    "Gather": model([node("Gather", "x i", axis=2)], {"i": np.array([[0, 2, 4], [8, 8, 3]])}),
    "Where": model([node("Where", "c x n")], {"c": SHOWN, "n": np.float32(-2)}),
    "Where of two": model([node("Sin", "x", "a"), node("Where", "c x a")], {"c": SHOWN}),
    "softplus, guarded": model(
        [node("Greater", "x n", "c"), node("Softplus", "x", "s"), node("Where", "c x s")],
        {"n": np.float32(20)},
    ),
}  # fmt: skip
NEWER = {"Mish": 18}
SHAPES = {
    "DepthToSpace": (2, 12, 3, 4),
    "DepthToSpace, CRD": (2, 8, 3, 4),
    "SpaceToDepth": (2, 3, 4, 6),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_operators_of_several_layers(name: str, tmp_path: Path) -> None:
    made = COMPOSED[name]
    made.opset_import[0].version = NEWER.get(name, 17)
    shape = SHAPES.get(name, (2, 3, 9, 8))
    path = right(made, tmp_path, shape)
    assert wrong_tiles(path, {"x": default_rng(0).standard_normal(shape, np.float32)}) == []


def test_what_constants_make_may_depend_on_their_values(tmp_path: Path) -> None:
    """NonZero of what is constant, as old exporters write `arange`."""
    nodes = [
        node("NonZero", "ones", "n"),
        node("Transpose", "n", "t", perm=[1, 0]),
        node("Squeeze", "t", "s", axes=[1]),
        node("Cast", "s", "f", to=TensorProto.FLOAT),
        node("Add", "x f"),
    ]
    nodes.insert(
        0, node("ConstantOfShape", "eight", "ones", value=helper.make_tensor("", 1, [1], [1]))
    )
    right(model(nodes, {"eight": np.array([8])}, opset=11), tmp_path)


def test_masks_of_attention_are_added_or_hide(tmp_path: Path) -> None:
    shape = (2, 3, 4, 6)
    for mask in (weights(1, 3, 4, 4), np.tri(4, dtype=bool)):
        made = model([node("Attention", "x x x m")], {"m": mask}, shape, opset=23)
        path = saved(made, tmp_path)
        feeds = {"x": default_rng(2).standard_normal(shape, np.float32)}
        scores = feeds["x"] @ feeds["x"].swapaxes(-1, -2) / 6**0.5
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        wanted = shares / shares.sum(-1, keepdims=True) @ feeds["x"]
        np.testing.assert_allclose(computed(path, feeds), wanted, rtol=1e-4, atol=1e-5)
        assert wrong_tiles(path, feeds) == []
