"""Gradients of products of two computed tensors: matrices, and the two of an attention."""

from typing import TYPE_CHECKING

from accelsim.network.backward_norms import narrowed, viewed
from accelsim.network.graph import Layer
from accelsim.network.ops import AttentionContext, AttentionScores, MatMul
from accelsim.network.ops.gradients import GradientTranspose, View
from accelsim.network.ops.product_gradients import (
    GradientContext,
    GradientMatMul,
    GradientReduction,
    GradientScores,
)
from accelsim.network.ops.products import Heads

if TYPE_CHECKING:
    from accelsim.network.backward import Step


def of_matmul(step: "Step", op: MatMul, layer: Layer, gradient: str) -> None:
    """Of a in s a b it is s g b', of b it is s a' g; a dash transposes, and so may the op.

    The gradient of a factor that is read transposed is the transpose of that: b g', and g' a.
    """
    a, b = layer.inputs
    first, second = op.transpose_first, op.transpose_second
    if first:
        _factor(step, layer, 0, (b, gradient), (second, True))
    else:
        _factor(step, layer, 0, (gradient, b), (False, not second))
    if second:
        _factor(step, layer, 1, (gradient, a), (True, first))
    else:
        _factor(step, layer, 1, (a, gradient), (not first, False))


def _factor(
    step: "Step", layer: Layer, index: int, factors: tuple[str, str], turned: tuple[bool, bool]
) -> None:
    """The gradient of one factor, summed over the axes along which it is broadcast."""
    tensor, shape, op = layer.inputs[index], layer.input_shapes[index], layer.op
    if not step.wanted[tensor]:
        return
    assert isinstance(op, MatMul)
    back = GradientMatMul(transpose_first=turned[0], transpose_second=turned[1], scale=op.scale)
    name = step.add(f"{layer.name}@factor{index}", back, *factors)
    leading = op.leading(layer.input_shapes)
    whole, own = ((*leading[place], *shape[-2:]) for place in (2, index))
    name = viewed(step, narrowed(step, name, name, whole, own), own, shape)
    step.give(tensor, name)


def of_attention_scores(step: "Step", op: AttentionScores, layer: Layer, gradient: str) -> None:
    """Of queries it is the gradient times the keys, of keys its transpose times the queries."""
    queries, keys = layer.inputs
    scale = op.factor_of(layer.input_shapes)
    if step.wanted[queries]:
        back = GradientContext(heads=op.heads, key_heads=op.key_heads, scale=scale)
        step.give(queries, step.add(f"{layer.name}@queries", back, gradient, keys))
    if step.wanted[keys]:
        _of_keys(step, op, layer, (gradient, queries), scale)


def of_attention_context(step: "Step", op: AttentionContext, layer: Layer, gradient: str) -> None:
    """Of shares it is the gradient times the values, of values their transpose times it."""
    shares, values = layer.inputs
    if step.wanted[shares]:
        back = GradientScores(heads=op.heads, key_heads=op.key_heads, scale=1.0)
        step.give(shares, step.add(f"{layer.name}@shares", back, gradient, values))
    if step.wanted[values]:
        _of_keys(step, op, layer, (shares, gradient), 1.0)


def _of_keys(step: "Step", op: Heads, layer: Layer, factors: tuple[str, str], scale: float) -> None:
    """Gradients of keys or values, added for the heads of queries that share a head of them."""
    name, shape = f"{layer.name}@keys", layer.input_shapes[1]
    turned = step.add(f"{name}/turned", GradientTranspose(order=(0, 2, 1)), factors[0])
    result = step.add(name, GradientContext(heads=op.heads, scale=scale), turned, factors[1])
    if op.shared_by > 1:
        apart = (shape[0], op.groups, op.shared_by, shape[1] // op.groups)
        result = step.add(f"{name}/heads", View(shape=apart), result)
        result = step.add(f"{name}/sum", GradientReduction(axes=(2,)), result)
        result = step.add(f"{name}/view", View(shape=shape), result)
    step.give(layer.inputs[1], result)
