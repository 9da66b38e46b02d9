"""Single operators in forms that are rare, against onnxruntime: our reference and our tiles."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.errors import InputError
from accelsim.frontend import load_network
from accelsim.numerics.formats import Array

MAP = (2, 4, 5, 6)


def array(*shape: int) -> Array:
    return default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def model(
    op: str, read: list[str], arrays: dict[str, Array], shape: Any, opset: int, said: dict[str, Any]
) -> Any:
    """One node, and one behind it that computes."""
    values = [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()]
    nodes = [helper.make_node(op, read, ["y"], **said), helper.make_node("Tanh", ["y"], ["z"])]
    x, z = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in (("x", shape), ("z", None))
    )
    graph = helper.make_graph(nodes, "form", [x], [z], values)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def held(given: Any, shape: tuple[int, ...], folder: Path) -> None:
    path, feeds = saved(given, folder), {"x": array(*shape)}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, feeds)
    np.testing.assert_allclose(
        computed(path, feeds).reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5
    )
    assert wrong_tiles(path, feeds) == []


RESIZES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "linear, less": ({"scales": [1, 1, 0.6, 0.6]}, {"mode": "linear"}, 13),
    "linear, more down and less across": ({"scales": [1, 1, 2.3, 0.7]}, {"mode": "linear"}, 11),
    "linear, from the corner": (
        {"scales": [1, 1, 1.3, 0.8]},
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        17,
    ),
    "one value is left": (
        {"scales": [1, 1, 0.3, 1.5]},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        13,
    ),
    "nearest": ({"scales": [1, 1, 2.3, 2.94]}, {"mode": "nearest"}, 13),
    "nearest, the next": ({"scales": [1, 1, 0.7, 1.9]}, {"nearest_mode": "ceil"}, 13),
    "axes turned": ({"scales": [2.3, 0.6]}, {"mode": "linear", "axes": [3, 2]}, 18),
    "not larger": (
        {"sizes": [7, 9]},
        {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
        18,
    ),
    "not smaller": (
        {"sizes": [7, 9]},
        {"mode": "nearest", "axes": [2, 3], "keep_aspect_ratio_policy": "not_smaller"},
        19,
    ),
}


@pytest.mark.parametrize("name", RESIZES)
def test_scales_need_not_come_out_even(name: str, tmp_path: Path) -> None:
    given, said, opset = RESIZES[name]
    arrays: dict[str, Array] = {"none": np.zeros(0, np.float32)}
    if "scales" in given:
        arrays["scales"], read = np.asarray(given["scales"], np.float32), ["x", "none", "scales"]
    else:
        arrays["sizes"], read = np.asarray(given["sizes"], np.int64), ["x", "none", "", "sizes"]
    held(model("Resize", read, arrays, MAP, opset, said), MAP, tmp_path)


def test_uneven_scales_by_corners_are_refused(tmp_path: Path) -> None:
    """Of which onnx's reference and onnxruntime make different values."""
    said = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    arrays = {"none": np.zeros(0, np.float32), "s": np.asarray([1, 1, 0.6, 0.6], np.float32)}
    path = saved(model("Resize", ["x", "none", "s"], arrays, MAP, 13, said), tmp_path)
    with pytest.raises(InputError, match="by corners, and scales"):
        load_network(path)


