"""A call of an operator, and what laws say of its inputs in the same words."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.frontend.onnx.constants import Array
from accelsim.network.ops import Shape


@dataclass(frozen=True, slots=True)
class Call:
    """A node's operator, the shapes of its inputs, their values where small and constant.

    `shapes` has None for what is left out; `said` are attributes, `made` how many outputs it has.
    """

    op: str
    version: int
    shapes: Sequence[Shape | None]
    values: Sequence[Array | None]
    said: Mapping[str, Any]
    made: int

    def shape(self, place: int) -> Shape | None:
        """The shape of an input; None where it is left out."""
        return self.shapes[place] if place < len(self.shapes) else None

    def known(self, place: int) -> Array | None:
        """The values of an input, if they are known."""
        return self.values[place] if place < len(self.values) else None

    def numbers(self, place: int, name: str) -> list[int] | None:
        """A list that is an input, or an attribute of older opsets; None where it is not known."""
        array, said = self.known(place), self.said.get(name)
        if array is not None:
            return [int(each) for each in array.reshape(-1)]
        if said is None or self.shape(place) is not None:
            return None
        return [int(each) for each in said] if isinstance(said, (list, tuple)) else [int(said)]


Law = Callable[[Call], Iterator[str]]


def wants(call: Call, place: int, what: str, *wanted: Shape) -> Iterator[str]:
    """That an input which is there has one of some shapes."""
    shape = call.shape(place)
    if shape is not None and shape not in wanted:
        yield f"{what} {list(shape)} should be {' or '.join(str(list(each)) for each in wanted)}"


def one_of(call: Call, name: str, *names: str) -> Iterator[str]:
    said = call.said.get(name, names[0])
    if said not in names:
        yield f"its {name} is {said!r}; there are {', '.join(filter(None, names))}"


def reaches(call: Call, place: int, what: str, whole: Shape) -> Iterator[str]:
    """That an input is broadcast to a shape, and makes nothing larger."""
    shape = call.shape(place)
    if shape is None:
        return
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    if len(shape) > len(whole) or any(one not in (1, other) for one, other in pairs):
        yield f"{what} {list(shape)} is not broadcast to {list(whole)}"


def in_range(axes: Sequence[int] | None, rank: int, once: bool = True) -> Iterator[str]:
    """That axes are there, and each is named once."""
    if axes is None:
        return
    if any(not -rank <= axis < rank for axis in axes):
        yield f"axes {list(axes)} of a tensor of {rank}"
    elif once and len({axis % rank for axis in axes}) < len(axes):
        yield f"axes {list(axes)} name one twice"


def is_list(call: Call, *places: int) -> Iterator[str]:
    """That inputs are lists of numbers."""
    for place in places:
        shape = call.shape(place)
        if shape is not None and len(shape) != 1:
            yield f"its input {place} has shape {list(shape)}, needs a list"


def is_single(call: Call, *places: int) -> Iterator[str]:
    for place in places:
        shape = call.shape(place)
        if shape is not None and (math.prod(shape) != 1 or len(shape) > 1):
            yield f"its input {place} has shape {list(shape)}, needs one number"
