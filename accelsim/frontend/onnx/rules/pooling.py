"""Poolings, and reductions over all of a feature map, which are poolings too."""

from collections.abc import Sequence
from dataclasses import replace

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    integers,
    kept_shape,
    known,
    only_first_output,
    optional,
    tensor,
)
from accelsim.frontend.onnx.rules.contractions import both, sides, spatial
from accelsim.frontend.onnx.rules.functions import scaled
from accelsim.network.ops import (
    Abs,
    Add,
    AvgPool,
    Elementwise,
    Exp,
    Largest,
    Line,
    Log,
    MaxPool,
    Mean,
    Pool,
    Power,
    Reduction,
    Shape,
    Sqrt,
    Sum,
)


def max_pool(node: Node, layers: Layers) -> str:
    """The largest of each window."""
    only_first_output(node, layers)
    return pooled(node, layers, MaxPool)


def average_pool(node: Node, layers: Layers) -> str:
    """The mean of each window, of its padding too where count_include_pad says so."""
    counted = bool(node.attributes.get("count_include_pad", 0))
    return pooled(node, layers, AvgPool, count_padding=counted)


def pooled(node: Node, layers: Layers, op: type[Pool], **keys: bool) -> str:
    """A pooling with a node's windows."""
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
    return over_maps(node, layers, MaxPool, True)


def global_average_pool(node: Node, layers: Layers) -> str:
    """The mean of each channel."""
    return over_maps(node, layers, AvgPool, True)


def reduce_max(node: Node, layers: Layers) -> str:
    """The largest over axes; over all pixels it is a pooling."""
    return _reduced(node, layers, Largest, MaxPool)


def reduce_mean(node: Node, layers: Layers) -> str:
    """The mean over axes; over all pixels it is a pooling."""
    return _reduced(node, layers, Mean, AvgPool)


def reduce_sum(node: Node, layers: Layers) -> str:
    """The sum over axes."""
    return _reduced(node, layers, Sum, None)


def reduce_min(node: Node, layers: Layers) -> str:
    """Less the largest of what is negated."""
    return _around(node, layers, Line(factor=-1.0), Largest, Line(factor=-1.0))


def reduce_l1(node: Node, layers: Layers) -> str:
    """The sum of magnitudes."""
    return _around(node, layers, Abs(), Sum)


def reduce_l2(node: Node, layers: Layers) -> str:
    """The root of the sum of squares."""
    return _around(node, layers, Power(exponent=2.0), Sum, Sqrt())


def reduce_sum_square(node: Node, layers: Layers) -> str:
    """The sum of squares."""
    return _around(node, layers, Power(exponent=2.0), Sum)


def reduce_log_sum(node: Node, layers: Layers) -> str:
    """The logarithm of the sum."""
    return _around(node, layers, None, Sum, Log())


def reduce_log_sum_exp(node: Node, layers: Layers) -> str:
    """The logarithm of the sum of exponentials, of what is less than the largest, and that."""
    source, shape = tensor(node, 0, layers)
    each = replace(node, attributes={**node.attributes, "keepdims": 1})
    largest = _over_axes(each, layers, (source, shape), Largest, None)
    less = scaled(layers, f"{node.name}/less", largest, -1.0, 0.0)
    below = layers.add(f"{node.name}/below", Add(), source, less)
    shares = layers.add(f"{node.name}/each", Exp(), below)
    total = _over_axes(node, layers, (shares, shape), Sum, None)
    whole = layers.add(f"{node.name}/log", Log(), total)
    return layers.add(node.name, Add(), whole, layers.view(largest, layers.shapes[whole]))


def _around(
    node: Node,
    layers: Layers,
    before: Elementwise | None,
    op: type[Reduction],
    after: Elementwise | None = None,
) -> str:
    """A reduction of functions of all values, and a function of what it makes."""
    source, shape = tensor(node, 0, layers)
    if before is not None:
        source = layers.add(f"{node.name}/each", before, source)
    made = _over_axes(node, layers, (source, shape), op, None)
    return made if after is None else layers.add(f"{node.name}/whole", after, made)


def _reduced(node: Node, layers: Layers, op: type[Reduction], pool: type[Pool] | None) -> str:
    return _over_axes(node, layers, tensor(node, 0, layers), op, pool)


def _over_axes(
    node: Node,
    layers: Layers,
    read: tuple[str, Shape],
    op: type[Reduction],
    pool: type[Pool] | None,
) -> str:
    source, shape = read
    rank, keep = len(shape) + 1, bool(node.attributes.get("keepdims", 1))
    chosen = reduced_axes(node, rank)
    if chosen is None:
        return source
    if pool is not None and rank in (3, 4) and chosen == tuple(range(2, rank)):
        return over_maps(node, layers, pool, keep)
    if 0 in chosen:
        raise Refused("over the batch")
    if kept_shape(shape) != shape:
        raise Refused(f"of {rank} axes")
    made = source
    for at, run in enumerate(reversed(_side_by_side(chosen))):
        name = f"{node.name}/{at}" if run[0] != chosen[0] else node.name
        kept = keep or run[0] != chosen[0]
        made = layers.add(name, checked(op, axes=[each - 1 for each in run], keep=kept), made)
    return made if keep else layers.view(made, kept_shape((node.outputs[0].shape or ())[1:]))


def reduced_axes(node: Node, rank: int) -> tuple[int, ...] | None:
    """The axes of a reduction, the batch among them; None where there are to be none."""
    given = optional(node, 1, "axes")
    axes = node.attributes.get("axes") if given is None else known(given, "axes").tolist()
    if not axes and node.attributes.get("noop_with_empty_axes"):
        return None
    return tuple(sorted(set(axes_of(integers(axes or range(rank)), rank))))


def _side_by_side(axes: Sequence[int]) -> list[list[int]]:
    """Axes in runs of those that lie next to each other."""
    runs: list[list[int]] = []
    for axis in axes:
        if runs and runs[-1][-1] == axis - 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def over_maps(node: Node, layers: Layers, op: type[Pool], keep: bool) -> str:
    """A pooling of all pixels."""
    source, shape, _ = spatial(node, 0, layers)
    made = layers.add(node.name, op(kernel="global"), source)
    return layers.view(made, (shape[0], *(1,) * (len(shape) - 1)) if keep else shape[:1])
