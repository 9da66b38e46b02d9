"""Calls of PyTorch's operators (aten) as nodes of ONNX, which one table turns into layers.

What a call cannot be said by stays a node of the domain `torch`, and is refused with its name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.coverage import WHY
from accelsim.frontend.onnx.graph import Graph, Node, Step, Value, batch_axes, graph_of
from accelsim.frontend.pytorch.program import Array, Call, Program, Ref
from accelsim.network.ops import Shape

_OPSET = 23
Operand = Value | Constant | None


class Unknown(Exception):
    """A call that no node says; the message says why."""


@dataclass
class Nodes:
    """The nodes so far.

    `values` says what each name stands for, `several` what makes one of several results.
    """

    program: Program
    table: "Mapping[str, Rule]"
    values: dict[str, Value | Constant] = field(default_factory=dict)
    several: "dict[str, Callable[[Call, int], None]]" = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, shape in self.program.inputs.items():
            self.values[name] = Value(name, shape)
        for name, shape in self.program.parameters.items():
            array = self.program.arrays.get(name)
            absent = array is None
            held = np.broadcast_to(np.float32(0), shape) if array is None else array
            self.values[name] = Constant(
                name=name, shape=shape, element=1, source=Known(held), filled=absent
            )

    def graph(self) -> Graph:
        """All calls, in their order."""
        for call in self.program.calls:
            self._take(call)
        inputs = tuple(Value(name, shape) for name, shape in self.program.inputs.items())
        outputs = tuple(self.values[name].name for name in self.program.outputs)
        nodes = _needed(self.nodes, outputs)
        axes = batch_axes(map(_step, reversed(nodes)))
        return graph_of(inputs, nodes, outputs, axes)

    def _take(self, call: Call) -> None:
        rule = self.table.get(call.function)
        try:
            if rule is None:
                raise Unknown("no layer stands for it")
            rule(self, call)
        except Unknown as error:
            read = [
                self.values.get(each.name) for each in _refs((call.args, [*call.kwargs.values()]))
            ]
            value, why = Value(call.name, call.shape), {WHY: str(error)}
            node = Node(
                name=call.name,
                op=call.target,
                version=_OPSET,
                inputs=tuple(read),
                outputs=(value,),
                attributes=why,
                domain="torch",
            )
            self.nodes.append(node)
            self.values[call.name] = value

    def operand(self, given: Any) -> Operand:
        """An argument as an operand: a result, or a number."""
        if given is None:
            return None
        if isinstance(given, Ref):
            if given.name not in self.values:
                raise Unknown("it reads several results at once")
            return self.values[given.name]
        return self.constant(np.asarray(given, np.float32))

    def constant(self, values: Array, name: str = "constant") -> Constant:
        """An array of the graph's own."""
        return Constant(name=name, shape=values.shape, element=1, source=Known(values))

    def add(
        self, op: str, call: Call, inputs: Sequence[Operand], name: str = "", **attributes: Any
    ) -> Value:
        """A node that makes a call's result, or under another name something on the way to it."""
        shape = attributes.pop("shape", call.shape)
        value = Value(name or call.name, shape)
        self.append(value.name, op, inputs, (value,), attributes)
        self.values[value.name] = value
        return value

    def append(
        self,
        name: str,
        op: str,
        inputs: Sequence[Operand],
        made: Sequence[Value],
        attributes: Mapping[str, Any],
    ) -> None:
        """A node of any number of results."""
        self.nodes.append(
            Node(
                name=name,
                op=op,
                version=_OPSET,
                inputs=tuple(inputs),
                outputs=tuple(made),
                attributes=attributes,
            )
        )

    def same(self, call: Call, given: Any) -> None:
        """A call whose result is one of its arguments."""
        value = self.operand(given)
        assert value is not None
        self.values[call.name] = value


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if read.intersection(each.name for each in node.outputs):
            kept.append(node)
            read.update(each.name for each in node.inputs if each is not None)
    return tuple(reversed(kept))


def _step(node: Node) -> Step:
    read = [each.name if each is not None else "" for each in node.inputs]
    return node.op, read, node.outputs[0].name, node.attributes


def _refs(given: Any) -> list[Ref]:
    if isinstance(given, (list, tuple)):
        return [each for part in given for each in _refs(part)]
    return [given] if isinstance(given, Ref) else []


Rule = Callable[[Nodes, Call], None]


def shape_of(nodes: Nodes, given: Any) -> Shape:
    value = nodes.operand(given)
    return () if value is None or value.shape is None else value.shape


def many(given: Any, count: int) -> list[int]:
    """A number for each axis."""
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    return [int(each) for each in (values * count if len(values) == 1 else values)]
