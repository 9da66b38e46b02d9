"""The forward pass of a training step: a network as it is trained.

Dropouts have masks, batch norms the statistics of the batch; a function whose derivative its ofmap
does not tell is a layer of its own; behind each output of a cross entropy there is a softmax. What
only training has (`Network.training`) is there.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from zlib import crc32

from accelsim.errors import InputError, Problem, several
from accelsim.network.graph import Layer, LayerSpec, Network, build_network
from accelsim.network.ops import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    Dropout,
    Elementwise,
    Op,
    Phase,
    Phases,
    Softmax,
    SplitPart,
    SubSampling,
)
from accelsim.network.ops.gradients import (
    BatchNormForward,
    ChannelMean,
    ChannelVariance,
    ForwardMask,
    Loss,
    ScaledForward,
    WindowSum,
)


def forward_pass(network: Network, loss: Loss) -> Network:
    """The layers to train; raises InputError where outputs are not those of one training step."""
    whole = network.training or network
    specs: list[LayerSpec] = []
    stands: dict[str, str] = {}
    for layer in whole.layers:
        inputs = tuple(stands.get(name, name) for name in layer.inputs)
        specs += trained(layer.op, layer, inputs)
        function = behind(layer, whole)
        if function is not None:
            stands[layer.name] = f"{layer.name}/{function.name}"
            specs.append(LayerSpec(stands[layer.name], function, (layer.name,)))
    weights = {}
    for output in _outputs(whole):
        stands.setdefault(output, output)
        if loss == "cross_entropy" and not isinstance(whole.by_name[output].op, Softmax):
            softmax = _softmax_name(output, whole)
            specs.append(LayerSpec(softmax, Softmax(), (stands[output],)))
            stands[output] = softmax
        weights[stands[output]] = whole.loss_weights.get(output, 1.0)
    built = build_network(whole.name, whole.inputs, specs, whole.description, network.weights)
    return replace(built, loss_weights=weights)


def _softmax_name(output: str, network: Network) -> str:
    return f"{output}@softmax" if output in network.loss_weights else "loss/softmax"


def _outputs(network: Network) -> Sequence[str]:
    """Those that are trained: one, and any number that have a weight."""
    outputs = [name for name in network.outputs if not _unread(name, network)]
    plain = [name for name in outputs if name not in network.loss_weights]
    if len(plain) != 1:
        named = several(plain, "outputs") or ", ".join(plain)
        message = f"training needs one output without a loss_weight, found {named}"
        if network.images is not None:
            message += "; rows that are measured alone are no network"
        raise InputError(Problem(message=message, source=network.name))
    shapes = {name: network.by_name[name].output_shape for name in outputs}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        message = f"outputs that one target trains have one shape, found {found}"
        raise InputError(Problem(message=message, source=network.name))
    return outputs


def _unread(name: str, network: Network) -> bool:
    """Whether an output is no more than a part of a split of which another is read."""
    layer = network.by_name[name]
    if not isinstance(layer.op, SplitPart):
        return False
    beside = (network.by_name[each] for each in network.consumers[layer.inputs[0]])
    return any(network.consumers[each.name] for each in beside if isinstance(each.op, SplitPart))


# --- What stands for a layer ----------------------------------------------------------------------


@singledispatch
def trained(op: Op, layer: Layer, inputs: tuple[str, ...]) -> list[LayerSpec]:
    """The layers that are trained in a layer's place; the last has its name."""
    if hidden(op) is not None:
        op = replace(op, activation=None)  # type: ignore[call-arg]
    return [LayerSpec(layer.name, op, inputs)]


@trained.register
def _(op: Phase, layer: Layer, inputs: tuple[str, ...]) -> list[LayerSpec]:
    """A function comes behind all phases, as their gradient is that of all together."""
    alone = op.stride == (1, 1) and hidden(op) is None
    return [LayerSpec(layer.name, op if alone else replace(op, activation=None), inputs)]


@trained.register
def _(op: Dropout, layer: Layer, inputs: tuple[str, ...]) -> list[LayerSpec]:
    seed = crc32(layer.name.encode())
    mask = ForwardMask(shape=layer.output_shape, rate=op.rate, seed=seed)
    return [LayerSpec(layer.name, mask, inputs)]


@trained.register
def _(op: BatchNorm, layer: Layer, inputs: tuple[str, ...]) -> list[LayerSpec]:
    """With the statistics of the batch."""
    (x,) = inputs
    channels = layer.output_shape[:1] + (1, 1) * (len(layer.output_shape) == 3)
    mean, variance = f"{layer.name}@mean", f"{layer.name}@variance"
    norm = BatchNormForward(
        shape=layer.output_shape, epsilon=op.epsilon, activation=_fused(op.activation)
    )
    return [
        LayerSpec(mean, ChannelMean(shape=channels), (x,)),
        LayerSpec(variance, ChannelVariance(shape=channels), (x, mean)),
        LayerSpec(layer.name, norm, (x, mean, variance)),
    ]


@trained.register
def _(op: SubSampling, layer: Layer, inputs: tuple[str, ...]) -> list[LayerSpec]:
    """The sums over the windows are kept: the gradient of beta needs them."""
    sums = f"{layer.name}@down"
    line = ScaledForward(shape=layer.output_shape, activation=_fused(op.activation))
    return [
        LayerSpec(sums, WindowSum(shape=layer.output_shape, pool=op), inputs),
        LayerSpec(layer.name, line, (sums,)),
    ]


# --- Functions that are fused into a layer --------------------------------------------------------


def activation_of(op: Op) -> Elementwise | None:
    """The function that is fused into a layer."""
    name: Activation | None = getattr(op, "activation", None)
    return ACTIVATIONS[name] if name else None


def hidden(op: Op) -> Elementwise | None:
    """The function that is fused into a layer, if its ofmap does not tell the derivative."""
    function = activation_of(op)
    return function if function and not tells(function) else None


def behind(layer: Layer, network: Network) -> Elementwise | None:
    """The function that is a layer of its own behind another."""
    match layer.op:
        case Phase() as op if op.stride != (1, 1):
            return None
        case Phases():
            first = network.by_name.get(layer.inputs[0])
            return activation_of(first.op) if first and isinstance(first.op, Phase) else None
        case op:
            return hidden(op)


def _fused(name: Activation | None) -> Activation | None:
    """A function that may stay fused."""
    return name if name and tells(ACTIVATIONS[name]) else None


def tells(function: Elementwise) -> bool:
    """Whether a function's value is enough to know its derivative."""
    import numpy as np

    return function.derivative_at(np.ones(1)) is not None
