"""Poolings by powers, and products over axes."""

import math

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import Layers, Refused, checked, instead, kept_shape, tensor
from accelsim.frontend.onnx.rules.moves import part
from accelsim.frontend.onnx.rules.pooling import over_maps, pooled, reduced_axes
from accelsim.network.ops import Abs, AvgPool, Line, Mul, Power, Sqrt


def lp_pool(node: Node, layers: Layers) -> str:
    """The p-th root of the sum of p-th powers of magnitudes, of each window."""
    if node.attributes.get("ceil_mode", 0):
        raise Refused("with ceil_mode")
    inner = instead(node, 0, _powers(node, layers), layers)
    mean = pooled(inner, layers, AvgPool, count_padding=True)
    return _root(node, layers, mean, math.prod(node.attributes.get("kernel_shape", ())))


def global_lp_pool(node: Node, layers: Layers) -> str:
    """The same of each channel."""
    _, shape = tensor(node, 0, layers)
    inner = instead(node, 0, _powers(node, layers), layers)
    return _root(node, layers, over_maps(inner, layers, AvgPool, True), math.prod(shape[1:]))


def _power(node: Node) -> float:
    return float(node.attributes.get("p", 2))


def _powers(node: Node, layers: Layers) -> str:
    """p-th powers of magnitudes."""
    (source, _), p = tensor(node, 0, layers), _power(node)
    if p != 2:
        source = layers.add(f"{node.name}/size", Abs(), source)
    if p == 1:
        return source
    return layers.add(f"{node.name}/powers", checked(Power, exponent=p), source)


def _root(node: Node, layers: Layers, mean: str, count: int) -> str:
    """The p-th root of so many times a mean."""
    p = _power(node)
    total = layers.add(f"{node.name}/sum", checked(Line, factor=float(count)), mean)
    if p == 1:
        return total
    return layers.add(f"{node.name}/root", Sqrt() if p == 2 else Power(exponent=1 / p), total)


def reduce_product(node: Node, layers: Layers) -> str:
    """Products of halves, of their halves, and so on."""
    source, shape = tensor(node, 0, layers)
    axes = reduced_axes(node, len(shape) + 1)
    if axes is None:
        return source
    if 0 in axes or kept_shape(shape) != shape:
        raise Refused("over the batch" if 0 in axes else f"of {len(shape) + 1} axes")
    for axis in axes:
        source = _product_along(node, layers, source, axis - 1)
    return layers.view(source, kept_shape((node.outputs[0].shape or ())[1:]))


def _product_along(node: Node, layers: Layers, source: str, axis: int) -> str:
    while (size := layers.shapes[source][axis]) > 1:
        ends = ((0, size // 2), (size // 2, size // 2 * 2), (size // 2 * 2, size))
        first, second, *rest = (
            part(layers, f"{node.name}/part", source, axis, slice(start, stop, 1))
            for start, stop in ends
            if stop > start
        )
        source = layers.add(node.name, Mul(), first, second)
        if rest:
            source = layers.joined(f"{node.name}/rest", [source, *rest], axis)
    return source
