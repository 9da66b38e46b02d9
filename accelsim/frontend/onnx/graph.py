"""A model's nodes with every shape known, and all that is constant computed: one walk.

Each node is asked once, in an order that can run: what depends on no input is a constant, small
ones with their values, so that shapes that a model computes (Shape, Gather, Concat, Reshape) are
numbers here. The shapes of the others are those of onnx's own inference, given these values.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.frontend.onnx.branches import branch_of
from accelsim.frontend.onnx.constants import (
    MOST_FOLDED,
    Constant,
    Folded,
    Initializer,
    Known,
    check_tensor,
    evaluated,
    is_fill,
    tensor_values,
)
from accelsim.frontend.onnx.declared import Declared
from accelsim.frontend.onnx.file import ModelFile
from accelsim.frontend.onnx.inference import OF_GRAPHS, Inference, Value, named
from accelsim.frontend.onnx.open_sizes import Sizes
from accelsim.frontend.onnx.order import order_of, sources_of
from accelsim.network.interface import FileTensor
from accelsim.text import shown

__all__ = [
    "DATA_DEPENDENT",
    "RECURRENT",
    "Graph",
    "Node",
    "Step",
    "Value",
    "batch_axes",
    "graph_of",
    "resolved",
]

DATA_DEPENDENT = (*OF_GRAPHS, "NonZero", "NonMaxSuppression", "Unique", "Compress")
"""Operators that compute what to do, or how much they make, from values."""
RECURRENT = ("RNN", "LSTM", "GRU")
"""Operators that take (times, batch, features), unless their `layout` is 1."""
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the model. `name` is its own or its first output's; no name: input left out."""

    name: str
    op: str
    version: int
    inputs: tuple[Value | Constant | None, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """All nodes that the outputs depend on, and `batch`, the leading axis of every input.

    `batch` is None where the inputs have not one such axis. `batch_axes` are inputs that have it
    elsewhere; where the graph is of a `whole` run none of them has one. `ends` are inputs and
    outputs as the file has them, where the batch is first here.
    """

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    batch: int | None
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False
    ends: Mapping[str, FileTensor] = field(default_factory=dict)


def resolved(file: ModelFile, dims: Mapping[str, int], outputs: Sequence[str]) -> Graph:
    """The graph up to `outputs`, the model's own if none; raises InputError."""
    wanted = tuple(outputs) or tuple(each.name for each in file.proto.graph.output)
    order = order_of(file, wanted, {})
    used = {name for index in order for name in sources_of(file.proto.graph.node[index])}
    axes = batch_axes(_steps(file, order))
    inputs = _inputs(file, dims, used | set(wanted), axes)
    walk = _Walk(file, _symbols(file, inputs))
    walk.begin(inputs)
    found = dict(walk.nodes(order))
    order = order_of(file, wanted, walk.taken)
    used = {name for index in order for name in sources_of(file.proto.graph.node[index])}
    inputs = tuple(each for each in inputs if each.name in used and not _is_empty(each))
    nodes = tuple(node for index in order if (node := found[index]) is not None)
    made = {each.name for each in inputs} | {each.name for node in nodes for each in node.outputs}
    for name in wanted:
        if name not in made:
            raise file.problem("is a constant, so nothing computes it; see --outputs", name)
    return graph_of(inputs, nodes, wanted, axes)


def graph_of(
    inputs: tuple[Value, ...],
    nodes: tuple[Node, ...],
    outputs: tuple[str, ...],
    axes: Mapping[str, int],
) -> Graph:
    """A graph with the batch that its inputs have in common; `axes` are where, if not first."""
    found = {each.name: axes[each.name] for each in inputs if axes.get(each.name)}
    leading = {(each.shape or ())[found.get(each.name, 0) :][:1] for each in inputs}
    batch = min(leading)[0] if len(leading) == 1 and () not in leading else None
    return Graph(inputs=inputs, nodes=nodes, outputs=outputs, batch=batch, batch_axes=found)


# --- Inputs ---------------------------------------------------------------------------------------


_CUTS = ("Slice", "Split")
"""Operators that read bounds beside a tensor."""
_AS_READ = (
    *("Relu", "Clip", "Tanh", "Sigmoid", "Cast", "Identity", "Dropout", "MatMul", "Add", "Mul"),
    *_CUTS,
)
"""Operators whose operands have the batch where their result has it."""


Step = tuple[str, Sequence[str], str, Mapping[str, Any]]
"""An operator, what it reads, what it makes first, and its attributes."""


def batch_axes(steps: Iterable[Step]) -> dict[str, int]:
    """Tensors that recurrent nodes want with the batch as axis 1, and what these are made of.

    `steps` are all nodes, the last first.
    """
    found: dict[str, int] = {}
    for op, read, made, said in steps:
        place = found.get(made, 0)
        if op in RECURRENT and not said.get("layout"):
            found |= dict.fromkeys(filter(None, (*read[:1], *read[5:7])), 1)
        elif op == "Transpose" and place and "perm" in said:
            found[read[0]] = said["perm"][place] if place < len(said["perm"]) else 0
        elif op == "Gather" and place and not said.get("axis"):
            found[read[1]] = place
        elif op in _AS_READ and place:
            found |= dict.fromkeys(read[:1] if op in _CUTS else read, place)
    return found


def _steps(file: ModelFile, order: Sequence[int]) -> Iterator[Step]:
    for index in reversed(order):
        node = file.proto.graph.node[index]
        said = {each.name: each.ints or each.i for each in node.attribute}
        yield node.op_type, node.input, node.output[0] if node.output else "", said


def _inputs(
    file: ModelFile, dims: Mapping[str, int], used: set[str], axes: Mapping[str, int]
) -> tuple[Value, ...]:
    """The inputs that a run is given, their sizes from the file or `dims`.

    `axes` says of which input another axis than the first one is the batch.
    """
    graph = file.proto.graph
    held = {each.name for each in graph.initializer}
    found = [each for each in graph.input if each.name in used and each.name not in held]
    if not found:
        raise file.problem("has no input that its outputs depend on")
    sizes = Sizes(dims)
    values = []
    for each in found:
        shape = tuple(sizes.of(each, axes.get(each.name, 0)))
        values.append(Value(each.name, shape, each.type.tensor_type.elem_type))
    problems = [
        f"the size {name!r} is {how}; give --dim {name}=N, or in a sweep file dims: {{{name}: N}}"
        for name, how in sizes.missing.items()
    ]
    problems += [
        f"no input has an open size {shown(name)}; {did_you_mean(name, sizes.asked)}".rstrip("; ")
        for name in dims
        if name not in sizes.asked
    ]
    none_left = all(0 in (each.shape or ()) for each in values)
    problems += filter(None, map(_no_tensor, found, values))
    if none_left or 0 not in dims.values():
        problems += filter(None, map(_holds_nothing, values))
    if problems:
        raise InputError(Problem(message=message, source=str(file.path)) for message in problems)
    return tuple(values)


def _no_tensor(each: Any, value: Value) -> str:
    """Why an input cannot be given; "" if it can."""
    if not each.type.HasField("tensor_type"):
        return f"the input {each.name!r} is no tensor"
    if not each.type.tensor_type.HasField("shape"):
        return f"the input {each.name!r} has no shape, not even a number of axes"
    return ""


def _holds_nothing(value: Value) -> str:
    shape = list(value.shape or ())
    return f"the input {value.name!r} has the shape {shape}: it holds nothing" * (0 in shape)


def _symbols(file: ModelFile, inputs: Iterable[Value]) -> dict[str, int]:
    """Sizes by the names that the axes of inputs have."""
    shapes = {each.name: each.shape or () for each in inputs}
    return {
        dim.dim_param: size
        for each in file.proto.graph.input
        for dim, size in zip(
            each.type.tensor_type.shape.dim, shapes.get(each.name, ()), strict=False
        )
        if dim.dim_param
    }


# --- The walk -------------------------------------------------------------------------------------


class _Walk:
    """What is known of every tensor so far, as ours and as onnx's inference takes it.

    `taken` are the Ifs whose conditions are constant, by number, and these.
    """

    def __init__(self, file: ModelFile, sizes: Mapping[str, int]) -> None:
        self._file = file
        self._declared = Declared(file, sizes)
        self._inference = Inference(file, self._declared)
        self._known: dict[str, Value | Constant] = {}
        self._held = {each.name: each for each in file.proto.graph.initializer}
        self.taken: dict[int, bool] = {}

    def begin(self, inputs: Iterable[Value]) -> None:
        """Take the inputs, those that hold nothing as constants."""
        for each in inputs:
            self._known[each.name] = _empty(each) if _is_empty(each) else each
            self._declared.agree(each.name, each.name, each.shape, each.element)

    def _initializer(self, tensor: Any) -> Constant:
        check_tensor(self._file, tensor)
        shape = tuple(tensor.dims)
        self._declared.agree(tensor.name, tensor.name, shape, tensor.data_type)
        source: Initializer | Known = Initializer(tensor.name)
        small = len(shape) < 2 or tensor.data_type in _PLACES
        if math.prod(shape) <= (MOST_FOLDED if small else MOST_FOLDED // 64):
            source = Known(tensor_values(self._file, tensor))
        return Constant(name=tensor.name, shape=shape, element=tensor.data_type, source=source)

    def _operand(self, name: str) -> Value | Constant:
        if name not in self._known and name not in self._held:  # within a branch of an If
            raise self._file.problem("is read before it is made", name)
        if name not in self._known:
            self._known[name] = self._initializer(self._held[name])
        return self._known[name]

    def nodes(self, order: Iterable[int]) -> Iterator[tuple[int, Node | None]]:
        """Nodes by their index; None for those that make constants."""
        for index in order:
            branch = self._branch(index)
            if branch is None:
                yield index, self._node(index)
            else:
                yield from self.nodes(branch)

    def _branch(self, index: int) -> list[int] | None:
        """What an If does whose condition is constant; None for any other node."""
        proto = self._file.proto.graph.node[index]
        if proto.op_type != "If" or proto.domain or not proto.input:
            return None
        asked = self._operand(proto.input[0])
        if not isinstance(asked, Constant) or asked.known is None or asked.known.size != 1:
            return None
        side = bool(asked.known.reshape(-1)[0])
        branch = branch_of(index, side, self._file.owners)
        if branch:
            self.taken[index] = side
        return branch or None

    def _node(self, index: int) -> Node | None:
        """The node at `index`; None if it makes constants."""
        proto = self._file.proto.graph.node[index]
        inputs = tuple(self._operand(name) if name else None for name in proto.input)
        outputs = self._inference.outputs(proto, inputs)
        constants = self._constants(index, proto, inputs, outputs)
        if constants is not None:
            self._known |= {each.name: each for each in constants}
            return None
        made = [each for each in outputs if each.name]
        self._known |= {each.name: _empty(each) if _is_empty(each) else each for each in made}
        if made and all(map(_is_empty, made)):
            return None
        node = Node(
            name=named(proto),
            op=proto.op_type,
            version=self._file.opsets.get(proto.domain, 0),
            inputs=_without_empty(proto.op_type, inputs),
            outputs=outputs,
            attributes=self._inference.attributes(proto),
            domain=proto.domain,
        )
        return _plain(node)

    def _constants(
        self,
        index: int,
        proto: Any,
        inputs: tuple[Value | Constant | None, ...],
        outputs: tuple[Value, ...],
    ) -> list[Constant] | None:
        """What the node makes, if it depends on no input's values."""
        if proto.op_type in ("Shape", "Size") and inputs and isinstance(inputs[0], Value):
            if inputs[0].shape is None:
                return None
            ghost = np.broadcast_to(np.zeros((), np.int8), inputs[0].shape)
            values = evaluated(self._file, proto, [ghost])
            return [
                Constant(
                    name=outputs[0].name,
                    shape=values.shape,
                    element=outputs[0].element,
                    source=Known(values),
                )
            ]
        if proto.op_type in (*OF_GRAPHS, *_RANDOM):
            return None
        constants = tuple(each for each in inputs if each is None or isinstance(each, Constant))
        if len(constants) < len(inputs):
            return None
        return [
            self._folded(index, proto, constants, place, output)
            for place, output in enumerate(outputs)
            if output.name
        ]

    def _folded(
        self,
        index: int,
        proto: Any,
        inputs: tuple[Constant | None, ...],
        place: int,
        output: Value,
    ) -> Constant:
        """A constant that a node makes, with its values if these and its inputs are small."""
        source: Known | Folded = Folded(index, proto.op_type, inputs, place)
        shape, element = output.shape, output.element
        arrays = [None if each is None else each.known for each in inputs]
        small = shape is None or math.prod(shape) <= MOST_FOLDED
        ready = all(
            each is None or array is not None for each, array in zip(inputs, arrays, strict=True)
        )
        if small and ready and proto.op_type != "DequantizeLinear":  # whose codes are asked for
            values = evaluated(self._file, proto, arrays, place)
            source, shape = Known(values), values.shape
            self._declared.agree(named(proto), output.name, shape, 0)
        if shape is None:
            raise self._file.problem(f"the shape of {output.name!r} is not known", named(proto))
        return Constant(
            name=output.name,
            shape=shape,
            element=element,
            source=source,
            filled=is_fill(proto.op_type, inputs),
        )


_JOINING = ("Concat", "Attention")
"""Operators that put something behind what may hold nothing yet."""


def _is_empty(value: Value) -> bool:
    """Whether a tensor holds nothing: all that is asked of it is its shape."""
    return 0 in (value.shape or ())


def _empty(value: Value) -> Constant:
    source = Known(np.zeros(value.shape or (), np.float32))
    return Constant(name=value.name, shape=value.shape or (), element=value.element, source=source)


_PLACES = (6, 7)
"""onnx's types of whole numbers that are shapes, axes and places: int32 and int64."""


def _plain(node: Node) -> Node:
    """A GatherND of one place each is a Gather: that may have the batch anywhere.

    A Gather of all values in their order is a Reshape.
    """
    indices = node.inputs[1] if node.op.startswith("Gather") and len(node.inputs) > 1 else None
    if not isinstance(indices, Constant) or indices.known is None or not node.inputs[0]:
        return node
    if node.op == "Gather" and len(node.inputs[0].shape or ()) == 1:
        in_order = np.array_equal(
            indices.known.reshape(-1), np.arange(math.prod(node.inputs[0].shape or ()))
        )
        return replace(node, op="Reshape", inputs=node.inputs[:1]) if in_order else node
    if node.op != "GatherND" or indices.shape[-1:] != (1,) or node.attributes.get("batch_dims", 0):
        return node
    values = indices.known[..., 0]
    places = Constant(
        name=indices.name, shape=values.shape, element=indices.element, source=Known(values)
    )
    return replace(node, op="Gather", inputs=(node.inputs[0], places), attributes={"axis": 0})


def _without_empty(
    op: str, inputs: tuple[Value | Constant | None, ...]
) -> tuple[Value | Constant | None, ...]:
    """What a node reads, without constants that hold nothing where it only joins them."""
    if op not in _JOINING:
        return inputs
    kept = [None if isinstance(each, Constant) and 0 in each.shape else each for each in inputs]
    return tuple(kept) if op != "Concat" else tuple(each for each in kept if each is not None)
