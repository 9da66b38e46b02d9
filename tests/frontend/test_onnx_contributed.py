"""Operators of the domain com.microsoft: drawn ones against onnxruntime, in reals and in codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.random import Generator, default_rng
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from oracles.onnx_models import computed, wrong_tiles

from accelsim.errors import UncoveredError
from accelsim.frontend import load_network

Put = Callable[..., str]
OURS = "com.microsoft"


class Writer:
    """A model in the making."""

    def __init__(self, draw: Generator, *shapes: tuple[int, ...]) -> None:
        self.draw, self.shapes = draw, {f"x{at}": shape for at, shape in enumerate(shapes)}
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}

    def put(self, op: str, *inputs: str, domain: str = OURS, outputs: int = 1, **said: Any) -> str:
        names = [f"t{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **said))
        return names[0]

    def array(self, values: Any) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = np.asarray(values)
        return name

    def reals(self, *shape: int) -> str:
        return self.array(self.draw.normal(size=shape).astype(np.float32))

    def model(self, last: str, kind: int = TensorProto.FLOAT) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in self.shapes.items()
            ],
            [helper.make_tensor_value_info(last, kind, None)],
            [numpy_helper.from_array(each, name) for name, each in self.arrays.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(OURS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def feeds(self) -> dict[str, Any]:
        return {
            name: self.draw.normal(size=shape).astype(np.float32)
            for name, shape in self.shapes.items()
        }


def saved(writer: Writer, last: str, folder: Path, kind: int = TensorProto.FLOAT) -> Path:
    path = folder / "model.onnx"
    onnx.save(writer.model(last, kind), path)
    return path


def by_onnxruntime(path: Path, feeds: dict[str, Any]) -> Any:
    try:
        return onnxruntime.InferenceSession(path).run(None, feeds)[0]
    except Fail:  # 1.22 makes a wrong graph of some when it optimises
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(path, options).run(None, feeds)[0]


# --- Reals ----------------------------------------------------------------------------------------


def fused_matmul(w: Writer, pick: Callable[..., Any]) -> str:
    turns = {"transA": pick(0, 1), "transB": pick(0, 1), "alpha": pick(1.0, 0.25)}
    return w.put("FusedMatMul", "x0", "x1", **turns)


def norm(w: Writer, pick: Callable[..., Any]) -> str:
    simple, bias = pick(0, 1), pick(0, 1)
    name = "SkipSimplifiedLayerNormalization" if simple else "SkipLayerNormalization"
    learned = [w.reals(12) for _ in range(1 if simple else 2)]
    made = w.put(
        name, "x0", "x1", *learned, *([w.reals(12)] if bias else []), outputs=4, epsilon=1e-3
    )
    if pick(0, 1):
        return w.put("Add", made, w.nodes[-1].output[3], domain="")
    return made


def conv(w: Writer, pick: Callable[..., Any]) -> str:
    name = pick("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid")
    given = {"LeakyRelu": [0.2], "Clip": [-0.5, 0.5], "HardSigmoid": [0.25, 0.5]}.get(name)
    said = {"activation_params": given} if given else {}
    inputs = ["x0", w.reals(4, 4, 3, 3), w.reals(4)] + (["x1"] if pick(0, 1) else [])
    return w.put("FusedConv", *inputs, activation=name, pads=[1, 1, 1, 1], **said)


def attention(w: Writer, pick: Callable[..., Any]) -> str:
    learned = [w.reals(12, 36), w.reals(36)]
    return w.put("Attention", "x0", *learned, num_heads=3, unidirectional=pick(0, 1))


def many_heads(w: Writer, pick: Callable[..., Any]) -> str:
    bias = [w.reals(36)] if pick(0, 1) else []
    said = {"scale": 0.5} if pick(0, 1) else {}
    return w.put("MultiHeadAttention", "x0", "x1", "x1", *bias, num_heads=2, **said)


ROWS = (2, 6, 12)
REALS: dict[
    str, tuple[tuple[tuple[int, ...], ...], Callable[[Writer, Callable[..., Any]], str]]
] = {
    "FusedMatMul": (((2, 3, 5, 5), (2, 3, 5, 5)), fused_matmul),
    "FusedMatMul of a constant": (
        (ROWS,),
        lambda w, pick: w.put("FusedMatMul", "x0", w.reals(12, 7), alpha=0.5),
    ),
    "FusedMatMul of a turned constant": (
        (ROWS,),
        lambda w, pick: w.put("FusedMatMul", "x0", w.reals(7, 12), transB=1),
    ),
    "Gelu": ((ROWS,), lambda w, pick: w.put("Gelu", "x0")),
    "QuickGelu": ((ROWS,), lambda w, pick: w.put("QuickGelu", "x0", alpha=pick(1.0, 1.702))),
    "BiasGelu": ((ROWS,), lambda w, pick: w.put("BiasGelu", "x0", w.reals(12))),
    "FastGelu": (
        (ROWS,),
        lambda w, pick: w.put("FastGelu", "x0", *([w.reals(12)] if pick(0, 1) else [])),
    ),
    "SkipLayerNormalization": ((ROWS, ROWS), norm),
    "SimplifiedLayerNormalization": (
        (ROWS,),
        lambda w, pick: w.put("SimplifiedLayerNormalization", "x0", w.reals(12), domain=""),
    ),
    "FusedConv": (((2, 4, 6, 5), (2, 4, 6, 5)), conv),
    "FusedGemm": (
        ((4, 12),),
        lambda w, pick: w.put(
            "FusedGemm", "x0", w.reals(9, 12), w.reals(9), transB=1, activation=pick("Relu", "Tanh")
        ),
    ),
    "Attention": ((ROWS,), attention),
    "MultiHeadAttention": ((ROWS, (2, 9, 12)), many_heads),
}


@pytest.mark.parametrize("seed", [0, *(pytest.param(at, marks=pytest.mark.slow) for at in (1, 2))])
@pytest.mark.parametrize("name", REALS)
def test_reals_are_what_onnxruntime_computes(name: str, seed: int, tmp_path: Path) -> None:
    shapes, rule = REALS[name]
    draw = default_rng(seed)
    writer = Writer(draw, *shapes)
    path = saved(writer, rule(writer, lambda *of: of[int(draw.integers(len(of)))]), tmp_path)
    feeds = writer.feeds()
    used = {each.name for each in onnxruntime.InferenceSession(path).get_inputs()}
    read = {name for node in writer.nodes for name in node.input}
    feeds = {name: array for name, array in feeds.items() if name in read & used}
    wanted = by_onnxruntime(path, {n: feeds.get(n, writer.feeds()[n]) for n in used})
    values = computed(path, feeds).reshape(wanted.shape)
    assert np.abs(values - wanted).max() <= 2e-5 * np.abs(wanted).max()
    assert wrong_tiles(path, feeds) == []


# --- Codes ----------------------------------------------------------------------------------------


class Codes(Writer):
    """Behind an input that is quantized, and a convolution of codes of it."""

    def __init__(self, draw: Generator, kind: type[Any]) -> None:
        super().__init__(draw, (2, 3, 6, 6))
        self.kind = kind
        self.x = self.quantization()
        self.at = self.put("QuantizeLinear", "x0", *self.x, domain="")
        self.convolved(3)

    def quantization(self) -> tuple[str, str]:
        limits = np.iinfo(self.kind)
        middle = (limits.min + limits.max + 1) // 2
        zero = self.kind(middle + self.draw.integers(-20, 21))
        return self.array(np.float32(self.draw.uniform(0.02, 0.06))), self.array(zero)

    def convolved(self, channels: int) -> None:
        """Seven bits: products of more saturate in onnxruntime without VNNI."""
        weight = self.array(self.draw.integers(-63, 64, (4, channels, 3, 3)).astype(np.int8))
        scale, zero = self.array(np.float32(0.01)), self.array(np.int8(0))
        y = self.quantization()
        given = (self.at, *self.x, weight, scale, zero, *y)
        self.at, self.x = self.put("QLinearConv", *given, domain="", pads=[1, 1, 1, 1]), y

    def step(self, op: str, *before: str, **said: Any) -> None:
        """A function of the codes so far, and what more there is."""
        y = self.quantization()
        self.at, self.x = self.put(op, self.at, *self.x, *before, *y, **said), y


def pairs(op: str) -> Callable[[Codes], None]:
    def rule(c: Codes) -> None:
        first = c.at, *c.x
        c.convolved(4)
        c.step(op, *first)

    return rule


def concat(c: Codes) -> None:
    first = c.at, *c.x
    c.convolved(4)
    y = c.quantization()
    c.at, c.x = c.put("QLinearConcat", *y, c.at, *c.x, *first, axis=1), y


def gemm(c: Codes) -> None:
    c.step("QLinearGlobalAveragePool", channels_last=0)
    c.at = c.put("Flatten", c.at, domain="")
    weight = c.array(c.draw.integers(-63, 64, (7, 4)).astype(np.int8))
    scale = c.array(c.draw.uniform(0.01, 0.02, 7).astype(np.float32))
    zero, bias = c.array(np.zeros(7, np.int8)), c.array(c.draw.integers(-99, 99, 7, np.int32))
    c.step("QGemm", weight, scale, zero, bias, transB=1)


CODES: dict[str, Callable[[Codes], None]] = {
    "QLinearAdd": pairs("QLinearAdd"),
    "QLinearMul": pairs("QLinearMul"),
    "QLinearSigmoid": lambda c: c.step("QLinearSigmoid"),
    "QLinearLeakyRelu": lambda c: c.step("QLinearLeakyRelu", alpha=0.1),
    "QLinearGlobalAveragePool": lambda c: c.step("QLinearGlobalAveragePool", channels_last=0),
    "QLinearAveragePool": lambda c: c.step(
        "QLinearAveragePool", kernel_shape=[2, 2], channels_last=0
    ),
    "QLinearSoftmax": lambda c: c.step("QLinearSoftmax", axis=-1, opset=13),
    "QLinearConcat": concat,
    "QGemm": gemm,
}


def apart(name: str, seed: int, kind: type[Any], folder: Path) -> Any:
    """Our codes less onnxruntime's."""
    writer = Codes(default_rng(seed), kind)
    CODES[name](writer)
    element = TensorProto.UINT8 if kind is np.uint8 else TensorProto.INT8
    path = saved(writer, writer.at, folder, element)
    feeds = writer.feeds()
    wanted = by_onnxruntime(path, feeds)
    ours = kind.__name__
    settings = (f"precision={{ifmap: {ours}, filter: int8, psum: int32, ofmap: {ours}}}",)
    limits, (scale, zero) = np.iinfo(kind), (writer.arrays[f"c{at}"] for at in (0, 1))
    codes = np.clip(np.rint(feeds["x0"] / scale) + int(zero), limits.min, limits.max)
    feeds = {"x0": codes.astype(int)}
    assert wrong_tiles(path, feeds, settings) == []
    return computed(path, feeds, settings).reshape(wanted.shape).astype(int) - wanted


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("name", CODES)
def test_codes_are_those_of_onnxruntime(name: str, kind: type[Any], tmp_path: Path) -> None:
    """A softmax has another table of exponentials there."""
    assert np.abs(apart(name, 0, kind, tmp_path)).max() <= (name == "QLinearSoftmax")


# --- What is not spelt out ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("FusedMatMul", {"transBatchA": 1}),
        ("FusedConv", {"activation": "Unknown"}),
        ("FusedConv", {"activation_params": "text", "activation": "LeakyRelu"}),
        ("QLinearAveragePool", {"channels_last": 1}),
        ("MatMulNBits", {"K": 8, "N": 4, "bits": 4, "block_size": 16}),  # of other weights
        ("DynamicQuantizeLSTM", {"hidden_size": 4}),
    ],
)
def test_other_forms_are_refused_by_name(op: str, said: dict[str, Any], tmp_path: Path) -> None:
    writer = Writer(default_rng(0), (1, 4, 6, 6))
    made = writer.put(op, "x0", writer.reals(4, 4, 1, 1), writer.reals(4), **said)
    with pytest.raises(UncoveredError, match=f"com.microsoft.{op}: 1 of 1 node"):
        load_network(saved(writer, made, tmp_path))
