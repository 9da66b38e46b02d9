"""Nodes that move values or give them another shape."""

import math

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    integers,
    kept_shape,
    only_first_output,
    tensor,
)
from accelsim.network.ops import Shape, Transpose

_REALS = (1, 10, 11, 16)
"""onnx's numbers of float32, float16, float64 and bfloat16."""


def same(node: Node, layers: Layers) -> str:
    """The same values, in the shape of the output, which has the batch first as well."""
    only_first_output(node, layers)
    if node.op == "Cast" and node.attributes.get("to") not in _REALS:
        raise Refused("to a type that is no real number")
    if node.op == "Dropout" and _trains(node):
        raise Refused("in training mode")
    source, _ = tensor(node, 0, layers)
    return layers.view(source, _without_batch(node, layers))


def _trains(node: Node) -> bool:
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return False
    return not isinstance(mode, Constant) or mode.known is None or bool(mode.known.any())


def flatten(node: Node, layers: Layers) -> str:
    """As a vector for each image."""
    return same(node, layers)


def _without_batch(node: Node, layers: Layers) -> Shape:
    shape = node.outputs[0].shape
    assert shape is not None
    if not shape or shape[0] != layers.graph.batch:
        raise Refused(f"its output {list(shape)} has the batch not first")
    return kept_shape(shape[1:])


def transpose(node: Node, layers: Layers) -> str:
    """Axes in another order; those that stay side by side move as one."""
    source, shape = tensor(node, 0, layers)
    rank = len(shape) + 1
    order = axes_of(integers(node.attributes.get("perm", range(rank)[::-1])), rank)
    if order[0] != 0:
        raise Refused("moves the batch")
    runs: list[list[int]] = []
    for axis in order[1:]:
        if shape[axis - 1] == 1:
            continue  # it can lie anywhere
        if runs and axis == runs[-1][-1] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    sizes = {run[0]: math.prod(shape[axis - 1] for axis in run) for run in runs}
    firsts = sorted(sizes)
    if len(runs) > 3:
        raise Refused(f"of {len(runs)} groups of axes; only three are known here")
    done = _without_batch(node, layers)
    if len(runs) <= 1:
        return layers.view(source, done)
    op = Transpose(order=tuple(firsts.index(run[0]) for run in runs))
    wide = layers.view(source, tuple(sizes[first] for first in firsts))
    return layers.view(layers.add(node.name, op, wide), done)
