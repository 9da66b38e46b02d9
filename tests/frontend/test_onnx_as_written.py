"""Models as onnxruntime's own tools write them, held against onnxruntime on the written file."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from oracles.onnx_models import computed, wrong_tiles


class Writer:
    """A model in the making; weights are drawn."""

    def __init__(self) -> None:
        self.draw = default_rng(0)
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []

    def put(self, op: str, *inputs: str, **said: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **said))
        return name

    def array(self, values: Any) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def reals(self, *shape: int) -> str:
        size = np.sqrt(np.prod(shape[1:])) if len(shape) == 4 else np.sqrt(shape[0])
        return self.array((self.draw.normal(size=shape) / size).astype(np.float32))

    def saved(self, folder: Path, shape: tuple[Any, ...], kind: int = 1) -> Path:
        last = self.nodes[-1].output[0]
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info(last, 1, None)],
            self.arrays,
        )
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "m.onnx")
        return folder / "m.onnx"


def optimised(path: Path, level: str) -> Path:
    """The file that onnxruntime writes of a model before it runs it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(path.with_name("optimised.onnx"))
    onnxruntime.InferenceSession(path, options)
    return path.with_name("optimised.onnx")


def dynamic(path: Path) -> Path:
    """With the weights' codes in seven bits: sums of more saturate without VNNI."""
    made = path.with_name("dynamic.onnx")
    quantize_dynamic(path, made, weight_type=QuantType.QInt8, reduce_range=True)
    return made


