"""The batch first in every tensor of a graph, wherever the file has it.

A recurrent node takes (times, batch, features) unless its `layout` is 1, transposes may move the
batch for a while, and reshapes may make it one with other axes. Where the file has one image at a
time its batch may be no axis at all: then all axes are the image's own. Each node is given the axes
that its operands then have; one that is not known here is refused.
"""

from collections.abc import Iterator
from dataclasses import replace

from accelsim.frontend.onnx import batch_indexed, batch_rules
from accelsim.frontend.onnx.batch_rules import (
    MADE,
    Found,
    recurrent,
)
from accelsim.frontend.onnx.batch_shared import Values, of_one_image
from accelsim.frontend.onnx.coverage import WHY
from accelsim.frontend.onnx.graph import RECURRENT, Graph, Node, Value
from accelsim.frontend.onnx.place import FIRST, NOWHERE, Misfit, Place

__all__ = ["MADE", "with_batch_first"]

_CONVOLUTIONS = ("Conv", "ConvTranspose", "ConvInteger")

_RULES = {**batch_rules.RULES, **batch_indexed.RULES}
_MIXING = (*RECURRENT, "DynamicQuantizeLinear", "MatMul", "MatMulInteger", "Gemm")
"""Operators that are right only as their rule says, wherever the batch is."""


def with_batch_first(graph: Graph, values: Values, whole: bool = False) -> Graph:
    """The graph with the batch as the first axis of all that is computed.

    `values` are those of a constant.
    With `whole` no axis of the inputs is the batch: all that a run of the file is given is one
    image. A node may read a value in another shape than that in which it is made; the values are
    the same in the same order. Ensures: nodes that neither read nor make a tensor with the batch
    elsewhere stay as they are.
    """
    batch = 1 if whole else graph.batch
    axes = {each.name: graph.batch_axes.get(each.name, 0) for each in graph.inputs}
    places = {name: NOWHERE if whole else Place(axis) for name, axis in axes.items()}
    read = {*graph.outputs, *(each.name for node in graph.nodes for each in node.inputs if each)}
    nodes = []
    for node in graph.nodes:
        found: Found = [(each, places.get(each.name, FIRST)) for each in _computed(node)]
        node = of_one_image(node, found, batch or 1, values)
        made, found, place = _with_batch_first(node, found, read, batch)
        outputs = [_moved(each, _place(made, at, place)) for at, each in enumerate(made.outputs)]
        places |= {each.name: _place(made, at, place) for at, each in enumerate(outputs)}
        moved = {value.name: _moved(value, at) for value, at in found}
        inputs = (moved.get(each.name, each) if each else None for each in made.inputs)
        nodes.append(replace(made, inputs=tuple(inputs), outputs=tuple(outputs)))
    given = tuple(_moved(each, places[each.name]) for each in graph.inputs)
    known = [*given, *(each for node in nodes for each in node.outputs)]
    ends = {
        each.name: places.get(each.name, FIRST).in_file(each.shape)
        for each in known
        if each.name in {*axes, *graph.outputs} and each.shape is not None
    }
    return replace(
        graph,
        inputs=given,
        nodes=tuple(nodes),
        batch=batch,
        batch_axes={},
        whole=whole,
        ends=ends,
    )


def _computed(node: Node) -> list[Value]:
    return [each for each in node.inputs if isinstance(each, Value)]


def _place(node: Node, at: int, place: Place) -> Place:
    """The place of an output; that of all times of a recurrent node is one axis further."""
    every = node.attributes.get(MADE, ("",) * (at + 1))[at] == "Y"
    return Place(place.axis + 1) if every and place.axis else place


def _moved(value: Value, place: Place) -> Value:
    if value.shape is None or place == FIRST:
        return value
    return replace(value, shape=place.ours(value.shape))


def _with_batch_first(
    node: Node, found: Found, read: set[str], batch: int | None
) -> tuple[Node, Found, Place]:
    """A node, or the same refused; where it reads the batch, and where the file has its own."""
    away = any(place != FIRST for _, place in found)
    rule = _RULES.get(node.op)
    if node.domain or not found or any(each.shape is None for each, _ in found):
        return _refused(node, found) if away else node, found, FIRST
    reason = ""
    for tried in _readings(node, found, batch, rule is not None):
        try:
            if node.op in RECURRENT:
                made, place = recurrent(node, tried, read)
                return made, tried, place
            if rule is not None:
                made, place = rule(node, tried)
            elif all(at == FIRST for _, at in tried):
                made, place = node, FIRST
            else:
                continue
        except Misfit as misfit:
            reason = reason or str(misfit)
            continue
        plain = place == FIRST and all(at == FIRST for _, at in tried)
        return node if plain else made, tried, place
    if not away and node.op not in _MIXING:
        return node, found, FIRST
    return _refused(node, found, reason), found, FIRST


def _readings(node: Node, found: Found, batch: int | None, known: bool) -> Iterator[Found]:
    """Where a node's operands can have the batch: where they have it; one image also elsewhere."""
    yield found
    if batch != 1:
        return
    axis = 1 if node.op in RECURRENT and not node.attributes.get("layout") else 0
    if all((each.shape or ())[axis : axis + 1] == (1,) for each, _ in found):
        yield [(each, Place(axis)) for each, _ in found]
    if known:
        yield [(each, NOWHERE) for each, _ in found]


def _refused(node: Node, found: Found, reason: str = "") -> Node:
    return replace(node, attributes={**node.attributes, WHY: reason or _where(node, found)})


def _where(node: Node, found: Found) -> str:
    weight = node.inputs[1] if node.op in _CONVOLUTIONS and len(node.inputs) > 1 else None
    if isinstance(weight, Value):
        return f"its weight must be constant, but is computed ({weight.name!r})"
    value, place = next((each for each in found if each[1] != FIRST), found[0])
    if place.axis is None:
        return f"{value.name!r} has shape {list(value.shape or ())}, no axis of which is the batch"
    return f"{value.name!r} has the batch as axis {place.axis}, which only some operators can have"
