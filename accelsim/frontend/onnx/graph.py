"""A model's nodes with every shape known, and all that is constant computed: one walk.

Each node is asked once, in an order that can run: what depends on no input is a constant, small
ones with their values, so that shapes that a model computes (Shape, Gather, Concat, Reshape) are
numbers here. The shapes of the others are those of onnx's own inference, given these values.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accelsim.errors import InputError, Problem, did_you_mean
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
from accelsim.frontend.onnx.file import ModelFile, library
from accelsim.frontend.onnx.inference import (
    FUSED,
    INFERRED_AS,
    INFERRED_WITH,
    KEEPS_SHAPE,
    turned,
)
from accelsim.network.ops import Shape
from accelsim.text import shown

MOST_NODES = 200_000
LARGEST_TENSOR = 2**40
"""Elements of a tensor."""
_OF_GRAPHS = ("Loop", "If", "Scan")
DATA_DEPENDENT = (*_OF_GRAPHS, "NonZero", "NonMaxSuppression", "Unique", "Compress")
"""Operators that compute what to do, or how much they make, from values."""
_POSITIVE = ("strides", "dilations", "kernel_shape")
RECURRENT = ("RNN", "LSTM", "GRU")
"""Operators that take (times, batch, features), unless their `layout` is 1."""
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform")


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that a run computes; `shape` with the batch, None where only values tell it."""

    name: str
    shape: Shape | None
    element: int = 1


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

    `batch` is None where the inputs have not one such axis. `batch_axes` are inputs and outputs
    that have it elsewhere in the file; where the graph is of a `whole` run none of them has one.
    """

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    batch: int | None
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False


def resolved(file: ModelFile, dims: Mapping[str, int], outputs: Sequence[str]) -> Graph:
    """The graph up to `outputs`, the model's own if none; raises InputError."""
    wanted = tuple(outputs) or tuple(each.name for each in file.proto.graph.output)
    order = _order(file, wanted)
    used = {name for index in order for name in _sources(file.proto.graph.node[index])}
    walk = _Walk(file)
    axes = batch_axes(_steps(file, order))
    inputs = _inputs(file, dims, used | set(wanted), axes)
    walk.begin(inputs, used)
    nodes = tuple(node for index in order if (node := walk.node(index)) is not None)
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
    return Graph(inputs, nodes, outputs, batch, batch_axes=found)


# --- Which nodes, in which order ------------------------------------------------------------------


