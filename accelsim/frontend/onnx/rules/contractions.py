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
    spread,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.functions import scaled
from accelsim.network.ops import Add, Conv, Dense, MatMul, ScaleShift, Shape, Transpose
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
    """alpha * A * B + beta * C, A or B being computed, the others constants or computed."""
    if isinstance(node.inputs[0], Constant):
        return _constant_times(node, layers, node.inputs[0])
    said = node.attributes
    source, shape = tensor(node, 0, layers)
    if said.get("transA"):
        source = layers.add(f"{node.name}/turned", Transpose(order=(1, 0)), source)
        shape = shape[::-1]
    alpha, beta = (float(said.get(name, 1.0)) for name in ("alpha", "beta"))
    weight = node.inputs[1]
    if not isinstance(weight, Constant):
        other, _ = tensor(node, 1, layers)
        op = checked(MatMul, transpose_second=bool(said.get("transB")), scale=alpha)
        return _plus(node, layers, layers.add(node.name, op, source, other), beta)
    turned = Learned(weight) if said.get("transB") else Learned(weight).transposed()
    outputs = weight.shape[0 if said.get("transB") else 1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    own = isinstance(bias, Constant) and spread(bias, 2) in ((1, outputs), (1, 1))
    op = checked(Dense, out_features=outputs, bias=own)
    learned = {"weight": turned.times(alpha)}
    if isinstance(bias, Constant) and own:
        learned["bias"] = Learned(bias).times(beta)
    rows = (math.prod(shape[:-1]), shape[-1]) if len(shape) > 2 else shape
    made = layers.add(node.name, op, layers.view(source, rows), learned=learned)
    return _as_output(node, layers, made if own else _plus(node, layers, made, beta))


def _constant_times(node: Node, layers: Layers, first: Constant) -> str:
    """A Gemm whose A is constant."""
    said = node.attributes
    source, shape = tensor(node, 1, layers)
    if said.get("transB"):
        source = layers.add(f"{node.name}/turned", Transpose(order=(1, 0)), source)
        shape = shape[::-1]
    rows = Learned(first).transposed() if said.get("transA") else Learned(first)
    size = first.shape[::-1] if said.get("transA") else first.shape
    alpha, beta = (float(said.get(name, 1.0)) for name in ("alpha", "beta"))
    made = times_each(layers, node.name, (rows.times(alpha), size), (source, shape))
    return _as_output(node, layers, _plus(node, layers, made, beta))


def _plus(node: Node, layers: Layers, made: str, beta: float) -> str:
    """A Gemm's product, plus beta * C."""
    third = node.inputs[2] if len(node.inputs) > 2 else None
    if third is None or beta == 0:
        return made
    shape = layers.shapes[made]
    if not isinstance(third, Constant):
        other, own = tensor(node, 2, layers)
        if beta != 1:
            other = scaled(layers, f"{node.name}/beta", other, beta, 0.0)
        return layers.add(f"{node.name}/plus", Add(), *layers.aligned((made, shape), (other, own)))
    own = spread(third, len(shape))
    if len(own) > len(shape):
        raise Refused(f"its C has shape {list(third.shape)}, one row for each image")
    learned = {"gamma": Learned(1.0), "beta": Learned(third).times(beta)}
    return layers.add(f"{node.name}/plus", checked(ScaleShift, shape=own), made, learned=learned)


def times_each(
    layers: Layers, name: str, matrices: tuple[Learned, Shape], read: tuple[str, Shape]
) -> str:
    """Constant matrices (..., m, k) times computed ones (..., k, n): (..., m, n).

    A convolution of as many groups as there are matrices, its channels being their rows.
    """
    (learned, (*ahead, m, k)), (source, shape) = matrices, read
    groups, count, n = math.prod(shape[:-2]), math.prod(ahead), shape[-1]
    if shape[-2] != k or count not in (1, groups):
        raise Refused(f"of a constant {[*ahead, m, k]} and {list(shape)}")
    each = layers.view(source, (groups, k, n))
    if count < groups:  # one for all: their columns are one matrix
        each = layers.add(f"{name}/columns", Transpose(order=(1, 0, 2)), each)
    wide = layers.view(each, (count * k, groups // count * n, 1))
    op = checked(Conv, out_channels=count * m, kernel=(1, 1), groups=count, bias=False)
    made = layers.add(name, op, wide, learned={"weight": learned})
    if count < groups:
        made = layers.view(made, (m, groups, n))
        made = layers.add(f"{name}/apart", Transpose(order=(1, 0, 2)), made)
    return layers.view(made, kept_shape((*shape[:-2], m, n)))


def _by_each(node: Node, layers: Layers, read: tuple[str, Shape], second: Constant) -> str:
    """Computed matrices, each times a constant one of its own: all turned, the other way round."""
    source, shape = read
    groups, (m, k) = math.prod(shape[:-2]), shape[-2:]
    each = layers.view(source, (groups, m, k))
    each = layers.add(f"{node.name}/turned", Transpose(order=(0, 2, 1)), each)
    learned = Learned(second).turned(), (*second.shape[:-2], second.shape[-1], k)
    made = times_each(layers, f"{node.name}/product", learned, (each, (groups, k, m)))
    return _as_output(node, layers, layers.add(node.name, Transpose(order=(0, 2, 1)), made))


def matmul(node: Node, layers: Layers) -> str:
    """Rows times a constant matrix, or two computed matrices, image by image.

    A vector is a row where it is the first, a column where it is the second.
    """
    first, second = node.inputs[:2]
    if isinstance(first, Constant):
        source, shape = _column(layers, tensor(node, 1, layers))
        rows = first.shape if len(first.shape) > 1 else (1, *first.shape)
        made = times_each(layers, node.name, (Learned(first), rows), (source, shape))
        return _as_output(node, layers, made)
    source, shape = tensor(node, 0, layers)
    if not isinstance(second, Constant):
        if kept_shape(shape) != shape:
            raise Refused(f"of {len(shape) + 1} axes")
        if len(shape) == 1:
            source, shape = layers.view(source, (1, *shape)), (1, *shape)
        other = _column(layers, tensor(node, 1, layers))
        made = layers.add(node.name, MatMul(), *layers.aligned((source, shape), other))
        return _as_output(node, layers, made)
    if math.prod(second.shape[:-2]) > 1 and len(shape) > 2:
        return _by_each(node, layers, (source, shape), second)
    if math.prod(second.shape[:-2]) > 1 or not shape:
        raise Refused(f"its constant has shape {list(second.shape)}, needs a matrix")
    columns = second.shape[-1] if len(second.shape) > 1 else 1
    op = checked(Dense, out_features=columns, bias=False)
    rows = shape if len(shape) == 1 else (math.prod(shape[:-1]), shape[-1])
    learned = {"weight": Learned(second).transposed()}
    made = layers.add(node.name, op, layers.view(source, rows), learned=learned)
    return _as_output(node, layers, made)


def fused_matmul(node: Node, layers: Layers) -> str:
    """alpha times a product of two, each turned or not."""
    said, (first, second) = node.attributes, node.inputs[:2]
    if isinstance(second, Constant) and len(second.shape) == 2:
        return gemm(node, layers)
    if isinstance(first, Constant) or isinstance(second, Constant):
        raise Refused("of constants that are no single matrix")
    turned = {
        "transpose_first": bool(said.get("transA")),
        "transpose_second": bool(said.get("transB")),
    }
    op = checked(MatMul, scale=float(said.get("alpha", 1.0)), **turned)
    pair = layers.aligned(*(tensor(node, place, layers) for place in (0, 1)))
    return layers.add(node.name, op, *pair)


def _column(layers: Layers, read: tuple[str, Shape]) -> tuple[str, Shape]:
    """A vector as a matrix of one column."""
    source, shape = read
    return (layers.view(source, (*shape, 1)), (*shape, 1)) if len(shape) == 1 else read


def _as_output(node: Node, layers: Layers, made: str) -> str:
    """A layer in the shape of the node's output."""
    shape = node.outputs[0].shape
    assert shape is not None
    return layers.view(made, kept_shape(shape[1:]))
