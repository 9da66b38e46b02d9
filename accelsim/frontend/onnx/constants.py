"""Arrays of a model that do not depend on its inputs: what they are first, their values when asked.

Small ones (shapes, axes, bounds) are known while a model is read. Those of weights are found again
in the file by name, or computed again by the nodes that make them, when `verify` needs them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, reason
from accelsim.frontend.onnx.file import ModelFile, library, read_model
from accelsim.network.ops import Shape
from accelsim.units import ceil_div

Array: TypeAlias = NDArray[Any]

MOST_FOLDED = 2**16
"""Elements of a constant whose values are computed while a model is read."""
_FILL = "ConstantOfShape"
_MOVES = (
    *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast"),
    *("Expand", "Tile", "Slice", "Split", "DequantizeLinear"),
)
"""Operators that leave an array of one number what it is."""

_SAME_SINCE = {"DequantizeLinear": 19}
"""Opsets of which onnx's reference has an operator, and that say of older nodes what those said."""


@dataclass(frozen=True, slots=True)
class Initializer:
    """An array of the file, by its name."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """What a node, by its place in the graph, makes of other constants."""

    node: int
    op: str
    inputs: "tuple[Constant | None, ...]"
    output: int = 0

    def decoded(self, shape: Shape) -> Array | None:
        """What codes stand for, float32, if it makes that and all that it reads is known."""
        known = [None if each is None else each.known for each in self.inputs]
        if self.op != "DequantizeLinear" or known[0] is None or known[1] is None:
            return None
        zero = 0 if len(known) < 3 or known[2] is None else known[2].astype(np.int64)
        return np.asarray((known[0].astype(np.int64) - zero) * known[1], np.float32).reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A small array."""

    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A constant's shape and type (onnx's number for it), and where its values come from.

    `filled` says that it is one number all over because a tool has put that in the weights' place.
    """

    name: str
    shape: Shape
    element: int
    source: Initializer | Folded | Known
    filled: bool = False

    @property
    def known(self) -> Array | None:
        """Its values, if it is small; of codes only one number's, as else codes are asked for."""
        if isinstance(self.source, Known):
            return self.source.values
        if isinstance(self.source, Folded) and math.prod(self.shape) == 1:
            return self.source.decoded(self.shape)
        return None


def is_fill(op: str, inputs: Sequence[Constant | None]) -> bool:
    """Whether a node makes an array of one number, or only moves such an array about."""
    data = [each for each in inputs[:1] if each is not None]
    return op == _FILL or (op in _MOVES and bool(data) and data[0].filled)


def evaluated(file: ModelFile, node: Any, inputs: Sequence[Array | None], output: int = 0) -> Array:
    """What one node makes of arrays, by onnx's own reference implementation."""
    onnx = library(file.path)
    helper = onnx.helper
    try:
        pairs = zip(node.input, inputs, strict=True)
        feeds = {name: array for name, array in pairs if array is not None}
        given = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in feeds.items()
        ]
        made = [helper.make_tensor_value_info(node.output[output], 0, None)]
        since = _SAME_SINCE.get(node.op_type, 0)
        opsets = [
            helper.make_opsetid(domain, version if domain else max(version, since))
            for domain, version in file.opsets.items()
        ]
        model = helper.make_model(
            helper.make_graph([node], "node", given, made), opset_imports=opsets
        )
        return np.asarray(onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0])
    except Exception as error:  # of the many operators that there are
        raise file.problem(f"cannot be computed: {error}", node.name or node.output[0]) from None


@dataclass(frozen=True)
class Store:
    """The values of a model's constants, from its file and the files beside it."""

    file: ModelFile

    @classmethod
    def of(cls, path: Path) -> "Store":
        """Read the model again."""
        return cls(read_model(path))

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return {tensor.name: tensor for tensor in self.file.proto.graph.initializer}

    def values(self, constant: Constant) -> Array:
        """The array, mapped into memory where it lies in a file of its own."""
        match constant.source:
            case Known(values):
                return values
            case Initializer(name):
                return tensor_values(self.file, self._tensors[name])
            case Folded(index, _, sources, output):
                node = self.file.proto.graph.node[index]
                arrays = [None if each is None else self.values(each) for each in sources]
                return evaluated(self.file, node, arrays, output)


def tensor_values(file: ModelFile, tensor: Any) -> Array:
    """The values of an initializer."""
    onnx = library(file.path)
    within = file.places.get(tensor.name)
    if within is None and tensor.data_location != onnx.TensorProto.EXTERNAL:
        try:
            return np.asarray(onnx.numpy_helper.to_array(tensor)).reshape(tuple(tensor.dims))
        except Exception as error:  # a wrong length, an unknown type
            raise file.problem(f"its values cannot be read: {error}", tensor.name) from None
    path, offset = (file.path, within[0]) if within else external_place(file, tensor)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    shape = tuple(tensor.dims)
    return np.asarray(np.memmap(path, dtype, mode="r", offset=offset, shape=shape))


def external_place(file: ModelFile, tensor: Any) -> tuple[Path, int]:
    """The file beside the model, and where in it an initializer starts; raises InputError."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    folder = file.path.parent.resolve()
    try:
        path = (folder / location).resolve()
        offset = int(said.get("offset", 0))
        if not location or not path.is_relative_to(folder):
            message = f"its values lie outside of the model's folder, in {location!r}; not read"
            raise file.problem(message, tensor.name)
        length = said.get("length")
        length = None if length is None else int(length)
        if not path.is_file():
            kind = "that is a folder, a device or a pipe" if path.exists() else "no such file"
            raise file.problem(f"its values should lie in {path}, but {kind}", tensor.name)
        size = path.stat().st_size
    except OSError as error:
        raise file.problem(f"{location!r} cannot be read: {reason(error)}", tensor.name) from None
    except ValueError as error:
        raise file.problem(f"says a place that is none: {error}", tensor.name) from None
    needed = data_bytes(file, tensor)
    if length is not None and length != needed:
        raise file.problem(_misfit(tensor, length, needed), tensor.name)
    if not 0 <= offset <= size - needed:
        message = f"{path} has {size:,} bytes; {needed:,} from {offset:,} on are missing"
        raise file.problem(message, tensor.name)
    return path, offset


def data_bytes(file: ModelFile, tensor: Any) -> int:
    """Bytes that the values of an initializer take; raises InputError for a type unknown here."""
    onnx = library(file.path)
    try:
        bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        raise file.problem(f"has the unknown type {tensor.data_type}", tensor.name) from None
    count = 1
    for size in tensor.dims:
        count *= size
    return ceil_div(count * bits, 8)


def check_tensor(file: ModelFile, tensor: Any) -> None:
    """Raise InputError for an initializer whose values are not all there."""
    onnx = library(file.path)
    if any(size < 0 for size in tensor.dims):
        raise file.problem(f"has the shape {list(tensor.dims)}", tensor.name)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        external_place(file, tensor)
    elif tensor.name in file.places or tensor.HasField("raw_data"):
        within = file.places.get(tensor.name)
        held, needed = within[1] if within else len(tensor.raw_data), data_bytes(file, tensor)
        if held != needed:
            raise file.problem(_misfit(tensor, held, needed), tensor.name)


def _misfit(tensor: Any, held: int, needed: int) -> str:
    return f"has {held:,} bytes, but the shape {list(tensor.dims)} takes {needed:,}"


__all__ = ["Array", "Constant", "Folded", "Initializer", "InputError", "Known", "Store"]
