"""Operators that onnxruntime adds to the standard's, spelt out as those of the standard.

Each is what onnxruntime's ContribOperators.md says of it. What codes stand for is computed with
and quantized again, so a QLinear operator is its real one between DequantizeLinear and
QuantizeLinear. What is not here keeps its name, and is refused by that.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from accelsim.frontend.onnx import contributed_attention, contributed_blocks
from accelsim.frontend.onnx.spelling import WHY_NOT, Rule, Sizes, Spelling, Unknown

_OURS = "com.microsoft"


def expanded(onnx: Any, proto: Any) -> Any:
    """The model with such nodes spelt out; the same one where it has none."""
    if not any(node.domain == _OURS or node.op_type in _NO_DOMAIN for node in proto.graph.node):
        return proto
    sizes = {each.name: tuple(each.dims) for each in proto.graph.initializer}
    nodes = [made for node in proto.graph.node for made in spelt_out(onnx, node, sizes)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


def spelt_out(onnx: Any, node: Any, sizes: Sizes) -> list[Any]:
    """The nodes that one becomes; `sizes` are the shapes of initializers."""
    rule = _RULES.get(node.op_type) if node.domain == _OURS else _NO_DOMAIN.get(node.op_type)
    if rule is None or not node.output:
        return [node]
    spelling = Spelling(onnx, node, sizes)
    try:
        rule(spelling)
    except (TypeError, ValueError, OverflowError):  # attributes of a wrong type
        return [node]
    except Unknown as form:
        if str(form):
            node.attribute.append(onnx.helper.make_attribute(WHY_NOT, str(form)))
        return [node]
    return spelling.made


# --- Codes ----------------------------------------------------------------------------------------


def _of_codes(op: str, *names: str) -> Rule:
    """A function of codes, of one tensor: scale and zero point of the output follow its own."""

    def rule(on: Spelling) -> None:
        if on.said("channels_last", 0):
            raise Unknown("with channels last")
        on.codes(on.put(op, on.real(0), **on.kept(*names)), 3)

    return rule


def _of_two(op: str) -> Rule:
    def rule(on: Spelling) -> None:
        on.codes(on.put(op, on.real(0), on.real(3)), 6)

    return rule


def _qlinear_concat(on: Spelling) -> None:
    parts = [on.real(place) for place in range(2, len(on.node.input), 3)]
    on.codes(on.put("Concat", *parts, **on.kept("axis")), 0)


def _qgemm(on: Spelling) -> None:
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


def _dynamic_matmul(on: Spelling) -> None:
    """A, B, its scale, zero point, bias."""
    base = on.output()
    names = [f"{base}/{each}" for each in ("codes", "scale", "zero")]
    helper = on.onnx.helper
    on.made.append(helper.make_node("DynamicQuantizeLinear", [on.input(0)], names, f"{base}/q"))
    scale = on.put("Mul", names[1], on.input(2))
    sums = on.put("MatMulInteger", names[0], on.input(1), names[2], on.input(3))
    _from_sums(on, sums, scale, 4)


def _matmul_to_float(on: Spelling) -> None:
    """A, B, both scales, both zero points, bias."""
    sums = on.put("MatMulInteger", *(on.input(at) for at in (0, 1, 4, 5)))
    _from_sums(on, sums, on.put("Mul", on.input(2), on.input(3)), 6)


def _from_sums(on: Spelling, sums: str, scale: str, bias: int) -> None:
    reals = on.put("Cast", sums, to=on.onnx.TensorProto.FLOAT)
    whole = on.put("Mul", reals, scale, out="" if on.input(bias) else on.output())
    if on.input(bias):
        on.put("Add", whole, on.input(bias), out=on.output())


def _as_it_is(on: Spelling) -> None:
    """The standard's own, without a domain."""
    on.put(on.node.op_type, *on.node.input, out=on.output(), **on.kept("axis"))


# --- Reals ----------------------------------------------------------------------------------------


def _gelu(approximate: str, place: int) -> Rule:
    """Of the first input, and one at a place if it is there."""

    def rule(on: Spelling) -> None:
        on.put("Gelu", on.plus(on.input(0), place), out=on.output(), approximate=approximate)

    return rule


def _quick_gelu(on: Spelling) -> None:
    """x * sigmoid(alpha x)."""
    alpha = on.array(np.float32(on.said("alpha", 1.702)))
    share = on.put("Sigmoid", on.put("Mul", on.input(0), alpha))
    on.put("Mul", on.input(0), share, out=on.output())


def _skip_norm(op: str, bias: int) -> Rule:
    """The norm of a sum of two, or of a bias more; the sum may be the fourth output."""

    def rule(on: Spelling) -> None:
        gamma = [on.input(2), *([on.input(3)] if bias == 4 else [])]
        whole = on.plus(on.put("Add", on.input(0), on.input(1)), bias)
        given = {"axis": -1, "epsilon": float(on.said("epsilon", 1e-12))}
        on.put(op, whole, *gamma, out=on.output(), **given)
        if on.output(3):
            on.put("Identity", whole, out=on.output(3))

    return rule


def _simple_norm(on: Spelling) -> None:
    given = {"axis": int(on.said("axis", -1)), "epsilon": float(on.said("epsilon", 1e-5))}
    on.put("RMSNormalization", on.input(0), on.input(1), out=on.output(), **given)


_WITH_ALPHA = ("LeakyRelu", "Elu", "ThresholdedRelu")


def _activated(on: Spelling, source: str) -> None:
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
        raise Unknown(f"with the activation {name!r}")


def _fused_conv(on: Spelling) -> None:
    """The sum of a convolution and a fourth input, and a function of it."""
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    inputs = [on.input(at) for at in range(3 if on.input(2) else 2)]
    _activated(on, on.plus(on.put("Conv", *inputs, **on.kept(*names)), 3))


def _fused_gemm(on: Spelling) -> None:
    inputs = [on.input(at) for at in range(3 if on.input(2) else 2)]
    _activated(on, on.put("Gemm", *inputs, **on.kept("alpha", "beta", "transA", "transB")))


def _fused_matmul(on: Spelling) -> None:
    """As it is, but as one of ours: its transposes are of tensors whose rank is not known yet."""
    if on.said("transBatchA", 0) or on.said("transBatchB", 0):
        raise Unknown("with batches turned")
    given = on.kept("alpha", "transA", "transB")
    on.put("FusedMatMul", on.input(0), on.input(1), out=on.output(), **given)


_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
_RULES: Mapping[str, Rule] = {
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
    **contributed_attention.RULES,
    **contributed_blocks.RULES,
}
_NO_DOMAIN: Mapping[str, Rule] = {
    "SimplifiedLayerNormalization": _simple_norm,
}
"""What onnxruntime writes without a domain."""