JOINED = {  # what is joined with x, and along which axis
    "before": (["a", "x"], 1),
    "after": (["x", "a"], -1),
    "between": (["x", "a", "x"], 2),
    "on both sides": (["b", "a", "x", "x", "b"], 1),
}


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("shape", [(2, 4, 3), MAP], ids=str)
def test_constants_may_lie_beside_what_is_joined(
    name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    read, axis = JOINED[name]
    axis %= len(shape)
    wide = [1 if at == axis else size for at, size in enumerate(shape)]
    a, b = (np.repeat(array(1, *wide[1:]), shape[0], 0) * each for each in (1, 2))
    held(model("Concat", read, {"a": a, "b": b}, shape, 13, {"axis": axis}), shape, tmp_path)


def test_where_a_constant_differs_from_image_to_image_all_is_one(tmp_path: Path) -> None:
    given = model("Concat", ["x", "a"], {"a": array(2, 4)}, (2, 4), 13, {"axis": 1})
    held(given, (2, 4), tmp_path)
    assert load_network(saved(given, tmp_path)).inputs == {"x": (2, 4)}


@pytest.mark.parametrize("op", ["Max", "Min"])
@pytest.mark.parametrize(
    "others",
    [
        {"c": array(4, 1, 1)},
        {"c": array(1, 4, 5, 6)},
        {"c": array(6), "d": np.float32(0.2)},
        {"c": array(1, 1, 5, 1), "d": array(4, 1, 6)},
    ],
    ids=str,
)
def test_the_largest_of_any_number_and_of_arrays(
    op: str, others: dict[str, Array], tmp_path: Path
) -> None:
    held(model(op, ["x", *others], others, MAP, 13, {}), MAP, tmp_path)
    held(model(op, [*others, "x"], others, (2, 4, 1, 6), 13, {}), (2, 4, 1, 6), tmp_path)


OTHERS: dict[str, tuple[str, dict[str, Any], int]] = {
    "hard max, old": ("Hardmax", {"axis": 2}, 11),
    "hard max of channels": ("Hardmax", {"axis": 1}, 13),
    "third powers": (
        "LpPool", {"p": 3, "kernel_shape": [2, 3], "pads": [1, 0, 0, 1], "strides": [1, 2]}, 18,
    ),
    "magnitudes": ("GlobalLpPool", {"p": 1}, 13),
    "shrink": ("Shrink", {"lambd": 0.25, "bias": 0.125}, 13),
    "threshold": ("ThresholdedRelu", {"alpha": 0.25}, 13),
}  # fmt: skip


@pytest.mark.parametrize(("op", "said", "opset"), OTHERS.values(), ids=OTHERS)
def test_operators_of_several_layers(
    op: str, said: dict[str, Any], opset: int, tmp_path: Path
) -> None:
    held(model(op, ["x"], {}, MAP, opset, said), MAP, tmp_path)


@pytest.mark.parametrize(("axis", "values"), [(-1, [0, 1]), (1, [-0.5, 2])])
def test_ones_at_places_that_are_computed(axis: int, values: list[float], tmp_path: Path) -> None:
    """Some counted from the end, some beyond both ends."""
    arrays = {"depth": np.array(5), "values": np.float32(values), "six": np.float32(6)}
    given = model("OneHot", ["places", "depth", "values"], arrays, MAP, 13, {"axis": axis})
    given.graph.node.insert(0, helper.make_node("Mul", ["x", "six"], ["large"]))
    given.graph.node.insert(1, helper.make_node("Cast", ["large"], ["places"], to=7))
    held(given, MAP, tmp_path)


def test_bits_are_shifted_within_their_type(tmp_path: Path) -> None:
    arrays = {"by": np.array([0, 1, 2, 3, 4, 7], np.uint8)}
    for way in ("LEFT", "RIGHT"):
        given = model("BitShift", ["bytes", "by"], arrays, MAP, 13, {"direction": way})
        given.graph.node[1].input[0] = "reals"
        given.graph.node.insert(0, helper.make_node("Cast", ["x"], ["bytes"], to=2))
        given.graph.node[2].op_type = "Neg"
        given.graph.node.insert(2, helper.make_node("Cast", ["y"], ["reals"], to=1))
        feeds = {"x": np.floor(np.abs(array(*MAP)) * 60)}
        path = saved(given, tmp_path)
        (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
        assert np.array_equal(computed(path, feeds).reshape(wanted.shape), wanted)


POWERS: dict[str, tuple[list[str], dict[str, Array], list[str]]] = {
    "of a number": (["b", "x"], {"b": np.float32(2)}, ["to_power"]),
    "of numbers": (["b", "x"], {"b": array(5, 1) ** 2}, ["scale_shift", "to_power"]),
    "by numbers": (["x", "b"], {"b": np.float32([1, 2, 3, 4, 5, 6])}, ["scale_shift", "to_power"]),
    "by a number of more axes": (["x", "b"], {"b": np.float32([[[[2]]]])}, ["power"]),
}


@pytest.mark.parametrize(("read", "arrays", "layers"), POWERS.values(), ids=POWERS)
def test_powers_of_and_by_constants(
    read: list[str], arrays: dict[str, Array], layers: list[str], tmp_path: Path
) -> None:
    given = model("Pow", read, arrays, MAP, 13, {})
    held(given, MAP, tmp_path)
    names = [layer.op.name for layer in load_network(saved(given, tmp_path)).layers]
    assert names == [*layers, "tanh"]


@pytest.mark.parametrize("op", ["Max", "Min", "Pow"])
def test_of_two_that_are_computed_one_layer_is_made(op: str, tmp_path: Path) -> None:
    given = model(op, ["a", "b"], {}, MAP, 13, {})
    nodes = given.graph.node
    nodes.insert(0, helper.make_node("Sigmoid", ["x"], ["a"]))
    nodes.insert(1, helper.make_node("ReduceMean", ["x"], ["b"], axes=[2]))
    held(given, MAP, tmp_path)
    names = [layer.op.name for layer in load_network(saved(given, tmp_path)).layers]
    assert len(names) == 4


@pytest.mark.parametrize(
    ("pads", "said"),
    [
        ([0, 0, -1, 0, 0, 0, 0, -2], {}),
        ([0, -1, 2, 0, 0, 1, -3, 0], {}),
        ([0, 0, -1, 1, 0, 0, 1, -1], {"mode": "edge"}),
        ([0, 1, 1, 2, 0, 0, 3, 6], {"mode": "wrap"}),
    ],
    ids=str,
)
def test_pads_may_cut_off(pads: list[int], said: dict[str, Any], tmp_path: Path) -> None:
    arrays = {"pads": np.asarray(pads), "value": np.float32(1.5)}
    read = ["x", "pads"] + ["value"] * (not said)
    held(model("Pad", read, arrays, MAP, 19 if said else 13, said), MAP, tmp_path)


def test_what_is_padded_may_be_any_number(tmp_path: Path) -> None:
    """A mask's -1e9, and -inf, which is the lowest number here."""
    pads = np.array([0, 0, 1, 0, 0, 0, 0, 2])
    for value in (-1e9, -np.inf):
        arrays = {"pads": pads, "value": np.float32(value)}
        given = model("Pad", ["x", "pads", "value"], arrays, MAP, 13, {})
        given.graph.node[1].op_type = "Sigmoid"
        held(given, MAP, tmp_path)


def test_what_is_wrapped_goes_round_once(tmp_path: Path) -> None:
    arrays = {"pads": np.array([0, 0, 0, 0, 0, 0, 0, 7])}
    given = model("Pad", ["x", "pads"], arrays, MAP, 19, {"mode": "wrap"})
    with pytest.raises(InputError, match="wrapped 7 around the 6 values of an axis"):
        load_network(saved(given, tmp_path))


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("Slice", {"starts": [1, -3], "ends": [3, -1], "axes": [-1, -2]}),
        ("TopK", {"k": 2, "axis": -1}),
    ],
)
def test_attributes_of_before_opset_10(op: str, said: dict[str, Any], tmp_path: Path) -> None:
    given = model(op, ["x"], {}, MAP, 9, said)
    if op == "TopK":
        given.graph.node[0].output.append("places")
    held(given, MAP, tmp_path)


