"""Convolutions, matrix products, attention and poolings."""

from typing import Any

import numpy as np

from accelsim.frontend.pytorch.nodes import Nodes, Rule, Unknown, many, shape_of
from accelsim.frontend.pytorch.program import Call


def conv(nodes: Nodes, call: Call) -> None:
    """A convolution over one or two axes."""
    weight = nodes.operand(call.arg(1, "weight"))
    size = () if weight is None or weight.shape is None else weight.shape[2:]
    axes = len(size)
    dilation = many(call.arg(5, "dilation", 1), axes)
    padding = call.arg(4, "padding", 0)
    if isinstance(padding, str):
        total = [d * (k - 1) * (padding == "same") for d, k in zip(dilation, size, strict=True)]
        pads = [*(each // 2 for each in total), *(each - each // 2 for each in total)]
    else:
        pads = many(padding, axes) * 2
    inputs = [nodes.operand(call.arg(0, "input")), weight, nodes.operand(call.arg(2, "bias"))]
    nodes.add(
        "Conv",
        call,
        inputs,
        strides=many(call.arg(3, "stride", 1), axes),
        pads=pads,
        dilations=dilation,
        group=int(call.arg(6, "groups", 1)),
    )


def conv_transpose(nodes: Nodes, call: Call) -> None:
    """A transposed convolution."""
    weight = nodes.operand(call.arg(1, "weight"))
    axes = len(() if weight is None or weight.shape is None else weight.shape) - 2
    inputs = [nodes.operand(call.arg(0, "input")), weight, nodes.operand(call.arg(2, "bias"))]
    nodes.add(
        "ConvTranspose",
        call,
        inputs,
        strides=many(call.arg(3, "stride", 1), axes),
        pads=many(call.arg(4, "padding", 0), axes) * 2,
        output_padding=many(call.arg(5, "output_padding", 0), axes),
        group=int(call.arg(6, "groups", 1)),
        dilations=many(call.arg(7, "dilation", 1), axes),
    )


def linear(nodes: Nodes, call: Call) -> None:
    """Rows times a transposed matrix."""
    affine(nodes, call, (call.args[0], call.args[1], call.arg(2, "bias")), turned=True)


def addmm(nodes: Nodes, call: Call) -> None:
    """A matrix product and a bias."""
    affine(nodes, call, (call.args[1], call.args[2], call.args[0]), turned=False)


def affine(nodes: Nodes, call: Call, given: tuple[Any, Any, Any], turned: bool) -> None:
    """Rows times a matrix; of more axes than rows and columns these are one."""
    x, weight, bias = map(nodes.operand, given)
    shape = () if x is None or x.shape is None else x.shape
    if len(shape) > 3:
        flat = (shape[0], int(np.prod(shape[1:-1])), shape[-1])
        x = nodes.add("Reshape", call, [x], f"{call.name}/rows", shape=flat)
        wide = (*flat[:2], call.shape[-1])
        made = nodes.add(
            "Gemm", call, [x, weight, bias], f"{call.name}/of_rows", transB=turned, shape=wide
        )
        nodes.add("Reshape", call, [made])
        return
    nodes.add("Gemm", call, [x, weight, bias], transB=turned)


def matmul(nodes: Nodes, call: Call) -> None:
    """The product of two."""
    nodes.add("MatMul", call, [nodes.operand(each) for each in call.args[:2]])


def attention(nodes: Nodes, call: Call) -> None:
    """Scores, shares and context."""
    scale, causal = call.arg(6, "scale"), call.arg(5, "is_causal", False)
    said: dict[str, Any] = {} if scale is None else {"scale": float(scale)}
    inputs = [
        nodes.operand(call.arg(at, key))
        for at, key in enumerate(("query", "key", "value", "attn_mask"))
    ]
    nodes.add("Attention", call, inputs, is_causal=int(bool(causal)), **said)


def pool(op: str) -> Rule:
    """A pooling."""

    def rule(nodes: Nodes, call: Call) -> None:
        x = call.arg(0, "input")
        axes = len(shape_of(nodes, x)) - 2
        kernel = many(call.arg(1, "kernel_size"), axes)
        said: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": many(call.arg(2, "stride") or kernel, axes),
            "pads": many(call.arg(3, "padding", 0), axes) * 2,
        }
        if op == "MaxPool":
            said["dilations"] = many(call.arg(4, "dilation", 1), axes)
            said["ceil_mode"] = int(call.arg(5, "ceil_mode", False))
        else:
            said["ceil_mode"] = int(call.arg(4, "ceil_mode", False))
            said["count_include_pad"] = int(call.arg(5, "count_include_pad", True))
            if call.arg(6, "divisor_override") is not None:
                raise Unknown("with a divisor of its own")
        shape = call.shape or shape_of(nodes, x)
        nodes.add(op, call, [nodes.operand(x)], shape=shape, **said)

    return rule


def adaptive(op: str, whole: str) -> Rule:
    """Windows of one size, where the sizes divide."""

    def rule(nodes: Nodes, call: Call) -> None:
        x = call.arg(0, "input")
        given = shape_of(nodes, x)[2:]
        wanted = call.shape[2:]
        if given == wanted:
            return nodes.same(call, x)
        if set(wanted) == {1}:
            nodes.add(whole, call, [nodes.operand(x)])
        elif any(size % one for size, one in zip(given, wanted, strict=True)):
            raise Unknown(f"from {list(given)} to {list(wanted)}, which does not divide")
        else:
            kernel = [size // one for size, one in zip(given, wanted, strict=True)]
            nodes.add(op, call, [nodes.operand(x)], kernel_shape=kernel, strides=kernel)
        return None

    return rule
