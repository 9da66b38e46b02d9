"""RNN, LSTM and GRU, unrolled over time: the layers of one step follow those of the one before.

What is computed of the inputs is one matrix product over all times. What is computed of the state
is one at each time, all with the weight of the first of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from accelsim.frontend.onnx.batch_axis import MADE
from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import Layers, Refused, checked, constant, known, tensor
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import (
    Add,
    Clip,
    Concat,
    Dense,
    Elementwise,
    Elu,
    LeakyRelu,
    Line,
    Mul,
    Relu,
    Shape,
    Sigmoid,
    Slice,
    Softplus,
    Tanh,
)

_FUNCTIONS: dict[str, Elementwise] = {
    "relu": Relu(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "softplus": Softplus(),
    "elu": Elu(),
    "leakyrelu": LeakyRelu(slope=0.01),
}
"""Those without numbers, or with the operator's own."""
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

Rule: TypeAlias = Callable[[Node, Layers], str]
State: TypeAlias = tuple[str | None, ...]
"""Layers of what a step leaves to the next, h first; None where it is all zero."""


@dataclass
class _Course:
    """One direction of a node: `at` counts these, and `functions` are its own.

    `inputs` is the layer of what is computed of the inputs, a row of all gates for each time.
    `weights` are layers whose weights the later steps share, by the gates that they make.
    """

    node: Node
    layers: Layers
    at: int
    gates: int
    size: int
    functions: Sequence[Elementwise]
    inputs: str
    weights: dict[tuple[int, int], str]
    name: str = ""

    def add(self, what: str, op: Elementwise | Add | Mul, *inputs: str) -> str:
        """A layer of the step at hand."""
        return self.layers.add(f"{self.name}/{what}", op, *inputs)

    def row(self, time: int) -> str:
        """What is computed of the inputs at a time."""
        wide = self.gates * self.size
        op = checked(Slice, start=(time, 0), stop=(time + 1, wide))
        return self.layers.view(self.layers.add(f"{self.name}/row", op, self.inputs), (wide,))

    def part(self, what: str, source: str, first: int, count: int = 1) -> str:
        """Some gates of a row."""
        start, stop = first * self.size, (first + count) * self.size
        if self.layers.shapes[source] == (stop - start,):
            return source
        op = checked(Slice, start=(start,), stop=(stop,))
        return self.layers.add(f"{self.name}/{what}", op, source)

    def of_state(self, state: str, first: int, count: int, bias: Constant | None = None) -> str:
        """The product of a state with the weights of some gates."""
        owner = self.weights.get((first, count))
        op = checked(Dense, out_features=count * self.size, bias=bias is not None, shares=owner)
        rows = first * self.size, (first + count) * self.size
        learned = {"weight": _of(constant(self.node, 2, "R"), self.at).part(*rows)}
        if bias is not None:
            learned["bias"] = _of(bias, self.at).part(
                *(self.gates * self.size + each for each in rows)
            )
        made = f"{self.name}/state{first or ''}"
        made = self.layers.add(made, op, state, learned=None if owner else learned)
        self.weights.setdefault((first, count), made)
        return made

    @property
    def bias(self) -> Constant | None:
        """Biases of what is computed of the inputs, then of the state, if there are any."""
        return _given(self.node, 3, "B")


def _of(value: Constant, at: int) -> Learned:
    """What a constant has for one direction."""
    return Learned(value).part(at, at + 1)


def _given(node: Node, place: int, what: str) -> Constant | None:
    given = place < len(node.inputs) and node.inputs[place] is not None
    return constant(node, place, what) if given else None


# --- The cells ------------------------------------------------------------------------------------


def _rnn(course: _Course, time: int, state: State) -> State:
    """h' = f(inputs + R h)."""
    (function,), (h,) = course.functions, state
    total = course.row(time)
    if h is not None:
        total = course.add("sum", Add(), total, course.of_state(h, 0, 1))
    return (course.add("h", function, total),)


