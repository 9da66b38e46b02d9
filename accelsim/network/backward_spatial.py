"""Gradients of transposed and unshared convolutions, and of what pads and resizes."""

import math
from typing import TYPE_CHECKING

from accelsim.errors import InputError, Problem
from accelsim.network.backward_norms import summed_over_images
from accelsim.network.graph import Layer
from accelsim.network.ops import Conv, Local, Maps, Op, Pad, Phase, Phases, Resize, Shape
from accelsim.network.ops.gradients import BiasGradient
from accelsim.network.ops.spatial_gradients import (
    AxisGradient,
    ColumnsFold,
    GradientSlice,
    LocalColumns,
    LocalWeightGradient,
    TransposedInputGradient,
    TransposedWeightGradient,
)

if TYPE_CHECKING:
    from accelsim.network.backward import Step


def of_local(step: "Step", op: Local, layer: Layer, gradient: str) -> None:
    """Place by place; of the ifmap by windows, which are then added up where they overlap."""
    (x,), (shape,), name = layer.inputs, layer.input_shapes, layer.name
    weight = layer.parameter_shapes["weight"]
    of_weight = LocalWeightGradient(shape=weight, local=op)
    found = step.add(f"{name}@weight_gradient", of_weight, x, gradient)
    step.updated(name, "weight", weight, found)
    if op.bias:
        summed_over_images(step, layer, "bias", gradient, layer.output_shape)
    if step.passes(layer):
        apart = (math.prod(weight[3:]), *weight[1:3])
        back = LocalColumns(shape=apart, owner=name, local=op)
        columns = step.add(f"{name}@columns", back, gradient)
        folded = ColumnsFold(shape=shape, local=op)
        step.give(x, step.add(f"{name}@input_gradient", folded, columns))


def of_phases(step: "Step", op: Phases, layer: Layer, gradient: str) -> None:
    """Those of one transposed convolution together; of other maps each its own."""
    parts = [step.network.by_name.get(name) for name in layer.inputs]
    first = parts[0]
    one = first is not None and all(
        each is not None
        and isinstance(each.op, Phase)
        and each.inputs == first.inputs
        and each.op.owner == (None if each is first else first.name)
        and each.op.at == place
        for each, place in zip(parts, op.places, strict=True)
    )
    if one and first is not None:
        _of_transposed(step, first, gradient)
        return
    for place, name in zip(op.places, layer.inputs, strict=True):
        if step.wanted[name]:
            taken = GradientSlice(start=(0, *place), stop=layer.output_shape, step=(1, *op.stride))
            step.give(name, step.add(f"{layer.name}@{place[0]},{place[1]}", taken, gradient))


def of_phase(step: "Step", op: Phase, layer: Layer, gradient: str) -> None:
    """One that is all of a transposed convolution."""
    if op.stride != (1, 1) or op.owner is not None:
        message = "a phase of a transposed convolution cannot be trained without the others"
        raise InputError(Problem(message=message, source=step.network.name, key=layer.name))
    _of_transposed(step, layer, gradient)


def _before_zeros(step: "Step", first: Layer) -> tuple[str, Shape, tuple[int, int]]:
    """What a transposed convolution reads, its shape and the stride: the map without zeros.

    Where it reads something else with zeros, of which only a `pad` says where, it is that.
    """
    (x,), (shape,), op = first.inputs, first.input_shapes, first.op
    assert isinstance(op, Phase)
    source = step.network.by_name.get(x)
    if op.apart == (1, 1) or source is None or not _is_spread(source.op, op.apart):
        return x, shape, op.stride
    return source.inputs[0], source.input_shapes[0], op.apart


def _is_spread(op: Op, apart: tuple[int, int]) -> bool:
    """Whether it puts zeros between values, fewer behind them, and does nothing else."""
    if not isinstance(op, Pad) or op.value != 0 or any(op.before) or op.step != (1, *apart):
        return False
    return all(more < step for more, step in zip(op.after, op.step, strict=True))


def _of_transposed(step: "Step", first: Layer, gradient: str) -> None:
    """`first` has the parameters; the gradient is of all its phases together."""
    op, (x, shape, stride) = first.op, _before_zeros(step, first)
    assert isinstance(op, Phase)
    whole, name, shapes = op.whole(first.input_shapes[0]), first.name, first.parameter_shapes
    conv = Conv(
        out_channels=shape[0],
        kernel=op.kernel,
        stride=stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        bias=False,
    )
    back = TransposedWeightGradient(shape=shapes["weight"], conv=conv, whole=whole)
    found = step.add(f"{name}@weight_gradient", back, gradient, x)
    step.updated(name, "weight", shapes["weight"], found)
    if "bias" in shapes:
        total = BiasGradient(shape=shapes["bias"])
        step.updated(
            name, "bias", shapes["bias"], step.add(f"{name}@bias_gradient", total, gradient)
        )
    if step.wanted[x]:
        input_ = TransposedInputGradient(shape=shape, owner=name, conv=conv, whole=whole)
        step.give(x, step.add(f"{name}@input_gradient", input_, gradient))


def of_pad(step: "Step", op: Pad, layer: Layer, gradient: str) -> None:
    """What lies inside; mirrored and repeated values add theirs."""
    if not step.passes(layer):
        return
    (x,), (shape,), name = layer.inputs, layer.input_shapes, f"{layer.name}@input_gradient"
    if op.mode == "constant":
        taken = GradientSlice(start=op.before, stop=op.ends(shape), step=op.step)
        step.give(x, step.add(name, taken, gradient))
    else:
        step.give(x, step.add(name, AxisGradient(shape=shape, forward=op), gradient))


def of_places(step: "Step", op: Resize | Maps, layer: Layer, gradient: str) -> None:
    """To the places that were read, by their shares."""
    if step.passes(layer):
        back = AxisGradient(shape=layer.input_shapes[0], forward=op)
        name = step.add(f"{layer.name}@input_gradient", back, gradient)
        step.give(layer.inputs[0], name)
