"""An ONNX file as the library reads it, and all that can be wrong with its bytes."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, Problem
from accelsim.frontend.onnx.branches import Owners, with_branches
from accelsim.frontend.onnx.contributed import expanded
from accelsim.frontend.onnx.contributed_blocks import bits_of
from accelsim.frontend.onnx.wire import trimmed
from accelsim.frontend.source import mapped

LARGEST_MODEL = 2**31 - 1
"""Bytes of a message that protobuf reads."""
FUNCTIONS = (
    *("CenterCropPad", "CausalConvWithState", "MeanVarianceNormalization", "SwiGLU"),
    "CastLike",
)
"""Operators of the standard that it defines by others, and that no layer stands for."""
_NO_ONNX = "reading .onnx files takes a library: pip install 'accelsim[onnx]'"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model and where it lies. `proto` is onnx's ModelProto, `opsets` versions by domain.

    `places` are initializers whose values `proto` does not hold: where they start in the file, and
    their bytes. `bits`: how many products have weights in blocks, of how many bits. `owners` are
    the Ifs to whose branches nodes belong.
    """

    path: Path
    proto: Any
    opsets: dict[str, int]
    places: Mapping[str, tuple[int, int]]
    bits: Mapping[int, int] = field(default_factory=dict)
    owners: Owners = field(default_factory=dict)

    def problem(self, message: str, node: str = "") -> InputError:
        """What is wrong, at a node or a tensor if one is named."""
        return InputError(Problem(message=message, source=str(self.path), key=node))

    def type_name(self, element: int) -> str:
        """How onnx calls the type of which it has this number."""
        names = library(self.path).TensorProto.DataType
        return str(names.Name(element)).lower() if element in names.values() else str(element)


def library(path: Path) -> Any:
    """The package onnx; raises InputError where it is not installed."""
    try:
        import onnx
        import onnx.inliner
        import onnx.reference
        import onnx.shape_inference
    except ImportError:
        raise InputError(Problem(message=_NO_ONNX, source=str(path))) from None
    return onnx


def read_model(path: Path) -> ModelFile:
    """Read a model, the functions that it defines put where they are called.

    Raises InputError for what is no model, is cut off, or needs a newer library.
    """
    onnx = library(path)
    found = trimmed(mapped(path, LARGEST_MODEL))
    try:
        proto = onnx.ModelProto.FromString(found.content)
        proto = _without_functions(onnx, proto)
        bits = bits_of(proto.graph.node)
        proto = expanded(onnx, proto)
        owners = with_branches(onnx, proto)
    except Exception as error:  # protobuf's own, which differ between its builds
        message = f"is no ONNX model, or is cut off: {error}"
        raise InputError(Problem(message=message, source=str(path))) from None
    opsets = {each.domain or "": each.version for each in proto.opset_import}
    opsets.setdefault("", opsets.get("ai.onnx", 1))
    for node in proto.graph.node:  # one domain has two names
        node.domain = "" if node.domain == "ai.onnx" else node.domain
    file = ModelFile(
        path=path, proto=proto, opsets=opsets, places=found.places, bits=bits, owners=owners
    )
    if not proto.graph.node or not proto.graph.output:
        raise file.problem("is no ONNX model, or is cut off: it has no nodes or no outputs")
    if not all(isinstance(name, str) for name in _names(proto.graph)):
        raise file.problem("is damaged: it has names that are no text")
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opsets[""] <= newest:
        message = f"has opset {opsets['']}; the installed onnx knows 1 to {newest}: upgrade it"
        raise file.problem(message)
    return file


def _without_functions(onnx: Any, proto: Any) -> Any:
    """The model with functions where they are called: its own, and operators that are some."""
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    for name in FUNCTIONS:
        called = [node for node in proto.graph.node if (node.op_type, node.domain) == (name, "")]
        for node in called:
            _say_defaults(onnx, proto, node)
        with suppress(Exception):  # types that are not known, a library without this
            if called:
                proto = onnx.inliner.inline_selected_functions(
                    proto, [("", name)], inline_schema_functions=True
                )
    return proto


def _say_defaults(onnx: Any, proto: Any, node: Any) -> None:
    """Give a node the attributes that it leaves out, as the inliner does not."""
    version = next((each.version for each in proto.opset_import if not each.domain), 1)
    said = {each.name for each in node.attribute}
    with suppress(Exception):  # no such operator in this opset
        for name, known in onnx.defs.get_schema(node.op_type, version).attributes.items():
            if name not in said and known.default_value.name:
                node.attribute.append(known.default_value)


def _names(graph: Any) -> Iterator[Any]:
    """All names of a graph; protobuf gives what is no UTF-8 as bytes."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for each in graph.initializer:
        yield each.name
    for each in (*graph.input, *graph.output, *graph.value_info):
        yield each.name
        yield from (dim.dim_param for dim in each.type.tensor_type.shape.dim)
