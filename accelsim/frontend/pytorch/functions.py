"""Normalisations, functions of one value, sums and products."""

from typing import Any

import numpy as np

from accelsim.frontend.pytorch.nodes import Nodes, Rule, Unknown, shape_of
from accelsim.frontend.pytorch.program import Call


def batch_norm(nodes: Nodes, call: Call) -> None:
    """With the statistics that the module stores."""
    functional = call.function == "batch_norm"
    if functional and call.arg(5, "training", False):
        raise Unknown("in training mode; say .eval() first")
    channels = shape_of(nodes, call.args[0])[1]
    fills = (1.0, 0.0, 0.0, 1.0)
    learned = [
        nodes.operand(call.args[at])
        if call.args[at] is not None
        else nodes.constant(np.full(channels, fill, np.float32))
        for at, fill in enumerate(fills, start=1)
    ]
    epsilon = call.arg(7, "eps", 1e-5) if functional else call.args[6]
    shape = shape_of(nodes, call.args[0])
    x = nodes.operand(call.args[0])
    nodes.add("BatchNormalization", call, [x, *learned], epsilon=epsilon, shape=shape)


def layer_norm(nodes: Nodes, call: Call) -> None:
    """Over the last axes."""
    inputs = [
        nodes.operand(call.arg(at, key)) for at, key in ((0, "input"), (2, "weight"), (3, "bias"))
    ]
    axis = -len(call.arg(1, "normalized_shape"))
    epsilon, shape = float(call.arg(4, "eps", 1e-5)), shape_of(nodes, call.args[0])
    nodes.add("LayerNormalization", call, inputs, axis=axis, epsilon=epsilon, shape=shape)


def rms_norm(nodes: Nodes, call: Call) -> None:
    """The same without a mean."""
    inputs = [nodes.operand(call.args[0]), nodes.operand(call.arg(2, "weight"))]
    given = call.arg(3, "eps")
    epsilon = float(np.finfo(np.float32).eps if given is None else given)
    axis = -len(call.arg(1, "normalized_shape"))
    nodes.add("RMSNormalization", call, inputs, axis=axis, epsilon=epsilon)


def group_norm(nodes: Nodes, call: Call) -> None:
    """Over groups of channels."""
    channels = shape_of(nodes, call.args[0])[1]
    scale, bias = (
        nodes.operand(each) or nodes.constant(np.full(channels, fill, np.float32))
        for each, fill in ((call.arg(2, "weight"), 1), (call.arg(3, "bias"), 0))
    )
    said: dict[str, Any] = {
        "num_groups": int(call.args[1]),
        "epsilon": float(call.arg(4, "eps", 1e-5)),
    }
    nodes.add("GroupNormalization", call, [nodes.operand(call.args[0]), scale, bias], **said)


def softmax(nodes: Nodes, call: Call) -> None:
    """Over one axis."""
    nodes.add("Softmax", call, [nodes.operand(call.args[0])], axis=int(call.arg(1, "dim", -1)))


def log_softmax(nodes: Nodes, call: Call) -> None:
    """Its logarithm."""
    axis, x = int(call.arg(1, "dim", -1)), nodes.operand(call.args[0])
    nodes.add("Log", call, [nodes.add("Softmax", call, [x], f"{call.name}/softmax", axis=axis)])


def plain(op: str, **said: Any) -> Rule:
    """A function without arguments."""

    def rule(nodes: Nodes, call: Call) -> None:
        nodes.add(op, call, [nodes.operand(call.args[0])], **said)

    return rule


def gelu(nodes: Nodes, call: Call) -> None:
    """By the error function, or its approximation."""
    approximate = call.arg(1, "approximate", "none")
    nodes.add("Gelu", call, [nodes.operand(call.args[0])], approximate=approximate)


def with_number(op: str, key: str, default: float) -> Rule:
    """A function of one number more."""

    def rule(nodes: Nodes, call: Call) -> None:
        said: dict[str, Any] = {
            key: float(call.arg(1, "negative_slope" if op == "LeakyRelu" else key, default))
        }
        nodes.add(op, call, [nodes.operand(call.args[0])], **said)

    return rule


def clip(low: float | None, high: float | None) -> Rule:
    """Between two bounds."""

    def rule(nodes: Nodes, call: Call) -> None:
        bounds = [
            call.arg(1, "min_val" if low is not None else "min", low),
            call.arg(2, "max_val" if high is not None else "max", high),
        ]
        nodes.add("Clip", call, [nodes.operand(each) for each in (call.args[0], *bounds)])

    return rule


