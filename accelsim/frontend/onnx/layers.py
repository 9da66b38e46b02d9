"""The layers that a model's nodes become: what the rules of operators add to, one after another.

A tensor of a model has the batch first; ours have none, and six axes at most. What has more is
kept with its last axes as one: the same values in the same order.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from accelsim.errors import ShapeError
from accelsim.frontend.onnx.constants import Array, Constant
from accelsim.frontend.onnx.graph import Graph, Node, Value
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.graph import LayerSpec
from accelsim.network.ops import LAYER_TYPES, Concat, Op, Reshape, Shape
from accelsim.network.ops.fields import MOST_AXES

CODES = (2, 3)
"""onnx's uint8 and int8."""
DTYPES: Mapping[int, str] = {
    1: "float32",
    10: "float16",
    11: "float64",
    16: "float32",
    9: "bool",
    2: "uint8",
    4: "uint16",
    12: "uint32",
    13: "uint64",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
}
"""What arrays of onnx's types hold."""
REALS = (1, 10, 11, 16)
"""onnx's numbers of float32, float16, float64 and bfloat16."""


class Refused(Exception):
    """A node that our layers cannot express; the message says why."""


def kept_shape(shape: Shape) -> Shape:
    """How a tensor without its batch is kept."""
    if len(shape) <= MOST_AXES:
        return shape or (1,)
    return (*shape[: MOST_AXES - 1], math.prod(shape[MOST_AXES - 1 :]))


@cache
def _adapter(name: str) -> TypeAdapter[Op]:
    return TypeAdapter(LAYER_TYPES[name])


def checked(op: type[Op], **keys: Any) -> Op:
    """A layer type with its keys checked as those of a network file are."""
    try:
        return _adapter(op.name).validate_python(keys)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        why = found.get("ctx", {}).get("error") or found["msg"]
        raise Refused(f"{op.name} cannot have this {place}: {why}") from None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What 8-bit codes of a tensor stand for: scale * (code - zero_point)."""

    scale: float
    zero_point: int
    signed: bool

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest number that a code stands for."""
        first = -128 if self.signed else 0
        low, high = (np.float32(first + step - self.zero_point) for step in (0, 255))
        return float(low * np.float32(self.scale)), float(high * np.float32(self.scale))


@dataclass(frozen=True, slots=True)
class Codes:
    """A layer's weight and bias as codes, the weight's scale and zero point."""

    weight: Learned
    scale: Constant
    zero_point: Constant | None
    bias: Learned | None