def _lstm(course: _Course, time: int, state: State) -> State:
    """Gates i, o, f and the cell's input: c' = f c + i g, h' = o h(c')."""
    (gate, cell, out), (h, c) = course.functions, state
    total = course.row(time)
    if h is not None:
        total = course.add("sum", Add(), total, course.of_state(h, 0, 4))
    i, o, f = (
        course.add(what, gate, course.part(f"{what}_of", total, at))
        for at, what in enumerate("iof")
    )
    fresh = course.add("g", cell, course.part("g_of", total, 3))
    after = course.add("fresh", Mul(), i, fresh)
    if c is not None:
        after = course.add("c", Add(), course.add("left", Mul(), f, c), after)
    return course.add("h", Mul(), o, course.add("out", out, after)), after


def _gru(course: _Course, time: int, state: State) -> State:
    """Gates z, r and the candidate: h' = (1 - z) n + z h."""
    linear = bool(course.node.attributes.get("linear_before_reset"))
    (gate, cell), (h,) = course.functions, state
    row = course.row(time)
    if h is None and linear and course.bias is not None:  # which is added to the product
        h = course.add("nothing", Clip(low=0.0, high=0.0), course.part("any", row, 0))
    fresh = course.part("n_of", row, 2)
    if h is None:
        z, r = course.add("z", gate, course.part("z_of", row, 0)), None
    else:
        count = 3 if linear else 2
        made = course.of_state(h, 0, count, course.bias if linear else None)
        both = course.add(
            "sum", Add(), course.part("zr_of", row, 0, 2), course.part("zr", made, 0, 2)
        )
        z = course.add("z", gate, course.part("z_of", both, 0))
        r = course.add("r", gate, course.part("r_of", both, 1))
        inner = (
            course.add("reset", Mul(), r, course.part("old", made, 2))
            if linear
            else course.of_state(course.add("reset", Mul(), r, h), 2, 1)
        )
        fresh = course.add("n_sum", Add(), fresh, inner)
    n = course.add("n", cell, fresh)
    new = course.add("new", Mul(), course.add("rest", Line(factor=-1.0, term=1.0), z), n)
    if h is None:
        return (new,)
    return (course.add("h", Add(), new, course.add("left", Mul(), z, h)),)


# --- Unrolled -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """A recurrent operator: its gates, tensors of state, default functions, and its step."""

    gates: int
    states: int
    defaults: tuple[str, ...]
    step: Callable[[_Course, int, State], State]


def recurrent(cell: Cell) -> Rule:
    """The rule of an operator."""

    def rule(node: Node, layers: Layers) -> str:
        """Unrolled over time."""
        _refuse_others(node)
        source, shape = tensor(node, 0, layers)
        directions = _DIRECTIONS.get(str(node.attributes.get("direction", "forward")), ())
        size = _size(node, cell, len(directions), shape)
        made = [
            _course(_begun(node, layers, cell, at, size, source), cell, backwards, shape[0])
            for at, backwards in enumerate(directions)
        ]
        return _ended(node, layers, made, size)

    return rule


rnn = recurrent(Cell(1, 1, ("Tanh",), _rnn))
lstm = recurrent(Cell(4, 2, ("Sigmoid", "Tanh", "Tanh"), _lstm))
gru = recurrent(Cell(3, 1, ("Sigmoid", "Tanh"), _gru))


def _refuse_others(node: Node) -> None:
    for name in ("clip", "input_forget", "activation_alpha", "activation_beta"):
        if node.attributes.get(name):
            raise Refused(f"with {name}")
    if len(node.inputs) > 7 and node.inputs[7] is not None:
        raise Refused("with peepholes")


def _size(node: Node, cell: Cell, directions: int, shape: Shape) -> int:
    """Values of a state; refuses arrays that do not fit each other, and times that differ."""
    weight, of_state, bias = constant(node, 1, "W"), constant(node, 2, "R"), _given(node, 3, "B")
    size = of_state.shape[-1] if of_state.shape else 0
    wide = cell.gates * size
    wanted = [(directions, wide, shape[-1]), (directions, wide, size), (directions, 2 * wide)]
    for value, fits in zip((weight, of_state, bias), wanted, strict=True):
        if value is not None and value.shape != fits:
            raise Refused(f"{value.name!r} has shape {list(value.shape)}, needs {list(fits)}")
    lengths = _given(node, 4, "sequence_lens")
    if lengths is not None and (known(lengths, "sequence_lens") != shape[0]).any():
        raise Refused("with sequences of other lengths than the longest")
    if len(shape) != 2:
        raise Refused(f"its input {list(shape)} is no matrix for each image")
    return size