@pytest.mark.parametrize("groups", [2, 4])
def test_a_transposed_convolution_may_have_groups(groups: int, tmp_path: Path) -> None:
    arrays = {"w": array(4, 3, 3, 2), "b": array(3 * groups)}
    said = {"group": groups, "strides": [2, 1], "pads": [1, 0, 0, 1], "dilations": [2, 3]}
    held(model("ConvTranspose", ["x", "w", "b"], arrays, MAP, 13, said), MAP, tmp_path)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 4, 3, 5), {"strides": [3, 2], "output_padding": [2, 1]}),
        ((2, 4, 3, 5), {"strides": [4, 3], "pads": [2, 0, 0, 3]}),
        ((1, 4, 1, 6), {"strides": [5, 1], "pads": [0, 2, 0, 1]}),
    ],
    ids=["some phases have no tap", "nor the first", "an ofmap of one row"],
)
def test_a_transposed_convolution_may_stride_over_its_kernel(
    shape: tuple[int, ...], said: dict[str, Any], tmp_path: Path
) -> None:
    """Places that no tap reaches are the bias."""
    arrays = {"w": array(4, 3, 1, 2), "b": array(3)}
    given = model("ConvTranspose", ["x", "w", "b"], arrays, shape, 13, said)
    held(given, shape, tmp_path)


def test_a_size_that_is_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    """Input times stride by the specification and onnxruntime, and more by onnx's inference."""
    said = {"auto_pad": "SAME_UPPER", "output_padding": [1, 1], "strides": [2, 2]}
    given = model("ConvTranspose", ["x", "w"], {"w": array(4, 3, 3, 3)}, MAP, 13, said)
    with pytest.raises(InputError, match="auto_pad SAME_UPPER with output_padding"):
        load_network(saved(given, tmp_path))


@pytest.mark.parametrize("leading", [1, 3])
def test_a_constant_may_have_more_axes(leading: int, tmp_path: Path) -> None:
    """The batch is then an axis further behind."""
    held(model("Add", ["c", "x"], {"c": array(leading, 1, 4)}, (2, 4), 13, {}), (2, 4), tmp_path)


def test_exponentials_may_be_larger_than_a_float(tmp_path: Path) -> None:
    """The logarithm of their sum is not: 100 and 100 make 100 and log 2."""
    said = {"axes": [1], "keepdims": 0}
    given = model("ReduceLogSumExp", ["a"], {}, (2, 3), 13, said)
    scale = numpy_helper.from_array(np.float32(200), "c")
    given.graph.initializer.append(scale)
    given.graph.node.insert(0, helper.make_node("Mul", ["x", "c"], ["a"]))
    held(given, (2, 3), tmp_path)
    given.graph.node[1].attribute[1].i = 1
    held(given, (2, 3), tmp_path)


def test_a_constant_beside_what_is_one_image_has_no_axis_of_images(tmp_path: Path) -> None:
    given = model("Concat", ["s", "a"], {"a": array(2, 4)}, (2, 4), 13, {"axis": 1})
    given.graph.node.insert(0, helper.make_node("Softmax", ["x"], ["s"], axis=0))
    held(given, (2, 4), tmp_path)


def test_one_number_all_over_is_meant_where_it_is_added(tmp_path: Path) -> None:
    """Only in the place of weights it stands for what a tool has taken away."""
    given = model("Add", ["x", "a"], {"shape": np.asarray([4, 1, 1])}, MAP, 13, {})
    value = numpy_helper.from_array(np.asarray([0.3], np.float32))
    given.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["a"], value=value))
    held(given, MAP, tmp_path)
