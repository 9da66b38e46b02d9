"""The inputs and outputs of a framework's model as its file has them.

A network has images first, and six axes of an image at most. A file may have its batch elsewhere,
in one axis with others, or nowhere, and any number of axes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import Shape


@dataclass(frozen=True, slots=True)
class FileTensor:
    """The axes of a tensor in the file: those `before` the batch, those `after` it.

    The batch may be one axis with `inner` others behind each image, or `outer` before all. Where a
    file has one image, and no axis for it, all axes are `after`, and it is not `batched`.
    """

    before: Shape
    after: Shape
    inner: int = 1
    outer: int = 1
    batched: bool = True

    @property
    def beside(self) -> int:
        """How many others are in one axis with each image."""
        return self.inner * self.outer

    @property
    def of_image(self) -> Shape:
        """The axes of one image."""
        return (*self.before, *(self.beside,) * (self.beside > 1), *self.after)

    def __str__(self) -> str:
        """The shape, with N for the images."""
        images = (f"{self.beside} N" if self.beside > 1 else "N",) if self.batched else ()
        axes = [*map(str, self.before), *images, *map(str, self.after)]
        return f"({', '.join(axes)}{',' * (len(axes) == 1)})"

    def images(self, shape: Shape) -> int | None:
        """How many images an array of the file holds, or one of less axes one; None: it is none."""
        if shape == self.of_image:
            return 1
        if not self.batched:
            return shape[0] if shape[1:] == self.of_image else None
        at = len(self.before)
        if shape[:at] != self.before or shape[at + 1 :] != self.after or len(shape) == at:
            return None
        return None if shape[at] % self.beside else shape[at] // self.beside

    def images_first(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array of the file as (N, axes of an image)."""
        if array.shape == self.of_image:
            return array[None]
        if not self.batched:
            return array
        apart = array.reshape((*self.before, self.outer, -1, self.inner, *self.after))
        return np.moveaxis(apart, 1 + len(self.before), 0).reshape((-1, *self.of_image))

    def as_in_file(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of N images as the file has them; of several that it has no axis for (N, ...)."""
        if not self.batched:
            return values.reshape((*(len(values),) * (len(values) > 1), *self.of_image))
        apart = values.reshape((-1, *self.before, self.outer, self.inner, *self.after))
        moved = np.moveaxis(apart, 0, 1 + len(self.before))
        return moved.reshape((*self.before, -1, *self.after))


@dataclass(frozen=True, slots=True)
class FileOutput:
    """An output of the file, and the layer that has its values.

    It holds numbers of `dtype`; where these are codes, each stands for scale * (code - zero_point).
    """

    layer: str
    tensor: FileTensor
    dtype: str = "float32"
    scale: float = 1.0
    zero_point: int = 0

    def of(self, reals: NDArray[np.float64]) -> NDArray[Any]:
        """What the file's output holds where the layer's values stand for `reals`, (N, ...)."""
        values, dtype = self.tensor.as_in_file(reals), np.dtype(self.dtype)
        if dtype.kind not in "iu":
            return values.astype(dtype)
        reach = np.iinfo(dtype)
        codes = np.clip(np.rint(values / self.scale) + self.zero_point, reach.min, reach.max)
        return np.asarray(codes, dtype)


@dataclass(frozen=True, slots=True)
class Interface:
    """The inputs and outputs of a file by name."""

    inputs: Mapping[str, FileTensor]
    outputs: Mapping[str, FileOutput]

    def renamed(self, standing: Callable[[str], str]) -> "Interface":
        """The same where other layers stand for some."""
        outputs = {
            name: replace(each, layer=standing(each.layer)) for name, each in self.outputs.items()
        }
        return Interface(self.inputs, outputs)