def bounded(key: str) -> Rule:
    """No less than `min`, or no more than `max`."""

    def rule(nodes: Nodes, call: Call) -> None:
        bound = call.arg(1, key)
        bounds = (bound, None) if key == "min" else (None, bound)
        nodes.add("Clip", call, [nodes.operand(each) for each in (call.args[0], *bounds)])

    return rule


def relu6(nodes: Nodes, call: Call) -> None:
    """Between 0 and 6."""
    nodes.add("Clip", call, [nodes.operand(each) for each in (call.args[0], 0.0, 6.0)])


def binary(op: str) -> Rule:
    """A sum, difference, product or quotient."""

    def rule(nodes: Nodes, call: Call) -> None:
        if call.kwargs.get("alpha", 1) != 1 or call.kwargs.get("rounding_mode"):
            raise Unknown("with alpha, or rounded")
        nodes.add(op, call, [nodes.operand(each) for each in call.args[:2]])

    return rule


def subtracted(nodes: Nodes, call: Call) -> None:
    """The first from the second."""
    if call.arg(2, "alpha", 1) != 1:
        raise Unknown("with alpha")
    nodes.add("Sub", call, [nodes.operand(each) for each in (call.args[1], call.args[0])])


def summed_up(nodes: Nodes, call: Call) -> None:
    """The sum of all so far along an axis."""
    axis = nodes.constant(np.asarray(int(call.arg(1, "dim"))))
    nodes.add("CumSum", call, [nodes.operand(call.args[0]), axis])


def vector_norm(nodes: Nodes, call: Call) -> None:
    """The root of the sum of squares along axes, or the sum of sizes."""
    order, axes = call.arg(1, "ord", 2), call.arg(2, "dim")
    if order not in (1, 2) or axes is None:
        raise Unknown(f"of order {order}, or over all axes")
    given = axes if isinstance(axes, list) else [axes]
    said: dict[str, Any] = {"axes": given, "keepdims": int(call.arg(3, "keepdim", False))}
    nodes.add(f"ReduceL{int(order)}", call, [nodes.operand(call.args[0])], **said)


def einsum(nodes: Nodes, call: Call) -> None:
    """Sums of products by names of axes."""
    equation, operands = str(call.args[0]), [nodes.operand(each) for each in call.args[1]]
    nodes.add("Einsum", call, operands, equation=equation)


def unequal(nodes: Nodes, call: Call) -> None:
    """Whether two differ."""
    pair = [nodes.operand(each) for each in call.args[:2]]
    nodes.add("Not", call, [nodes.add("Equal", call, pair, f"{call.name}/equal")])


def where(nodes: Nodes, call: Call) -> None:
    """One of two, by a third."""
    if len(call.args) != 3:
        raise Unknown("what it makes depends on values")
    nodes.add("Where", call, [nodes.operand(each) for each in call.args])


def masked(nodes: Nodes, call: Call) -> None:
    """A number where a mask is true."""
    x, mask, number = (nodes.operand(each) for each in call.args[:3])
    nodes.add("Where", call, [mask, number, x])


def place(op: str) -> Rule:
    """Where the largest is along an axis, or the smallest."""

    def rule(nodes: Nodes, call: Call) -> None:
        axis = call.arg(1, "dim")
        if axis is None:
            raise Unknown("over all axes, the batch too")
        said: dict[str, Any] = {"axis": int(axis), "keepdims": int(call.arg(2, "keepdim", False))}
        nodes.add(op, call, [nodes.operand(call.args[0])], **said)

    return rule


def power(nodes: Nodes, call: Call) -> None:
    """To a constant power."""
    nodes.add("Pow", call, [nodes.operand(each) for each in call.args[:2]])


def square(nodes: Nodes, call: Call) -> None:
    """Times itself."""
    nodes.add("Pow", call, [nodes.operand(call.args[0]), nodes.operand(2.0)])


def rsqrt(nodes: Nodes, call: Call) -> None:
    """One over the root."""
    root = nodes.add("Sqrt", call, [nodes.operand(call.args[0])], f"{call.name}/sqrt")
    nodes.add("Reciprocal", call, [root])


def reduced(op: str) -> Rule:
    """Over axes."""

    def rule(nodes: Nodes, call: Call) -> None:
        axes = call.arg(1, "dim")
        given = axes if isinstance(axes, list) else [] if axes is None else [axes]
        said: dict[str, Any] = {"axes": given, "keepdims": int(call.arg(2, "keepdim", False))}
        nodes.add(op, call, [nodes.operand(call.args[0])], **said)

    return rule