def _begun(node: Node, layers: Layers, cell: Cell, at: int, size: int, source: str) -> _Course:
    """A direction, with the product of all its inputs."""
    wide, bias = cell.gates * size, _given(node, 3, "B")
    learned = {"weight": _of(constant(node, 1, "W"), at)}
    if bias is not None:
        learned["bias"] = _bias(node, _of(bias, at), wide)
    op = checked(Dense, out_features=wide, bias=bias is not None)
    name = f"{node.name}/inputs{at or ''}"
    return _Course(
        node=node,
        layers=layers,
        at=at,
        gates=cell.gates,
        size=size,
        functions=_functions(node, cell, at),
        inputs=layers.add(name, op, source, learned=learned),
        weights={},
    )


def _bias(node: Node, both: Learned, wide: int) -> Learned:
    """What is added to products of the inputs: the state's bias too, if that is added always."""
    first, second = both.part(0, wide), both.part(wide, 2 * wide)
    return first if node.attributes.get("linear_before_reset") else first.plus(second)


def _functions(node: Node, cell: Cell, at: int) -> list[Elementwise]:
    said = [each.decode() if isinstance(each, bytes) else each for each in _names(node)]
    count = len(cell.defaults)
    names = said[at * count : (at + 1) * count] if said else cell.defaults
    unknown = [name for name in names if name.lower() not in _FUNCTIONS]
    if unknown or len(names) != count:
        raise Refused(f"with activations {', '.join(unknown or said)}")
    return [_FUNCTIONS[name.lower()] for name in names]


def _names(node: Node) -> Sequence[str | bytes]:
    return list(node.attributes.get("activations") or ())


def _course(course: _Course, cell: Cell, backwards: bool, times: int) -> tuple[list[str], State]:
    """The layers of h at each time, in order, and the last state."""
    state = tuple(_initial(course, 5 + at) for at in range(cell.states))
    made = {}
    for time in range(times)[:: -1 if backwards else 1]:
        course.name = f"{course.node.name}/{'b' if course.at else 't'}{time}"
        state = cell.step(course, time, state)
        made[time] = str(state[0])
    return [made[time] for time in range(times)], state


def _initial(course: _Course, place: int) -> str | None:
    """The layer of an initial state, for one direction; None where that is zero."""
    node, layers = course.node, course.layers
    value = node.inputs[place] if place < len(node.inputs) else None
    if isinstance(value, Constant):
        if value.known is None or value.known.any():
            raise Refused("with a constant initial state other than zero")
        return None
    if value is None:
        return None
    source, shape = tensor(node, place, layers)
    op = checked(Slice, start=(course.at, 0), stop=(course.at + 1, shape[1]))
    name = f"{node.name}/initial{place}{course.at or ''}"
    part = layers.add(name, op, source) if shape[0] > 1 else source
    return layers.view(part, (course.size,))


def _ended(node: Node, layers: Layers, made: Sequence[tuple[list[str], State]], size: int) -> str:
    """The node's outputs, those that are read: (times, directions, size) and (directions, size)."""
    found = []
    for value, what in zip(node.outputs, node.attributes[MADE], strict=True):
        rows = [
            _stacked(layers, f"{value.name}/{at}", _ends(course, what), size)
            for at, course in enumerate(made)
        ]
        if what == "Y":
            rows = [layers.view(row, (*layers.shapes[row][:1], 1, size)) for row in rows]
        found.append(_joined(layers, value, rows, axis=1 if what == "Y" else 0))
    layers.names |= {value.name: name for value, name in zip(node.outputs, found, strict=True)}
    return found[0]


def _ends(course: tuple[list[str], State], what: str) -> list[str]:
    states, last = course
    return states if what == "Y" else [str(last[what == "Y_c"])]


def _stacked(layers: Layers, name: str, rows: Sequence[str], size: int) -> str:
    """One below the other."""
    views = [layers.view(each, (1, size)) for each in rows]
    return views[0] if len(views) == 1 else layers.add(name, Concat(axis=0), *views)


def _joined(layers: Layers, value: Value, parts: Sequence[str], axis: int) -> str:
    return parts[0] if len(parts) == 1 else layers.add(value.name, Concat(axis=axis), *parts)
