"""Models whose activations are quantized as they come: what four nodes say, as one product.

DynamicQuantizeLinear makes codes, a scale and a zero point; MatMulInteger or ConvInteger sums the
codes, and a Cast and a Mul make real numbers of the sums. Here the tensor is what its codes stand
for, as of every quantized model, and the product is of that and of what the weight's codes stand
for.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.coverage import WHY
from accelsim.frontend.onnx.graph import Graph, Node, Value

SCALED = "scaled"
"""Attribute of an integer product whose last input is the scale of its weight."""
_PRODUCTS = ("MatMulInteger", "ConvInteger")
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten")
_WHY = (
    "its codes, scale or zero point are read by {}; known are MatMulInteger and ConvInteger whose "
    "sums are multiplied by its scale"
)


@dataclass(frozen=True, slots=True)
class _Found:
    """Nodes by what they make, and how often each tensor is read."""

    makers: Mapping[str, Node]
    readers: Mapping[str, int]

    def maker(self, operand: Value | Constant | None, *ops: str) -> Node | None:
        """The node that makes an operand, if it is of one of the types."""
        node = self.makers.get(operand.name) if isinstance(operand, Value) else None
        return node if node is not None and node.op in ops and not node.domain else None

    def alone(self, operand: Value | Constant | None, *ops: str) -> Node | None:
        """As `maker`, if only one node reads what it makes."""
        node = self.maker(operand, *ops)
        return node if node is not None and self.readers[node.outputs[0].name] == 1 else None


def with_dynamic_products(graph: Graph) -> Graph:
    """The graph with such products as one node, behind one that quantizes what they read.

    A DynamicQuantizeLinear that anything else reads is refused.
    """
    makers = {value.name: node for node in graph.nodes for value in node.outputs}
    read = (value.name for node in graph.nodes for value in node.inputs if value is not None)
    found = _Found(makers, Counter([*read, *graph.outputs]))
    made = {node.outputs[0].name: _product(node, found) or node for node in graph.nodes}
    needed = _needed(graph, made)
    wanted = {name for node in needed for name in map(_name, node.inputs)}
    nodes = [_quantizing(node, needed, wanted, graph.outputs) for node in needed]
    return replace(graph, nodes=tuple(nodes))


def _name(operand: Value | Constant | None) -> str:
    return operand.name if operand is not None else ""


def _steps(quantize: Node) -> Value:
    """What the codes that a DynamicQuantizeLinear makes stand for."""
    codes, x = quantize.outputs[0], quantize.inputs[0]
    return Value(f"{codes.name}/real", codes.shape, x.element if isinstance(x, Value) else 1)


def _product(node: Node, found: _Found) -> Node | None:
    """A Mul of the sums of an integer product by its scales; None for any other node."""
    if node.op != "Mul" or node.domain:
        return None
    for sums, scale in (node.inputs[:2], node.inputs[1::-1]):
        cast = found.alone(sums, "Cast")
        product = found.alone(cast.inputs[0], *_PRODUCTS) if cast else None
        quantize = found.maker(product.inputs[0], "DynamicQuantizeLinear") if product else None
        if product is None or quantize is None:
            continue
        codes, weight, zero, weight_zero = (*product.inputs, None, None)[:4]
        known, own = _factor(scale, quantize, found)
        made = [value.name for value in quantize.outputs]
        alike = [_name(codes), _name(zero)] == made[::2] and isinstance(weight, Constant)
        if known and alike:
            inputs = (_steps(quantize), weight, None, weight_zero, own)
            attributes = {**product.attributes, SCALED: 1}
            return replace(product, inputs=inputs, outputs=node.outputs, attributes=attributes)
    return None


def _factor(
    scale: Value | Constant | None, quantize: Node, found: _Found
) -> tuple[bool, Constant | None]:
    """Whether a scale is that of the codes, and what else it is times."""
    while (view := found.maker(scale, *_VIEWS)) is not None:
        scale = view.inputs[0]
    own = quantize.outputs[1].name if len(quantize.outputs) > 1 else ""
    if _name(scale) == own:
        return True, None
    product = found.maker(scale, "Mul")
    for one, other in (product.inputs[:2], product.inputs[1::-1]) if product else ():
        while (view := found.maker(one, *_VIEWS)) is not None:
            one = view.inputs[0]
        if _name(one) == own and isinstance(other, Constant):
            return True, other
    return False, None


def _needed(graph: Graph, made: Mapping[str, Node]) -> list[Node]:
    """Nodes that the outputs depend on, in the order of before."""
    wanted = set(graph.outputs)
    kept = []
    for old in reversed(graph.nodes):
        names = {value.name for value in old.outputs if value.name}
        steps = _steps(old).name if old.op == "DynamicQuantizeLinear" else ""
        if names & wanted or steps in wanted:
            node = made[old.outputs[0].name]
            kept.append(node)
            wanted |= {value.name for value in node.inputs if value is not None}
    return kept[::-1]


def _quantizing(node: Node, nodes: list[Node], wanted: set[str], outputs: tuple[str, ...]) -> Node:
    """A DynamicQuantizeLinear that makes what its codes stand for, or is refused."""
    if node.op != "DynamicQuantizeLinear" or node.domain:
        return node
    names = {value.name for value in node.outputs}
    if not names & {*wanted, *outputs}:
        return replace(node, outputs=(_steps(node),))
    readers = [each.op for each in nodes if names & set(map(_name, each.inputs))]
    why = _WHY.format(", ".join(dict.fromkeys(readers)) or "nobody here")
    return replace(node, attributes={**node.attributes, WHY: why})
