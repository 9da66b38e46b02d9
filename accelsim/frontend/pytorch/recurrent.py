"""RNN, LSTM and GRU modules: each of their layers is a node of ONNX, which has times first.

Torch, too, has biases of what is read and of the state apart, and resets a GRU's state behind its
product (`linear_before_reset`). The order of arguments is that of torch's functions (aten).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from accelsim.frontend.onnx.constants import Constant, Known
from accelsim.frontend.onnx.graph import Value
from accelsim.frontend.pytorch.moves import bounds
from accelsim.frontend.pytorch.nodes import Nodes, Operand, Rule, Unknown
from accelsim.frontend.pytorch.program import Call

_GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
"""ONNX's gates (z r h, i o f c) by their places among torch's (r z n, i f g o)."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer of a module, `ways` of each direction its W, R and biases, if it has any."""

    name: str
    op: str
    ways: Sequence[Sequence[Constant]]

    @property
    def size(self) -> int:
        """Values of a state."""
        return self.ways[0][1].shape[-1]

    @property
    def learned(self) -> list[Operand]:
        """W, R and B of the node, one direction behind the other."""
        weight, state, *biases = (
            _joined([self._in_order(each) for each in kind], axis=0)
            for kind in zip(*self.ways, strict=True)
        )
        return [weight, state, _joined(biases, axis=1) if biases else None]

    def _in_order(self, given: Constant) -> Constant:
        """An array's gates as ONNX has them, with an axis of directions."""
        order = _GATES[self.op]
        assert given.known is not None
        gates = given.known.reshape(len(order), -1)[list(order)].reshape(1, *given.shape)
        return Constant(
            name=given.name, shape=gates.shape, element=1, source=Known(gates), filled=given.filled
        )


def _joined(parts: Sequence[Constant], axis: int) -> Constant:
    values = np.concatenate([part.known for part in parts if part.known is not None], axis)
    absent = any(part.filled for part in parts)
    return Constant(
        name=parts[0].name, shape=values.shape, element=1, source=Known(values), filled=absent
    )


def recurrent(op: str, **said: Any) -> Rule:
    """All layers of a module; its results are all times, and the last states."""

    def rule(nodes: Nodes, call: Call) -> None:
        layers = _layers(nodes, call, op)
        given, states, *_, batch_first = call.args
        x = nodes.operand(given)
        if batch_first:
            x = _turned(nodes, call, f"{call.name}/times", x)
        initial = [nodes.operand(each) for each in (states if op == "LSTM" else [states])]
        ends: list[list[Value]] = []
        for at, layer in enumerate(layers):
            first = [
                _initial(
                    nodes, call, f"{layer.name}/initial{kind}", each, at * len(layer.ways), layer
                )
                for kind, each in enumerate(initial)
            ]
            x, *last = _added(nodes, call, layer, [x, *layer.learned, None, *first], said)
            ends.append(last)
        if batch_first:
            x = _turned(nodes, call, f"{call.name}/images", x)
        assert isinstance(x, Value)
        made = [(x,), *zip(*ends, strict=True)]
        nodes.several[call.name] = partial(_result, nodes, made)

    return rule


def _layers(nodes: Nodes, call: Call, op: str) -> list[_Layer]:
    """What torch says in one list of arrays."""
    if not call.target.endswith(".input"):
        raise Unknown("of packed sequences")
    _, _, weights, biased, layers, dropout, training, both, _ = call.args
    if training and dropout:
        raise Unknown("in training mode; say .eval() first")
    arrays = [nodes.operand(each) for each in weights]
    if any(not isinstance(each, Constant) or each.known is None for each in arrays):
        raise Unknown("with weights that are computed")
    count, directions = 4 if biased else 2, 1 + bool(both)
    if len(arrays) != layers * directions * count:
        raise Unknown("with a projection of its state")
    ways: list[Any] = [arrays[at : at + count] for at in range(0, len(arrays), count)]
    return [
        _Layer(f"{call.name}/{at}", op, ways[at * directions : (at + 1) * directions])
        for at in range(layers)
    ]


def _turned(nodes: Nodes, call: Call, name: str, x: Operand) -> Value:
    """Images and times in each other's place."""
    assert x is not None
    one, other, size = x.shape or ()
    return nodes.add("Transpose", call, [x], name, perm=[1, 0, 2], shape=(other, one, size))


def _initial(
    nodes: Nodes, call: Call, name: str, state: Operand, start: int, layer: _Layer
) -> Operand:
    """A layer's initial state, (directions, N, size), of those of all layers."""
    assert state is not None
    taken = slice(start, start + len(layer.ways), 1)
    if isinstance(state, Constant):
        values = np.zeros(state.shape, np.float32) if state.known is None else state.known
        return nodes.constant(values[taken], name)
    if (state.shape or ())[0] == len(layer.ways):
        return state
    shape = (len(layer.ways), *(state.shape or ())[1:])
    return nodes.add("Slice", call, [state, *bounds(nodes, 0, taken)], name, shape=shape)


def _added(
    nodes: Nodes, call: Call, layer: _Layer, inputs: Sequence[Operand], said: dict[str, Any]
) -> list[Value]:
    """The node of a layer: all times (T, N, directions * size), and its last states."""
    assert inputs[0] is not None
    times, images, _ = inputs[0].shape or ()
    ways, size = len(layer.ways), layer.size
    name, shape = f"{layer.name}/Y", (times, ways, images, size)
    made = [Value(name, shape)]
    made += [Value(f"{name}_{each}", shape[1:]) for each in "hc"[: len(inputs) - 5]]
    said = {**said, "direction": "bidirectional" if ways == 2 else "forward"}
    nodes.append(layer.name, layer.op, inputs, made, said)
    moved = nodes.add(
        *("Transpose", call, made[:1], f"{layer.name}/turned"),
        perm=[0, 2, 1, 3],
        shape=(times, images, ways, size),
    )
    joined = (times, images, ways * size)
    return [nodes.add("Reshape", call, [moved], f"{layer.name}/joined", shape=joined), *made[1:]]


def _result(nodes: Nodes, made: Sequence[Sequence[Value]], call: Call, place: int) -> None:
    """One of the results: what the layers leave, one behind the other."""
    if len(made[place]) == 1:
        nodes.values[call.name] = made[place][0]
    else:
        nodes.add("Concat", call, made[place], axis=0)
