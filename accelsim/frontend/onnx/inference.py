"""What a node makes, by onnx's own inference and the laws of operators that this leaves out.

A node whose inputs do not go together, or that says what its operator cannot have, is refused with
its name and their shapes: the model is wrong, and nothing stands for it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.errors import InputError
from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.declared import Declared
from accelsim.frontend.onnx.file import ModelFile, library
from accelsim.frontend.onnx.laws import Call, broken
from accelsim.frontend.onnx.spelling import BEYOND
from accelsim.network.ops import Shape

LARGEST_TENSOR = 2**40
"""Elements of a tensor."""
FUSED = "FusedMatMul"
"""onnxruntime's product with transposes and a factor of its own."""
OF_GRAPHS = ("Loop", "If", "Scan")
"""Operators that hold graphs of their own."""
_INFERRED_AS = {
    **dict.fromkeys(("MaxPool", "AveragePool"), 22),
    **dict.fromkeys(("LessOrEqual", "GreaterOrEqual"), 16),
    "Gelu": 20,
    "LayerNormalization": 17,
    "RMSNormalization": 23,
    **dict.fromkeys(("Attention", "RotaryEmbedding"), 23),
    **dict.fromkeys(("Concat", "Gather", "Squeeze", "Unsqueeze", "Flatten", "Split"), 11),
}
"""Opsets whose inference drops what starts in the padding under ceil_mode, and that take negative
axes, as runtimes do; and those in which operators are new that fused ones are spelt out with.
"""
_POSITIVE = ("strides", "dilations", "kernel_shape")
_KEEPS_SHAPE = ("GroupNormalization",)
"""Operators whose ofmap has the shape of their input, which the inference does not say."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that a run computes; `shape` with the batch, None where only values tell it."""

    name: str
    shape: Shape | None
    element: int = 1


Inputs = Sequence[Value | Constant | None]


def named(node: Any) -> str:
    """A node's name, or that of what it makes first."""
    return str(node.name or next(filter(None, node.output), node.op_type))


