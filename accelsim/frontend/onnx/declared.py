"""What a model declares of its tensors: it must be what its nodes make.

Runtimes tell such contradictions as warnings, or not at all; here they are refused, as nobody can
know which of the two was meant.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.frontend.onnx.file import ModelFile
from accelsim.network.ops import Shape

Sizes = Sequence[int | None]
"""A shape; None for a size that is open."""


class Declared:
    """Shapes and types by tensor, from a graph's value_info, inputs and outputs.

    `sizes` are those of symbolic axes that are known; others are no contradiction to anything.
    """

    def __init__(self, file: ModelFile, sizes: Mapping[str, int]) -> None:
        graph = file.proto.graph
        self._file = file
        self._sizes = sizes
        self._types: dict[str, list[Any]] = {}
        self._others: set[str] = set()
        for each in (*graph.value_info, *graph.input, *graph.output):
            if each.type.HasField("tensor_type"):
                self._types.setdefault(each.name, []).append(each.type.tensor_type)
            elif each.type.WhichOneof("value"):
                self._others.add(each.name)

    def agree(self, node: str, name: str, shape: Sizes | None, element: int) -> None:
        """Raise InputError if a tensor is declared otherwise than a node makes it.

        `shape` is None where nothing is known of it; `element` 0.
        """
        if name in self._others:
            raise self._file.problem(f"makes the tensor {name!r}, declared as something else", node)
        for said in self._types.get(name, ()):
            found = _shape(said, {})
            if shape is not None and found is not None and not _agree(found, shape):
                message = f"makes {name!r} of shape {_told(shape)}, declared as {_told(found)}"
                raise self._file.problem(message, node)
            if element and said.elem_type and said.elem_type != element:
                made, wanted = (self._file.type_name(each) for each in (element, said.elem_type))
                message = f"makes {name!r} of type {made}, declared as {wanted}"
                raise self._file.problem(message, node)

    def tensor(self, name: str) -> tuple[Shape | None, int]:
        """The shape that is declared, None if any of it is open, and the type, 0 if none is."""
        for said in self._types.get(name, ()):
            found = _shape(said, self._sizes)
            if found is not None and None not in found:
                return tuple(size or 0 for size in found), said.elem_type
        return None, 0


def _shape(said: Any, sizes: Mapping[str, int]) -> list[int | None] | None:
    """The sizes that a type says; None if it says no shape."""
    if not said.HasField("shape"):
        return None
    return [
        dim.dim_value
        if dim.HasField("dim_value") and dim.dim_value >= 0
        else sizes.get(dim.dim_param)
        for dim in said.shape.dim
    ]


def _agree(one: Sizes, other: Sizes) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a is None or b is None or a == b for a, b in pairs)


def _told(shape: Sizes) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
