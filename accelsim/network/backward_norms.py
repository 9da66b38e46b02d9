"""Gradients of normalisations, and of products and sums with what is learned or broadcast."""

import math
from typing import TYPE_CHECKING

from accelsim.network.graph import Layer
from accelsim.network.ops import (
    AvgPool,
    Expand,
    Largest,
    LayerNorm,
    MaxPool,
    Mean,
    Normalised,
    Reduction,
    ScaleShift,
    Shape,
    SubSampling,
)
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BetaGradient,
    BiasGradient,
    GradientProduct,
    MaxPoolGradient,
    View,
    WindowSumGradient,
)
from accelsim.network.ops.norm_gradients import LearnedProduct, NormInputGradient, Standardised
from accelsim.network.ops.product_gradients import GradientReduction

if TYPE_CHECKING:
    from accelsim.network.backward import Step


def of_norm(step: "Step", op: Normalised, layer: Layer, gradient: str) -> None:
    """The ifmap is standardised once more for the gradient of gamma."""
    (x,), shape = layer.inputs, layer.output_shape
    if step.passes(layer):
        back = NormInputGradient(shape=shape, owner=layer.name, norm=op)
        step.give(x, step.add(f"{layer.name}@input_gradient", back, gradient, x))
    learned, by_row = op.learned(shape), isinstance(op, LayerNorm)
    count = math.prod(learned)
    rest = math.prod(shape) // count
    flat = (rest, count) if by_row else (count, rest, 1)
    again = step.add(f"{layer.name}@standardised", Standardised(shape=shape, norm=op), x)
    reads = [viewed(step, name, shape, flat) for name in (gradient, again)]
    gammas = BetaGradient(shape=(count,))
    of_gamma = step.add(f"{layer.name}@gamma_gradient", gammas, *reads)
    step.updated(layer.name, "gamma", learned, of_gamma)
    if op.has_beta:
        betas = BiasGradient(shape=(count,))
        of_beta = step.add(f"{layer.name}@beta_gradient", betas, reads[0])
        step.updated(layer.name, "beta", learned, of_beta)


def viewed(step: "Step", name: str, shape: Shape, wanted: Shape) -> str:
    """A tensor of `shape` in another one."""
    if shape == wanted:
        return name
    view = f"{name}/as_{'x'.join(map(str, wanted))}"
    return step.once(view, View(shape=wanted), name)


def of_scale_shift(step: "Step", op: ScaleShift, layer: Layer, gradient: str) -> None:
    """Both parameters: summed over the axes along which they are broadcast, then over images."""
    (x,), name, shape = layer.inputs, layer.name, layer.output_shape
    if step.passes(layer):
        back = LearnedProduct(shape=shape, owner=name, scale=op)
        step.give(x, step.add(f"{name}@input_gradient", back, gradient))
    terms = step.add(f"{name}@terms", GradientProduct(), gradient, x)
    for parameter, each in (("gamma", terms), ("beta", gradient)):
        own = narrowed(step, f"{name}@{parameter}", each, shape, op.shape)
        summed_over_images(step, layer, parameter, own, op.shape)


def summed_over_images(
    step: "Step", layer: Layer, parameter: str, gradient: str, shape: Shape, first: int = 0
) -> None:
    """The update of a parameter, or of some rows of it, each of whose values an image has."""
    count = math.prod(shape)
    flat = viewed(step, gradient, shape, (count,))
    total = BiasGradient(shape=(count,))
    name = step.add(f"{layer.name}@{parameter}_gradient", total, flat)
    step.updated(layer.name, parameter, shape, name, first)


def narrowed(step: "Step", name: str, gradient: str, whole: Shape, own: Shape) -> str:
    """A gradient of shape `whole` summed over the axes of which `own` has one value."""
    axes = [axis for axis, (one, all_) in enumerate(zip(own, whole, strict=True)) if one != all_]
    while axes:
        first = axes[0]
        run = tuple(axis for place, axis in enumerate(axes) if axis == first + place)
        axes = axes[len(run) :]
        summed = f"{name}/sum" if not axes else f"{name}/sum{first}"
        gradient = step.add(summed, GradientReduction(axes=run, keep=True), gradient)
    return gradient


def of_expand(step: "Step", op: Expand, layer: Layer, gradient: str) -> None:
    """Summed over what was repeated."""
    if step.passes(layer):
        name = f"{layer.name}@input_gradient"
        own = narrowed(step, name, gradient, layer.output_shape, layer.input_shapes[0])
        step.give(layer.inputs[0], own)


def of_reduction(step: "Step", op: Reduction, layer: Layer, gradient: str) -> None:
    """As of a pooling with one window along the axes."""
    if not step.passes(layer):
        return
    (x,), (shape,) = layer.inputs, layer.input_shapes
    outer, along, inner = op.parts(shape)
    maps, kernel = (outer, along, inner), (along, 1)
    reads = [viewed(step, gradient, layer.output_shape, (outer, 1, inner))]
    back: AvgPoolGradient | MaxPoolGradient | WindowSumGradient
    if isinstance(op, Largest):
        back = MaxPoolGradient(shape=maps, pool=MaxPool(kernel=kernel))
        reads.append(viewed(step, x, shape, maps))
    elif isinstance(op, Mean):
        back = AvgPoolGradient(shape=maps, pool=AvgPool(kernel=kernel))
    else:
        back = WindowSumGradient(shape=maps, pool=SubSampling(kernel=kernel))
    name = step.add(f"{layer.name}@input_gradient", back, *reads)
    step.give(x, viewed(step, name, maps, shape))