class Inference:
    """Shapes and types of what nodes make; where onnx cannot say, what the model declares."""

    def __init__(self, file: ModelFile, declared: Declared) -> None:
        self._file = file
        self._onnx = library(file.path)
        self._declared = declared

    def outputs(self, proto: Any, inputs: Inputs) -> tuple[Value, ...]:
        """A node's outputs; raises InputError where its inputs do not fit."""
        said = self.attributes(proto)
        open_ = any(isinstance(each, Value) and each.shape is None for each in inputs)
        schema = self._schema(proto)
        if open_ or schema is None or proto.op_type in OF_GRAPHS:
            return tuple(self._as_declared(name) for name in proto.output)
        self._refuse_attributes(proto, schema)
        self._refuse_misfit(proto, inputs, said)
        types = self._inferred(*self._plain(proto, inputs), schema)
        found = [self._value(proto, name, types.get(name)) for name in proto.output]
        if proto.op_type == "Attention" and not proto.domain:
            found = [*_with_present(found, inputs, int(said.get("kv_num_heads", 0)))]
        first = inputs[0] if inputs else None
        if proto.op_type in _KEEPS_SHAPE and first is not None and found[0].shape is None:
            found[0] = Value(found[0].name, first.shape, first.element)
        return tuple(found)

    def attributes(self, proto: Any) -> dict[str, Any]:
        """What a node says beside its inputs."""
        read = self._onnx.helper.get_attribute_value
        try:
            found = {each.name: read(each) for each in proto.attribute}
        except Exception as error:  # one that says no type, or means a function's own
            raise self._file.problem(f"has a wrong attribute: {error}", named(proto)) from None
        return {
            name: each.decode("utf-8", "replace") if isinstance(each, bytes) else each
            for name, each in found.items()
        }

    def _schema(self, proto: Any) -> Any:
        """What onnx knows of an operator; None if nothing."""
        version = self._file.opsets.get(proto.domain, 1)
        if not proto.domain:
            version = max(version, _INFERRED_AS.get(proto.op_type, 0))
        try:
            kind = "MatMul" if proto.op_type == FUSED and not proto.domain else proto.op_type
            return self._onnx.defs.get_schema(kind, version, proto.domain)
        except Exception:  # it has no such operator
            return None

    def _as_declared(self, name: str) -> Value:
        shape, element = self._declared.tensor(name)
        return Value(name, shape, element or 1)

    def _refuse_attributes(self, proto: Any, schema: Any) -> None:
        """Raise InputError for attributes that are missing, or not of their type."""
        said = {each.name: each for each in proto.attribute}
        for name, known in schema.attributes.items():
            each = said.get(name)
            if each is None and known.required:
                message = f"{proto.op_type} needs the attribute {name!r}"
            elif each is not None and each.type != known.type.value:
                message = f"{proto.op_type}'s attribute {name!r} should be {known.type.name}"
            elif name in _POSITIVE and each is not None and any(size < 1 for size in each.ints):
                message = f"{proto.op_type} cannot have the {name} {list(each.ints)}"
            else:
                continue
            raise self._file.problem(message, named(proto))

    def _refuse_misfit(self, proto: Any, inputs: Inputs, said: Mapping[str, Any]) -> None:
        call = Call(
            op="" if proto.domain else proto.op_type,
            version=self._file.opsets.get(proto.domain, 1),
            shapes=[None if each is None else each.shape for each in inputs],
            values=[each.known if isinstance(each, Constant) else None for each in inputs],
            said=said,
            made=len(proto.output),
        )
        reason = broken(call)
        if reason:
            raise self._misfit(proto, inputs, reason)

    def _misfit(self, proto: Any, inputs: Inputs, reason: str) -> InputError:
        given = ", ".join(f"{each.name!r} {list(each.shape or ())}" for each in inputs if each)
        message = f"{proto.op_type} does not fit its inputs {given}: {reason}"
        return self._file.problem(message, named(proto))

    def _plain(self, proto: Any, inputs: Inputs) -> tuple[Any, Inputs]:
        """A node without what spelt-out ones say beside the standard's.

        A product with transposes of its own is one without, of turned operands.
        """
        if any(each.name in BEYOND for each in proto.attribute):
            kept = [each for each in proto.attribute if each.name not in BEYOND]
            proto = self._onnx.NodeProto.FromString(proto.SerializeToString())
            del proto.attribute[:]
            proto.attribute.extend(kept)
        if proto.op_type == "Slice" and inputs and inputs[0] is not None:
            return self._with_axes(proto, len(inputs[0].shape or ())), inputs
        if proto.op_type != FUSED:
            return proto, inputs
        said = {each.name: each.i for each in proto.attribute}
        pairs = zip(inputs, ("transA", "transB"), strict=False)
        turned = [_turned(each) if said.get(name) else each for each, name in pairs]
        plain = self._onnx.helper.make_node("MatMul", proto.input, proto.output, proto.name)
        return plain, turned

    def _with_axes(self, proto: Any, rank: int) -> Any:
        """A Slice of before opset 10 with its axes from first to last, as onnx wants them."""
        plain = self._onnx.NodeProto.FromString(proto.SerializeToString())
        said = {each.name: each for each in plain.attribute}
        if "axes" not in said or len({len(each.ints) for each in said.values()}) > 1:
            return proto
        axes = [axis % max(rank, 1) for axis in said["axes"].ints]
        order = sorted(range(len(axes)), key=axes.__getitem__)
        said["axes"].ints[:] = axes
        for each in said.values():
            each.ints[:] = [each.ints[at] for at in order]
        return plain

    def _inferred(self, proto: Any, inputs: Inputs, schema: Any) -> Mapping[str, Any]:
        helper = self._onnx.helper
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
            reason = str(error).strip().removeprefix("[ShapeInferenceError]").strip()
            raise self._misfit(proto, inputs, reason) from None
        return found

    def _value(self, proto: Any, name: str, type_: Any) -> Value:
        """An output that agrees with what is declared; its shape None where some size is open."""
        if not name or type_ is None or not type_.HasField("tensor_type"):
            return self._as_declared(name)
        tensor, sizes = type_.tensor_type, None
        if tensor.HasField("shape"):
            dims = tensor.shape.dim
            sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        self._declared.agree(named(proto), name, sizes, tensor.elem_type)
        if sizes is None or None in sizes:
            shape, _ = self._declared.tensor(name)
            return Value(name, shape, tensor.elem_type)
        closed = tuple(size or 0 for size in sizes)
        if math.prod(closed) > LARGEST_TENSOR or any(size < 0 for size in closed):
            message = f"{name!r} would have the shape {list(closed)}"
            raise self._file.problem(message, named(proto))
        return Value(name, closed, tensor.elem_type)


def _with_present(made: Sequence[Value], inputs: Inputs, heads: int) -> Iterator[Value]:
    """What an attention makes; keys and values are outputs also where nothing is past."""
    for place, value in enumerate(made):
        own = inputs[place] if 0 < place < 3 and place < len(inputs) else None
        if value.shape is None and own is not None and own.shape is not None and len(inputs) < 5:
            shape = own.shape
            if len(shape) == 3 and heads and shape[2] % heads == 0:
                shape = (shape[0], heads, shape[1], shape[2] // heads)
            value = Value(value.name, shape, own.element)
        yield value


def _turned(operand: Value | Constant | None) -> Value | Constant | None:
    """An operand with its last two axes swapped."""
    if operand is None or operand.shape is None:
        return operand
    shape = (*operand.shape[:-2], *operand.shape[:-3:-1])
    return Value(operand.name, shape, operand.element)