def held(path: Path, feeds: dict[str, Any]) -> set[str]:
    """Our values are onnxruntime's; the file's operators."""
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    values = computed(path, feeds).reshape(wanted.shape)
    assert np.abs(values - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert wrong_tiles(path, feeds) == []
    return {node.op_type for node in onnx.load(path).graph.node}


def block(folder: Path) -> Path:
    """A block of a transformer, its GELU spelt out."""
    w, heads, size = Writer(), 4, 16
    split = w.array(np.array([0, 0, heads, size // heads]))
    half, one, root, two = (w.array(np.float32(each)) for each in (0.5, 1, 2**0.5, 2))

    def dense(x: str, inputs: int, outputs: int) -> str:
        return w.put("Add", w.put("MatMul", x, w.reals(inputs, outputs)), w.reals(outputs))

    def norm(x: str) -> str:
        return w.put("LayerNormalization", x, w.reals(size), w.reals(size), epsilon=1e-5)

    queries, keys, values = (w.put("Reshape", dense("x", size, size), split) for _ in range(3))
    queries, values = (w.put("Transpose", each, perm=[0, 2, 1, 3]) for each in (queries, values))
    scores = w.put("MatMul", queries, w.put("Transpose", keys, perm=[0, 2, 3, 1]))
    shares = w.put("Softmax", w.put("Div", scores, two), axis=-1)
    context = w.put("Transpose", w.put("MatMul", shares, values), perm=[0, 2, 1, 3])
    context = w.put("Reshape", context, w.array(np.array([0, 0, size])))
    x = norm(w.put("Add", dense(context, size, size), "x"))
    inner = dense(x, size, 4 * size)
    error = w.put("Erf", w.put("Div", inner, root))
    inner = w.put("Mul", w.put("Mul", inner, w.put("Add", error, one)), half)
    norm(w.put("Add", dense(inner, 4 * size, size), x))
    return w.saved(folder, ("N", 6, size))


X = {"x": default_rng(1).normal(size=(1, 6, 16)).astype(np.float32)}


@pytest.mark.slow
def test_a_block_as_it_is_optimised(tmp_path: Path) -> None:
    found = held(optimised(block(tmp_path), "ORT_ENABLE_EXTENDED"), X)
    assert found >= {"FusedMatMul", "BiasGelu", "SkipLayerNormalization"}


@pytest.mark.slow
def test_a_block_quantized_as_it_runs(tmp_path: Path) -> None:
    found = held(dynamic(block(tmp_path)), X)
    assert found >= {"DynamicQuantizeLinear", "MatMulInteger"}


@pytest.mark.slow
def test_a_block_quantized_as_it_runs_and_optimised(tmp_path: Path) -> None:
    found = held(optimised(dynamic(block(tmp_path)), "ORT_ENABLE_ALL"), X)
    assert found >= {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}


@pytest.mark.parametrize("between", ["", "sum", "both"])
def test_a_table_of_codes_is_what_they_stand_for(between: str, tmp_path: Path) -> None:
    """Its rows go into a product as codes, or as reals, or as both."""
    w = Writer()
    rows = w.put("Gather", w.reals(20, 8), "x")
    made = w.put("Add", rows, w.reals(5, 8)) if between == "sum" else rows
    made = w.put("MatMul", made, w.reals(8, 8))
    if between == "both":
        w.put("Mul", made, rows)
    path = dynamic(w.saved(tmp_path, ("N", 5), 7))
    found = held(path, {"x": default_rng(1).integers(0, 20, (1, 5))})
    assert ("DequantizeLinear" in found) == bool(between)


class Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        images = default_rng(2).normal(size=(8, 1, 3, 8, 8)).astype(np.float32)
        self.left = iter([{"x": image} for image in images])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.left, None)


def residual(folder: Path) -> Path:
    """Convolutions with a sum, a gate and a concat between them, and a classifier."""
    w = Writer()

    def conv(x: str, channels: int) -> str:
        return w.put("Conv", x, w.reals(8, channels, 3, 3), w.reals(8), pads=[1, 1, 1, 1])

    first = w.put("Relu", conv("x", 3))
    made = w.put("LeakyRelu", w.put("Add", conv(first, 8), first), alpha=0.1)
    gate = w.put("Sigmoid", conv(made, 8))
    made = w.put("Concat", w.put("Mul", gate, made), first, axis=1)
    made = w.put("MaxPool", made, kernel_shape=[2, 2], strides=[2, 2])
    made = w.put("Flatten", w.put("GlobalAveragePool", made))
    w.put("Gemm", made, w.reals(5, 16), w.reals(5), transB=1)
    return w.saved(folder, ("N", 3, 8, 8))


KINDS = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


FORMATS = [("int8", "int8"), ("uint8", "uint8"), ("uint8", "int8")]


def quantized(folder: Path, form: QuantFormat, kind: str, weights: str) -> Path:
    path = folder / "codes.onnx"
    quantize_static(
        residual(folder),
        path,
        Images(),
        quant_format=form,
        activation_type=KINDS[kind],
        weight_type=KINDS[weights],
        per_channel=weights != kind,
        reduce_range=True,
    )
    return path


def equal_bit_for_bit(path: Path, kind: str, weights: str) -> tuple[Any, Any]:
    """That our codes are onnxruntime's; the images, and what it makes of them."""
    graph = onnx.load(path).graph
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    x = default_rng(3).normal(size=(2, 3, 8, 8)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    limits = np.iinfo(kind)

    def codes(values: Any, op: str, name: str) -> Any:
        """As a node of some type says that reads, or makes, a tensor."""
        (node,) = (
            each
            for each in graph.node
            if each.op_type == op and name in (*each.input, *each.output)
        )
        scale, zero = (arrays[name] for name in node.input[1:3])
        return np.clip(np.rint(values / scale) + int(zero), limits.min, limits.max).astype(int)

    settings = (f"precision={{ifmap: {kind}, filter: {weights}, psum: int32, ofmap: {kind}}}",)
    feeds = {"x": codes(x, "QuantizeLinear", "x")}
    made = codes(wanted, "DequantizeLinear", graph.output[0].name)
    assert np.array_equal(computed(path, feeds, settings), made)
    assert wrong_tiles(path, feeds, settings) == []
    return x, wanted


@pytest.mark.parametrize(
    ("kind", "weights"),
    [FORMATS[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in FORMATS[1:])],
)
def test_a_network_of_pairs_is_equal_bit_for_bit_and_as_real_numbers(
    kind: str, weights: str, tmp_path: Path
) -> None:
    """Its quantizer leaves out relus where codes end at zero: real numbers do so here."""
    path = quantized(tmp_path, QuantFormat.QDQ, kind, weights)
    assert "Relu" not in {node.op_type for node in onnx.load(path).graph.node}
    x, wanted = equal_bit_for_bit(path, kind, weights)
    values = computed(path, {"x": x}).reshape(wanted.shape)
    assert np.abs(values - wanted).max() < 0.02 * np.abs(wanted).max()
    assert wrong_tiles(path, {"x": x}) == []


@pytest.mark.parametrize(("kind", "weights"), FORMATS)
def test_a_network_of_integer_operators_is_equal_bit_for_bit(
    kind: str, weights: str, tmp_path: Path
) -> None:
    path = quantized(tmp_path, QuantFormat.QOperator, kind, weights)
    equal_bit_for_bit(path, kind, weights)
    graph = onnx.load(path).graph
    names = {"QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearConcat"}
    assert {node.op_type for node in graph.node} >= names | {"QLinearGlobalAveragePool", "QGemm"}


def test_functions_that_a_quantizer_left_to_saturation_are_kept_in_reals(tmp_path: Path) -> None:
    """A relu and a relu6 are gone; the scale of a bias is a list, its zero point is none."""
    w = Writer()
    bounds = w.array(np.float32(0)), w.array(np.float32(6))
    made = w.put("Clip", w.put("Conv", "x", w.array(4 * w.draw.normal(size=(8, 3, 3, 3)).astype(
        np.float32)), w.reals(8)), *bounds)  # fmt: skip
    made = w.put("Relu", w.put("Conv", made, w.reals(8, 8, 3, 3), w.reals(8)))
    w.put("MatMul", w.put("Flatten", made), w.reals(128, 5))
    path = tmp_path / "pairs.onnx"
    quantize_static(
        w.saved(tmp_path, ("N", 3, 8, 8)), path, Images(), activation_type=QuantType.QInt8
    )
    assert not {"Clip", "Relu"} & {node.op_type for node in onnx.load(path).graph.node}
    x = default_rng(3).normal(size=(2, 3, 8, 8)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    assert np.abs(computed(path, {"x": x}) - wanted).max() < 0.05 * np.abs(wanted).max()
