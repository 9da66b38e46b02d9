"""Gradients of layers of sequences."""

from typing import TYPE_CHECKING

from accelsim.network.backward_norms import summed_over_images
from accelsim.network.graph import Layer
from accelsim.network.ops import AsValues, ClassToken, Embedding, Position, Rotary
from accelsim.network.ops.gradients import BiasGradient, Part
from accelsim.network.ops.spatial_gradients import GradientSlice
from accelsim.network.ops.token_gradients import EmbeddingGradient, RotaryGradient

if TYPE_CHECKING:
    from accelsim.network.backward import Step


def of_embedding(step: "Step", op: Embedding, layer: Layer, gradient: str) -> None:
    """Added to the rows that the tokens took."""
    shape = (op.entries, op.features)
    back = EmbeddingGradient(shape=shape)
    name = step.add(f"{layer.name}@weight_gradient", back, layer.inputs[0], gradient)
    step.updated(layer.name, "weight", shape, name)


def of_as_values(step: "Step", op: AsValues, layer: Layer, gradient: str) -> None:
    """Numbers have no gradient."""


def of_position(step: "Step", op: Position, layer: Layer, gradient: str) -> None:
    """Tokens have the gradient itself, and only rows that were added have one."""
    step.give(layer.inputs[0], gradient)
    summed_over_images(step, layer, "weight", gradient, layer.output_shape, op.offset)


def of_class_token(step: "Step", op: ClassToken, layer: Layer, gradient: str) -> None:
    """Its own row, and those behind it."""
    tokens, features = layer.output_shape
    first = step.add(f"{layer.name}@first", Part(shape=(1, features), axis=0, start=0), gradient)
    total = BiasGradient(shape=(features,))
    name = step.add(f"{layer.name}@weight_gradient", total, first)
    step.updated(layer.name, "weight", (1, features), name)
    if step.passes(layer):
        rest = GradientSlice(start=(1, 0), stop=(tokens, features))
        step.give(layer.inputs[0], step.add(f"{layer.name}@input_gradient", rest, gradient))


def of_rotary(step: "Step", op: Rotary, layer: Layer, gradient: str) -> None:
    """Turned back."""
    if step.passes(layer):
        keys = {key: getattr(op, key) for key in ("heads", "base", "interleaved", "offset")}
        name = step.add(f"{layer.name}@input_gradient", RotaryGradient(**keys), gradient)
        step.give(layer.inputs[0], name)
