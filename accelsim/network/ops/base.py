"""What all layer types share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from accelsim.errors import ShapeError
from accelsim.network.ops.fields import STRICT, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """What all layer types share. `name` is what a network file calls the type."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: ClassVar[str]
    phase: ClassVar[str] = "forward"
    """The part of a training step that it belongs to."""
    batched: ClassVar[bool] = True
    """Whether every image has a result of its own."""
    reads_numbers: ClassVar[bool] = False
    """Whether its first input numbers the entries of a table."""

    @property
    def in_order(self) -> bool:
        """Whether its kernel counts values in the order in which they lie, whatever their axes.

        Else it counts them as a feature map: channels, rows and columns.
        """
        return False

    @property
    def owner_of_parameters(self) -> str | None:
        """The layer whose parameters it computes with, if it has none of its own."""
        return None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """Return the ofmap's shape; raises ShapeError."""
        raise NotImplementedError

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        """Shapes of the learned arrays by name ("weight", "bias", ...)."""
        return {}

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        """Multiply-accumulates for one image; `zero_macs` come on top."""
        return 0

    def zero_macs(self, inputs: tuple[Shape, ...]) -> int:
        """Multiply-accumulates by zeros that were inserted, for one image."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Op):
    """One input, and an ofmap of its shape."""

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return only(inputs)


def axis_of(axis: int, shape: Shape) -> int:
    """An axis of `shape` counted from 0; ShapeError if there is none such."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"there is no axis {axis} in shape {shape}")
    return axis % len(shape)


def only(inputs: tuple[Shape, ...], ranks: tuple[int, ...] = ()) -> Shape:
    """The only input; ShapeError if there are more or its rank is not one of `ranks`."""
    if len(inputs) != 1:
        raise ShapeError(f"takes one input, found {len(inputs)}")
    if ranks and len(inputs[0]) not in ranks:
        names = {1: "a vector", 2: "a matrix", 3: "a feature map (channels, height, width)"}
        wanted = " or ".join(names[rank] for rank in ranks)
        raise ShapeError(f"needs {wanted}, found shape {inputs[0]}")
    return inputs[0]
