"""Zeros that a node puts around feature maps for convolutions to read: the convolutions' own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Graph, Node, Value

_OWN = ("NOTSET", "VALID", "")


def with_own_padding(graph: Graph) -> Graph:
    """The graph with each Pad that only convolutions read put into these.

    Ensures: the same values; all other nodes, and a Pad of anything but zeros, stay as they are.
    """
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None:
                readers.setdefault(value.name, []).append(node)
    found = {
        node.outputs[0].name: (node, pads)
        for node in graph.nodes
        if node.op == "Pad"
        and (pads := _zeros(node)) is not None
        and node.outputs[0].name not in graph.outputs
        and all(_takes(each) for each in readers.get(node.outputs[0].name, ()))
    }
    nodes = [_padded(node, found) for node in graph.nodes if node.outputs[0].name not in found]
    return replace(graph, nodes=tuple(nodes))


def _zeros(node: Node) -> tuple[list[int], list[int]] | None:
    """Zeros before and behind each spatial axis; None for any other Pad."""
    value = node.inputs[0]
    if node.attributes.get("mode", "constant") != "constant" or not isinstance(value, Value):
        return None
    pads = list(_numbers(node, 1, node.attributes.get("pads", ())))
    filling = list(_numbers(node, 2, (node.attributes.get("value", 0),)))
    rank = len(value.shape or ())
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        return None
    before, behind = pads[:rank], pads[rank:]
    fits = len(pads) == 2 * rank and rank > 2 and min(pads, default=0) >= 0
    if not fits or any(filling) or any((*before[:2], *behind[:2])):
        return None
    return before[2:], behind[2:]


def _numbers(node: Node, place: int, default: Sequence[int]) -> Sequence[int]:
    value = node.inputs[place] if place < len(node.inputs) else None
    if isinstance(value, Constant) and value.known is not None:
        return [each.item() for each in value.known.reshape(-1)]
    return default if value is None else ()


def _takes(node: Node) -> bool:
    """Whether a node is a convolution that can have more padding."""
    return node.op == "Conv" and node.attributes.get("auto_pad", "NOTSET") in _OWN


def _padded(node: Node, found: Mapping[str, tuple[Node, tuple[list[int], list[int]]]]) -> Node:
    """A node as it is, or a convolution with the padding of what it reads."""
    value = node.inputs[0] if node.inputs else None
    if value is None or value.name not in found or not _takes(node):
        return node
    pad, (before, behind) = found[value.name]
    valid = node.attributes.get("auto_pad") == "VALID"
    own = [] if valid else list(node.attributes.get("pads", ()))
    own = own or [0] * 2 * len(before)
    pads = [a + b for a, b in zip((*before, *behind), own, strict=True)]
    attributes = {**node.attributes, "pads": pads, "auto_pad": "NOTSET"}
    return replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), attributes=attributes)
