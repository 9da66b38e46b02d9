"""Where a tensor of a file has the batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelsim.network.interface import FileTensor
from accelsim.network.ops import Shape


class Misfit(Exception):
    """Why a node cannot have the batch first."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which axis of a tensor of the file is the batch, or the batch and others in one.

    Those are `inner` behind it, or `outer` before it, not both. None: a file with one image at a
    time has it nowhere. Ours has the batch first, then all others in the order of the file.
    """

    axis: int | None = 0
    inner: int = 1
    outer: int = 1

    @property
    def beside(self) -> int:
        """How many others are in one axis with each image."""
        return self.inner * self.outer

    def ours(self, shape: Shape) -> Shape:
        """The shape as it is here."""
        if self.axis is None:
            return (1, *shape)
        others = (self.beside,) * (self.beside > 1)
        whole = shape[self.axis] // self.beside
        return (whole, *shape[: self.axis], *others, *shape[self.axis + 1 :])

    def in_file(self, shape: Shape) -> FileTensor:
        """A tensor of this shape here as the file has it."""
        if self.axis is None:
            return FileTensor(before=(), after=shape[1:], batched=False)
        behind = 1 + self.axis + (self.beside > 1)
        before, after = shape[1 : 1 + self.axis], shape[behind:]
        return FileTensor(before=before, after=after, inner=self.inner, outer=self.outer)

    def axis_of(self, axis: int) -> int:
        """An axis of the file as it is here, unless it is the batch."""
        if self.axis == axis:
            raise Misfit("over the batch")
        if self.axis is None or self.beside > 1:
            return axis + 1
        return axis + (axis < self.axis)

    def without(self, axes: Sequence[int]) -> "Place":
        """The place when some other axes are gone."""
        if self.axis is None:
            return self
        return replace(self, axis=self.axis - sum(axis < self.axis for axis in axes))


FIRST = Place()
NOWHERE = Place(None)
