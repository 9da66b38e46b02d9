"""Convolutions and matrix products, their weights constant."""

import math
from collections.abc import Sequence
from typing import Any

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    constant,
    integers,
    kept_shape,
    optional,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import Conv, Dense, MatMul, Shape
from accelsim.units import ceil_div


def spatial(node: Node, place: int, layers: Layers) -> tuple[str, Shape, int]:
    """An input as a feature map (C, H, W), one pixel wide for (C, L); and its spatial axes."""
    source, shape = tensor(node, place, layers)
    axes = len(shape) - 1
    if axes not in (1, 2):
        raise Refused(f"{node.op} over {axes} spatial axes; only one or two are known here")
    return layers.view(source, (*shape, *(1,) * (2 - axes))), shape, axes


def both(values: Any, axes: int, default: int = 1) -> tuple[int, int]:
    """A list of one number for each spatial axis as a pair."""
    given = integers(values) if values else (default,) * axes
    if len(given) != axes:
        raise Refused(f"{list(given)} for {axes} spatial axes")
    return given[0], given[1] if axes == 2 else default


def sides(
    node: Node, size: Sequence[int], kernel: Sequence[int], axes: int
) -> tuple[int, int, int, int]:
    """The padding (top, bottom, left, right) of a convolution or a pooling."""
    auto = node.attributes.get("auto_pad", "NOTSET")
    stride = both(node.attributes.get("strides"), axes)
    dilation = both(node.attributes.get("dilations"), axes)
    if auto in ("NOTSET", ""):
        pads = integers(node.attributes.get("pads", (0,) * 2 * axes))
        if len(pads) != 2 * axes:
            raise Refused(f"pads {list(pads)} for {axes} spatial axes")
        before, after = (both(part, axes, 0) for part in (pads[:axes], pads[axes:]))
        return before[0], after[0], before[1], after[1]
    if auto == "VALID":
        return 0, 0, 0, 0
    found: list[int] = []
    for n, f, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((ceil_div(n, max(s, 1)) - 1) * s + (f - 1) * d + 1 - n, 0)
        less, more = total // 2, total - total // 2
        found += (less, more) if auto == "SAME_UPPER" else (more, less)
    return found[0], found[1], found[2], found[3]


def conv(node: Node, layers: Layers) -> str:
    """A convolution over one or two axes."""
    source, shape, axes = spatial(node, 0, layers)
    weight, bias = constant(node, 1, "weight"), optional(node, 2, "bias")
    if len(weight.shape) != axes + 2:
        raise Refused(f"its weight has shape {list(weight.shape)} for {axes} spatial axes")
    kernel = both(weight.shape[2:], axes)
    said = node.attributes.get("kernel_shape")
    if said and tuple(said) != weight.shape[2:]:
        raise Refused(f"kernel_shape {list(said)}, but its weight is {list(weight.shape)}")
    groups = int(node.attributes.get("group", 1))
    op = checked(
        Conv,
        out_channels=weight.shape[0],
        kernel=kernel,
        stride=both(node.attributes.get("strides"), axes),
        padding=sides(node, layers.shapes[source][1:], kernel, axes),
        dilation=both(node.attributes.get("dilations"), axes),
        groups=groups,
        bias=bias is not None,
    )
    if weight.shape[1] * groups != shape[0]:
        raise Refused(f"{shape[0]} channels, {groups} groups, weight {list(weight.shape)}")
    learned = {"weight": Learned(weight)} | ({} if bias is None else {"bias": Learned(bias)})
    made = layers.add(node.name, op, source, learned=learned)
    return layers.view(made, layers.shapes[made][: axes + 1])


def gemm(node: Node, layers: Layers) -> str:
    """alpha * A * B + beta * C, A being computed, B and C constants."""
    if node.attributes.get("transA"):
        raise Refused("transA puts the batch behind")
    source, shape = tensor(node, 0, layers)
    weight, bias = constant(node, 1, "B"), optional(node, 2, "C")
    turned = Learned(weight) if node.attributes.get("transB") else Learned(weight).transposed()
    outputs = weight.shape[0 if node.attributes.get("transB") else 1]
    if bias is not None and math.prod(bias.shape) not in (1, outputs):
        raise Refused(f"its C has shape {list(bias.shape)}, one row for each image")
    if bias is not None and bias.shape[-1:] not in ((outputs,), (1,), ()):
        raise Refused(f"its C has shape {list(bias.shape)}, one row for each image")
    op = checked(Dense, out_features=outputs, bias=bias is not None)
    learned = {"weight": turned.times(float(node.attributes.get("alpha", 1.0)))}
    if bias is not None:
        learned["bias"] = Learned(bias).times(float(node.attributes.get("beta", 1.0)))
    return layers.add(node.name, op, layers.view(source, shape), learned=learned)


def matmul(node: Node, layers: Layers) -> str:
    """Rows times a constant matrix, or two computed matrices, image by image."""
    source, shape = tensor(node, 0, layers)
    second = node.inputs[1]
    if not isinstance(second, Constant):
        other, right = tensor(node, 1, layers)
        if len(shape) != len(right) or len(shape) < 2 or kept_shape(shape) != shape:
            raise Refused(f"of shapes {list(shape)} and {list(right)}: not as many axes")
        return layers.add(node.name, MatMul(), source, other)
    if len(second.shape) != 2 or not shape:
        raise Refused(f"its constant has shape {list(second.shape)}, needs a matrix")
    op = checked(Dense, out_features=second.shape[1], bias=False)
    rows = shape if len(shape) == 1 else (math.prod(shape[:-1]), shape[-1])
    learned = {"weight": Learned(second).transposed()}
    made = layers.add(node.name, op, layers.view(source, rows), learned=learned)
    return _as_output(node, layers, made)


def _as_output(node: Node, layers: Layers, made: str) -> str:
    """A layer in the shape of the node's output."""
    shape = node.outputs[0].shape
    assert shape is not None
    return layers.view(made, kept_shape(shape[1:]))