def _sources(node: Any) -> list[str]:
    """What a node reads; what a Loop's or If's graph inside reads, too."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            made = {name for each in inner.node for name in each.output}
            made |= {each.name for each in (*inner.input, *inner.initializer)}
            names += [name for each in inner.node for name in _sources(each) if name not in made]
    return names


def _order(file: ModelFile, wanted: Sequence[str]) -> list[int]:
    """The nodes that `wanted` depend on, by index, in an order that can run."""
    graph = file.proto.graph
    if len(graph.node) > MOST_NODES:
        raise file.problem(f"has more than {MOST_NODES:,} nodes")
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in maker:
                raise file.problem(f"{name!r} is made twice", _named(node))
            maker[name] = index
    given = {each.name for each in (*graph.input, *graph.initializer)}
    given |= {each.values.name for each in graph.sparse_initializer}
    problems = [
        Problem(
            f"nothing in the model is called so; {did_you_mean(name, maker)}".rstrip("; "),
            str(file.path),
            key=name,
        )
        for name in wanted
        if name not in maker and name not in given
    ]
    if problems:
        raise InputError(problems)
    return _depth_first(file, maker, given, wanted)


def _depth_first(
    file: ModelFile, maker: Mapping[str, int], given: set[str], wanted: Sequence[str]
) -> list[int]:
    """Each node behind all that it reads; raises InputError for a cycle or what nothing makes."""
    nodes = file.proto.graph.node
    order: list[int] = []
    done: dict[int, bool] = {}  # False: begun
    stack: list[tuple[int, Iterator[str]]] = []
    for start in (maker[name] for name in wanted if name in maker):
        if start not in done:
            done[start] = False
            stack.append((start, iter(_sources(nodes[start]))))
        while stack:
            index, sources = stack[-1]
            name = next(sources, None)
            if name is None:
                done[index] = True
                order.append(index)
                stack.pop()
            elif name in maker and maker[name] not in done:
                done[maker[name]] = False
                stack.append((maker[name], iter(_sources(nodes[maker[name]]))))
            elif name in maker and not done[maker[name]]:
                message = f"lies on a cycle: it reads {name!r}, which depends on it"
                raise file.problem(message, _named(nodes[index]))
            elif name not in maker and name not in given:
                message = f"reads {name!r}, which nothing in the model makes"
                raise file.problem(message, _named(nodes[index]))
    return order


def _named(node: Any) -> str:
    return str(node.name or next(filter(None, node.output), node.op_type))


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
    asked: set[str] = set()
    missing: list[str] = []
    values = []
    for each in found:
        shape = tuple(_sizes(each, dims, asked, missing, axes.get(each.name, 0)))
        values.append(Value(each.name, shape, each.type.tensor_type.elem_type))
    problems = [
        f"the size {name!r} is open; give --dim {name}=N" for name in dict.fromkeys(missing)
    ]
    problems += [
        f"no input has an open size {shown(name)}; {did_you_mean(name, asked)}".rstrip("; ")
        for name in dims
        if name not in asked
    ]
    problems += [
        f"the input {each.name!r} is no tensor"
        for each in found
        if not each.type.HasField("tensor_type")
    ]
    if problems:
        raise InputError(Problem(message, str(file.path)) for message in problems)
    return tuple(values)


def _sizes(
    each: Any, dims: Mapping[str, int], asked: set[str], missing: list[str], batch: int
) -> Iterator[int]:
    """The sizes of one input; an open batch is one image. Notes which names there are."""
    for axis, dim in enumerate(each.type.tensor_type.shape.dim):
        if dim.dim_value > 0:
            yield dim.dim_value
            continue
        name = dim.dim_param or f"{each.name}[{axis}]"
        asked.add(name)
        if name not in dims and axis != batch:
            missing.append(name)
        yield dims.get(name, 1)


# --- The walk -------------------------------------------------------------------------------------


class _Walk:
    """What is known of every tensor so far, as ours and as onnx's inference takes it."""

    def __init__(self, file: ModelFile) -> None:
        self._file = file
        self._onnx = library(file.path)
        self._known: dict[str, Value | Constant] = {}

    def begin(self, inputs: Iterable[Value], used: set[str]) -> None:
        """Take the inputs, and the initializers that are used."""
        self._known |= {each.name: each for each in inputs}
        for tensor in self._file.proto.graph.initializer:
            if tensor.name in used:
                check_tensor(self._file, tensor)
                shape = tuple(tensor.dims)
                source: Initializer | Known = Initializer(tensor.name)
                if math.prod(shape) <= MOST_FOLDED // 64 or not shape:
                    source = Known(tensor_values(self._file, tensor))
                constant = Constant(tensor.name, shape, tensor.data_type, source)
                self._known[tensor.name] = constant

    def node(self, index: int) -> Node | None:
        """The node at `index`; None if it makes constants."""
        proto = self._file.proto.graph.node[index]
        inputs = tuple(self._known[name] if name else None for name in proto.input)
        outputs = self._outputs(proto, inputs)
        constants = self._constants(index, proto, inputs, outputs)
        if constants is not None:
            self._known |= {each.name: each for each in constants}
            return None
        self._known |= {each.name: each for each in outputs if each.name}
        return Node(
            name=_named(proto),
            op=proto.op_type,
            version=self._file.opsets.get(proto.domain, 0),
            inputs=inputs,
            outputs=outputs,
            attributes={each.name: self._attribute(each) for each in proto.attribute},
            domain="" if proto.domain == "ai.onnx" else proto.domain,
        )

    def _attribute(self, attribute: Any) -> Any:
        value = self._onnx.helper.get_attribute_value(attribute)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

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
            return [Constant(outputs[0].name, values.shape, outputs[0].element, Known(values))]
        if proto.op_type in (*_OF_GRAPHS, *_RANDOM):
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
        if shape is None:
            raise self._file.problem(f"the shape of {output.name!r} is not known", _named(proto))
        return Constant(output.name, shape, element, source, is_fill(proto.op_type, inputs))

    def _outputs(
        self, proto: Any, inputs: tuple[Value | Constant | None, ...]
    ) -> tuple[Value, ...]:
        """The outputs' shapes and types by onnx's inference; raises InputError where it fails."""
        unknown = tuple(Value(name, None) for name in proto.output)
        open_ = any(isinstance(each, Value) and each.shape is None for each in inputs)
        if open_ or proto.op_type in _OF_GRAPHS:
            return unknown
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        try:
            version = self._file.opsets.get(proto.domain, 1)
            version = max(version, INFERRED_AS.get(proto.op_type, 0))
            kind = INFERRED_WITH.get(proto.op_type, proto.op_type)
            schema = self._onnx.defs.get_schema(kind, version, domain)
        except Exception:  # an operator that onnx itself does not know
            return unknown
        if proto.op_type == FUSED:
            inputs = tuple(map(_as_multiplied, inputs, turned(proto)))
            proto = self._onnx.helper.make_node("MatMul", proto.input, proto.output, proto.name)
        types = self._inferred(proto, schema, inputs)
        found = tuple(self._value(proto, name, types.get(name)) for name in proto.output)
        first = inputs[0] if inputs else None
        if proto.op_type in KEEPS_SHAPE and first is not None and found[0].shape is None:
            return (Value(found[0].name, first.shape, first.element), *found[1:])
        return found

    def _inferred(
        self, proto: Any, schema: Any, inputs: tuple[Value | Constant | None, ...]
    ) -> Mapping[str, Any]:
        helper = self._onnx.helper
        for attribute in proto.attribute:  # some releases of onnx divide by them
            if attribute.name in _POSITIVE and any(each < 1 for each in (*attribute.ints, 1)):
                message = f"cannot have the {attribute.name} {list(attribute.ints)}"
                raise self._file.problem(f"{proto.op_type} {message}", _named(proto))
        given = [each for each in inputs if each is not None]
        types = {
            each.name: helper.make_tensor_type_proto(each.element, each.shape) for each in given
        }
        data = {
            each.name: self._onnx.numpy_helper.from_array(each.known, each.name)
            for each in given
            if isinstance(each, Constant) and each.known is not None
        }
        opsets = [helper.make_opsetid(*each) for each in self._file.opsets.items()]
        try:
            found: Mapping[str, Any] = self._onnx.shape_inference.infer_node_outputs(
                schema, proto, types, data, None, opsets, self._file.proto.ir_version
            )
        except Exception as error:  # InferenceError and what C++ makes of hostile attributes
            message = f"{proto.op_type} does not fit its inputs: {str(error).strip()}"
            raise self._file.problem(message, _named(proto)) from None
        return found

    def _value(self, proto: Any, name: str, type_: Any) -> Value:
        """An output, its shape None where some size is open."""
        if type_ is None or not type_.HasField("tensor_type"):
            return Value(name, None)
        tensor = type_.tensor_type
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        closed = tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim)
        if closed and (math.prod(shape) > LARGEST_TENSOR or any(size < 0 for size in shape)):
            message = f"{name!r} would have the shape {list(shape)}"
            raise self._file.problem(message, _named(proto))
        return Value(name, shape if closed else None, tensor.elem_type)


def _as_multiplied(operand: Value | Constant | None, turned: bool) -> Value | Constant | None:
    """An operand of a product, its last axes swapped if it is `turned`."""
    if operand is None or operand.shape is None or not turned:
        return operand
    shape = (*operand.shape[:-2], *operand.shape[:-3:-1])
    return Value(operand.name, shape, operand.element)
