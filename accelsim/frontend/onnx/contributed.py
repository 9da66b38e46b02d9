"""Operators that onnxruntime adds to the standard's, spelt out as those of the standard.

Each is what onnxruntime's ContribOperators.md says of it. What codes stand for is computed with
and quantized again, so a QLinear operator is its real one between DequantizeLinear and
QuantizeLinear. What is not here keeps its name, and is refused by that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_OURS = "com.microsoft"
Sizes = Mapping[str, Sequence[int]]


class _Unknown(Exception):
    """A form that is not spelt out."""


@dataclass
class _Spelling:
    """The nodes that a node becomes. `sizes` are the shapes of the model's initializers."""

    onnx: Any
    node: Any
    sizes: Sizes
    made: list[Any] = field(default_factory=list)

    def input(self, place: int) -> str:
        """The name of an input, "" where there is none."""
        return str(self.node.input[place]) if place < len(self.node.input) else ""

    def output(self, place: int = 0) -> str:
        """The name of an output, "" where there is none."""
        return str(self.node.output[place]) if place < len(self.node.output) else ""

    def said(self, name: str, default: Any) -> Any:
        """An attribute."""
        for each in self.node.attribute:
            if each.name == name:
                value = self.onnx.helper.get_attribute_value(each)
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return default

    def kept(self, *names: str) -> dict[str, Any]:
        """Those of the attributes that are there."""
        return {name: value for name in names if (value := self.said(name, None)) is not None}

    def put(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """A node of the standard; the name of what it makes."""
        out = out or f"{self.node.output[0]}/{op}{len(self.made)}"
        named = f"{self.node.name or self.node.output[0]}/{op}{len(self.made)}"
        self.made.append(self.onnx.helper.make_node(op, inputs, [out], named, **attributes))
        return out

    def array(self, values: Any) -> str:
        """A constant."""
        value = self.onnx.numpy_helper.from_array(np.asarray(values))
        return self.put("Constant", value=value)

    def real(self, place: int) -> str:
        """What codes stand for, whose scale and zero point follow them."""
        return self.put("DequantizeLinear", *(self.input(place + at) for at in range(3)))

    def codes(self, source: str, place: int, out: str = "") -> None:
        """The output, as codes; their scale is at a place, the zero point behind it."""
        scale, zero = self.input(place), self.input(place + 1)
        self.put("QuantizeLinear", source, scale, zero, out=out or self.output())

    def plus(self, source: str, place: int) -> str:
        """And an input, if there is one."""
        return self.put("Add", source, self.input(place)) if self.input(place) else source


def expanded(onnx: Any, proto: Any) -> Any:
    """The model with such nodes spelt out; the same one where it has none."""
    if not any(node.domain == _OURS or node.op_type in _NO_DOMAIN for node in proto.graph.node):
        return proto
    sizes = {each.name: tuple(each.dims) for each in proto.graph.initializer}
    nodes = [made for node in proto.graph.node for made in _spelt_out(onnx, node, sizes)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


def _spelt_out(onnx: Any, node: Any, sizes: Sizes) -> list[Any]:
    rule = _RULES.get(node.op_type) if node.domain == _OURS else _NO_DOMAIN.get(node.op_type)
    if rule is None or not node.output:
        return [node]
    spelling = _Spelling(onnx, node, sizes)
    try:
        rule(spelling)
    except (_Unknown, TypeError, ValueError, OverflowError):  # and attributes of a wrong type
        return [node]
    return spelling.made


# --- Codes ----------------------------------------------------------------------------------------


def _of_codes(op: str, *names: str) -> Callable[[_Spelling], None]:
    """A function of codes, of one tensor: scale and zero point of the output follow its own."""

    def rule(on: _Spelling) -> None:
        if on.said("channels_last", 0):
            raise _Unknown
        on.codes(on.put(op, on.real(0), **on.kept(*names)), 3)

    return rule


def _of_two(op: str) -> Callable[[_Spelling], None]:
    def rule(on: _Spelling) -> None:
        on.codes(on.put(op, on.real(0), on.real(3)), 6)

    return rule


def _qlinear_concat(on: _Spelling) -> None:
    parts = [on.real(place) for place in range(2, len(on.node.input), 3)]
    on.codes(on.put("Concat", *parts, **on.kept("axis")), 0)


def _qgemm(on: _Spelling) -> None:
    """The third operand is whole numbers of alpha times both scales."""
    alpha, turned = float(on.said("alpha", 1.0)), int(on.said("transB", 0))
    each = len(on.sizes.get(on.input(4), ())) == 1 and on.sizes[on.input(4)] != (1,)
    axis: dict[str, Any] = {"axis": 1 - turned} if each else {}
    weight = on.put("DequantizeLinear", *(on.input(at) for at in (3, 4, 5)), **axis)
    inputs = [on.real(0), weight]
    if on.input(6):
        unit = on.put("Mul", on.put("Mul", on.input(1), on.input(4)), on.array(np.float32(alpha)))
        last = len(on.sizes.get(on.input(6), (0,))) - 1
        along: dict[str, Any] = {"axis": last} if each else {}
        inputs.append(on.put("DequantizeLinear", on.input(6), unit, **along))
    given = {"alpha": alpha, "transA": int(on.said("transA", 0)), "transB": turned}
    coded = bool(on.input(7))
    made = on.put("Gemm", *inputs, out="" if coded else on.output(), **given)
    if coded:
        on.codes(made, 7)


def _dynamic_matmul(on: _Spelling) -> None:
    """A, B, its scale, zero point, bias."""
    base = on.output()
    names = [f"{base}/{each}" for each in ("codes", "scale", "zero")]
    helper = on.onnx.helper
    on.made.append(helper.make_node("DynamicQuantizeLinear", [on.input(0)], names, f"{base}/q"))
    scale = on.put("Mul", names[1], on.input(2))
    sums = on.put("MatMulInteger", names[0], on.input(1), names[2], on.input(3))
    _from_sums(on, sums, scale, 4)


def _matmul_to_float(on: _Spelling) -> None:
    """A, B, both scales, both zero points, bias."""
    sums = on.put("MatMulInteger", *(on.input(at) for at in (0, 1, 4, 5)))
    _from_sums(on, sums, on.put("Mul", on.input(2), on.input(3)), 6)


def _from_sums(on: _Spelling, sums: str, scale: str, bias: int) -> None:
    reals = on.put("Cast", sums, to=on.onnx.TensorProto.FLOAT)
    whole = on.put("Mul", reals, scale, out="" if on.input(bias) else on.output())
    if on.input(bias):
        on.put("Add", whole, on.input(bias), out=on.output())


def _as_it_is(on: _Spelling) -> None:
    """The standard's own, without a domain."""
    on.put(on.node.op_type, *on.node.input, out=on.output(), **on.kept("axis"))


# --- Reals ----------------------------------------------------------------------------------------


def _gelu(approximate: str, place: int) -> Callable[[_Spelling], None]:
    """Of the first input, and one at a place if it is there."""

    def rule(on: _Spelling) -> None:
        on.put("Gelu", on.plus(on.input(0), place), out=on.output(), approximate=approximate)

    return rule


def _quick_gelu(on: _Spelling) -> None:
    """x * sigmoid(alpha x)."""
    alpha = on.array(np.float32(on.said("alpha", 1.702)))
    share = on.put("Sigmoid", on.put("Mul", on.input(0), alpha))
    on.put("Mul", on.input(0), share, out=on.output())


def _skip_norm(op: str, bias: int) -> Callable[[_Spelling], None]:
    """The norm of a sum of two, or of a bias more; the sum may be the fourth output."""

    def rule(on: _Spelling) -> None:
        gamma = [on.input(2), *([on.input(3)] if bias == 4 else [])]
        whole = on.plus(on.put("Add", on.input(0), on.input(1)), bias)
        given = {"axis": -1, "epsilon": float(on.said("epsilon", 1e-12))}
        on.put(op, whole, *gamma, out=on.output(), **given)
        if on.output(3):
            on.put("Identity", whole, out=on.output(3))

    return rule


def _simple_norm(on: _Spelling) -> None:
    given = {"axis": int(on.said("axis", -1)), "epsilon": float(on.said("epsilon", 1e-5))}
    on.put("RMSNormalization", on.input(0), on.input(1), out=on.output(), **given)


_WITH_ALPHA = ("LeakyRelu", "Elu", "ThresholdedRelu")


def _activated(on: _Spelling, source: str) -> None:
    """A function, by its name and parameters, of what a fused node has summed."""
    name, given = str(on.said("activation", "")), list(on.said("activation_params", ()))
    if name in ("", "Relu", "Sigmoid", "Tanh"):
        on.put(name or "Identity", source, out=on.output())
    elif name == "LeakyRelu":
        alpha = given[0] if given else on.said("activation_alpha", 0.01)
        on.put(name, source, out=on.output(), alpha=float(alpha))
    elif name == "HardSigmoid" and len(given) == 2:
        on.put(name, source, out=on.output(), alpha=given[0], beta=given[1])
    elif name == "Clip" and len(given) == 2:
        bounds = map(on.array, np.asarray(given, np.float32))
        on.put(name, source, *bounds, out=on.output())
    else:
        raise _Unknown


def _fused_conv(on: _Spelling) -> None:
    """The sum of a convolution and a fourth input, and a function of it."""
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    inputs = [on.input(at) for at in range(3 if on.input(2) else 2)]
    _activated(on, on.plus(on.put("Conv", *inputs, **on.kept(*names)), 3))


def _fused_gemm(on: _Spelling) -> None:
    inputs = [on.input(at) for at in range(3 if on.input(2) else 2)]
    _activated(on, on.put("Gemm", *inputs, **on.kept("alpha", "beta", "transA", "transB")))


def _fused_matmul(on: _Spelling) -> None:
    """As it is, but as one of ours: its transposes are of tensors whose rank is not known yet."""
    if on.said("transBatchA", 0) or on.said("transBatchB", 0):
        raise _Unknown
    given = on.kept("alpha", "transA", "transB")
    on.put("FusedMatMul", on.input(0), on.input(1), out=on.output(), **given)


def _slices(on: _Spelling, source: str, axis: int) -> list[str]:
    """A constant in three, along an axis."""
    size = on.sizes.get(source, ())
    if len(size) <= axis or size[axis] % 3:
        raise _Unknown
    part = size[axis] // 3
    bounds = [[at * part] for at in range(4)]
    return [
        on.put("Slice", source, *map(on.array, (bounds[at], bounds[at + 1], [axis])))
        for at in range(3)
    ]


def _attention(on: _Spelling) -> None:
    """Products with three parts of a weight, then the standard's attention; masks are not known."""
    if any(map(on.input, (3, 4, 6))) or on.output(1) or on.said("qkv_hidden_sizes", None):
        raise _Unknown
    parts = [on.put("MatMul", on.input(0), each) for each in _slices(on, on.input(1), 1)]
    if on.input(2):
        biases = _slices(on, on.input(2), 0)
        parts = [on.put("Add", *pair) for pair in zip(parts, biases, strict=True)]
    _heads(on, parts, 5)


def _many_heads(on: _Spelling) -> None:
    """The standard's attention of queries, keys and values with their biases."""
    parts = [on.input(at) for at in range(3)]
    if not all(parts) or any(map(on.input, (4, 6, 7))) or on.output(1):
        raise _Unknown
    if on.input(3):
        biases = _slices(on, on.input(3), 0)
        parts = [on.put("Add", *pair) for pair in zip(parts, biases, strict=True)]
    _heads(on, parts, 5)


def _heads(on: _Spelling, parts: Sequence[str], mask: int) -> None:
    heads = int(on.said("num_heads", 1))
    given: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": heads} | on.kept("scale")
    given["is_causal"] = int(on.said("unidirectional", 0))
    masks = [on.input(mask)] if on.input(mask) else []
    on.put("Attention", *parts, *masks, out=on.output(), **given)


_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
_RULES: Mapping[str, Callable[[_Spelling], None]] = {
    "QLinearAdd": _of_two("Add"),
    "QLinearMul": _of_two("Mul"),
    "QLinearSigmoid": _of_codes("Sigmoid"),
    "QLinearLeakyRelu": _of_codes("LeakyRelu", "alpha"),
    "QLinearSoftmax": _of_codes("Softmax", "axis"),
    "QLinearGlobalAveragePool": _of_codes("GlobalAveragePool"),
    "QLinearAveragePool": _of_codes("AveragePool", *_POOL),
    "QLinearConcat": _qlinear_concat,
    "QGemm": _qgemm,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulIntegerToFloat": _matmul_to_float,
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _as_it_is),
    "Gelu": _gelu("none", 1),
    "BiasGelu": _gelu("none", 1),
    "FastGelu": _gelu("tanh", 1),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_norm("LayerNormalization", 4),
    "SkipSimplifiedLayerNormalization": _skip_norm("RMSNormalization", 3),
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "Attention": _attention,
    "MultiHeadAttention": _many_heads,
}
_NO_DOMAIN: Mapping[str, Callable[[_Spelling], None]] = {
    "SimplifiedLayerNormalization": _simple_norm,
}
"""What onnxruntime writes without a domain."""
