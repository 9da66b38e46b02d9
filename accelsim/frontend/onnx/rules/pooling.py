"""Poolings, and reductions over all of a feature map, which are poolings too."""

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    integers,
    known,
    only_first_output,
    optional,
    tensor,
)
from accelsim.frontend.onnx.rules.contractions import both, sides, spatial
from accelsim.network.ops import AvgPool, MaxPool, Pool


def max_pool(node: Node, layers: Layers) -> str:
    """The largest of each window."""
    only_first_output(node, layers)
    return _pool(node, layers, MaxPool)


def average_pool(node: Node, layers: Layers) -> str:
    """The mean of each window, of its padding too where count_include_pad says so."""
    counted = bool(node.attributes.get("count_include_pad", 0))
    return _pool(node, layers, AvgPool, count_padding=counted)


def _pool(node: Node, layers: Layers, op: type[Pool], **keys: bool) -> str:
    source, shape, axes = spatial(node, 0, layers)
    if set(node.attributes.get("dilations", (1,))) != {1}:
        raise Refused(f"dilations {list(node.attributes['dilations'])} of a pooling")
    kernel = both(node.attributes.get("kernel_shape"), axes)
    pool = checked(
        op,
        kernel=kernel,
        stride=both(node.attributes.get("strides"), axes),
        padding=sides(node, layers.shapes[source][1:], kernel, axes),
        ceil_mode=bool(node.attributes.get("ceil_mode", 0)),
        **keys,
    )
    made = layers.add(node.name, pool, source)
    return layers.view(made, layers.shapes[made][: len(shape)])


def global_max_pool(node: Node, layers: Layers) -> str:
    """The largest of each channel."""
    return _global(node, layers, MaxPool, True)


def global_average_pool(node: Node, layers: Layers) -> str:
    """The mean of each channel."""
    return _global(node, layers, AvgPool, True)


def reduce_max(node: Node, layers: Layers) -> str:
    """The largest over all pixels."""
    return _reduced(node, layers, MaxPool)


def reduce_mean(node: Node, layers: Layers) -> str:
    """The mean over all pixels."""
    return _reduced(node, layers, AvgPool)


def _reduced(node: Node, layers: Layers, op: type[Pool]) -> str:
    _, shape = tensor(node, 0, layers)
    given = optional(node, 1, "axes")
    axes = node.attributes.get("axes") if given is None else known(given, "axes").tolist()
    rank = len(shape) + 1
    wanted = tuple(range(2, rank))
    if not axes or not wanted or tuple(sorted(axes_of(integers(axes), rank))) != wanted:
        raise Refused(f"over axes {axes} of {rank}; only all axes behind the channels")
    return _global(node, layers, op, bool(node.attributes.get("keepdims", 1)))


def _global(node: Node, layers: Layers, op: type[Pool], keep: bool) -> str:
    source, shape, _ = spatial(node, 0, layers)
    made = layers.add(node.name, op(kernel="global"), source)
    return layers.view(made, (shape[0], *(1,) * (len(shape) - 1)) if keep else shape[:1])
