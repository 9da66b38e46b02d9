"""The arrays that layers of an ONNX model compute with, as recipes over its constants."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from accelsim.frontend.onnx.constants import Array, Constant, Store
from accelsim.network.graph import Stored
from accelsim.network.ops import Shape

Verb = Literal["transpose", "times", "plus", "whole", "rows", "swap", "turn", "part"]
Step = tuple[Verb, "Constant | float | tuple[int, int] | Learned"]


@dataclass(frozen=True, slots=True)
class Learned:
    """A constant or a number, changed step by step; None where it is to be random."""

    source: Constant | float | None
    steps: tuple[Step, ...] = ()

    @property
    def present(self) -> bool:
        """Whether the model says all of it; what a tool filled in for weights does not count."""
        return all(map(_is_present, [self.source, *(operand for _, operand in self.steps)]))

    def transposed(self) -> "Learned":
        """A matrix turned."""
        return self._then("transpose", 0.0)

    def times(self, factor: Constant | float) -> "Learned":
        """All of it times a number, or one per element."""
        return self if factor == 1.0 else self._then("times", factor)

    def plus(self, term: "Constant | float | Learned") -> "Learned":
        """A number added, or one per element."""
        return self._then("plus", term)

    def whole(self) -> "Learned":
        """As integers."""
        return self._then("whole", 0.0)

    def channels_first(self, groups: int) -> "Learned":
        """The first two axes in each other's place, those of each group by themselves."""
        return self._then("swap", float(groups))

    def turned(self) -> "Learned":
        """The last two axes in each other's place."""
        return self._then("turn", 0.0)

    def rows(self) -> "Learned":
        """All of a matrix, or each of its rows."""
        return self._then("rows", 0.0)

    def part(self, start: int, stop: int) -> "Learned":
        """What lies from `start` to `stop` along the first axis, which goes where it is one."""
        return self._then("part", (start, stop))

    def _then(
        self, verb: Verb, operand: "Constant | float | tuple[int, int] | Learned"
    ) -> "Learned":
        return replace(self, steps=(*self.steps, (verb, operand)))

    def values(self, store: Store, shape: Shape) -> Array:
        """The array, of `shape`."""
        array = _operand(self.source, store, shape)
        for verb, operand in self.steps:
            if isinstance(operand, tuple):
                array = array[slice(*operand)]
                array = array[0] if len(array) == 1 and array.ndim > 1 else array
                continue
            if verb == "transpose":
                array = array.T
                continue
            if verb == "swap":
                assert isinstance(operand, float)
                parts = np.split(array, int(operand))
                array = np.concatenate([part.swapaxes(0, 1) for part in parts])
                continue
            if verb == "turn":
                array = array.swapaxes(-1, -2)
                continue
            if verb == "rows":
                array = np.broadcast_to(array.reshape(-1, shape[-1]), shape)
                continue
            if verb == "whole":
                array = array.astype(np.int32)
                continue
            array = _spread(array, shape)
            other = _spread(_operand(operand, store, shape), shape)
            array = array * other if verb == "times" else array + other
        return np.ascontiguousarray(_spread(array, shape)).reshape(shape)


def _is_present(operand: Constant | float | tuple[int, int] | Learned | None) -> bool:
    if isinstance(operand, Learned):
        return operand.present
    return operand is not None and not (isinstance(operand, Constant) and operand.filled)


def _operand(operand: Constant | float | Learned | None, store: Store, shape: Shape) -> Array:
    assert operand is not None
    if isinstance(operand, Learned):
        return operand.values(store, shape)
    if isinstance(operand, Constant):
        values = store.values(operand)
        return values.astype(np.float32) if values.dtype == bool else values
    return np.asarray(operand, np.float32)


def _spread(array: Array, shape: Shape) -> Array:
    """As many elements in `shape`, one for each of its rows, or one number all over it."""
    if array.size == 1:
        return np.broadcast_to(array.reshape(()), shape)
    if array.size == shape[0] != math.prod(shape):
        array = np.broadcast_to(array.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    assert array.size == math.prod(shape)
    return array.reshape(shape)


Recipes = Mapping[str, tuple[Learned, Shape]]
_HALF = 128
"""A uint8 code less this is the int8 code of the same number, where the zero points are so too."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """What a model says of 8-bit codes, by the keys of a parameter file.

    `signed` names keys of weights and zero points as the model has them: int8 or uint8.
    """

    arrays: Recipes
    activations: Mapping[str, bool]
    weights: Mapping[str, bool]

    def recipes(self, signed: bool, signed_filter: bool) -> Recipes:
        """The same numbers as codes of int8 or uint8, as the hardware has them."""
        shifted = dict(self.arrays)
        for keys, wanted in ((self.activations, signed), (self.weights, signed_filter)):
            for key, found in keys.items():
                learned, shape = self.arrays[key]
                by = (_HALF if found else -_HALF) * (found != wanted)
                shifted[key] = (learned.plus(float(by)) if by else learned).whole(), shape
        return shifted


@dataclass(frozen=True)
class OnnxWeights(Stored):
    """Where a network's arrays are in a model: by `<layer>.weight` and so on, with their shapes.

    What the model does not hold is left out, and random then. `ends` are the limits of numbers.
    """

    path: Path
    recipes: Recipes
    quantized: Quantized | None = None
    ends: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.path)

    def opened(self) -> "OpenWeights":
        """The arrays, to be read."""
        return OpenWeights(partial(Store.of, self.path), self.recipes)

    def codes(self, signed: bool, signed_filter: bool) -> Mapping[str, Array]:
        """As 8-bit codes, by the keys of a parameter file; none where the model has no codes."""
        if self.quantized is None:
            return {}
        recipes = self.quantized.recipes(signed, signed_filter)
        return OpenWeights(partial(Store.of, self.path), recipes)

    def limits(self) -> Mapping[str, Array]:
        """Where real numbers end that stand for codes."""
        return {key: np.asarray(number, np.float32) for key, number in self.ends.items()}


class OpenWeights(Mapping[str, Array]):
    """Arrays of a model by key, each made when it is asked for."""

    def __init__(self, store: Callable[[], Store], recipes: Recipes) -> None:
        self._opened = store
        self._recipes = recipes

    @cached_property
    def _store(self) -> Store:
        return self._opened()

    def __getitem__(self, key: str) -> Array:
        recipe, shape = self._recipes[key]
        return recipe.values(self._store, shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)
