"""Convolutions over a chosen subset of input maps: LeCun et al. 1998, table I; Bouvrie, 2006."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, only
from accelsim.network.ops.contractions import Conv
from accelsim.network.ops.elementwise import Activation
from accelsim.network.ops.fields import NonNegative, Padding, Pair, Shape
from accelsim.network.ops.joins import Concat
from accelsim.network.ops.tokens import Composite

_MOST = 4096
Subset = Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=_MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps(Op):
    """Some maps of a feature map, by their numbers, in that order. It costs as a copy does."""

    name: ClassVar[str] = "maps"
    maps: Subset

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (3,))
        if max(self.maps) >= shape[0]:
            raise ShapeError(f"there is no map {max(self.maps)} in {shape}; they count from 0")
        return len(self.maps), *shape[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedConv(Composite):
    """A convolution each of whose maps reads only the input maps that `connections` lists for it.

    Neighbouring maps that read the same ones are one convolution, NAME/conv0 and so on, behind the
    maps that it reads, NAME/maps0; NAME/whole has all. Nothing is multiplied that is not connected.
    """

    name: ClassVar[str] = "connected_conv"
    connections: Annotated[tuple[Subset, ...], Field(min_length=1, max_length=_MOST)]
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    bias: bool = True
    activation: Activation | None = None

    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        if len(inputs) != 1:
            raise ShapeError(f"takes one input, found {len(inputs)}")
        if any(len(set(maps)) < len(maps) for maps in self.connections):
            raise ShapeError("connections name a map twice")
        parts = [part for each in self._groups(name, inputs) for part in each]
        made = tuple(part for part, op, _ in parts if isinstance(op, Conv))
        return [*parts, (f"{name}/whole", Concat(), made)]

    def _groups(
        self, name: str, inputs: tuple[str, ...]
    ) -> Iterator[list[tuple[str, Op, tuple[str, ...]]]]:
        """For each subset of the input maps these, and the convolution that reads them."""
        for number, (maps, group) in enumerate(groupby(self.connections)):
            taken = f"{name}/maps{number}"
            conv = Conv(
                out_channels=len(list(group)),
                kernel=self.kernel,
                stride=self.stride,
                padding=self.padding,
                bias=self.bias,
                activation=self.activation,
            )
            yield [(taken, Maps(maps=maps), inputs), (f"{name}/conv{number}", conv, (taken,))]
