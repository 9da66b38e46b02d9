"""torch.export's graphs as plain data: what calls what, with every shape, and the arrays it holds.

Nothing here imports torch: a program is read by the attributes that torch documents (graph, meta,
graph_signature, state_dict). The plain form, which JSON can hold, is

    {"name": ..., "inputs": {name: shape}, "parameters": {name: shape},
     "calls": [[name, target, args, kwargs, shape], ...], "outputs": [name, ...]}

where a tensor among the arguments is {"ref": name} and the shape of several results is a list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import Shape

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """A result of another call, a parameter or an input."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `function` is its target without namespace, overload and the mark of in-place."""

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: Shape

    @property
    def function(self) -> str:
        """Such as conv2d of aten.conv2d.default."""
        parts = self.target.split(".")
        plain = parts[1] if len(parts) > 1 else parts[0]
        return plain.rstrip("_") if not plain.startswith("_") else plain

    def arg(self, place: int, key: str, default: Any = None) -> Any:
        """An argument by place or by key."""
        if place < len(self.args):
            return self.args[place]
        return self.kwargs.get(key, default)


@dataclass(frozen=True, slots=True)
class Program:
    """A graph, in an order that can run. `arrays` holds parameters, of which some may be absent."""

    name: str
    inputs: Mapping[str, Shape]
    parameters: Mapping[str, Shape]
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]
    arrays: Mapping[str, Array]


def program_of(document: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> Program:
    """From plain data."""
    return Program(
        name=str(document["name"]),
        inputs={name: tuple(shape) for name, shape in document["inputs"].items()},
        parameters={name: tuple(shape) for name, shape in document["parameters"].items()},
        calls=tuple(
            Call(
                name=name,
                target=target,
                args=tuple(map(_value, args)),
                kwargs=_values(kwargs),
                shape=_shape(shape),
            )
            for name, target, args, kwargs, shape in document["calls"]
        ),
        outputs=tuple(document["outputs"]),
        arrays=arrays or {},
    )


def _shape(shape: Sequence[Any]) -> Shape:
    """Of several results that of the first."""
    if shape and not isinstance(shape[0], int):
        return _shape(shape[0])
    return tuple(shape)


def _value(given: Any) -> Any:
    if isinstance(given, Mapping):
        return Ref(given["ref"])
    return [_value(each) for each in given] if isinstance(given, list) else given


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(each) for name, each in given.items()}


def document_of(exported: Any, name: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """An ExportedProgram as plain data, and its parameters, buffers and constants.

    What depends on no input is computed by torch itself, and a constant then. In-place calls and
    graphs within the graph are plain calls first, which torch calls a decomposition by no rule.
    """
    exported = exported.run_decompositions({})
    signature = exported.graph_signature
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    tensors = {**exported.constants, **exported.state_dict}
    nodes = exported.graph_module.graph.nodes
    known = {place: tensors[path] for place, path in held.items() if path in tensors}
    known = _evaluated(nodes, known)
    inputs: dict[str, list[Any]] = {}
    parameters: dict[str, list[Any]] = {}
    calls, outputs, read = [], [], set()
    for node in nodes:
        if node.op == "placeholder":
            (parameters if node.name in held else inputs)[node.name] = _told(node.meta.get("val"))
        elif node.op == "call_function" and node.name not in known:
            args, kwargs = _plain(list(node.args)), {k: _plain(v) for k, v in node.kwargs.items()}
            calls.append([node.name, _target(node), args, kwargs, _told(node.meta.get("val"))])
            read |= {each.name for each in node.all_input_nodes}
        elif node.op == "output":
            outputs = [each.name for each in _flat(node.args[0]) if hasattr(each, "name")]
    made = {each: value for each, value in known.items() if each in held or each in read}
    parameters |= {each: _told(value) for each, value in made.items()}
    arrays = {each: _array(value) for each, value in made.items() if hasattr(value, "detach")}
    outputs = [each for each in outputs if each not in known]
    document = {"name": name, "inputs": inputs, "parameters": parameters, "calls": calls}
    return document | {"outputs": outputs}, arrays


def _evaluated(nodes: Iterable[Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the results by name: what is held, and what torch makes of that alone."""
    known = dict(held)
    for node in nodes:
        shapes = _alike(node)
        reads = {each.name for each in node.all_input_nodes} - shapes.keys()
        if node.op == "call_function" and reads <= known.keys():
            args, kwargs = (_with(each, {**known, **shapes}) for each in (node.args, node.kwargs))
            try:
                known[node.name] = node.target(*args, **kwargs)
            except Exception:  # whatever a function raises: then it is a call like any other
                continue
    return known


_OF_SHAPES = ("new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like")
"""Functions that take no more of their first argument than its shape and type."""


def _alike(node: Any) -> dict[str, Any]:
    """In place of what a node takes the shape of: something of that shape."""
    if node.op != "call_function" or not any(
        f".{each}." in str(node.target) for each in _OF_SHAPES
    ):
        return {}
    from torch import empty  # type: ignore[import-not-found,unused-ignore]

    alike = node.args[0].meta["val"]
    return {node.args[0].name: empty(tuple(map(int, alike.shape)), dtype=alike.dtype)}


def _with(given: Any, known: Mapping[str, Any]) -> Any:
    """Arguments with the values of what they refer to."""
    if isinstance(given, Mapping):
        return {key: _with(each, known) for key, each in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)(_with(each, known) for each in given)
    return known[given.name] if hasattr(given, "users") else given


def _target(node: Any) -> str:
    name = str(node.target)
    if "bitwise" in name and "bool" not in str(getattr(node.meta.get("val"), "dtype", "")):
        return f"{name.replace('bitwise', 'whole_bitwise')}"
    return "getitem" if "getitem" in name else name


def _told(value: Any) -> list[Any]:
    """The shape of a tensor, of each of several, or of none."""
    if isinstance(value, (list, tuple)):
        return [_told(each) for each in value]
    return [int(size) for size in getattr(value, "shape", ())]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"ref": value.name} if hasattr(value, "users") else str(value)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [each for part in value for each in _flat(part)]
    return [value]


def _array(tensor: Any) -> Array:
    """A tensor's values; of bfloat16, which NumPy has not, as float32."""
    tensor = tensor.detach().cpu()
    if "bfloat16" in str(tensor.dtype):
        tensor = tensor.float()
    return np.asarray(tensor.numpy())
