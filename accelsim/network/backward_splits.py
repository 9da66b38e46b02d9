"""Gradients of splits: those of all parts of a tensor, side by side."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from accelsim.network.graph import Layer
from accelsim.network.ops import SplitPart
from accelsim.network.ops.gradients import GradientConcat, SliceGradient

if TYPE_CHECKING:
    from accelsim.network.backward import Step

Given = tuple[Layer, SplitPart, str]
"""A part, its type, and the gradient of it."""


def of_split_part(step: "Step", op: SplitPart, layer: Layer, gradient: str) -> None:
    """Waits for those of the other parts."""
    if step.passes(layer):
        step.parts.setdefault(layer.inputs[0], []).append((layer, op, gradient))


def of_splits(step: "Step", tensor: str) -> None:
    """The gradients of a tensor as its splits have them; of one that lacks a part, each apart."""
    for parts in _by_split(step.parts.pop(tensor, [])):
        first, op, _ = parts[0]
        if len(parts) == len(op.sizes):
            gradients = [gradient for _, _, gradient in parts]
            name = f"{first.name}@side_by_side"
            step.give(tensor, step.add(name, GradientConcat(axis=op.axis), *gradients))
            continue
        for layer, taken, gradient in parts:
            back = SliceGradient(shape=layer.input_shapes[0], taken=taken)
            step.give(tensor, step.add(f"{layer.name}@input_gradient", back, gradient))


def _by_split(given: Sequence[Given]) -> Iterator[list[Given]]:
    """The parts of a tensor by the split that they are of, in their order.

    Where it is split alike several times, any part of a number is as good as another.
    """
    alike: dict[tuple[object, ...], list[list[Given]]] = {}
    for each in reversed(given):
        op = each[1]
        alike.setdefault((op.sizes, op.axis), [[] for _ in op.sizes])[op.part].append(each)
    for places in alike.values():
        for number in range(max(map(len, places))):
            yield [place[number] for place in places if number < len(place)]
