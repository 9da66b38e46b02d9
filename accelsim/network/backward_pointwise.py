"""Gradients of functions of several values at one place, and where gradients stop."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from accelsim.network.backward_norms import narrowed
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import POINTWISE, ArgMax, Op, Pointwise, Sloped, Sort
from accelsim.network.ops.pointwise_gradients import PointwiseGradient

if TYPE_CHECKING:
    from accelsim.network.backward import Step


COMPARING: tuple[type[Op], ...] = (
    *(row for row in POINTWISE if not issubclass(row, Sloped)),
    *(ArgMax, Sort),
)
"""Layer types that may be where no gradient has to go through."""


def of_pointwise(step: "Step", op: Sloped, layer: Layer, gradient: str) -> None:
    """Of each operand that has a derivative: times that, summed over what was broadcast."""
    read = dict(zip(op.places, zip(layer.inputs, layer.input_shapes, strict=True), strict=True))
    seen = [read[place][0] for place in op.seen if place in read]
    for place in op.sloped:
        name, shape = read.get(place, ("", ()))
        if name and step.wanted[name]:
            made, whole = f"{layer.name}@operand{place}", layer.output_shape
            back = PointwiseGradient(shape=whole, function=op, place=place)
            found = step.add(made, back, gradient, *seen)
            step.give(name, narrowed(step, made, found, whole, shape))


def given_gradients(network: Network, wanted: Mapping[str, bool]) -> Iterator[Layer]:
    """The layers that the gradient of the loss goes through, the last first.

    It stops at conditions, at what is compared, and where nothing before is learned.
    """
    reached = set(network.loss_weights)
    for layer in reversed(network.layers):
        if layer.name in reached and wanted[layer.name]:
            reached.update(_passed_on(layer))
            yield layer


def _passed_on(layer: Layer) -> Iterator[str]:
    """The inputs of a layer that have a gradient, if it has."""
    op = layer.op
    if isinstance(op, Sloped):
        pairs = zip(op.places, layer.inputs, strict=True)
        yield from (name for place, name in pairs if place in op.sloped)
    elif not isinstance(op, Pointwise) and not op.reads_numbers:
        yield from layer.inputs