@dataclass
class Layers:
    """The layers so far. `names` says which layer, or network input, a tensor of the model is.

    `read_by` are the operators that read a tensor, "" where it is an output of the model; `reads`
    counts the nodes that read a layer, `used` the layers that do. `free` are the shapes of
    what refused nodes make, and `kept` layers that they read. `raw` are layers that look up codes,
    `cut` those whose real numbers end where their codes do.
    """

    graph: Graph
    specs: dict[str, LayerSpec] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    learned: dict[str, Mapping[str, Learned]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    read_by: dict[str, list[str]] = field(default_factory=dict)
    meanings: dict[str, Meaning] = field(default_factory=dict)
    codes: dict[str, Codes] = field(default_factory=dict)
    reads: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    free: dict[str, Shape] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    raw: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for value in self.graph.inputs:
            assert value.shape is not None
            self.shapes[value.name] = kept_shape(value.shape[1:])
            self.names[value.name] = value.name
        pairs = [(each.name, node.op) for node in self.graph.nodes for each in node.inputs if each]
        for name, op in (*pairs, *((name, "") for name in self.graph.outputs)):
            self.read_by.setdefault(name, []).append(op)

    def add(
        self, name: str, op: Op, *inputs: str, learned: Mapping[str, Learned] | None = None
    ) -> str:
        """A layer; returns its name, which is new. Raises Refused where shapes do not fit."""
        try:
            shape = op.output_shape(tuple(self.shapes[source] for source in inputs))
        except ShapeError as error:
            raise Refused(str(error)) from None
        given, count = name, 1
        while name in self.shapes:
            count += 1
            name = f"{given}_{count}"
        self.specs[name] = LayerSpec(name, op, inputs)
        self.used.update(inputs)
        self.shapes[name] = shape
        self.learned[name] = learned or {}
        return name

    def view(self, source: str, shape: Shape) -> str:
        """The values of a layer in another shape."""
        if self.shapes[source] == shape:
            return source
        if any(size < 1 for size in shape):
            raise Refused(f"the shape {list(shape)} holds nothing")
        return self.add(f"{source}/as_{'x'.join(map(str, shape))}", Reshape(shape=shape), source)

    def aligned(self, *sources: tuple[str, Shape]) -> list[str]:
        """Layers with their shapes as layers of as many axes, those of size 1 in front."""
        rank = max(len(shape) for _, shape in sources)
        wide = [(name, (*(1,) * (rank - len(shape)), *shape)) for name, shape in sources]
        return [self.view(name, kept_shape(shape)) for name, shape in wide]

    def joined(self, name: str, parts: Sequence[str], axis: int) -> str:
        """Layers one behind the other along an axis."""
        shapes = [self.shapes[part] for part in parts]
        rank, op = len(shapes[0]), Concat()
        if axis == 0 and rank == 2:
            wide: list[Shape] = [(shape[0], math.prod(shape[1:]), 1) for shape in shapes]
        elif (axis, rank) in ((0, 3), (0, 1), (1, 2)):
            wide = shapes
        else:
            wide = [(*shape[: axis + 1], math.prod(shape[axis + 1 :])) for shape in shapes]
            op = Concat(axis=axis)
        views = [self.view(part, shape) for part, shape in zip(parts, wide, strict=True)]
        made = self.add(name, op, *views)
        along = sum(shape[axis] for shape in shapes)
        return self.view(made, (*shapes[0][:axis], along, *shapes[0][axis + 1 :]))

    def under(self, name: str) -> str:
        """The layer, or network input, whose values a view has."""
        while name in self.specs and isinstance(self.specs[name].op, Reshape):
            (name,) = self.specs[name].inputs
        return name

    def means(self, name: str, meaning: Meaning) -> None:
        """Note what the codes of a layer's ofmap, or of a network input, stand for."""
        if self.meanings.setdefault(self.under(name), meaning) != meaning:
            raise Refused("its codes stand for something else already")

    def ends(self, name: str, meaning: Meaning) -> None:
        """The same of a tensor that is nothing but codes: its numbers end where these do."""
        self.means(name, meaning)
        self.cut.add(self.under(name))

    def output(self, name: str) -> str:
        """The layer that is an output of the model: a view of an input that is passed on."""
        made = self.names[name]
        if made not in self.specs:
            made = self.add(f"{name}/passed", Reshape(shape=self.shapes[made]), made)
        return made

    def change(self, name: str, op: Op, learned: Mapping[str, Learned]) -> str:
        """Another op of the same shape law in a layer's place."""
        self.specs[name] = replace(self.specs[name], op=op)
        self.learned[name] = learned
        return name

    def note_readers(self, node: Node, before: int) -> None:
        """Count who reads what a node makes; it has added all layers but the first `before`.

        A node that adds none hands on what it reads, and is then no reader itself.
        """
        new = set(islice(reversed(self.specs), len(self.specs) - before))
        for value in node.outputs:
            name = self.names.get(value.name, "")
            self.reads[name] += len(self.read_by.get(value.name, ())) - (name not in new)

    def made_alone_by(self, value: Value) -> LayerSpec | None:
        """The layer that makes `value`, if one node reads that, and nothing else."""
        name = self.names.get(value.name, "")
        return self.specs.get(name) if self.reads[name] == 1 else None

    def is_read_as(self, value: Value, op: str) -> bool:
        """Whether nodes of one type read a value, and nothing else what it is a view of."""
        made = self.names[value.name]
        alone = {*self.read_by[value.name]} == {op}
        while alone and made in self.specs and isinstance(self.specs[made].op, Reshape):
            (made,) = self.specs[made].inputs
            alone = self.used[made] == 1 >= self.reads[made]
        return alone

    def made_beneath(self, value: Value) -> LayerSpec | None:
        """The layer whose values `value` has, in whatever shape, if nothing else reads them."""
        made = self.made_alone_by(value)
        while made is not None and isinstance(made.op, Reshape):
            (name,) = made.inputs
            made = self.specs.get(name) if self.used[name] == 1 >= self.reads[name] else None
        return made


# --- What rules ask of a node ---------------------------------------------------------------------


def tensor(node: Node, place: int, layers: Layers) -> tuple[str, Shape]:
    """The layer of an input that is computed, and its shape in the model without the batch."""
    value = node.inputs[place] if place < len(node.inputs) else None
    if value is None:
        raise Refused(f"its input {place} is missing")
    if isinstance(value, Constant):
        raise Refused(f"its input {value.name!r} is a constant")
    shape = value.shape
    if shape is None:
        raise Refused(f"it reads {value.name!r}, whose shape is not known")
    if not shape or shape[0] != layers.graph.batch:
        raise Refused(
            f"{value.name!r} has shape {list(shape)}, whose first axis is not the batch "
            f"of {layers.graph.batch}"
        )
    return layers.view(layers.names[value.name], kept_shape(shape[1:])), shape[1:]


def instead(node: Node, place: int, made: str, layers: Layers) -> Node:
    """The node as it would read a layer in the place of an input of the same shape."""
    value = node.inputs[place]
    assert isinstance(value, Value)
    name = f"\0{made}"  # what no tensor of a file is called
    layers.names[name] = made
    inputs = [*node.inputs]
    inputs[place] = replace(value, name=name)
    return replace(node, inputs=tuple(inputs))


def constant(node: Node, place: int, what: str) -> Constant:
    """An input that must be constant."""
    value = node.inputs[place] if place < len(node.inputs) else None
    if not isinstance(value, Constant):
        found = "missing" if value is None else f"computed ({value.name!r})"
        raise Refused(f"its {what} must be constant, but is {found}")
    return value


def optional(node: Node, place: int, what: str) -> Constant | None:
    """An input that must be constant where it is given."""
    given = place < len(node.inputs) and node.inputs[place] is not None
    return constant(node, place, what) if given else None


def known(value: Constant, what: str) -> Array:
    """The values of a small constant."""
    if value.known is None:
        raise Refused(f"its {what} has shape {list(value.shape)}, more than is looked at")
    return value.known


def number(value: Constant | None, default: float, what: str) -> float:
    """A constant of one number."""
    if value is None:
        return default
    values = known(value, what)
    if values.size != 1:
        raise Refused(f"its {what} has shape {list(values.shape)}, needs one number")
    return float(values.reshape(-1)[0])


def spread(found: Constant, rank: int) -> Shape:
    """A constant's shape with so many axes."""
    own = found.shape
    while len(own) > rank and own[0] == 1:
        own = own[1:]
    return (*(1,) * (rank - len(own)), *own)


def zero_point(value: Constant | None) -> int:
    """A zero point that all channels share; 0 where there is none."""
    if value is None:
        return 0
    values = known(value, "zero point")
    if values.size == 0 or (values != values.flat[0]).any():
        raise Refused("with a zero point for each channel")
    return int(values.flat[0])


def integers(values: Any) -> tuple[int, ...]:
    """A list of whole numbers."""
    return tuple(int(each) for each in np.asarray(values).reshape(-1))


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from 0, the batch among them."""
    if any(not -rank <= axis < rank for axis in axes):
        raise Refused(f"axis {list(axes)} of a tensor of {rank} axes")
    return tuple(axis % rank for axis in axes)


def only_first_output(node: Node, layers: Layers) -> None:
    """Refuse a node of whose further outputs any is read."""
    for value in node.outputs[1:]:
        if value.name and layers.read_by.get(value.name):
            raise Refused(f"its output {value.name!r} is read; only its first is known here")
