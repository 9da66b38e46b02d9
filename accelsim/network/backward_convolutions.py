"""Gradients of convolutions and dense layers."""

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from accelsim.network.graph import Layer
from accelsim.network.ops import Conv, Dense, Mixture
from accelsim.network.ops.gradients import (
    BiasGradient,
    ConvInputGradient,
    ConvWeightGradient,
    DenseInputGradient,
    DenseWeightGradient,
    Interleave,
)
from accelsim.network.ops.mixture_gradients import MixtureGradient, MixtureUpdate
from accelsim.network.ops.spatial_gradients import GradientPad
from accelsim.network.ops.window import phase_sides

if TYPE_CHECKING:
    from accelsim.network.backward import Step


def of_conv(step: "Step", op: Conv, layer: Layer, gradient: str) -> None:
    """One convolution for each phase of the stride, or a dense layer's products."""
    x, ifmap = layer.inputs[0], layer.input_shapes[0]
    if _is_dense(op, layer):
        of_dense(step, Dense(out_features=op.out_channels), layer, gradient)
        return
    _learned(step, layer, gradient, ConvWeightGradient, conv=op, ifmap=ifmap)
    if not step.passes(layer):
        return
    if op.stride != (1, 1) and op.input_gradient == "zero_inserted":
        _of_spread(step, op, layer, gradient)
        return
    windows, alone = op.windows(ifmap), op.stride == (1, 1)
    name, owner, parts = f"{layer.name}@input_gradient", op.shares or layer.name, []
    downs, acrosses = (range(min(window.stride, window.size)) for window in windows)
    places = tuple(product(downs, acrosses))
    for at in places:
        shape = (ifmap[0], *phase_sides(windows, at))
        phase = ConvInputGradient(shape=shape, owner=owner, conv=op, ifmap=ifmap, at=at)
        parts.append(step.add(name if alone else f"{name}[{at[0]},{at[1]}]", phase, gradient))
    if not alone:
        step.add(name, Interleave(shape=ifmap, stride=op.stride, places=places), *parts)
    step.give(x, name)


def _of_spread(step: "Step", op: Conv, layer: Layer, gradient: str) -> None:
    """One convolution of stride 1 over the gradient with zeros between its values."""
    (x, *_), (ifmap, *_), name = layer.inputs, layer.input_shapes, f"{layer.name}@input_gradient"
    top, bottom, left, right = (
        side for window in op.windows(ifmap) for side in (window.before, window.after)
    )
    plain = replace(op, stride=(1, 1), padding=(top, bottom, left, right))
    made = zip(layer.output_shape[1:], op.stride, plain.windows(ifmap), strict=True)
    after = (window.outputs - (size - 1) * stride - 1 for size, stride, window in made)
    between = tuple(stride - 1 for stride in op.stride)
    spread = GradientPad(before=(0, 0, 0), after=(0, *after), between=(0, *between))
    back = ConvInputGradient(
        shape=ifmap,
        owner=layer.owner,
        conv=plain,
        ifmap=ifmap,
        at=(0, 0),
        apart=op.stride,
    )
    step.give(x, step.add(name, back, step.add(f"{layer.name}@spread", spread, gradient)))


def of_dense(step: "Step", op: Dense, layer: Layer, gradient: str) -> None:
    """The gradients of a dense layer, or of a convolution that is one."""
    _learned(step, layer, gradient, DenseWeightGradient, dense=op)
    if step.passes(layer):
        owner = layer.op.owner_of_parameters or layer.name
        back = DenseInputGradient(shape=layer.input_shapes[0], owner=owner, dense=op)
        step.give(layer.inputs[0], step.add(f"{layer.name}@input_gradient", back, gradient))


def _learned(
    step: "Step",
    layer: Layer,
    gradient: str,
    kind: type[ConvWeightGradient] | type[DenseWeightGradient],
    **settings: object,
) -> None:
    """Gradients and updates of a weight and its bias."""
    owner = layer.op.owner_of_parameters or layer.name
    shapes = step.network.by_name[owner].parameter_shapes
    op = kind(shape=shapes["weight"], **settings)  # type: ignore[arg-type]
    name = step.add(f"{layer.name}@weight_gradient", op, layer.inputs[0], gradient)
    step.updated(owner, "weight", shapes["weight"], name)
    if getattr(layer.op, "bias", False):
        bias = BiasGradient(shape=shapes["bias"])
        name = step.add(f"{layer.name}@bias_gradient", bias, gradient)
        step.updated(owner, "bias", shapes["bias"], name)


def of_mixture(step: "Step", op: Mixture, layer: Layer, gradient: str) -> None:
    """Of alpha as of a convolution's filter, then of c; alpha is renewed after c."""
    (x,), (ifmap,), name = layer.inputs, layer.input_shapes, layer.name
    conv, shape = Conv(out_channels=op.out_channels, kernel=(1, 1)), (op.out_channels, ifmap[0])
    of_shares = ConvWeightGradient(shape=(*shape, 1, 1), conv=conv, ifmap=ifmap)
    shares = step.add(f"{name}@shares_gradient", of_shares, x, gradient)
    back = MixtureGradient(shape=shape, owner=name, penalty=op.penalty)
    step.updated(name, "c", shape, step.add(f"{name}@c_gradient", back, shares))
    step.add(f"{name}.shares@update", MixtureUpdate(shape=shape), f"{name}.c@update")
    if op.bias:
        total = step.add(f"{name}@bias_gradient", BiasGradient(shape=shape[:1]), gradient)
        step.updated(name, "bias", shape[:1], total)
    if step.passes(layer):
        back_to_x = ConvInputGradient(shape=ifmap, owner=name, conv=conv, ifmap=ifmap, at=(0, 0))
        step.give(x, step.add(f"{name}@input_gradient", back_to_x, gradient))


def _is_dense(op: Conv, layer: Layer) -> bool:
    """Whether a convolution has one window, which is its whole ifmap."""
    windows = op.windows(layer.input_shapes[0])
    whole = all(each.extent == each.kernel == each.size and not each.before for each in windows)
    return whole and op.groups == 1 and layer.output_shape[1:] == (1, 1)
